"""Recipes: everything that decides a training, as a small TOML file that is checked before anything starts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lungwise.errors import RecipeError

Backbone = Literal[
    "coatnet0", "coatnet1", "coatnet2", "coatnet3", "coatnet4", "coatnet5", "coatnet6", "coatnet7",
    "coatnet-pico", "coatnet-nano", "coatnet-lite", "efficientnet-lite0",
    "coatnet-nano-rw", "coatnet0-rw", "coatnet1-rw", "coatnet2-rw",
    "coatnet-rmlp-nano-rw", "coatnet-rmlp1-rw2", "coatnet-rmlp2-rw",
    "resnet50v2", "kaggle-cnn",
]  # fmt: skip
IMAGENET_BACKBONES = ("resnet50v2", "efficientnet-lite0", "coatnet-lite")
HALVED = ("coatnet", "efficientnet")
"""Beginnings of the names of backbones that halve the image five times without a remainder."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Head(_Section):
    """From the last feature map to the logits: pool, Dense, ReLU, batch norm, dropout, Dense."""

    pool: Literal["average", "flatten"] = "average"
    width: int = Field(default=128, ge=0, le=4096, description="units of the hidden layer; 0 leaves it out")
    batch_norm: bool = False
    dropout: float = Field(default=0.2, ge=0, lt=1)


class Model(_Section):
    """The network."""

    backbone: Backbone = "coatnet-pico"
    image_size: int = Field(default=160, ge=32, le=1024)
    channels: Literal[1, 3] = Field(default=1, description="3 repeats the grey image for networks made for colour")
    weights: str = Field(default="none", description="'none', 'imagenet', 'timm/<model>.<tag>', or the path of a file")
    frozen: bool = Field(default=False, description="train the head alone")
    augmented_copies: int = Field(
        default=0, ge=0, le=100, description="frozen only: variants of each training image, made once; 0: new ones all along"
    )
    freeze_stages: int = Field(default=0, ge=0, le=5, description="stages, from the image on, that do not learn")
    drop_path: float = Field(default=0.0, ge=0, lt=1, description="stochastic depth of the last block (CoAtNet)")
    input_range: tuple[float, float] = Field(default=(0.0, 1.0), description="input values of black and white")
    standardise: bool = Field(default=False, description="give each image mean 0 and deviation 1, so that exposure is unseen")
    head: Head = Head()


class Augment(_Section):
    """How far training images are changed at random; 0 leaves a change out."""

    rotation: float = Field(default=0.0, ge=0, le=45, description="degrees to either side")
    shear: float = Field(default=0.0, ge=0, le=1, description="horizontal shift per unit of height")
    shift: float = Field(default=0.0, ge=0, le=0.5, description="share of the side")
    zoom: float = Field(default=0.0, ge=0, le=0.5, description="share of the size")
    brightness: float = Field(default=0.0, ge=0, le=0.5, description="share of the grey range")
    contrast: float = Field(default=0.0, ge=0, le=0.9, description="share of the contrast")
    gamma: float = Field(default=0.0, ge=0, le=1, description="tone curve: exponent between exp(-gamma) and exp(gamma)")
    blur: float = Field(default=0.0, ge=0, le=0.05, description="largest deviation of a Gaussian blur, share of the side")
    noise: float = Field(default=0.0, ge=0, le=0.2, description="largest deviation of added noise, share of the grey range")
    flip: bool = Field(default=False, description="mirror left and right; changes anatomy")


class Data(_Section):
    """What is done with the training part."""

    balance: Literal["weights", "effective", "downsample", "oversample", "none"] = "weights"
    per_patient: bool = Field(default=False, description="balance patients, not images; the films of one share its weight")
    beta: float = Field(default=0.999, ge=0, lt=1, description="'effective' only: 0 leaves classes alone, near 1 evens them")
    replace: bool = Field(default=False, description="down-sample with replacement, as the original project did")
    mixup: float = Field(default=0.0, ge=0, le=4, description="alpha of mixup, Zhang et al. 2018; 0 mixes nothing")
    augment: Augment = Augment()


class Optimiser(_Section):
    """How the weights move."""

    name: Literal["adam", "adamw", "rmsprop"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0, le=1, description="adamw only")
    clip_norm: float = Field(default=0.0, ge=0, description="largest norm of the gradient; 0 leaves it alone")
    warmup_epochs: float = Field(default=0.0, ge=0, description="epochs of linear rise to the learning rate")
    schedule: Literal["plateau", "cosine"] = "plateau"
    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="learning rate of each stage as a share of the next one's; the head has all"
    )
    ema: float = Field(default=0.0, ge=0, lt=1, description="keep a moving average of the weights, for example 0.999")


class Plateau(_Section):
    """Lower the learning rate when ``monitor`` stops improving."""

    factor: float = Field(default=0.5, gt=0, lt=1)
    patience: int = Field(default=2, ge=1)
    minimum: float = Field(default=1e-7, ge=0)


class Fit(_Section):
    """How long and in what portions."""

    epochs: int = Field(default=20, ge=1, le=10_000)
    progressive: tuple[Annotated[int, Field(ge=32, le=1024)], ...] = Field(
        default=(), description="smaller image sizes to begin with, each for an equal part of the epochs"
    )
    batch_size: int = Field(default=32, ge=1, le=4096)
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    unfreeze_epoch: int = Field(default=0, ge=0, description="epoch, from 1, at which model.freeze_stages end; 0 is never")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    early_stopping: int = Field(default=0, ge=0, description="epochs without improvement before stopping; 0 never stops")
    plateau: Plateau = Plateau()


