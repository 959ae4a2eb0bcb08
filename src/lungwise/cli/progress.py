"""Progress on a terminal as moving bars, elsewhere as plain lines."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from lungwise.training.run import Run


class Bar:
    """A progress bar over a known number of items; usable as a context manager.

    Args:
        console: where to draw.
        text: what is being done.
    """

    def __init__(self, console: Console, text: str) -> None:
        self._console, self._text = console, text
        self._progress = self._task = None
        if console.is_terminal:  # a tenth of the time of a short command goes into the import
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, console=console, transient=True)
            self._task = self._progress.add_task(text, total=None)
        self._said = -1

    def __enter__(self) -> Bar:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress:
            self._progress.stop()

    def update(self, done: int, total: int, note: str = "") -> None:
        """Show that ``done`` of ``total`` items are finished; without a terminal a line at each tenth."""
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=done, total=total, description=f"{self._text}{note}")
            return
        tenth = 10 * done // max(total, 1)
        if tenth > self._said:
            self._console.print(f"{self._text}: {done} of {total}", markup=False)
            self._said = tenth


class TrainingProgress:
    """Shows training as one bar an epoch and a line for each finished one; see :class:`lungwise.training.fit.Watcher`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Bar | None = None
        self._epochs = self._steps = 0

    def started(self, run: Run, first_epoch: int, steps: int) -> None:
        """Say what is trained, and from which epoch when it continues."""
        self._epochs, self._steps = run.recipe.fit.epochs, steps
        model = run.recipe.model
        again = f", continuing after epoch {first_epoch}" if first_epoch else ""
        self._console.print(
            f"Training {model.backbone} at {model.image_size} px on {', '.join(run.labels)}{again}", markup=False
        )

    def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        """Move the bar."""
        if self._bar is None:
            self._bar = Bar(self._console, f"epoch {epoch + 1}/{self._epochs}")
            if self._console.is_terminal:
                self._bar.__enter__()
        if self._console.is_terminal:
            self._bar.update(step + 1, self._steps, f"  loss {logs['loss']:.3f}")

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """Print the epoch's figures."""
        self.close()
        mark = "  best so far" if best else ""
        size = f"  {record['image_size']} px" if "image_size" in record else ""
        self._console.print(
            f"epoch {record['epoch']:>3}/{self._epochs}{size}  loss {record['loss']:.3f}  accuracy {record['accuracy']:.3f}  "
            f"val_loss {record['val_loss']:.3f}  val_accuracy {record['val_accuracy']:.3f}  "
            f"{record['seconds']:.0f} s, {record['images_per_second']:.0f} images/s{mark}",
            markup=False,
        )

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None and self._console.is_terminal:
            self._bar.__exit__(None, None, None)
        self._bar = None
