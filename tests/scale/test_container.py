from __future__ import annotations

from pathlib import Path

import pytest

from lungwise.errors import DataError, LungwiseError
from lungwise.scale.container import CHANNELS, REASON_LIMIT, Container, inside, without_images
from tests.scale.conftest import MakeJob


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").touch()
    return folder


def test_places_are_those_of_sagemaker() -> None:
    container = Container(Path("/opt/ml"), {})
    places = [container.model, container.output, container.checkpoints]
    assert places == [Path("/opt/ml/model"), Path("/opt/ml/output/data"), Path("/opt/ml/checkpoints")]


def test_environment_names_other_places() -> None:
    container = Container(Path("/opt/ml"), {"SM_MODEL_DIR": "/m", "SM_OUTPUT_DATA_DIR": "/o", "TRAINING_JOB_NAME": "job-7"})
    assert (container.model, container.output, container.job) == (Path("/m"), Path("/o"), "job-7")


@pytest.mark.parametrize("name", CHANNELS)
def test_channel_is_found_by_each_of_its_names(name: str, images: Path, make_job: MakeJob) -> None:
    root = make_job(images, channel=name)
    assert Container(root, {}).channel() == root / "input" / "data" / name


def test_channel_is_found_by_its_variable(images: Path, make_job: MakeJob) -> None:
    assert Container(make_job(), {"SM_CHANNEL_TRAIN": str(images)}).channel() == images


def test_missing_channel_says_what_there_is(images: Path, make_job: MakeJob) -> None:
    with pytest.raises(LungwiseError, match=r"one channel named training, train, data, but the job has none; call"):
        Container(make_job(), {}).channel()
    with pytest.raises(LungwiseError, match=r"but the job has xrays; call fit"):
        Container(make_job(images, channel="xrays", name="other"), {}).channel()


def test_two_channels_of_images_are_refused(images: Path, make_job: MakeJob) -> None:
    root = make_job(images)
    with pytest.raises(LungwiseError, match=r"in one channel .* but the job has training, data"):
        Container(root, {"SM_CHANNEL_DATA": str(images)}).channel()


@pytest.mark.parametrize("name", ["validation", "test"])
def test_channel_that_would_be_overlooked_is_refused(name: str, images: Path, make_job: MakeJob) -> None:
    root = make_job(images)
    (root / "input" / "data" / name).mkdir()
    with pytest.raises(LungwiseError, match=f"the job also has '{name}', which would be overlooked"):
        Container(root, {}).channel()


def test_pipe_mode_is_refused(images: Path, make_job: MakeJob) -> None:
    with pytest.raises(LungwiseError, match=r"'training' is in Pipe mode; use File or FastFile"):
        Container(make_job(images, mode="Pipe"), {}).channel()


def test_several_instances_are_refused(make_job: MakeJob) -> None:
    with pytest.raises(LungwiseError, match=r"runs on one instance, but the job has 2; set instance_count=1"):
        Container(make_job(hosts=2), {}).check_hosts()
    Container(make_job(name="one"), {}).check_hosts()


def test_run_by_hand_needs_no_configuration(tmp_path: Path) -> None:
    container = Container(tmp_path, {})
    container.check_hosts()
    assert container.hyperparameters() == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "must be JSON, but it is damaged"),
        ("[1]", "must hold names and values, got list"),
        ('{"size": 3}', "every hyperparameter as text, but size is none"),
    ],
)
def test_damaged_configuration_is_one_sentence(text: str, reason: str, make_job: MakeJob) -> None:
    root = make_job()
    (root / "input" / "config" / "hyperparameters.json").write_text(text)
    with pytest.raises(LungwiseError, match=reason):
        Container(root, {}).hyperparameters()


def test_source_must_be_inside_the_channel(images: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").touch()
    assert inside(images, "") == images
    assert inside(images, "a.png") == images / "a.png"
    for source in ("../secret.csv", str(tmp_path / "secret.csv"), "b.csv"):
        with pytest.raises(DataError, match="must be inside the channel, but there is no"):
            inside(images, source)


def test_empty_channel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="but it is empty; check its S3 address"):
        inside(tmp_path / "empty", "")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("None can be read, for example: scans/John Doe.png is broken.", "None can be read, for example: [image] is broken."),
        ("3 stand there twice (a.dcm, b.JPEG); drop them.", "3 stand there twice ([image], [image]); drop them."),
        ("Look at /ml/input/data/training/IM0001 again.", "Look at [channel] again."),
        ("fit.batch_size is 4000; lower it.", "fit.batch_size is 4000; lower it."),
    ],
)
def test_reasons_do_not_name_images(said: str, shown: str) -> None:
    assert without_images(said, Path("/ml/input/data")) == shown


def test_failure_file_holds_what_sagemaker_shows(make_job: MakeJob) -> None:
    root = make_job()
    Container(root, {}).fail("x" * 5000)
    assert (root / "output" / "failure").read_text() == "x" * REASON_LIMIT
