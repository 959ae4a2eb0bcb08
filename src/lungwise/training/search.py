"""What a search may try: ranges and choices for keys of a recipe, checked against its schema."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from lungwise.errors import RecipeError
from lungwise.recipe import Recipe, changed

Value = bool | int | float | str
_RANGE = re.compile(r"([^,:]+):([^,:]+)(:log)?")
_HELP = "KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=a,b,c"


@dataclass(frozen=True)
class Search:
    """The values that one key may take.

    Args:
        key: such as "optimiser.learning_rate".
        choices: the values to choose from, or empty for a range.
        low: lowest value of a range; an int where the key takes whole numbers.
        high: highest value.
        log: draw the logarithm evenly.
    """

    key: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def __str__(self) -> str:
        if self.choices:
            return f"{self.key}={','.join(str(value) for value in self.choices)}"
        return f"{self.key}={self.low}:{self.high}{':log' if self.log else ''}"


def parse_search(text: str, base: Recipe) -> Search:
    """Read one ``--search``.

    Args:
        text: "KEY=LOW:HIGH", "KEY=LOW:HIGH:log" or "KEY=a,b,c"; values as in TOML, text may go bare.
        base: the recipe that is varied.

    Raises:
        RecipeError: another form, an unknown key (the known ones are listed), or a value that the key does not take.
    """
    key, sign, values = (part.strip() for part in text.partition("="))
    found = _RANGE.fullmatch(values)
    if not sign or not key or not (found or "," in values):
        raise RecipeError(f"--search takes {_HELP}, got '{text}'.")
    if found:
        return _range(text, key, found, base)
    choices = tuple(_value(changed(base, [f"{key}={choice}"]), key) for choice in values.split(","))
    if len(set(choices)) < len(choices) or not all(isinstance(choice, Value) for choice in choices):
        raise RecipeError(f"--search {text}: choices must be different single values; correct them.")
    return Search(key, choices)


def parse_searches(texts: list[str], base: Recipe) -> list[Search]:
    """Read all of them; a key may be searched once.

    Raises:
        RecipeError: one is wrong, there is none, or a key comes twice.
    """
    if not texts:
        raise RecipeError(f"Tuning needs something to vary; add --search {_HELP}.")
    found = [parse_search(text, base) for text in texts]
    keys = [search.key for search in found]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise RecipeError(f"A key must be searched once, '{twice[0]}' came twice; join the two.")
    return found


def applied(base: Recipe, values: dict[str, Value]) -> Recipe:
    """The recipe with these values.

    Raises:
        RecipeError: they do not go together.
    """
    return changed(base, [f"{key}={json.dumps(value)}" for key, value in values.items()])


def _range(text: str, key: str, found: re.Match[str], base: Recipe) -> Search:
    low, high = (_value(changed(base, [f"{key}={end}"]), key) for end in found.groups()[:2])
    if isinstance(low, bool) or not isinstance(low, int | float):
        raise RecipeError(f"--search {text}: a range needs a key that takes numbers; give choices, {key}=a,b,c.")
    log = found.group(3) is not None
    if not low < high:
        raise RecipeError(f"--search {text}: a range goes from its lower to its higher end; correct it.")
    if log and low <= 0:
        raise RecipeError(f"--search {text}: a logarithmic range must begin above 0; correct it.")
    return Search(key, low=low, high=high, log=log)


def _value(recipe: Recipe, key: str) -> Any:
    found: Any = recipe
    for part in key.split("."):
        found = getattr(found, part)
    return found