class Predict(_Section):
    """How the finished network is asked."""

    views: int = Field(
        default=1, ge=1, le=16, description="slightly moved views of an image whose logits are averaged; 1 is the image itself"
    )


class Recipe(_Section):
    """Everything that decides a training."""

    name: str
    description: str = ""
    seed: int = Field(default=0, ge=0, lt=2**31)
    model: Model = Model()
    data: Data = Data()
    optimiser: Optimiser = Optimiser()
    fit: Fit = Fit()
    predict: Predict = Predict()

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.model.backbone.startswith(HALVED) and self.model.image_size % 32:
            raise ValueError(f"model.image_size must be a multiple of 32 for {self.model.backbone}")
        if self.model.weights == "imagenet" and self.model.backbone not in IMAGENET_BACKBONES:
            raise ValueError(f"model.weights = 'imagenet' exists for {', '.join(IMAGENET_BACKBONES)} only")
        if self.model.head.pool == "flatten" and self.model.head.width == 0:
            raise ValueError("model.head.pool = 'flatten' needs a hidden layer (model.head.width)")
        if self.optimiser.ema and self.model.freeze_stages:
            raise ValueError("optimiser.ema needs all stages to learn, model.freeze_stages must be 0 with it")
        if self.model.augmented_copies and not (self.model.frozen and self.data.augment != Augment()):
            raise ValueError("model.augmented_copies goes with model.frozen = true and some data.augment only")
        if self.model.frozen and self.model.freeze_stages:
            raise ValueError("model.frozen freezes all stages, model.freeze_stages must be 0 with it")
        if self.data.replace and self.data.balance != "downsample":
            raise ValueError(f"data.replace goes with data.balance = 'downsample' only, not with '{self.data.balance}'")
        if self.data.beta != Data().beta and self.data.balance != "effective":
            raise ValueError(f"data.beta goes with data.balance = 'effective' only, not with '{self.data.balance}'")
        return self

    @model_validator(mode="after")
    def _progressive(self) -> Recipe:
        sizes, size, epochs = self.fit.progressive, self.model.image_size, self.fit.epochs
        if not sizes:
            return self
        if any(low >= high for low, high in pairwise((*sizes, size))):
            raise ValueError(f"fit.progressive must rise and stay below model.image_size = {size}, got {list(sizes)}")
        odd = [value for value in sizes if value % 32]
        if odd and self.model.backbone.startswith(HALVED):
            raise ValueError(f"fit.progressive must be multiples of 32 for {self.model.backbone}, got {odd[0]}")
        if len(sizes) >= epochs:
            raise ValueError(
                f"fit.progressive needs an epoch for each size and one for model.image_size, but there are {len(sizes)} sizes "
                f"and fit.epochs = {epochs}"
            )
        if self.model.frozen:
            raise ValueError("fit.progressive needs a backbone that learns, model.frozen must be false with it")
        if self.model.head.pool == "flatten":
            raise ValueError("fit.progressive needs a head that takes any size, model.head.pool must be 'average' with it")
        return self


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("lungwise").joinpath("recipes")
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load_recipe(name: str, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe by name or path.

    Args:
        name: one of :func:`recipe_names`, or the path of a TOML file.
        overrides: changes such as ``"optimiser.learning_rate=1e-4"``; values are written as in TOML, text may go bare.

    Raises:
        RecipeError: unknown recipe, or a key or value that is not allowed; the known keys are listed.
    """
    if name in recipe_names():
        data = resources.files("lungwise").joinpath("recipes", f"{name}.toml").read_bytes()
    elif name.endswith(".toml") and Path(name).is_file():
        data = Path(name).read_bytes()
    else:
        raise RecipeError(f"A recipe must be the path of a TOML file or one of {', '.join(recipe_names())}, got '{name}'.")
    try:
        values = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise RecipeError(f"{name} is not valid TOML: {cause}; correct it.") from cause
    for override in overrides or []:
        _override(values, override)
    return parse_recipe(values)


def changed(recipe: Recipe, overrides: list[str]) -> Recipe:
    """A recipe with changes as for :func:`load_recipe`, checked again.

    Raises:
        RecipeError: a key or value that is not allowed.
    """
    values = recipe.model_dump(mode="json")
    for override in overrides:
        _override(values, override)
    return parse_recipe(values)


def parse_recipe(values: dict[str, Any]) -> Recipe:
    """Check a dictionary against the schema; every error of pydantic becomes one sentence."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as cause:
        error = cause.errors()[0]
        where = ".".join(str(part) for part in error["loc"])
        if error["type"] == "extra_forbidden":
            known = ", ".join(_known_keys(error["loc"][:-1]))
            raise RecipeError(f"A recipe has no key '{where}'; known here are: {known}.") from cause
        message = str(error["msg"]).removeprefix("Value error, ")
        came = f" (got {error['input']!r} for {where})" if where else ""
        raise RecipeError(f"In the recipe: {message}{came}; correct it.") from cause


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one level with dotted keys, such as "fit.epochs"."""
    pairs: dict[str, Any] = {}
    for key, value in values.items():
        pairs |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return pairs


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    section: type[BaseModel] = Recipe
    for part in location:
        kind = section.model_fields[str(part)].annotation
        section = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else section
    return list(section.model_fields)


def _override(values: dict[str, Any], override: str) -> None:
    key, sign, text = override.partition("=")
    if not sign or not key.strip():
        raise RecipeError(f"--set takes KEY=VALUE, for example optimiser.learning_rate=1e-4, got '{override}'.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *sections, last = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise RecipeError(f"--set {override}: '{section}' is a value, not a section; correct the key.")
    values[last] = value
