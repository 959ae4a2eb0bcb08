"""``lungwise export`` and ``predict``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungwise.cli.console import Quiet, console
from lungwise.errors import LungwiseError

if TYPE_CHECKING:
    from lungwise.inference.inputs import Reader


def export(
    run: Annotated[Path, typer.Argument(help="A finished run directory.")],
    out: Annotated[Path, typer.Option("--out", help="The bundle: a new directory, or a name ending in .zip.")],
    name: Annotated[str | None, typer.Option(help="The model's name; the run's by default.")] = None,
    variants: Annotated[str, typer.Option(help="Smaller networks beside it, measured on validation: fp16, int8 or both.")] = "",
    license_: Annotated[str, typer.Option("--license", help="Of the model, as the Hub names it: cc-by-nc-4.0.")] = "other",
    contact: Annotated[str, typer.Option(help="Whom to ask about the model, for its card.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Freeze a run into a bundle, proven to answer as the trained model does."""
    from lungwise.cli.quiet import import_keras

    import_keras("export")
    from lungwise.pipeline import export_run

    wanted = [variant.strip() for variant in variants.split(",") if variant.strip()]
    export_run(run, out, name=name, variants=wanted, license=license_, contact=contact, overwrite=overwrite)
    console(quiet).print(f"Bundle: {out}. Next: lungwise predict IMAGE --model {out}", markup=False)


def predict(
    images: Annotated[list[Path], typer.Argument(help="Images, folders, zip archives, or patterns such as 'films/**/*.png'.")],
    model: Annotated[Path, typer.Option("--model", help="A bundle.")],
    heatmaps: Annotated[Path | None, typer.Option(help="Folder for heat maps.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the answers to this .jsonl, .csv or .parquet file.")] = None,
    resume: Annotated[Path | None, typer.Option(help="As --out, going on with an interrupted batch.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Answers as JSON, one line an image.")] = False,
    csv_: Annotated[bool, typer.Option("--csv", help="Answers as CSV.")] = False,
    engine: Annotated[str, typer.Option(help="What runs the network: auto, onnxruntime, openvino or openvino-bf16.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="Threads of the network; 0 takes all cores.")] = 0,
    precision: Annotated[str, typer.Option(help="Which of the bundle's networks: fp32, fp16 or int8.")] = "fp32",
    views: Annotated[int | None, typer.Option(help="Views to average over, 1 to 16; by default the bundle's.")] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Decode strangers' files in a process with limits.")] = False,
    even_if_novel: Annotated[bool, typer.Option("--even-if-novel", help="Name a class for what cannot be assessed.")] = False,
    quiet: Quiet = False,
) -> None:
    """Classify X-rays with a bundle. An image that cannot be read is reported, and the rest goes on."""
    from lungwise.cli.answers import Watch, save, show
    from lungwise.inference.engines import LONG
    from lungwise.inference.inputs import walk
    from lungwise.inference.predictor import load

    place, style = _place(out, resume), _style(out or resume, json, csv_)
    with _reader(sandbox) as reader:
        predictor = load(model, threads, engine, precision=precision, views=views, reader=reader, assess_anyway=even_if_novel)
        watch = Watch(_count(images), quiet)
        if watch.total >= LONG:
            predictor.settle()
        if place is None:
            show(predictor, walk(images), heatmaps, watch, style)
        else:
            save(predictor, walk(images), heatmaps, watch, place, resume=resume is not None)
    if style == "table" and not quiet:
        console().print(predictor.spec.intended_use, markup=False)
    watch.report()
    if watch.failed:
        raise typer.Exit(1)


def _place(out: Path | None, resume: Path | None) -> Path | None:
    """The file of answers, if there shall be one."""
    if out and resume and out != resume:
        raise LungwiseError(f"--resume names the file of answers to go on with, so --out {out} must be left out or the same.")
    return resume or out


def _style(out: Path | None, json: bool, csv_: bool) -> str:
    """How answers are written: the ending of a file says it, on a terminal an option."""
    from lungwise.inference.output import format_of

    if json and csv_:
        raise LungwiseError("--json and --csv exclude each other; give one of them.")
    wanted = "json" if json else "csv" if csv_ else ""
    if out is None:
        return wanted or "table"
    style = format_of(out)
    if wanted not in ("", style):
        raise LungwiseError(f"The ending of --out decides the format, but {out.name} is not --{wanted}; leave that out.")
    return style


def _count(images: list[Path]) -> int:
    """How many images are meant, for the progress bar, once nothing that was named is empty."""
    from lungwise.inference.inputs import walk
    from lungwise.inference.places import NoImagesError

    total = 0
    for item in walk(images):
        if isinstance(item.source, NoImagesError):
            raise item.source
        total += 1
    return total


@contextmanager
def _reader(sandbox: bool) -> Iterator[Reader]:
    """What decodes: this process, or one with limits."""
    if sandbox:
        from lungwise.inference.sandbox import Sandbox

        with Sandbox() as guarded:
            yield guarded
    else:
        from lungwise.inference.inputs import read_image

        yield read_image
