"""``lungwise tune``."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lungwise.cli.console import Json, Quiet, console, print_json, table
from lungwise.cli.quiet import import_keras

_SHOWN = 5


def tune(
    data: Annotated[Path, typer.Argument(help="A prepared data set; its test part is not used.")],
    out: Annotated[Path, typer.Option("--out", help="The search's directory; called again, the search continues.")],
    search: Annotated[list[str], typer.Option(help="KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=a,b,c of the recipe; repeat it.")],
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or path of a TOML file.")] = "default",
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE over the recipe; repeat it.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials to finish; with more than before, the search goes on.")] = 20,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Search for a better recipe on training and validation images. Interrupted, the same command continues."""
    from lungwise.cli.training import watcher_of
    from lungwise.data.store import open_data
    from lungwise.errors import require
    from lungwise.recipe import load_recipe
    from lungwise.training.search import parse_searches
    from lungwise.training.trials import best_of, shown

    require("optuna", "tune", "tuning")
    chosen = load_recipe(recipe, set_)
    searches, prepared = parse_searches(search, chosen), open_data(data)
    speaker = console(quiet or json)
    import_keras("tuning")
    from lungwise.training.tune import tune as run

    watcher = watcher_of(speaker)
    try:
        found = run(prepared, chosen, searches, out, trials, watcher, begin=partial(speaker.print, markup=False))
    finally:
        watcher.close()
    best, keys = best_of(found), [item.key for item in searches]
    if json:
        print_json({"out": str(out), "best": best and asdict(best), "trials": [asdict(trial) for trial in found]})
    ordered = sorted(found, key=lambda trial: (trial.val_loss is None, trial.val_loss or 0.0))[:_SHOWN]
    rows = [
        [str(t.number), t.state, "–" if t.val_loss is None else f"{t.val_loss:.4f}", *(shown(t.values[key]) for key in keys)]
        for t in ordered
    ]
    speaker.print(table("The best trials", ["trial", "state", "val_loss", *keys], rows))
    speaker.print(f"Best recipe: {out / 'best.toml'}. Next: lungwise train {data} --recipe {out / 'best.toml'}", markup=False)
