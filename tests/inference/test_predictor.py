"""Files, bytes and arrays in, results out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import lungwise
from lungwise.bundle.spec import DecisionSpec
from lungwise.bundle.store import write_bundle
from lungwise.errors import BundleError, ImageError, LungwiseError
from lungwise.imaging.preprocess import Preprocess, to_input, to_square
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.views import to_inputs
from lungwise.inference.cores import hardware_threads
from lungwise.inference.engine import Outputs
from lungwise.inference.explain import grad_cam
from lungwise.inference.inputs import Image, find_images
from lungwise.inference.many import BATCH
from lungwise.inference.onnx_engine import OnnxEngine
from lungwise.inference.predictor import Predictor, load
from tests.bundle_factory import make_bundle, make_head, make_onnx, make_predictor, make_spec, numpy_forward, youden
from tests.conftest import Encode

Grey = NDArray[np.uint8]
WINDOW = 2 * BATCH + hardware_threads() - 1
"""Images that are taken before the first answer: a batch, and as many as are loaded meanwhile."""


def expected(predictor: Predictor, greys: list[Grey], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities of images by numpy, from the same preprocessing."""
    spec = predictor.spec.preprocess
    batch = np.stack([to_input(to_square(Radiograph(grey), spec), spec) for grey in greys])
    powers = np.exp(numpy_forward(batch, predictor.bundle.head, predictor.spec.head)["logits"].astype(float) / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def shares(predictor: Predictor, images: list[Image]) -> NDArray[np.float64]:
    return np.array([list(result.probabilities.values()) for result in predictor.predict_many(images)])


# One image


def test_the_answer_is_that_of_the_network(predictor: Predictor, greys: list[Grey]) -> None:
    result = predictor.predict(greys[0])
    np.testing.assert_allclose(list(result.probabilities.values()), expected(predictor, greys[:1])[0], atol=1e-6)
    assert list(result.probabilities) == ["normal", "sick"] == list(predictor.labels)


def test_a_result_says_where_it_comes_from(predictor: Predictor, greys: list[Grey]) -> None:
    result = predictor.predict(greys[0])
    assert (result.status, result.reasons, result.heatmap) == ("ok", (), None)
    assert (result.model, result.bundle_sha256) == ("tiny", predictor.bundle.sha256)
    assert result.intended_use.startswith("Research use only. Not a medical device")


def test_path_text_bytes_and_array_answer_alike(predictor: Predictor, files: list[Path], greys: list[Grey]) -> None:
    doors: list[Image] = [files[1], str(files[1]), files[1].read_bytes(), greys[1]]
    found = [predictor.predict(image) for image in doors]
    assert [result.probabilities for result in found] == [found[0].probabilities] * 4
    assert [result.path for result in found] == [str(files[1]), str(files[1]), "image 0", "image 0"]


def test_an_array_may_be_a_view(predictor: Predictor, greys: list[Grey]) -> None:
    mirrored = greys[0][:, ::-1]
    assert predictor.predict(mirrored).probabilities == predictor.predict(mirrored.copy()).probabilities


def test_warnings_of_the_image_are_passed_on(predictor: Predictor, greys: list[Grey], encode: Encode) -> None:
    data = encode(greys[4].astype(np.uint16) * 200)
    assert predictor.predict(data).warnings == (
        "16-bit image without a window: its darkest to brightest value was mapped to black to white",
    )


@pytest.mark.parametrize(
    ("array", "came"),
    [
        (np.zeros((40, 40, 3), np.uint8), r"uint8 \[40, 40, 3\]"),
        (np.zeros((40, 40), np.bool_), r"bool \[40, 40\]"),
        (np.zeros((0, 40), np.uint8), r"uint8 \[0, 40\]"),
    ],
)
def test_another_array_is_refused(predictor: Predictor, array: Grey, came: str) -> None:
    with pytest.raises(ImageError, match=rf"^An array must be uint8 \[height, width\], got {came}; convert it first\.$"):
        predictor.predict(array)


def test_a_tiny_array_is_refused_as_a_tiny_file_is(predictor: Predictor) -> None:
    with pytest.raises(ImageError, match=r"^An array must have at least 32 pixels on each side, got \[31, 40\]"):
        predictor.predict(np.zeros((31, 40), np.uint8))


def test_a_missing_file_is_an_error(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"^An image must be a file, but .*none\.png does not exist\.$"):
        predictor.predict(tmp_path / "none.png")


# Many images


@pytest.mark.parametrize("number", [0, 1, BATCH - 1, BATCH, BATCH + 1, WINDOW, WINDOW + 1, 3 * BATCH + 5])
def test_any_number_is_answered_in_order(predictor: Predictor, greys: list[Grey], number: int) -> None:
    images: list[Image] = [greys[index % 5] for index in range(number)]
    results = list(predictor.predict_many(images))
    assert [result.path for result in results] == [f"image {index}" for index in range(number)]
    wanted = expected(predictor, greys)
    for index, result in enumerate(results):
        np.testing.assert_allclose(list(result.probabilities.values()), wanted[index % 5], atol=1e-6)


def test_probabilities_sum_to_1(predictor: Predictor, greys: list[Grey]) -> None:
    np.testing.assert_allclose(shares(predictor, list(greys)).sum(axis=1), 1, atol=1e-12)


def test_a_batch_answers_as_one_by_one(predictor: Predictor, greys: list[Grey]) -> None:
    single = [list(predictor.predict(grey).probabilities.values()) for grey in greys]
    np.testing.assert_allclose(shares(predictor, list(greys)), single, atol=1e-6)


def test_a_bad_file_is_reported_and_the_rest_goes_on(predictor: Predictor, files: list[Path]) -> None:
    files[2].write_bytes(b"no image")
    results = list(predictor.predict_many(files))
    assert [result.status for result in results] == ["ok", "ok", "error", "ok", "ok"]
    assert [result.path for result in results] == [str(file) for file in files]
    bad = results[2]
    assert (bad.decision, bad.probabilities, bad.warnings, bad.heatmap) == (None, {}, (), None)
    assert len(bad.reasons) == 1
    assert bad.reasons[0].startswith("2.png is not a PNG, ")


def test_a_bad_file_does_not_move_the_others(predictor: Predictor, files: list[Path], greys: list[Grey]) -> None:
    files[0].write_bytes(b"")
    results = list(predictor.predict_many(files))
    found = [list(result.probabilities.values()) for result in results[1:]]
    np.testing.assert_allclose(found, expected(predictor, greys)[1:], atol=1e-6)


def test_only_bad_files_are_all_reported(predictor: Predictor, tmp_path: Path) -> None:
    results = list(predictor.predict_many([tmp_path / "a.png", tmp_path / "b.png"]))
    assert [result.status for result in results] == ["error", "error"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows such names")
def test_a_name_that_is_no_text_is_answered(predictor: Predictor, tmp_path: Path, greys: list[Grey], encode: Encode) -> None:
    good, bad = (Path(os.fsdecode(os.fsencode(tmp_path) + b"/R\xf6ntgen" + end)) for end in (b".png", b"-2.png"))
    good.write_bytes(encode(greys[0]))
    results = list(predictor.predict_many([good, bad], tmp_path / "heat"))
    assert [result.status for result in results] == ["ok", "error"]
    for result in results:
        assert "R\ufffdntgen" in result.to_json().encode("utf-8").decode()


def test_images_are_taken_as_they_are_needed(predictor: Predictor, greys: list[Grey]) -> None:
    taken = 0

    def source() -> Iterator[Image]:
        nonlocal taken
        for index in range(5 * WINDOW):
            taken += 1
            yield greys[index % 5]

    for done, _ in enumerate(predictor.predict_many(source())):
        assert taken - done <= WINDOW + 3 * BATCH  # a long batch has some in answering, too
    assert taken == 5 * WINDOW


def test_nothing_more_is_taken_when_the_consumer_stops(predictor: Predictor, greys: list[Grey]) -> None:
    images = iter([greys[0]] * 100)
    answers = predictor.predict_many(images)
    next(iter(answers))
    answers.close()
    assert len(list(images)) == 100 - WINDOW
    assert list(answers) == []


def test_an_error_of_the_source_is_passed_on(predictor: Predictor, greys: list[Grey]) -> None:
    def source() -> Iterator[Image]:
        yield greys[0]
        raise RuntimeError("the list broke")

    with pytest.raises(RuntimeError, match="the list broke"):
        list(predictor.predict_many(source()))


def test_two_batches_at_once_do_not_mix(predictor: Predictor, greys: list[Grey]) -> None:
    pairs = zip(predictor.predict_many([greys[0]] * 20), predictor.predict_many([greys[4]] * 20), strict=True)
    first, last = expected(predictor, greys)[[0, 4]]
    for one, two in pairs:
        np.testing.assert_allclose(list(one.probabilities.values()), first, atol=1e-6)
        np.testing.assert_allclose(list(two.probabilities.values()), last, atol=1e-6)


# Prepared squares


@pytest.mark.parametrize("number", [1, BATCH, 2 * BATCH + 3])
def test_squares_answer_as_images_do(predictor: Predictor, greys: list[Grey], number: int) -> None:
    squares = np.stack([to_square(Radiograph(greys[i % 5]), predictor.spec.preprocess) for i in range(number)])
    wanted = expected(predictor, greys)[np.arange(number) % 5]
    np.testing.assert_allclose(predictor.probabilities(squares), wanted, atol=1e-6)


def test_no_squares_have_no_answers(predictor: Predictor) -> None:
    assert predictor.probabilities(np.zeros((0, 40, 40), np.uint8)).shape == (0, 2)


def test_squares_are_made_inputs_batch_by_batch(
    predictor: Predictor, greys: list[Grey], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, longest = [0], []
    run = OnnxEngine.run

    def counted(square: Grey, spec: Preprocess, number: int) -> NDArray[np.float32]:
        made[0] += 1
        return to_inputs(square, spec, number)

    def emptied(engine: OnnxEngine, batch: NDArray[np.float32], wanted: Sequence[str]) -> Outputs:
        longest.append(made[0])
        made[0] = 0
        return run(engine, batch, wanted)

    monkeypatch.setattr("lungwise.inference.predictor.to_inputs", counted)
    monkeypatch.setattr(OnnxEngine, "run", emptied)
    predictor.probabilities(np.zeros((3 * BATCH, 40, 40), np.uint8))
    assert longest == [BATCH] * 3


# Views


def over_views(predictor: Predictor, greys: list[Grey]) -> NDArray[np.float64]:
    """Probabilities by numpy, from the mean of the views' logits."""
    spec, head = predictor.spec, predictor.bundle.head
    squares = [to_square(Radiograph(grey), spec.preprocess) for grey in greys]
    each = [numpy_forward(to_inputs(square, spec.preprocess, spec.views), head, spec.head)["logits"] for square in squares]
    powers = np.exp(np.stack([logits.astype(float).mean(axis=0) for logits in each]) / spec.temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("views", [2, 3, 16])
def test_the_logits_of_all_views_are_averaged_at_every_door(tmp_path: Path, greys: list[Grey], views: int) -> None:
    predictor = make_predictor(tmp_path / "m", pool="flatten", views=views, temperature=5.0)
    wanted = over_views(predictor, greys)
    assert np.abs(wanted - expected(predictor, greys, 5.0)).max() > 1e-3  # it is another answer than the image's alone
    np.testing.assert_allclose(shares(predictor, [*greys] * 4), np.tile(wanted, (4, 1)), atol=1e-6)
    np.testing.assert_allclose(list(predictor.predict(greys[3]).probabilities.values()), wanted[3], atol=1e-6)
    squares = np.stack([to_square(Radiograph(grey), predictor.spec.preprocess) for grey in greys])
    np.testing.assert_allclose(predictor.probabilities(squares), wanted, atol=1e-6)


def test_one_view_is_the_image_itself(tmp_path: Path, predictor: Predictor, greys: list[Grey]) -> None:
    assert predictor.spec.views == 1
    np.testing.assert_allclose(over_views(predictor, greys), expected(predictor, greys), atol=1e-12)


def test_the_heat_map_is_that_of_the_first_view(tmp_path: Path, greys: list[Grey]) -> None:
    maps = []
    for views in (1, 5):
        predictor = make_predictor(tmp_path / f"m{views}", views=views, decision=youden(0.0))  # both decide for the finding
        results = list(predictor.predict_many(greys * 4, tmp_path / f"maps{views}"))
        maps.append([Path(str(result.heatmap)).read_bytes() for result in results])
    assert maps[0] == maps[1]
    assert len(set(maps[0])) == len(greys)


def test_more_views_do_not_make_larger_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = OnnxEngine.run

    def measured(engine: OnnxEngine, batch: NDArray[np.float32], wanted: Sequence[str]) -> Outputs:
        sizes.append(len(batch))
        return run(engine, batch, wanted)

    monkeypatch.setattr(OnnxEngine, "run", measured)
    for views, wanted in ((3, [6, 6, 6, 6, 6, 6, 6, 6, 3]), (16, [16] * 17)):
        sizes.clear()
        make_predictor(tmp_path / f"m{views}", views=views).probabilities(np.zeros((17, 40, 40), np.uint8))
        assert sizes == wanted


# Temperature and decision


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_logits_are_divided_by_the_temperature(tmp_path: Path, greys: list[Grey], temperature: float) -> None:
    predictor = make_predictor(tmp_path / "m", temperature=temperature)
    np.testing.assert_allclose(shares(predictor, list(greys)), expected(predictor, greys, temperature), atol=1e-6)


def test_extreme_logits_give_probabilities(tmp_path: Path, greys: list[Grey]) -> None:
    head = make_head(hidden=0)
    head.b2[:] = [3e4, -3e4]
    result = make_predictor(tmp_path / "m", head).predict(greys[0])
    assert result.probabilities == {"normal": 1.0, "sick": 0.0}


def test_the_largest_probability_decides(predictor: Predictor, greys: list[Grey]) -> None:
    for result in predictor.predict_many(greys):
        assert result.decision == max(result.probabilities, key=lambda name: result.probabilities[name])


@pytest.mark.parametrize(("positive", "finding", "other"), [(0, "normal", "sick"), (1, "sick", "normal")])
def test_a_threshold_decides(tmp_path: Path, greys: list[Grey], positive: int, finding: str, other: str) -> None:
    plain = make_predictor(tmp_path / "plain").predict(greys[0]).probabilities[finding]
    for threshold, decision in ((0.0, finding), (plain - 1e-3, finding), (plain + 1e-3, other), (1.0, other)):
        predictor = make_predictor(tmp_path / f"m{threshold}", decision=youden(threshold, positive))
        assert predictor.predict(greys[0]).decision == decision


def test_a_probability_at_the_threshold_is_the_finding(tmp_path: Path, greys: list[Grey]) -> None:
    plain = make_predictor(tmp_path / "plain").predict(greys[0]).probabilities["sick"]
    assert make_predictor(tmp_path / "m", decision=youden(plain)).predict(greys[0]).decision == "sick"


def test_a_threshold_of_any_rule_decides(tmp_path: Path, greys: list[Grey]) -> None:
    decision = DecisionSpec(rule="sensitivity", positive=1, threshold=0.0, fitted_on="validation")
    predictor = make_predictor(tmp_path / "m", decision=decision)
    assert {result.decision for result in predictor.predict_many(greys)} == {"sick"}


def test_three_classes_are_answered(tmp_path: Path, greys: list[Grey]) -> None:
    decision = DecisionSpec(rule="argmax", positive=-1, threshold=0.5, fitted_on="")
    result = make_predictor(tmp_path / "m", labels=("a", "b", "c"), decision=decision).predict(greys[0])
    assert (list(result.probabilities), sum(result.probabilities.values())) == (["a", "b", "c"], pytest.approx(1))


def test_a_logit_that_is_no_number_is_an_error(tmp_path: Path, greys: list[Grey]) -> None:
    damaged = make_head()
    damaged.b2[0] = np.nan
    write_bundle(tmp_path / "m", make_spec(), make_onnx(damaged), make_head())
    predictor = load(tmp_path / "m", threads=1)
    with pytest.raises(BundleError, match="a logit is not; its weights are damaged"):
        predictor.predict(greys[0])


# Heat maps


def picture(path: str | Path | None) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(path)), dtype=np.uint8)


@pytest.mark.parametrize("pool", ["average", "flatten"])
def test_a_heat_map_is_written_beside_the_answer(tmp_path: Path, greys: list[Grey], pool: str) -> None:
    predictor = make_predictor(tmp_path / "m", pool=pool)
    result = predictor.predict(greys[0], tmp_path / "heat" / "a.png")
    assert result.heatmap == str(tmp_path / "heat" / "a.png")
    assert picture(result.heatmap).shape == (44, 60 + 24, 3)
    assert [file.name for file in (tmp_path / "heat").iterdir()] == ["a.png"]


def test_heat_maps_are_numbered_and_named(predictor: Predictor, files: list[Path], tmp_path: Path) -> None:
    files[1].write_bytes(b"")
    results = list(predictor.predict_many(files, tmp_path / "heat"))
    assert sorted(file.name for file in (tmp_path / "heat").iterdir()) == [f"{i:05d}_{i}.png" for i in (0, 2, 3, 4)]
    assert [result.heatmap is None for result in results] == [False, True, False, False, False]


def test_images_of_one_name_have_two_heat_maps(predictor: Predictor, files: list[Path], tmp_path: Path) -> None:
    results = list(predictor.predict_many([files[0], files[0]], tmp_path / "heat"))
    assert [Path(str(result.heatmap)).name for result in results] == ["00000_0.png", "00001_0.png"]


def test_a_long_name_has_a_heat_map(predictor: Predictor, tmp_path: Path, greys: list[Grey], encode: Encode) -> None:
    path = tmp_path / f"{'胸' * 80}.png"
    path.write_bytes(encode(greys[0]))
    (result,) = predictor.predict_many([path], tmp_path / "heat")
    assert picture(result.heatmap).shape == (44, 84, 3)


def test_a_heat_map_does_not_change_the_answer(predictor: Predictor, greys: list[Grey], tmp_path: Path) -> None:
    assert predictor.predict(greys[0], tmp_path / "a.png").probabilities == predictor.predict(greys[0]).probabilities


def test_heat_maps_below_a_file_are_one_sentence(predictor: Predictor, greys: list[Grey], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LungwiseError, match=r"must be a directory, but a file is in its place; choose another --out\.$"):
        list(predictor.predict_many([greys[0]], tmp_path / "file"))


# Loading and finding


@pytest.mark.parametrize("place", ["model", "model.zip"])
def test_a_directory_and_a_zip_answer_alike(tmp_path: Path, predictor: Predictor, greys: list[Grey], place: str) -> None:
    loaded = load(str(make_bundle(tmp_path / place)), threads=1)
    assert loaded.predict(greys[0]) == predictor.predict(greys[0])


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        load(tmp_path)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_images_of_a_folder_are_found_in_order(tmp_path: Path) -> None:
    touch(tmp_path / "b.png", tmp_path / "a" / "z.JPEG", tmp_path / "a" / "c.tif", tmp_path / "notes.txt")
    assert find_images([tmp_path]) == [tmp_path / "a" / "c.tif", tmp_path / "a" / "z.JPEG", tmp_path / "b.png"]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "._a.png", tmp_path / ".thumbs" / "b.png", tmp_path / "__MACOSX" / "c.png")
    assert find_images([tmp_path]) == [tmp_path / "a.png"]


def test_a_hidden_folder_that_is_named_is_searched(tmp_path: Path) -> None:
    touch(tmp_path / ".cache" / "a.png")
    assert find_images([tmp_path / ".cache"]) == [tmp_path / ".cache" / "a.png"]


def test_a_folder_named_like_an_image_is_no_image(tmp_path: Path) -> None:
    touch(tmp_path / "scan.png" / "a.png")
    assert find_images([tmp_path]) == [tmp_path / "scan.png" / "a.png"]


def test_a_named_file_may_have_any_ending_and_need_not_exist(tmp_path: Path) -> None:
    touch(tmp_path / "x" / "a.png")
    inputs = [tmp_path / "none", tmp_path / "x", tmp_path / "scan.dat"]
    assert find_images(inputs) == [tmp_path / "none", tmp_path / "x" / "a.png", tmp_path / "scan.dat"]


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt", tmp_path / ".hidden.png")
    with pytest.raises(LungwiseError, match=r"^A folder to predict must hold images, but .* has none; name another\.$"):
        find_images([tmp_path])


def test_prediction_needs_no_training_package() -> None:
    heavy = ["keras", "tensorflow", "matplotlib", "sklearn", "fastapi", "ray"]
    code = f"import lungwise.inference.predictor, sys; print([name for name in {heavy} if name in sys.modules])"
    source = str(Path(lungwise.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": source}
    )
    assert done.stdout.strip() == "[]"


def test_a_map_of_each_class_takes_the_place_of_a_temperature(tmp_path: Path, greys: list[Grey]) -> None:
    matrix, bias = ((1.5, 0.25), (-0.5, 2.0)), (0.5, -0.25)
    predictor = make_predictor(tmp_path / "m", calibration_matrix=matrix, calibration_bias=bias)
    logs = np.log(expected(predictor, greys))
    powers = np.exp(logs @ np.array(matrix).T + bias)
    np.testing.assert_allclose(shares(predictor, list(greys)), powers / powers.sum(axis=1, keepdims=True), atol=1e-6)


def test_sets_hold_the_classes_within_their_quantiles(tmp_path: Path, greys: list[Grey]) -> None:
    plain = make_predictor(tmp_path / "plain")
    assert [result.conformal_set for result in plain.predict_many(greys)] == [None] * len(greys)
    prob = shares(plain, list(greys))
    # Quantiles by label, in another order than the columns.
    quantiles = {"sick": float(1 - np.median(prob[:, 1])), "normal": 0.0}
    found = list(make_predictor(tmp_path / "m", conformal_quantiles=quantiles).predict_many([*greys, b"no image"]))
    wanted = [("sick",) if row[1] >= np.median(prob[:, 1]) else () for row in prob]
    assert [result.conformal_set for result in found] == [*wanted, None]
    assert {(), ("sick",)} == set(wanted)


def test_heat_maps_are_those_of_the_forward_pass(tmp_path: Path, greys: list[Grey]) -> None:
    predictor = make_predictor(tmp_path / "m")
    squares = np.stack([np.asarray(cv2.resize(grey, (40, 40)), np.uint8) for grey in greys])
    maps = predictor.heat_maps(squares, [1] * len(greys))
    outputs = predictor._run(squares)
    for row, found in enumerate(maps):
        wanted = grad_cam(outputs.features[row], outputs.embedding[row], predictor.bundle.head, "average", 1)
        np.testing.assert_array_equal(found, wanted)
