"""Hyperparameters of a SageMaker job: texts in, checked settings and changes to the recipe out."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from lungwise.errors import LungwiseError
from lungwise.recipe import Recipe

PREPARATION = (
    "source", "size", "fit", "validation", "test", "split_seed", "resplit", "allow_missing", "drop_duplicates", "classes",
    "exclude", "columns", "patient_pattern", "covidx",
)  # fmt: skip
"""Settings that say how raw images are prepared."""


def _listed(value: object) -> object:
    """A list as JSON or as "a, b"."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Settings(BaseModel):
    """What a job may say beside the keys of its recipe; the same as the options of prepare, train and evaluate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str = Field(default="default", description="name of a recipe, or path of a TOML file in a channel")
    source: str = Field(default="", description="a folder or table in the channel; all of it by default")
    size: int = Field(default=256, ge=32, le=2048, description="side of the stored squares in pixels")
    fit: Literal["stretch", "pad", "crop"] = Field(default="stretch", description="how a film becomes a square")
    validation: float = Field(default=0.15, description="share of patients for validation")
    test: float = Field(default=0.2, description="share of patients for test, where the source has no test part")
    split_seed: int = Field(default=0, description="seed of the split")
    resplit: bool = Field(default=False, description="ignore the source's own parts")
    allow_missing: bool = Field(default=False, description="go on without listed files that are missing")
    drop_duplicates: bool = Field(default=False, description="keep one of each picture that occurs more than once")
    classes: Names = Field(default=(), description="classes to keep, of many")
    exclude: Names = Field(default=(), description="what to leave out: checks or patterns")
    columns: dict[str, str] = Field(default={}, description='a table\'s columns, as {"label": "Finding"}')
    patient_pattern: str = Field(default="", description="regular expression on file names; its first group is the patient")
    covidx: str = Field(default="", description="version of COVIDx lists, for example 9A")
    rule: Literal["youden", "sensitivity", "argmax"] = Field(default="youden", description="how the threshold is chosen")
    sensitivity: float = Field(default=0.95, gt=0, lt=1, description="what rule=sensitivity keeps")
    bundle_name: str = Field(default="", description="the model's name; the job's by default")
    log: Names = Field(default=(), description="tensorboard, mlflow")
    log_every: int = Field(default=50, ge=1, description="steps from one logged step to the next")


def recipe_keys() -> list[str]:
    """The recipe's keys that can be set, as "optimiser.learning_rate"."""

    def keys(section: type[BaseModel], prefix: str) -> list[str]:
        found = []
        for name, field in section.model_fields.items():
            kind = field.annotation
            inner = isinstance(kind, type) and issubclass(kind, BaseModel)
            found += keys(kind, f"{prefix}{name}.") if inner else [prefix + name]  # type: ignore[arg-type]
        return found

    return [key for key in keys(Recipe, "") if key not in ("name", "description")]


def parse(given: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Divide a job's hyperparameters into settings and changes to the recipe.

    Args:
        given: name to text, where the text may be quoted as JSON; SageMaker's own names are passed over.

    Returns:
        The settings, and "KEY=VALUE" for :func:`lungwise.recipe.load_recipe`.

    Raises:
        LungwiseError: a name is unknown (the known ones are listed), or a value is not allowed.
    """
    values: dict[str, Any] = {}
    changes: list[str] = []
    for name, text in given.items():
        # A tuning job adds its objective; the SDK adds names that begin with sagemaker_.
        if name.startswith("sagemaker_") or name == "_tuning_objective_metric":
            continue
        if name in Settings.model_fields:
            values[name] = _decoded(text)
        elif name in recipe_keys():
            value = _decoded(text)
            changes.append(f"{name}={value if isinstance(value, str) else text}")
        else:
            raise LungwiseError(_unknown(name))
    try:
        return Settings.model_validate(values), changes
    except ValidationError as cause:
        error = cause.errors()[0]
        where = ".".join(str(part) for part in error["loc"])
        raise LungwiseError(
            f"The hyperparameter {where} is not allowed to be {error['input']!r}: {error['msg']}; correct it."
        ) from cause


def _decoded(text: str) -> Any:
    """A text without JSON's quotes, a list or a dictionary; numbers and the like stay text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | list | dict) else text


def _unknown(name: str) -> str:
    settings, keys = list(Settings.model_fields), recipe_keys()
    same_end = [key for key in keys if key.rpartition(".")[2] == name]
    near = same_end or difflib.get_close_matches(name, settings + keys, 1)
    guess = f" (did you mean {near[0]}?)" if near else ""
    # By sections, so that the whole list stays within what SageMaker shows of a failure.
    sections: dict[str, list[str]] = {}
    for key in keys:
        section, _, rest = key.partition(".")
        sections.setdefault(section, []).extend([rest] if rest else [])
    listed = "; ".join(f"{section} ({', '.join(rest)})" if rest else section for section, rest in sections.items())
    known = f"known are {', '.join(settings)}, and SECTION.KEY of the recipe: {listed}"
    return f"There is no hyperparameter '{name}'{guess}; {known}."
