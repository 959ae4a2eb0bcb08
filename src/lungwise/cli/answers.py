"""How ``lungwise predict`` gives answers: a table, JSON or CSV on the terminal, or a file that survives an interruption."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from lungwise.cli.console import console, table
from lungwise.errors import printable

if TYPE_CHECKING:
    from lungwise.inference.inputs import Item
    from lungwise.inference.predictor import Predictor
    from lungwise.inference.result import Result

NO_CLASS = {"cannot assess": "cannot assess", "error": "could not be read"}
"""What stands in the place of a class, by the status of the answer."""
_FEW = 50
"""Images below which progress is not worth a line."""
_SHOWN = 100
"""Unreadable images that are named."""


class Watch:
    """Shows progress and remembers what could not be read.

    Args:
        total: images of the batch, as far as is known.
        quiet: show nothing.
    """

    def __init__(self, total: int, quiet: bool) -> None:
        self.total, self.quiet = total, quiet
        self.failed = self.unassessed = 0
        self._first: list[tuple[str, str]] = []

    def over(self, answers: Iterable[Result], before: Callable[[], int] = lambda: 0) -> Iterator[Result]:
        """Pass answers on; ``before`` says how many images had theirs already."""
        from lungwise.cli.progress import Bar

        with Bar(console(self.quiet or self.total < _FEW), "Predicting") as bar:
            for new, result in enumerate(answers, 1):
                if result.status == "error":
                    self.failed += 1
                    self._first += [(result.path, result.reasons[0])] if self.failed <= _SHOWN else []
                self.unassessed += result.status == "cannot assess"
                yield result
                bar.update(before() + new, max(self.total, before() + new))

    def report(self) -> None:
        """Name what could not be read, the first ones by name."""
        for path, reason in self._first:
            console().print(f"not read: {printable(path)}: {printable(reason)}", markup=False)
        if self.failed > _SHOWN:
            console().print(f"not read: {self.failed - _SHOWN} more", markup=False)
        if self.failed:
            console().print(f"{self.failed} of {self.total} images could not be read.", markup=False)
        if self.unassessed:
            console().print(f"{self.unassessed} of {self.total} images cannot be assessed; each answer says why.", markup=False)


def show(predictor: Predictor, items: Iterable[Item], heatmaps: Path | None, watch: Watch, style: str) -> None:
    """Write answers to standard output as "json", "csv" or "table", each as soon as it is known (a table at the end)."""
    with closing(predictor.answers(items, heatmaps)) as answers:
        results = watch.over(result for _, result in answers)
        for text in _texts(results, predictor, style):
            sys.stdout.write(text)


def save(predictor: Predictor, items: Iterable[Item], heatmaps: Path | None, watch: Watch, out: Path, *, resume: bool) -> None:
    """Write answers to a file, by way of a journal that an interrupted batch goes on from."""
    from lungwise.inference.journal import Journal, settings_of

    with Journal(out, settings_of(predictor, heatmaps), resume=resume) as journal:
        if resume:
            there = f"{len(journal)} answers are there" if len(journal) else "there is nothing to go on with, so it begins anew"
            console(watch.quiet).print(f"{out}: {there}.", markup=False)
        try:
            with closing(journal.fill(predictor, items, heatmaps)) as answers:
                for _ in watch.over(answers, lambda: journal.kept):
                    pass
        finally:
            if len(journal) and journal.path.exists():  # it did not come to its end
                said = f"{len(journal)} answers are kept; go on after them with --resume {out} in the place of --out."
                console().print(said, markup=False)


def _texts(answers: Iterable[Result], predictor: Predictor, style: str) -> Iterator[str]:
    """The answers as text, piece by piece, so that a long batch needs no memory (a table is one piece)."""
    from lungwise.inference.output import csv_line
    from lungwise.inference.result import csv_header, csv_row

    if style == "json":
        yield from (result.to_json() + "\n" for result in answers)
    elif style == "csv":
        yield csv_line(csv_header(predictor.labels))
        yield from (csv_line(csv_row(result, predictor.labels)) for result in answers)
    else:
        yield _table(list(answers), predictor)


def _table(answers: list[Result], predictor: Predictor) -> str:
    from rich.console import Console

    from lungwise.inference.result import set_text

    spec, rows = predictor.spec, []
    sets = [f"set at {100 * (1 - spec.conformal_alpha):.4g} %"] if spec.conformal_quantiles else []
    for result in answers:
        shares = [f"{result.probabilities[label]:.3f}" if result.probabilities else "" for label in predictor.labels]
        said = [*shares, *([set_text(result)] if sets else []), "; ".join(_remarks(result))]
        rows.append([printable(result.path), result.decision or NO_CLASS[result.status], *said])
    buffer = io.StringIO()
    width = None if sys.stdout.isatty() else 200
    Console(file=buffer, highlight=False, width=width).print(
        table("", ["image", "decision", *predictor.labels, *sets, ""], rows)
    )
    return buffer.getvalue()


def _remarks(result: Result) -> tuple[str, ...]:
    """What stands beside a row; why a file could not be read stands below the table."""
    return (*result.reasons, *result.warnings) if result.status == "cannot assess" else result.warnings
