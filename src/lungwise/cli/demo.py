"""``lungwise demo``: the whole path in one command."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungwise.cli.console import Quiet, console, table

if TYPE_CHECKING:
    from rich.console import Console

    from lungwise.data.store import PreparedData

_PER_CLASS = 220
_SEED = 7
_PHANTOM_EPOCHS = 20
"""The faint opacities of the phantoms are found after six to ten epochs."""


def demo(
    data: Annotated[Path | None, typer.Option("--data", help="Your own X-rays instead of synthetic phantoms.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that is made.")] = Path("demo"),
    recipe: Annotated[str, typer.Option(help="The recipe to train.")] = "quick",
    epochs: Annotated[int | None, typer.Option(help="Epochs to train; the recipe's own on your X-rays.", min=1)] = None,
    quiet: Quiet = False,
) -> None:
    """From X-rays to report, bundle and a prediction with its picture, in a few minutes on two cores."""
    from lungwise.cli.data import show_data
    from lungwise.cli.evaluation import show_metrics
    from lungwise.cli.progress import TrainingProgress
    from lungwise.cli.quiet import import_keras
    from lungwise.recipe import load_recipe

    import_keras("the demo")
    from lungwise.evaluation.evaluate import evaluate_run
    from lungwise.pictures import run_pictures
    from lungwise.pipeline import export_run
    from lungwise.training.fit import train

    began, speaker = time.monotonic(), console(quiet)
    prepared = _prepare(data, out, speaker)
    show_data(prepared, speaker)
    epochs = epochs or (_PHANTOM_EPOCHS if data is None else None)
    chosen = load_recipe(recipe, [f"fit.epochs={epochs}"] if epochs else [])
    run = train(prepared, chosen, out / "run", TrainingProgress(speaker))
    show_metrics(evaluate_run(run.folder, pictures=run_pictures(run.folder)), speaker)
    bundle = export_run(run.folder, out / "model", overwrite=True)
    picture = _predict(prepared, bundle, out, speaker)
    minutes = (time.monotonic() - began) / 60
    speaker.print(f"Done in {minutes:.1f} minutes." + (" These images are synthetic." if data is None else ""), markup=False)
    for name, path in (("report", run.folder / "report.html"), ("bundle", bundle), ("picture", picture)):
        sys.stdout.write(f"{name}: {path}\n")


def _prepare(data: Path | None, out: Path, speaker: Console) -> PreparedData:
    """The user's X-rays, or phantoms made on the spot."""
    from lungwise.cli.progress import Bar
    from lungwise.data.phantoms import write_phantoms
    from lungwise.data.prepare import prepare

    source = data
    if source is None:
        source = out / "phantoms"
        if not (source / "README.txt").exists():
            speaker.print("Making synthetic chest X-ray phantoms; they look like X-rays and are none.", markup=False)
            draft = out / ".phantoms"
            shutil.rmtree(draft, ignore_errors=True)
            write_phantoms(draft, _PER_CLASS, _SEED)
            draft.rename(source)
    with Bar(speaker, "Reading images") as bar:
        return prepare(source, out / "data", progress=bar.update)


def _predict(prepared: PreparedData, bundle: Path, out: Path, speaker: Console) -> Path:
    """Ask the bundle about one test image of the last class, with its heat map."""
    import polars as pl

    from lungwise.inference.predictor import load

    rows = prepared.test.manifest if len(prepared.test) else prepared.validation.manifest
    finding = prepared.labels.names[-1]
    row = rows.filter(pl.col("label") == finding).row(0, named=True)
    image, picture = Path(prepared.facts["root"]) / row["path"], out / "prediction.png"
    result = load(bundle, assess_anyway=True).predict(image, picture)
    shares = [f"{result.probabilities[label]:.3f}" for label in prepared.labels]
    columns = ["image", "truth", "decision", *prepared.labels]
    speaker.print(table("", columns, [[row["image"], row["label"], str(result.decision), *shares]]))
    speaker.print(result.intended_use, markup=False)
    return picture
