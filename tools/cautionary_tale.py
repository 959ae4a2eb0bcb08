"""The table and the picture of docs/cautionary-tale.md, which holds the commands; ``--help`` says the arguments."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.axes import Axes

from lungwise.data.store import open_data
from lungwise.files import write_whole

LABELS = {"NORMAL": "normal", "PNEUMONIA": "pneumonia", "COVID-19": "COVID-19"}
COLOURS = {"COVID-19": "#b5003c", "normal": "#0f766e", "pneumonia": "#1d4ed8"}
PROBES = ("text marks", "corners", "outer frame")
WHOM = "COVID-19"


def rows(folder: Path, labels: list[str], parent: Path) -> pl.DataFrame:
    """The readable images of some classes of a prepared data set, with paths relative to ``parent``."""
    data = open_data(folder)
    below = os.path.relpath(data.facts["root"], parent)
    kept = data.manifest.filter((pl.col("status") == "ok") & pl.col("label").is_in(labels))
    return kept.select(
        (pl.lit(below + "/") + pl.col("path")).alias("path"), pl.col("label").replace_strict(LABELS), "patient", "source"
    )


def table(kermany: Path, covidx: Path, out: Path) -> None:
    """Mix as many papers do: COVID-19 of adults from COVIDx, everything else children from Kermany."""
    parent = Path(os.path.commonpath([open_data(folder).facts["root"] for folder in (kermany, covidx)]))
    mixed = pl.concat([rows(kermany, ["NORMAL", "PNEUMONIA"], parent), rows(covidx, [WHOM], parent)])
    write_whole(out, mixed.write_csv)
    print(mixed.group_by("label", "source").len().sort("label", "source"))
    print(f"{out}: {len(mixed)} images below the folder that holds both collections")


def picture(folder: Path, audit: Path, adults: Path, out: Path) -> None:
    """Mean films, what tells COVID-19 without a lung, and what the model says of healthy adults."""
    data = open_data(folder).part("train", "validation", "test")
    label = data.manifest["label"].to_numpy()
    figure = plt.figure(figsize=(10, 6.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    for axes, name in zip(upper.subplots(1, 3), COLOURS, strict=True):
        films = data.data.pixels[data.rows[label == name]]
        axes.imshow(films.mean(axis=0), cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{name}: mean of {len(films):,} films", fontsize=10)
        axes.axis("off")
    left, right = lower.subplots(1, 2, width_ratios=(1.3, 1))
    _without_lungs(left, json.loads(audit.read_text()))
    _decisions(right, pl.read_csv(adults))
    figure.savefig(out, dpi=110)


def _without_lungs(axes: Axes, found: dict[str, Any]) -> None:
    checks = {check["name"]: check["details"] for check in found["checks"]}
    areas = {f"{name} alone": checks["probe"]["auroc"][name][WHOM] for name in PROBES}
    areas["the model, whole films"] = checks["lungs-covered"]["auroc"]["whole film"][WHOM]
    for place, (name, area) in enumerate(areas.items()):
        axes.barh(place, area["value"] - 0.5, left=0.5, color=COLOURS[WHOM] if "alone" in name else "#475569")
        axes.plot([area["low"], area["high"]], [place, place], color="black", linewidth=1)
        axes.text(0.505, place, f"{area['value']:.2f}", color="white", va="center", fontsize=9)
    axes.set_yticks(range(len(areas)), list(areas), fontsize=9)
    axes.set_xlim(0.5, 1.0)
    axes.set_xlabel("AUROC of telling COVID-19 from the others (0.5: guessing)", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _decisions(axes: Axes, answers: pl.DataFrame) -> None:
    counts = [int((answers["decision"] == name).sum()) for name in COLOURS]
    bars = axes.bar(list(COLOURS), counts, color=list(COLOURS.values()))
    axes.bar_label(bars, fontsize=10)
    axes.set_title(f"What it says of {len(answers)} adult films without findings", fontsize=10)
    axes.set_yticks([])
    axes.set_ylim(0, 1.12 * int(np.max(counts)))
    axes.spines[["top", "right", "left"]].set_visible(False)


def main() -> None:
    """One of the two steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    first = steps.add_parser("table", help="the mixed collection")
    first.add_argument("kermany", type=Path)
    first.add_argument("covidx", type=Path)
    second = steps.add_parser("picture", help="what came of it")
    second.add_argument("data", type=Path)
    second.add_argument("--audit", type=Path, required=True)
    second.add_argument("--adults", type=Path, required=True)
    for step in (first, second):
        step.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.step == "table":
        table(given.kermany, given.covidx, given.out)
    else:
        picture(given.data, given.audit, given.adults, given.out)


if __name__ == "__main__":
    main()
