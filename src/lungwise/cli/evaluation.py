"""``lungwise evaluate`` and ``compare``."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lungwise.cli.console import Json, Quiet, console, print_json, table
from lungwise.errors import LungwiseError

if TYPE_CHECKING:
    from rich.console import Console

    from lungwise.evaluation.decision import Rule
    from lungwise.evaluation.wishes import Wishes

_TABLES = (".csv", ".tsv", ".parquet")


def evaluate(
    what: Annotated[Path, typer.Argument(help="A run directory, a table of predictions, or a bundle together with --data.")],
    data: Annotated[Path | None, typer.Option(help="A prepared data set to evaluate a bundle on.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report of a table or a bundle.")] = None,
    rule: Annotated[
        str | None,
        typer.Option(help="How a threshold is chosen on validation: youden (default), sensitivity, specificity, cost, argmax."),
    ] = None,
    sensitivity: Annotated[float | None, typer.Option(help="The sensitivity to keep, 0.95; means --rule sensitivity.")] = None,
    specificity: Annotated[float | None, typer.Option(help="The specificity to keep, 0.95; means --rule specificity.")] = None,
    miss_cost: Annotated[
        float | None, typer.Option(help="What a missed case costs when a false alarm costs 1; means --rule cost.")
    ] = None,
    prevalence: Annotated[
        list[str] | None, typer.Option(help="LABEL=SHARE where the model is to be used: PPV and NPV there; repeat it.")
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option(help="Results by a column's groups, such as sex, or bands, age:20; repeat it.")
    ] = None,
    subgroups: Annotated[Path | None, typer.Option(help="A table with image and further columns for --by.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="OURS=THEIRS for a table of predictions, such as prob_normal=p0; repeat it.")
    ] = None,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Show the worst mistakes; leave them out of a report to pass on.")
    ] = True,
    heatmaps: Annotated[bool, typer.Option("--heatmaps", help="For a run: heat maps of them too, which loads Keras.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Say how good a model is: metrics.json for machines, report.html for people."""
    from lungwise.cli.wishes import wishes

    speaker = console(quiet or json)
    asked = replace(wishes(by or [], subgroups, prevalence or []), images=images)
    if heatmaps and (data is not None or _is_table(what) or not images):
        raise LungwiseError("--heatmaps draws the worst mistakes of a run (a bundle's always have some); leave it out.")
    if column and (data is not None or not _is_table(what)):
        raise LungwiseError("--column names the columns of a table of predictions; leave it out.")
    if data is not None:
        if (rule, sensitivity, specificity, miss_cost) != (None, None, None, None):
            raise LungwiseError("A bundle decides by the threshold that it carries; leave --rule and its numbers out.")
        folder = _place(out, "a bundle")
        metrics = _of_bundle(what, data, folder, asked)
    elif _is_table(what):
        folder = _place(out, "a table")
        metrics = _of_table(what, folder, _rule(rule, sensitivity, specificity, miss_cost), asked, column or [])
    else:
        folder, metrics = what, _of_run(what, out, _rule(rule, sensitivity, specificity, miss_cost), asked, heatmaps)
    if json:
        print_json(metrics)
    show_metrics(metrics, speaker)
    speaker.print(f"Report: {folder / 'report.html'}", markup=False)


def _is_table(what: Path) -> bool:
    return what.suffix.lower() in _TABLES or (what.is_file() and what.suffix.lower() != ".zip")


def _rule(name: str | None, sensitivity: float | None, specificity: float | None, miss_cost: float | None) -> Rule:
    """The rule that is meant: the one that is named, or the one that a number belongs to."""
    from lungwise.evaluation.decision import Rule

    numbers = {"sensitivity": sensitivity, "specificity": specificity, "cost": miss_cost}
    given = {key: value for key, value in numbers.items() if value is not None}
    meant = name or next(iter(given), "youden")
    if set(given) - {meant}:
        other = next(key for key in given if key != meant)
        option = {"cost": "miss-cost"}.get(other, other)
        raise LungwiseError(f"--{option} belongs to --rule {other}, not to {meant}; leave one of them out.")
    return Rule(meant, **{{"cost": "miss_cost"}.get(key, key): value for key, value in given.items()})


def _place(out: Path | None, what: str) -> Path:
    """Where the report of something goes that has no directory of its own."""
    if out is None:
        raise LungwiseError(f"Evaluating {what} needs a folder for the report; add --out DIR.")
    if (out / "recipe.toml").exists() or (out / "lungwise.json").exists():
        raise LungwiseError(f"--out must not be a run or a bundle, but {out} is one; choose another.")
    return out


def _of_run(folder: Path, out: Path | None, rule: Rule, asked: Wishes, heatmaps: bool) -> dict[str, Any]:
    from lungwise.cli.wishes import of_run
    from lungwise.evaluation.evaluate import evaluate_run
    from lungwise.pictures import run_pictures

    if folder.suffix == ".zip" or (folder / "lungwise.json").exists():
        raise LungwiseError(f"{folder} is a bundle, which holds no predictions; add --data DATA and --out DIR.")
    if out is not None:
        raise LungwiseError("The report of a run goes into its directory; leave --out out.")
    if heatmaps:
        from lungwise.cli.quiet import import_keras

        import_keras("heat maps")
    pictures = run_pictures(folder, heatmaps=heatmaps) if asked.images else None
    return evaluate_run(folder, rule, of_run(asked, folder), pictures)


