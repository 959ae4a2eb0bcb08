"""Tuning finds a recipe on validation, resumes after a kill, and never reads a test image."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lungwise.data.pixels import Squares
from lungwise.data.store import PreparedData
from lungwise.errors import RecipeError, RunError, TrainingStoppedError
from lungwise.recipe import load_recipe
from lungwise.training.fit import Silent, load_model
from lungwise.training.run import Run, open_run
from lungwise.training.search import Search, applied, parse_search, parse_searches
from lungwise.training.trials import Trial, best_of, write_trials
from lungwise.training.tune import tune, without_test
from tests.factory import tiny_recipe

BASE = tiny_recipe("model.frozen=true", "data.augment={}", "fit.epochs=4", "fit.monitor=val_loss", "optimiser.name=adam")
SEARCHES = parse_searches(
    ["optimiser.learning_rate=1e-4:1e-1:log", "model.head.dropout=0:0.5", "data.balance=weights,none"], BASE
)
TRIALS = 8


class Interrupts(Silent):
    """The process is interrupted in one trial, after an epoch."""

    def __init__(self, trial: int, epoch: int) -> None:
        self.at, self.trials, self.began = (trial, epoch), 0, []  # type: ignore[var-annotated]

    def started(self, run: Run, first_epoch: int, steps: int) -> None:
        self.trials += 1
        self.began.append((run.folder.name, first_epoch))

    def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        if (self.trials, epoch) == self.at:
            raise KeyboardInterrupt


class Guarded:
    """Squares that note which rows are read."""

    def __init__(self, squares: Squares) -> None:
        self.squares, self.read = squares, set[int]()
        self.shape, self.dtype = squares.shape, squares.dtype

    def __len__(self) -> int:
        return len(self.squares)

    def __getitem__(self, rows: Any, /) -> Any:
        self.read |= set(np.atleast_1d(np.arange(len(self))[rows]).tolist())
        return self.squares[rows]


@pytest.fixture(scope="module")
def guarded(small_data: PreparedData) -> PreparedData:
    return replace(small_data, pixels=Guarded(small_data.pixels))


@pytest.fixture(scope="module")
def searched(guarded: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trial]]:
    """A search without interruption."""
    folder = tmp_path_factory.mktemp("tune") / "tune"
    return folder, tune(guarded, BASE, SEARCHES, folder, TRIALS)


def outcome(trials: list[Trial]) -> list[Trial]:
    return [replace(trial, seconds=0.0) for trial in trials]


def test_a_search_ends_with_a_recipe_that_trains(searched: tuple[Path, list[Trial]]) -> None:
    folder, trials = searched
    assert [trial.number for trial in trials] == list(range(1, TRIALS + 1))
    best = best_of(trials)
    assert best is not None
    assert best.val_loss == min(trial.val_loss for trial in trials if trial.val_loss is not None)
    recipe = load_recipe(str(folder / "best.toml"))
    assert recipe.name == "kaggle-cnn-tuned"
    assert recipe == applied(BASE, best.values).model_copy(update={"name": recipe.name, "description": recipe.description})
    assert f"validation loss {best.val_loss:.4f}, the best of {TRIALS} trials" in recipe.description


def test_values_stay_in_their_ranges_and_are_really_used(searched: tuple[Path, list[Trial]]) -> None:
    folder, trials = searched
    for trial in trials:
        assert 1e-4 <= trial.values["optimiser.learning_rate"] <= 1e-1
        assert 0 <= trial.values["model.head.dropout"] <= 0.5
        assert trial.values["data.balance"] in ("weights", "none")
        recipe = open_run(folder / "trials" / trial.folder).recipe
        assert recipe.optimiser.learning_rate == trial.values["optimiser.learning_rate"]
        assert recipe.data.balance == trial.values["data.balance"]
    assert len({trial.values["optimiser.learning_rate"] for trial in trials}) == TRIALS


def test_the_loss_is_that_of_the_epoch_that_was_kept(searched: tuple[Path, list[Trial]]) -> None:
    folder, trials = searched
    for trial in trials:
        history = open_run(folder / "trials" / trial.folder).history()
        assert trial.epochs == len(history)
        if trial.state == "complete":
            assert trial.val_loss == min(record["val_loss"] for record in history)
        else:
            assert (trial.state, trial.val_loss) == ("pruned", None)
            assert trial.epochs < BASE.fit.epochs


def test_hopeless_trials_are_given_up_early(searched: tuple[Path, list[Trial]]) -> None:
    states = [trial.state for trial in searched[1]]
    assert states[:5] == ["complete"] * 5
    assert "pruned" in states


def test_no_test_image_is_read(searched: tuple[Path, list[Trial]], guarded: PreparedData) -> None:
    squares = guarded.pixels
    assert isinstance(squares, Guarded)
    assert squares.read == set(guarded.part("train", "validation").rows.tolist())
    assert len(guarded.test) > 0
    for path in searched[0].glob("trials/*/predictions.parquet"):
        assert set(pl.read_parquet(path)["split"]) == {"train", "validation"}


def test_the_tables_hold_every_trial(searched: tuple[Path, list[Trial]]) -> None:
    folder, trials = searched
    rows = list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))
    assert [int(row["trial"]) for row in rows] == [trial.number for trial in trials]
    assert float(rows[0]["optimiser.learning_rate"]) == trials[0].values["optimiser.learning_rate"]
    assert [row["state"] for row in rows] == [trial.state for trial in trials]
    page = (folder / "trials.md").read_text()
    best = best_of(trials)
    assert best is not None
    assert f"Best: trial {best.number}, validation loss {best.val_loss:.4f}" in page
    assert page.count("\n| ") == TRIALS + 1


def test_the_weights_of_the_best_trial_alone_are_kept(searched: tuple[Path, list[Trial]]) -> None:
    folder, trials = searched
    best = best_of(trials)
    assert best is not None
    assert [path.parent.name for path in folder.glob("trials/*/checkpoints")] == [best.folder]
    load_model(open_run(folder / "trials" / best.folder))


@pytest.mark.slow
def test_a_killed_search_ends_as_an_unbroken_one(
    searched: tuple[Path, list[Trial]], small_data: PreparedData, tmp_path: Path
) -> None:
    for trial, epoch in ((2, 2), (1, 3), (2, 0)):
        with pytest.raises(KeyboardInterrupt):
            tune(small_data, BASE, SEARCHES, tmp_path / "tune", TRIALS, Interrupts(trial, epoch))
    watcher = Interrupts(0, 0)
    found = tune(small_data, BASE, SEARCHES, tmp_path / "tune", TRIALS, watcher)
    assert watcher.began[0] == ("0003", 0)
    for ours, theirs in zip(found, searched[1], strict=True):
        assert outcome([ours]) == [replace(outcome([theirs])[0], val_loss=ours.val_loss)]
        assert ours.val_loss == pytest.approx(theirs.val_loss, abs=1e-6)


def test_an_interrupted_trial_continues_its_run(small_data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tune(small_data, BASE, SEARCHES, tmp_path / "tune", 1, Interrupts(1, 2))
    watcher = Interrupts(0, 0)
    (trial,) = tune(small_data, BASE, SEARCHES, tmp_path / "tune", 1, watcher)
    assert watcher.began == [("0001", 2)]
    assert (trial.state, trial.epochs) == ("complete", 4)


def test_a_finished_search_goes_on_with_more_trials(small_data: PreparedData, tmp_path: Path) -> None:
    first = tune(small_data, BASE, SEARCHES, tmp_path / "tune", 2)
    watcher = Interrupts(0, 0)
    assert tune(small_data, BASE, SEARCHES, tmp_path / "tune", 2, watcher) == first
    assert watcher.began == []
    assert tune(small_data, BASE, SEARCHES, tmp_path / "tune", 3)[:2] == first


def test_a_recipe_that_cannot_be_trained_is_a_failed_trial_with_its_reason(small_data: PreparedData, tmp_path: Path) -> None:
    searches = parse_searches(["fit.batch_size=8,4000"], BASE)
    found = tune(small_data, BASE, searches, tmp_path / "tune", 4)
    failed = [trial for trial in found if trial.state == "failed"]
    assert {trial.values["fit.batch_size"] for trial in failed} == {4000}
    assert "fit.batch_size is 4000 and there are" in failed[0].reason
    assert f"- Trial {failed[0].number}: A batch must not be larger" in (tmp_path / "tune" / "trials.md").read_text()


def test_a_search_of_which_nothing_can_be_trained_says_why(small_data: PreparedData, tmp_path: Path) -> None:
    searches = parse_searches(["fit.batch_size=3000,4000"], BASE)
    with pytest.raises(RunError, match=r"none of 2 was \(A batch must not be larger .*\); narrow the ranges\.$"):
        tune(small_data, BASE, searches, tmp_path / "tune", 2)
    assert "None is complete yet." in (tmp_path / "tune" / "trials.md").read_text()


def test_a_request_to_stop_leaves_a_trial_to_be_continued(small_data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(TrainingStoppedError):
        tune(small_data, BASE, SEARCHES, tmp_path / "tune", 1, stop=lambda: True)
    assert [trial.state for trial in tune(small_data, BASE, SEARCHES, tmp_path / "tune", 1)] == ["complete"]


def test_another_search_recipe_or_data_set_is_refused(
    searched: tuple[Path, list[Trial]], small_data: PreparedData, small_run: Path
) -> None:
    folder = searched[0]
    with pytest.raises(RunError, match=r"holds a search of optimiser\.learning_rate=0\.0001:0\.1:log .*, not of model\.head"):
        tune(small_data, BASE, SEARCHES[1:], folder, TRIALS)
    with pytest.raises(RunError, match=r"another recipe \(seed is 1 there and 2 here\)"):
        tune(small_data, BASE.model_copy(update={"seed": 2}), SEARCHES, folder, TRIALS)
    other = replace(small_data, facts={**small_data.facts, "fingerprint": "x"})
    with pytest.raises(RunError, match="was trained on other data"):
        tune(other, BASE, SEARCHES, folder, TRIALS)
    with pytest.raises(RunError, match=r"needs a directory of its own, but .* holds a run; choose another --out"):
        tune(small_data, tiny_recipe(), SEARCHES, small_run, TRIALS)


def test_a_damaged_record_is_named(small_data: PreparedData, tmp_path: Path) -> None:
    tune(small_data, BASE, SEARCHES, tmp_path / "tune", 1)
    (tmp_path / "tune" / "tune.json").write_text("{")
    with pytest.raises(RunError, match=r"tune\.json is damaged \(.*\); tune into another directory"):
        tune(small_data, BASE, SEARCHES, tmp_path / "tune", 1)


def test_the_view_has_no_test_part(small_data: PreparedData) -> None:
    view = without_test(small_data)
    assert len(view.test) == 0
    assert set(view.facts["counts"]) == {"train", "validation", "none"}
    assert view.fingerprint != small_data.fingerprint
    np.testing.assert_array_equal(view.train.rows, small_data.train.rows)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optimiser.learning_rate=1e-5:1e-2:log", Search("optimiser.learning_rate", (), 1e-5, 1e-2, True)),
        ("model.head.dropout=0:0.5", Search("model.head.dropout", (), 0.0, 0.5)),
        ("model.head.width=8:256:log", Search("model.head.width", (), 8, 256, True)),
        ("data.balance=weights, none", Search("data.balance", ("weights", "none"))),
        ("model.head.batch_norm=true,false", Search("model.head.batch_norm", (True, False))),
        ("model.image_size=64,96", Search("model.image_size", (64, 96))),
    ],
)
def test_ranges_and_choices_are_read(text: str, expected: Search) -> None:
    found = parse_search(text, BASE)
    assert found == expected
    assert (type(found.low), [type(choice) for choice in found.choices]) == (
        type(expected.low),
        [type(choice) for choice in expected.choices],
    )
    assert parse_search(str(found), BASE) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimiser.lr=1e-5:1e-2", r"A recipe has no key 'optimiser\.lr'; known here are: name, learning_rate"),
        ("heads.width=1:2", r"A recipe has no key 'heads'; known here are: name, description, seed, model"),
        ("model.head.dropout=0:1", r"less than 1 \(got 1 for model\.head\.dropout\); correct it"),
        ("optimiser.learning_rate=0:0.1", r"greater than 0 \(got 0 for optimiser\.learning_rate\)"),
        ("data.balance=weights,luck", r"got 'luck' for data\.balance"),
        ("fit.epochs=1.5:3", r"got 1\.5 for fit\.epochs"),
        ("model.head.dropout=0.5:0.1", "from its lower to its higher end"),
        ("model.head.dropout=0:0.5:log", "a logarithmic range must begin above 0"),
        ("model.head.dropout=0:0.5:0.1", r"--search takes KEY=LOW:HIGH, .* got 'model\.head\.dropout=0:0\.5:0\.1'"),
        ("model.weights=a:b", r"a range needs a key that takes numbers; give choices, model\.weights=a,b,c"),
        ("model.head.batch_norm=false:true", "a range needs a key that takes numbers"),
        ("data.balance=none,none", "choices must be different single values"),
        ("data.balance=none", "--search takes KEY=LOW:HIGH"),
        ("data.balance", "--search takes KEY=LOW:HIGH"),
        ("model.head=a,b", r"In the recipe: .*model\.head"),
    ],
)
def test_a_bad_search_is_one_sentence(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_search(text, BASE)


def test_a_key_is_searched_once_and_something_is_searched() -> None:
    with pytest.raises(RecipeError, match=r"'fit\.epochs' came twice; join the two"):
        parse_searches(["fit.epochs=1:2", "fit.epochs=3:4"], BASE)
    with pytest.raises(RecipeError, match="Tuning needs something to vary; add --search"):
        parse_searches([], BASE)


def test_the_page_shows_the_best_first_and_cells_keep_their_bars(tmp_path: Path) -> None:
    trials = [
        Trial(1, "complete", {"model.weights": "a|b"}, 0.5, 3, 60.0, "0001", ""),
        Trial(2, "failed", {"model.weights": "c"}, None, 0, 0.0, "0002", "no such file"),
        Trial(3, "complete", {"model.weights": "d"}, 0.4, 3, 60.0, "0003", ""),
    ]
    write_trials(tmp_path, trials, BASE)
    lines = (tmp_path / "trials.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == ["| trial", "| 3", "| 1", "| 2"]
    assert "3 trials: 2 complete, 0 given up early, 1 failed; 2.0 minutes of training." in lines
    assert r"| 1 | 0.5000 | 3 | a\|b |" in lines
    assert json.dumps(load_recipe(str(tmp_path / "best.toml")).name) == '"kaggle-cnn-tuned"'
