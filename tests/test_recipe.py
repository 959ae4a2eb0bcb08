"""Recipes are checked before anything starts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import tomli_w

from lungwise.errors import RecipeError
from lungwise.recipe import Recipe, load_recipe, parse_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_loads_and_says_what_it_is(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description


def test_the_recipes_of_the_issue_are_shipped() -> None:
    assert {"quick", "original-resnet50v2", "original-coatnet0", "kaggle-cnn"} <= set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_survives_the_run_directory(name: str) -> None:
    recipe = load_recipe(name)
    assert parse_recipe(tomllib.loads(tomli_w.dumps(recipe.model_dump(mode="json")))) == recipe


def test_a_recipe_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\n[fit]\nepochs = 3\n')
    assert load_recipe(str(tmp_path / "mine.toml")).fit.epochs == 3


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("optimiser.learning_rate=1e-4", "optimiser.learning_rate", 1e-4),
        ("model.backbone=kaggle-cnn", "model.backbone", "kaggle-cnn"),
        ('model.backbone="kaggle-cnn"', "model.backbone", "kaggle-cnn"),
        (" fit.epochs = 2", "fit.epochs", 2),
        ("data.augment.flip=true", "data.augment.flip", True),
        ("model.input_range=[-1, 1]", "model.input_range", (-1.0, 1.0)),
        ("fit.progressive=[32, 64]", "fit.progressive", (32, 64)),
        ("predict.views=9", "predict.views", 9),
    ],
)
def test_set_overrides_one_value(override: str, path: str, value: object) -> None:
    found: object = load_recipe("quick", [override])
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value


def test_the_last_override_wins() -> None:
    assert load_recipe("quick", ["seed=3", "seed=4"]).seed == 4


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("epochs", "--set takes KEY=VALUE, for example optimiser.learning_rate=1e-4, got 'epochs'."),
        ("=3", "--set takes KEY=VALUE, for example optimiser.learning_rate=1e-4, got '=3'."),
        ("seed.x=3", "--set seed.x=3: 'seed' is a value, not a section; correct the key."),
        (
            "model.head.wdth=3",
            "A recipe has no key 'model.head.wdth'; known here are: pool, width, batch_norm, dropout.",
        ),
        (
            "nothing.x=1",
            "A recipe has no key 'nothing'; known here are: name, description, seed, model, data, optimiser, fit, predict.",
        ),
        (
            "fit.epochs=0",
            "In the recipe: Input should be greater than or equal to 1 (got 0 for fit.epochs); correct it.",
        ),
        (
            "seed=often",
            "In the recipe: Input should be a valid integer, unable to parse string as an integer (got 'often' for seed); "
            "correct it.",
        ),
    ],
)
def test_a_bad_override_is_one_sentence(override: str, sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("quick", [override])
    assert str(caught.value) == sentence


@pytest.mark.parametrize("rate", ["nan", "inf", "0", "-1"])
def test_a_learning_rate_must_be_a_positive_number(rate: str) -> None:
    with pytest.raises(RecipeError, match=r"^In the recipe: .* for optimiser\.learning_rate\); correct it\.$"):
        load_recipe("quick", [f"optimiser.learning_rate={rate}"])


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        ({"backbone": "coatnet0", "image_size": 100}, "model.image_size must be a multiple of 32 for coatnet0"),
        ({"backbone": "coatnet-lite", "image_size": 100}, "model.image_size must be a multiple of 32 for coatnet-lite"),
        (
            {"backbone": "kaggle-cnn", "weights": "imagenet"},
            "model.weights = 'imagenet' exists for resnet50v2, efficientnet-lite0, coatnet-lite only",
        ),
        ({"head": {"pool": "flatten", "width": 0}}, "model.head.pool = 'flatten' needs a hidden layer (model.head.width)"),
    ],
)
def test_values_must_fit_together(model: dict[str, object], rule: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"name": "x", "model": model})
    assert str(caught.value) == f"In the recipe: {rule}; correct it."


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        (["[96, 64]"], "fit.progressive must rise and stay below model.image_size = 128, got [96, 64]"),
        (["[64, 64]"], "fit.progressive must rise and stay below model.image_size = 128, got [64, 64]"),
        (["[64, 128]"], "fit.progressive must rise and stay below model.image_size = 128, got [64, 128]"),
        (["[160]"], "fit.progressive must rise and stay below model.image_size = 128, got [160]"),
        (["[64, 100]"], "fit.progressive must be multiples of 32 for coatnet-pico, got 100"),
        (
            ["[100]", "model.backbone=efficientnet-lite0"],
            "fit.progressive must be multiples of 32 for efficientnet-lite0, got 100",
        ),
        (
            ["[64, 96]", "fit.epochs=2"],
            "fit.progressive needs an epoch for each size and one for model.image_size, but there are 2 sizes and "
            "fit.epochs = 2",
        ),
        (["[64]", "model.frozen=true"], "fit.progressive needs a backbone that learns, model.frozen must be false with it"),
        (
            ["[64]", "model.head.pool=flatten"],
            "fit.progressive needs a head that takes any size, model.head.pool must be 'average' with it",
        ),
    ],
)
def test_sizes_that_cannot_grow_are_refused(changes: list[str], rule: str) -> None:
    sizes, *others = changes
    with pytest.raises(RecipeError) as caught:
        load_recipe("coatnet-pico", ["model.image_size=128", f"fit.progressive={sizes}", *others])
    assert str(caught.value) == f"In the recipe: {rule}; correct it."


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("fit.progressive=[16]", r"greater than or equal to 32 (got 16 for fit.progressive.0); correct it."),
        ("fit.progressive=64", r"a valid tuple (got 64 for fit.progressive); correct it."),
        ("predict.views=0", r"greater than or equal to 1 (got 0 for predict.views); correct it."),
        ("predict.views=17", r"less than or equal to 16 (got 17 for predict.views); correct it."),
    ],
)
def test_sizes_and_views_are_numbers_in_range(override: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=rf"^In the recipe: Input should be {re.escape(sentence)}$"):
        load_recipe("quick", [override])


@pytest.mark.parametrize("sizes", [(32,), (64, 96), (100, 120)])
def test_sizes_that_rise_are_taken_and_other_networks_take_any(sizes: tuple[int, ...]) -> None:
    backbone = "coatnet-pico" if sizes[0] % 32 == 0 else "resnet50v2"
    given = {"name": "x", "model": {"backbone": backbone, "image_size": 128}, "fit": {"progressive": list(sizes)}}
    recipe = parse_recipe(given)
    assert recipe.fit.progressive == sizes
    assert parse_recipe(tomllib.loads(tomli_w.dumps(recipe.model_dump(mode="json")))) == recipe


def test_nothing_grows_and_one_view_is_asked_by_default() -> None:
    recipe = parse_recipe({"name": "x"})
    assert (recipe.fit.progressive, recipe.predict.views) == ((), 1)


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("best")
    assert str(caught.value) == (f"A recipe must be the path of a TOML file or one of {', '.join(recipe_names())}, got 'best'.")


@pytest.mark.parametrize("content", [b"name = ", b'name = "\xe9"'], ids=["syntax", "not UTF-8"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(RecipeError, match=r"bad\.toml is not valid TOML: .*; correct it\.$"):
        load_recipe(str(tmp_path / "bad.toml"))


def test_a_recipe_cannot_be_changed_after_it_was_checked() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe(name="x").seed = 2  # type: ignore[misc]


def test_images_are_not_mirrored_by_default() -> None:
    assert not any(load_recipe(name).data.augment.flip for name in recipe_names() if not name.startswith("original"))
