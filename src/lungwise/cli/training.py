"""``lungwise train``, ``evaluate`` and ``compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lungwise.cli.console import Json, Quiet, console, print_json, table
from lungwise.cli.quiet import import_keras
from lungwise.errors import LungwiseError

if TYPE_CHECKING:
    from rich.console import Console


def train(
    data: Annotated[Path, typer.Argument(help="A prepared data set.")],
    out: Annotated[Path, typer.Option("--out", help="The run directory; called again, training continues.")],
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or path of a TOML file.")] = "default",
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE over the recipe; repeat it.")] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train a classifier from a recipe. Interrupted, the same command continues after the last finished epoch."""
    from lungwise.data.store import open_data
    from lungwise.recipe import load_recipe

    chosen, prepared = load_recipe(recipe, set_), open_data(data)
    speaker = console(quiet or json)
    import_keras("training")
    from lungwise.cli.progress import TrainingProgress
    from lungwise.training.fit import train as run

    watcher = TrainingProgress(speaker)
    try:
        finished = run(prepared, chosen, out, watcher)
    finally:
        watcher.close()
    if json:
        print_json({"run": str(out), "history": finished.history()})
    speaker.print(f"Finished run: {out}. Next: lungwise evaluate {out}", markup=False)


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
    rows = [[label, *(decimal(found[key]) for key in keys)] for label, found in part["classes"].items()]
    speaker.print(table("", ["class", *keys], rows))
    words = {True: "met", False: "not met", None: "cannot be said"}
    for target in metrics["targets"]:
        text = f"{target['target']}, wanted {target['wanted']}: {target['got']}, {words[target['met']]}"
        speaker.print(text, markup=False)


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
