"""``lungwise train``, ``evaluate`` and ``compare``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lungwise.cli.console import Json, Quiet, console, print_json, table
from lungwise.cli.quiet import import_keras
from lungwise.errors import LungwiseError

if TYPE_CHECKING:
    from rich.console import Console

    from lungwise.cli.progress import TrainingProgress


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
    log: Annotated[
        list[str] | None, typer.Option("--log", help="Record training with tensorboard or mlflow as well; repeat it.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train a classifier from a recipe, once or for every fold. Interrupted, the same command continues where it was."""
    from lungwise.data.store import open_data
    from lungwise.recipe import load_recipe

    _check_folds(folds, out, repeats=repeats, include_test=include_test, by=by)
    chosen, prepared = load_recipe(recipe, set_), open_data(data)
    speaker = console(quiet or json)
    import_keras("training")
    from lungwise.training.crossval import Division, cross_validate
    from lungwise.training.fit import train as run
    from lungwise.training.loggers import Together, loggers

    shown = watcher_of(speaker)
    watcher = Together([shown, *loggers(log or [])])
    try:
        if folds is None:
            finished = run(prepared, chosen, out, watcher)
        else:
            division = Division(folds, repeats, include_test, by)
            begin = partial(speaker.print, markup=False)
            finished = cross_validate(prepared, chosen, out, division, watcher, begin=begin)
    finally:
        shown.close()
    if json:
        print_json({"run": str(out), "history": finished.history()})
    speaker.print(f"Finished {'run' if folds is None else 'folds'}: {out}. Next: lungwise evaluate {out}", markup=False)


def _check_folds(folds: int | None, out: Path, **options: object) -> None:
    """Options of cross-validation go with --folds, and so does its directory."""
    usual: dict[str, object] = {"repeats": 1, "include_test": False, "by": "patient"}
    given = [name for name, value in options.items() if value != usual[name]]
    if folds is None and given:
        raise LungwiseError(f"--{given[0].replace('_', '-')} belongs to cross-validation; add --folds, for example --folds 5.")
    if folds is None and (out / "crossval.json").exists():
        raise LungwiseError(f"{out} holds a cross-validation; add its --folds, or choose another --out.")


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


def evaluate(
    what: Annotated[Path, typer.Argument(help="A run directory, or a bundle together with --data.")],
    data: Annotated[Path | None, typer.Option(help="A prepared data set to evaluate a bundle on.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for a bundle's report.")] = None,
    rule: Annotated[
        str, typer.Option(help="How a run's threshold is chosen on validation: youden, sensitivity, argmax.")
    ] = "youden",
    sensitivity: Annotated[float, typer.Option(help="The sensitivity to keep with --rule sensitivity.")] = 0.95,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Say how good a model is: metrics.json for machines, report.html for people."""
    speaker = console(quiet or json)
    if data is None:
        from lungwise.evaluation.decision import Rule
        from lungwise.evaluation.evaluate import evaluate_run

        folder, metrics = what, evaluate_run(what, Rule(rule, sensitivity))
    else:
        if out is None:
            raise LungwiseError("Evaluating a bundle on data needs a folder for the report; add --out DIR.")
        from lungwise.data.store import open_data
        from lungwise.inference.predictor import load
        from lungwise.pipeline import evaluate_bundle

        folder, metrics = out, evaluate_bundle(load(what), open_data(data), out)
    if json:
        print_json(metrics)
    show_metrics(metrics, speaker)
    speaker.print(f"Report: {folder / 'report.html'}", markup=False)


def show_metrics(metrics: dict[str, Any], speaker: Console) -> None:
    """The main figures as tables."""
    from lungwise.evaluation.report import decimal, percent

    part = metrics["parts"][metrics["part"]]
    speaker.print(
        f"{metrics['part']} accuracy {percent(part['accuracy'])}, AUROC {decimal(part['macro_auroc'])} "
        f"({part['images']} images of {part['patients']} patients)",
        markup=False,
    )
    keys = ["sensitivity", "ppv", "f1", "auroc"]
    if metrics.get("folds"):
        speaker.print(_over_folds(metrics["folds"]), markup=False)
    rows = [[label, *(decimal(found[key]) for key in keys)] for label, found in part["classes"].items()]
    speaker.print(table("", ["class", *keys], rows))
    words = {True: "met", False: "not met", None: "cannot be said"}
    for target in metrics["targets"]:
        text = f"{target['target']}, wanted {target['wanted']}: {target['got']}, {words[target['met']]}"
        speaker.print(text, markup=False)


def _over_folds(folds: dict[str, Any]) -> str:
    from lungwise.evaluation.report import plus_minus

    mean = folds["mean"]
    return (
        f"over {len(folds['each'])} folds, mean ± SD: accuracy {plus_minus(mean['accuracy'])}, balanced accuracy "
        f"{plus_minus(mean['balanced_accuracy'])}, AUROC {plus_minus(mean['macro_auroc'])}"
    )


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Evaluated run directories.")],
    json: Json = False,
) -> None:
    """Print a table of several runs, best accuracy first."""
    from rich.console import Console

    from lungwise.evaluation.compare import COLUMNS
    from lungwise.evaluation.compare import compare as rows_of

    rows = rows_of(runs)
    if json:
        print_json(rows)
    else:
        # Without a terminal to measure, the table keeps the width that it needs.
        width = None if sys.stdout.isatty() else 200
        Console(highlight=False, width=width).print(table("", list(COLUMNS), [list(row.values()) for row in rows]))
