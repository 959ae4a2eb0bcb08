"""What an export takes from its run: validation images, audits and tests on other data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungwise.data.store import PreparedData
from lungwise.errors import BundleError, RunError
from lungwise.exports import data_of, evidence, validation_of
from lungwise.training.run import Run
from tests.factory import tiny_recipe

DECISION = {"rule": "argmax", "positive": -1, "threshold": 0.5, "fitted_on": ""}


@pytest.fixture
def run(small_data: PreparedData, tmp_path: Path) -> Run:
    """A run of the small data, as far as an export looks at it before it loads weights."""
    facts = {"folder": str(small_data.folder), "fingerprint": small_data.fingerprint, "labels": list(small_data.labels)}
    (tmp_path / "run").mkdir()
    return Run(tmp_path / "run", tiny_recipe(), facts)


def metrics(known: list[str], **changes: Any) -> dict[str, Any]:
    found = {"images": 5, "accuracy": {"value": 0.5}}
    plain = {"name": "tiny on other", "labels": known, "decision": DECISION, "part": "test", "parts": {"test": found}}
    return {**plain, "data_fingerprint": "other", **changes}


def external(run: Run, name: str = "other", **changes: Any) -> None:
    folder = run.folder / "external" / name
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics(list(run.labels), **changes)))


def test_validation_images_are_those_of_the_run(run: Run, small_data: PreparedData) -> None:
    found = validation_of(run)
    part = small_data.validation
    assert found.y.tolist() == part.y.tolist()
    places = np.array([2, 0])
    np.testing.assert_array_equal(
        found.squares(places), np.stack([small_data.pixels[part.rows[2]], small_data.pixels[part.rows[0]]])
    )


@pytest.mark.parametrize("change", [{"folder": "/nowhere"}, {"fingerprint": "another"}])
def test_without_the_images_that_the_run_saw_there_is_no_variant(run: Run, change: dict[str, str]) -> None:
    moved = replace(run, data={**run.data, **change})
    assert data_of(moved) is None
    with pytest.raises(
        BundleError,
        match=r"^A variant is only exported with its measured change of accuracy, but the validation images of .* are not "
        r"in .* as the run saw them; bring them back, or export without --variants\.$",
    ):
        validation_of(moved)


def test_a_card_is_told_of_everything_that_was_measured(run: Run) -> None:
    group = dict.fromkeys(("images", "patients", "accuracy", "macro_auroc", "note"))
    groups = [{"column": "sex", "group": "F", **group, "differences": {"x": 1}}]
    audit = {"model": "m", "severity": "ok", "films": 9, "fingerprint": "f", "checks": [], "more": 1}
    (run.folder / "shortcuts.json").write_text(json.dumps(audit))
    external(run)
    found = evidence(run, metrics(list(run.labels), subgroups=groups), "m")
    assert found["part"] == "test"
    assert found["results"]["images"] == 5
    assert found["subgroups"] == [{"column": "sex", "group": "F", **group}]
    assert found["shortcuts"] == {key: audit[key] for key in ("model", "severity", "films", "fingerprint", "checks")}
    assert [(test["name"], test["results"]["images"]) for test in found["external"]] == [("tiny on other", 5)]


def test_nothing_measured_is_nothing_told(run: Run) -> None:
    found = evidence(run, metrics(list(run.labels)), "m")
    assert (found["subgroups"], found["shortcuts"], found["external"]) == ([], None, [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"decision": {**DECISION, "threshold": 0.51}},
            "must be of the run's own bundle, but .* tested another model; remove it",
        ),
        ({"labels": ["a", "b"]}, "must be of the run's own bundle, but .* tested another model; remove it"),
        ({"part": "train"}, r"metrics\.json is damaged \('train'\); evaluate the bundle again"),
        ({"parts": None}, r"metrics\.json is damaged .*; evaluate the bundle again"),
    ],
)
def test_an_external_test_must_be_one(run: Run, changes: dict[str, Any], said: str) -> None:
    external(run, **changes)
    with pytest.raises(RunError, match=said):
        evidence(run, metrics(list(run.labels)), "m")


def test_the_data_it_learnt_from_are_no_external_test(run: Run) -> None:
    external(run, data_fingerprint=run.data["fingerprint"])
    with pytest.raises(RunError, match=r"must be on other data, but .* used those that the model learnt from; remove it\.$"):
        evidence(run, metrics(list(run.labels)), "m")
