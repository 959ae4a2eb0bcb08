"""``lungwise export`` and ``predict``."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungwise.cli.console import Quiet, console, table
from lungwise.errors import LungwiseError

if TYPE_CHECKING:
    from lungwise.inference.predictor import Predictor
    from lungwise.inference.result import Result


def export(
    run: Annotated[Path, typer.Argument(help="A finished run directory.")],
    out: Annotated[Path, typer.Option("--out", help="The bundle: a new directory, or a name ending in .zip.")],
    name: Annotated[str | None, typer.Option(help="The model's name; the run's by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Freeze a run into a bundle, proven to answer as the trained model does."""
    from lungwise.cli.quiet import import_keras

    import_keras("export")
    from lungwise.pipeline import export_run

    export_run(run, out, name=name, overwrite=overwrite)
    console(quiet).print(f"Bundle: {out}. Next: lungwise predict IMAGE --model {out}", markup=False)


def predict(
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of them.")],
    model: Annotated[Path, typer.Option("--model", help="A bundle.")],
    heatmaps: Annotated[Path | None, typer.Option(help="Folder for heat maps.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the answers to this file instead of the terminal.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Answers as JSON, one line an image.")] = False,
    csv_: Annotated[bool, typer.Option("--csv", help="Answers as CSV.")] = False,
    quiet: Quiet = False,
) -> None:
    """Classify X-rays with a bundle. An image that cannot be read is reported, and the rest goes on."""
    from lungwise.inference.predictor import find_images, load

    if json and csv_:
        raise LungwiseError("--json and --csv exclude each other; give one of them.")
    predictor = load(model)
    files = find_images(images)
    failed: list[Result] = []
    answers = _watched(predictor.predict_many(files, heatmaps), failed, len(files), quiet)
    style = "json" if json else "csv" if csv_ else "table"
    if out is None:
        for text in _texts(answers, predictor, style):
            sys.stdout.write(text)
    else:
        _write(out, _texts(answers, predictor, style))
    if style == "table" and not quiet:
        console().print(predictor.spec.intended_use, markup=False)
    for result in failed:
        console().print(f"not read: {result.path}: {result.reasons[0]}", markup=False)
    if failed:
        console().print(f"{len(failed)} of {len(files)} images could not be read.", markup=False)
        raise typer.Exit(1)


def _watched(answers: Iterable[Result], failed: list[Result], total: int, quiet: bool) -> Iterator[Result]:
    """Pass answers on, show progress and remember the failures."""
    from lungwise.cli.progress import Bar

    with Bar(console(quiet or total < 50), "Predicting") as bar:
        for done, result in enumerate(answers, 1):
            if result.status != "ok":
                failed.append(result)
            yield result
            bar.update(done, total)


def _texts(answers: Iterable[Result], predictor: Predictor, style: str) -> Iterator[str]:
    """The answers as text, piece by piece, so that a long batch needs no memory (a table is one piece)."""
    from lungwise.inference.result import csv_header, csv_row

    if style == "json":
        yield from (result.to_json() + "\n" for result in answers)
    elif style == "csv":
        yield _csv_line(csv_header(predictor.labels))
        yield from (_csv_line(csv_row(result, predictor.labels)) for result in answers)
    else:
        yield _table(list(answers), predictor)


def _csv_line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


def _table(answers: list[Result], predictor: Predictor) -> str:
    from rich.console import Console

    from lungwise.inference.result import set_text

    spec, rows = predictor.spec, []
    sets = [f"set at {100 * (1 - spec.conformal_alpha):.4g} %"] if spec.conformal_quantiles else []
    for result in answers:
        shares = [f"{result.probabilities[label]:.3f}" if result.probabilities else "" for label in predictor.labels]
        said = [*shares, *([set_text(result)] if sets else []), "; ".join(result.warnings)]
        rows.append([result.path, result.decision or "could not be read", *said])
    buffer = io.StringIO()
    width = None if sys.stdout.isatty() else 200
    Console(file=buffer, highlight=False, width=width).print(
        table("", ["image", "decision", *predictor.labels, *sets, ""], rows)
    )
    return buffer.getvalue()


def _write(path: Path, texts: Iterable[str]) -> None:
    from lungwise.files import write_whole

    def fill(draft: Path) -> None:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.writelines(texts)

    write_whole(path, fill)
