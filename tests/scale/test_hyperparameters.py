from __future__ import annotations

import pytest

from lungwise.errors import LungwiseError
from lungwise.recipe import load_recipe
from lungwise.scale.container import REASON_LIMIT
from lungwise.scale.hyperparameters import PREPARATION, Settings, parse, recipe_keys


def test_texts_become_settings_of_their_kind() -> None:
    settings, changes = parse({"size": "64", "validation": "0.25", "resplit": "True", "classes": "normal, pneumonia"})
    assert (settings.size, settings.validation, settings.resplit) == (64, 0.25, True)
    assert settings.classes == ("normal", "pneumonia")
    assert changes == []


def test_quotes_of_json_are_taken_off() -> None:
    settings, changes = parse({"recipe": '"quick"', "bundle_name": '"12"', "optimiser.name": '"adam"', "fit.epochs": '"3"'})
    assert (settings.recipe, settings.bundle_name) == ("quick", "12")
    assert changes == ["optimiser.name=adam", "fit.epochs=3"]


def test_lists_and_dictionaries_are_json() -> None:
    settings, changes = parse(
        {"columns": '{"label": "Finding"}', "log": '["tensorboard", "mlflow"]', "model.input_range": "[-1.0, 1.0]"}
    )
    assert settings.columns == {"label": "Finding"}
    assert settings.log == ("tensorboard", "mlflow")
    assert load_recipe("kaggle-cnn", changes).model.input_range == (-1.0, 1.0)


def test_changes_reach_the_recipe() -> None:
    _, changes = parse({"fit.epochs": "7", "optimiser.learning_rate": "1e-4", "model.head.width": "16", "seed": "3"})
    recipe = load_recipe("kaggle-cnn", changes)
    assert (recipe.fit.epochs, recipe.optimiser.learning_rate, recipe.model.head.width, recipe.seed) == (7, 1e-4, 16, 3)


def test_names_of_sagemaker_are_passed_over() -> None:
    settings, changes = parse({"sagemaker_program": "x.py", "sagemaker_region": '"eu"', "_tuning_objective_metric": "loss"})
    assert settings == Settings()
    assert changes == []


def test_unknown_name_fails_with_the_known_ones_within_what_sagemaker_shows() -> None:
    with pytest.raises(LungwiseError, match=r"no hyperparameter 'epochs' \(did you mean fit\.epochs\?\); known are") as caught:
        parse({"epochs": "3"})
    said = str(caught.value)
    assert all(name in said for name in Settings.model_fields)
    assert all(key.partition(".")[2] in said for key in recipe_keys())
    assert len(said) <= REASON_LIMIT


def test_name_and_description_of_a_recipe_are_no_hyperparameters() -> None:
    with pytest.raises(LungwiseError, match="no hyperparameter 'description'"):
        parse({"description": "mine"})


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("size", "huge", "size is not allowed to be 'huge': Input should be a valid integer"),
        ("size", "4", "size is not allowed to be '4'"),
        ("rule", "best", "rule is not allowed to be 'best': Input should be 'youden', 'sensitivity' or 'argmax'"),
        ("columns", "label=Finding", "columns is not allowed to be 'label=Finding'"),
        ("sensitivity", "1", "sensitivity is not allowed to be '1'"),
    ],
)
def test_value_that_is_not_allowed_is_one_sentence(name: str, text: str, reason: str) -> None:
    with pytest.raises(LungwiseError, match=f"The hyperparameter {reason}") as caught:
        parse({name: text})
    assert "\n" not in str(caught.value)


def test_settings_of_the_preparation_exist() -> None:
    assert set(PREPARATION) < set(Settings.model_fields)


def test_no_setting_has_the_name_of_a_recipe_key() -> None:
    assert not set(Settings.model_fields) & set(recipe_keys())
