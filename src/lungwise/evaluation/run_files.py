"""The files of a run directory as evaluation reads them, and the shortcut audit of its model where there is one."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lungwise.errors import RunError

SHORTCUTS = "shortcuts.json"


def read_text(folder: Path, name: str) -> str:
    """The text of a file that every run has; a RunError says that it is absent, or no text."""
    try:
        return (folder / name).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise RunError(
            f"{folder} is not a run directory: it has no {name}; train one with lungwise train DATA --out {folder}."
        ) from cause
    except UnicodeDecodeError as cause:
        raise _damaged(folder / name, cause) from cause


def read_recipe(folder: Path) -> str:
    """The text of a run's recipe, which must be TOML and say something."""
    text = read_text(folder, "recipe.toml")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        raise _damaged(folder / "recipe.toml", cause) from cause
    if not values:
        raise _damaged(folder / "recipe.toml", "it is empty")
    return text


def read_json(folder: Path, name: str, needs: Collection[str] = ()) -> list[dict[str, Any]]:
    """The JSON objects of a file: one, or with ``.jsonl`` one a line; a damaged one is a RunError.

    Args:
        folder: the run directory.
        name: the file.
        needs: keys that each object must have.
    """
    text = read_text(folder, name)
    try:
        found = [dict(json.loads(part)) for part in (text.splitlines() if name.endswith(".jsonl") else [text])]
    except (ValueError, TypeError) as cause:
        raise _damaged(folder / name, cause) from cause
    if lost := [key for key in needs if any(key not in one for one in found)]:
        raise _damaged(folder / name, f"it lacks '{lost[0]}'")
    return found


def _damaged(path: Path, why: object) -> RunError:
    return RunError(f"{path} is damaged ({why}); train again into another directory.")


def find_shortcuts(folder: Path, name: str, data: Mapping[str, Any]) -> dict[str, Any] | None:
    """What ``lungwise audit DATA --model BUNDLE`` found of a run's model, None where it was not audited.

    It is sought in the run directory, beside it and in its data set; in the latter two it must be of a model of this name and
    of these data, because other models may have been audited there.

    Args:
        folder: the run directory, or the folder of a report.
        name: what the model is called.
        data: "folder" and "fingerprint" of the data set, where known.

    Returns:
        "severity", "films", "fingerprint" and "checks" (name, severity, message).

    Raises:
        RunError: the file is damaged.
    """
    places = [folder / SHORTCUTS, folder.resolve().parent / SHORTCUTS]
    places += [Path(data["folder"]) / SHORTCUTS] if data.get("folder") else []
    for place in places:
        if not place.is_file():
            continue
        found = _shortcuts(place)
        if place == places[0] or (found["model"], found["fingerprint"]) == (name, data.get("fingerprint")):
            return found
    return None


def _shortcuts(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        checks = [{key: str(check[key]) for key in ("name", "severity", "message")} for check in found["checks"]]
        kept = {key: found[key] for key in ("model", "severity", "films", "fingerprint")}
    except (ValueError, KeyError, TypeError) as cause:
        raise RunError(f"{path} is damaged ({cause}); audit the model again: lungwise audit DATA --model BUNDLE.") from cause
    return {**kept, "checks": checks}