def _of_bundle(bundle: Path, data: Path, out: Path, asked: Wishes) -> dict[str, Any]:
    from lungwise.cli.wishes import of_data
    from lungwise.data.store import open_data
    from lungwise.inference.predictor import load
    from lungwise.pipeline import evaluate_bundle

    prepared = open_data(data)
    return evaluate_bundle(load(bundle), prepared, out, of_data(asked, prepared))


def _of_table(path: Path, out: Path, rule: Rule, asked: Wishes, columns: list[str]) -> dict[str, Any]:
    from lungwise.cli.data import columns_of
    from lungwise.evaluation.evaluate import Background, evaluate_predictions
    from lungwise.evaluation.table import read_predictions_table
    from lungwise.files import write_whole

    found = read_predictions_table(path, columns_of(columns))
    description = f"Predictions of {path.name}, taken as they are."
    background = Background(path.stem, description, found.facts, rule=rule, wishes=asked)
    metrics = evaluate_predictions(found.table, background, out)
    # Beside its figures a table can be compared with runs.
    write_whole(out / "predictions.parquet", found.table.write_parquet)
    return metrics


def show_metrics(metrics: dict[str, Any], speaker: Console) -> None:
    """The main figures as tables."""
    from lungwise.evaluation.texts import decimal, percent

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
    for label, found in part["classes"].items():
        there = found.get("at_prevalence")
        if there:
            text = f"where {there['prevalence']:.3g} are {label}: PPV {percent(there['ppv'])}, NPV {percent(there['npv'])}"
            speaker.print(text, markup=False)
    words = {True: "met", False: "not met", None: "cannot be said"}
    for target in metrics["targets"]:
        text = f"{target['target']}, wanted {target['wanted']}: {target['got']}, {words[target['met']]}"
        speaker.print(text, markup=False)
    _show_subgroups(metrics.get("subgroups", []), speaker)
    for finding in metrics.get("audit", []):
        speaker.print(f"{finding['severity']}: {finding['message']}.", markup=False)
    for note in metrics.get("notes", []):
        speaker.print(f"note: {note}", markup=False)


def _show_subgroups(rows: list[dict[str, Any]], speaker: Console) -> None:
    """One table a column, the worst group first."""
    from lungwise.evaluation.texts import percent
    from lungwise.evaluation.wording import p_value, points

    for column, group in groupby(rows, key=lambda row: row["column"]):
        texts = []
        for row in group:
            apart = row["differences"].get("accuracy")
            against = [points(apart), p_value(apart["adjusted_p"])] if apart else ["–", "–"]
            texts.append(
                [row["group"], f"{row['images']} of {row['patients']}", percent(row["accuracy"]), *against, row["note"]]
            )
        speaker.print(
            table("", [column, "images of patients", "accuracy", "against the rest", "adjusted p", "what it says"], texts)
        )


def _over_folds(folds: dict[str, Any]) -> str:
    from lungwise.evaluation.texts import plus_minus

    mean = folds["mean"]
    return (
        f"over {len(folds['each'])} folds, mean ± SD: accuracy {plus_minus(mean['accuracy'])}, balanced accuracy "
        f"{plus_minus(mean['balanced_accuracy'])}, AUROC {plus_minus(mean['macro_auroc'])}"
    )


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Evaluated runs, or folders of evaluated tables.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for comparison.html, .md, .csv, .tex and .json.")] = None,
    common: Annotated[bool, typer.Option("--common", help="Where images differ, pair runs on those that both have.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Several runs in one table, best accuracy first, and their differences on the same cases."""
    from rich.console import Console

    from lungwise.evaluation.compare.comparison import of_runs
    from lungwise.evaluation.compare.runs import read_evaluated

    sides = read_evaluated(runs)
    found = of_runs(sides, common=common)
    if json:
        print_json(found)
    elif not quiet:
        # Without a terminal to measure, the table keeps the width that it needs.
        width = None if sys.stdout.isatty() else 220
        _show_comparison(found, Console(highlight=False, width=width, soft_wrap=True))
    if out is not None:
        from lungwise.evaluation.compare.files import write_comparison

        written = write_comparison(found, sides, out)
        console(quiet or json).print(f"Comparison: {written[0]}", markup=False)


def _show_comparison(found: dict[str, Any], speaker: Console) -> None:
    from lungwise.evaluation.compare.table import COLUMNS, texts
    from lungwise.evaluation.compare.words import pair_texts

    rows = texts(found["runs"])
    shown = [name for name in COLUMNS if any(row[name] != "–" for row in rows)]
    speaker.print(table("", shown, [[row[name] for name in shown] for row in rows]))
    for row in pair_texts(found["pairs"]):
        speaker.print(
            f"{row['pair']}: accuracy {row['accuracy']}, adjusted p {row['adjusted p']}; AUROC {row['AUROC']}, "
            f"adjusted p {row['adjusted p of AUROC']}: {row['verdict']}.",
            markup=False,
        )
    for one in found["unpaired"]:
        speaker.print(f"{one['a']} and {one['b']} are not paired: {one['reason']}.", markup=False)
    for note in found["notes"]:
        speaker.print(f"note: {note}", markup=False)
