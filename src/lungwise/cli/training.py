"""``lungwise train``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungwise.cli.console import Json, Quiet, console, print_json
from lungwise.cli.quiet import import_keras
from lungwise.errors import LungwiseError

if TYPE_CHECKING:
    from rich.console import Console

    from lungwise.cli.progress import TrainingProgress
    from lungwise.training.division import Division, LeaveOneSourceOut


def train(
    data: Annotated[Path, typer.Argument(help="A prepared data set.")],
    out: Annotated[Path, typer.Option("--out", help="The run directory; called again, training continues.")],
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or path of a TOML file.")] = "default",
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE over the recipe; repeat it.")] = None,
    folds: Annotated[
        int | None, typer.Option(help="Cross-validate with so many folds; --out then holds a run for each.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="With --folds: divide anew so many times.")] = 1,
    include_test: Annotated[
        bool, typer.Option("--include-test", help="With --folds: the data set's own test part takes part.")
    ] = False,
    by: Annotated[
        str, typer.Option(help="With --folds: divide by patient; or by image, for comparison with figures published so.")
    ] = "patient",
    leave_one_source_out: Annotated[
        bool, typer.Option("--leave-one-source-out", help="Cross-validate: each source in turn is the test part, all of it.")
    ] = False,
    log: Annotated[
        list[str] | None, typer.Option("--log", help="Record training with tensorboard or mlflow as well; repeat it.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train a classifier from a recipe, once or for every fold. Interrupted, the same command continues where it was."""
    from lungwise.data.store import open_data
    from lungwise.recipe import load_recipe

    division = _division(folds, leave_one_source_out, out, repeats=repeats, include_test=include_test, by=by)
    chosen, prepared = load_recipe(recipe, set_), open_data(data)
    speaker = console(quiet or json)
    import_keras("training")
    from lungwise.training.crossval import cross_validate
    from lungwise.training.fit import train as run
    from lungwise.training.loggers import Together, loggers
    from lungwise.training.run import gone_if_refused

    shown = watcher_of(speaker)
    watcher = Together([shown, *loggers(log or [])])
    say = partial(speaker.print, markup=False)
    try:
        with gone_if_refused(out):
            if division is None:
                finished = run(prepared, chosen, out, watcher)
            else:
                finished = cross_validate(prepared, chosen, out, division, watcher, begin=say, refused=say)
    finally:
        shown.close()
    if json:
        print_json({"run": str(out), "history": finished.history()})
    speaker.print(f"Finished {'run' if division is None else 'folds'}: {out}. Next: lungwise evaluate {out}", markup=False)


def _division(
    folds: int | None, by_source: bool, out: Path, *, repeats: int, include_test: bool, by: str
) -> Division | LeaveOneSourceOut | None:
    """What the options of cross-validation ask for; None is a single run."""
    usual = {"--repeats": repeats == 1, "--include-test": not include_test, "--by": by == "patient"}
    given = [option for option, left_alone in usual.items() if not left_alone]
    if by_source:
        # All images of a source are tested, those of the test part too.
        others = ["--folds"] * (folds is not None) + [option for option in given if option != "--include-test"]
        if others:
            raise LungwiseError(f"--leave-one-source-out and {others[0]} exclude each other; give one of them.")
    elif folds is None and given:
        raise LungwiseError(f"{given[0]} belongs to cross-validation; add --folds, for example --folds 5.")
    elif folds is None and (out / "crossval.json").exists():
        raise LungwiseError(
            f"{out} holds a cross-validation; add its --folds or --leave-one-source-out, or choose another --out."
        )
    if folds is None and not by_source:
        return None
    from lungwise.training.division import Division, LeaveOneSourceOut

    return LeaveOneSourceOut() if folds is None else Division(folds, repeats, include_test, by)


def watcher_of(speaker: Console) -> TrainingProgress:
    """What shows a training, and the pass over the images that a frozen backbone needs before it."""
    from lungwise.cli.progress import Bar, TrainingProgress

    class WithPass(TrainingProgress):
        """Shows the pass as a bar of its own; see :class:`lungwise.training.features.FeatureWatcher`."""

        _pass: Bar | None = None

        def computed(self, done: int, total: int) -> None:
            """Move the bar."""
            if self._pass is None:
                self._pass = Bar(speaker, "images through the backbone").__enter__()
            self._pass.update(done, total)
            if done >= total:
                self.close()

        def close(self) -> None:
            """Take the bars away."""
            if self._pass is not None:
                self._pass.__exit__(None, None, None)
                self._pass = None
            super().close()

    return WithPass(speaker)
