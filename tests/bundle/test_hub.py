"""Bundles on the Hub: the bundle's own files go up, a verified bundle comes down, all or nothing."""

from __future__ import annotations

import json
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lungwise.bundle.container import EXTRAS, FILES, SPEC
from lungwise.bundle.hub import HubError, pull_bundle, push_bundle
from lungwise.bundle.store import read_bundle, verify_bundle
from lungwise.errors import BundleError
from tests.bundle.hub_server import COMMIT, Hub, serving
from tests.bundle_factory import make_bundle, make_full

NAME = "owner/name"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No token or cache of this machine is used, and files go by HTTP."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setenv("HF_TOKEN", "hf_test")


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    with serving(made):
        yield made


def uploaded(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.iterdir()}


# The library itself hands its files to its HTTP client in a way that this one calls old.
@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw:DeprecationWarning")
@pytest.mark.parametrize("lfs", [(), (".onnx", ".npz")])
@pytest.mark.parametrize("place", ["model", "model.zip"])
def test_what_is_pushed_is_pulled(tmp_path: Path, hub: Hub, place: str, lfs: tuple[str, ...]) -> None:
    hub.lfs = lfs
    out = make_full(tmp_path / place)
    assert push_bundle(out, NAME, endpoint=hub.address) == f"{hub.address}/{NAME}/commit/{COMMIT}"
    assert hub.files is not None
    assert set(hub.files) == {SPEC, *FILES, *EXTRAS}
    assert pull_bundle(NAME, tmp_path / "pulled", endpoint=hub.address) == read_bundle(out).spec
    assert uploaded(tmp_path / "pulled") == hub.files
    assert read_bundle(tmp_path / "pulled", "int8").sha256 == read_bundle(out).sha256
    assert sorted(child.name for child in tmp_path.iterdir()) == [place, "pulled"]


def test_a_pull_can_end_in_a_zip(tmp_path: Path, hub: Hub) -> None:
    hub.files = uploaded(make_bundle(tmp_path / "model"))
    pull_bundle(NAME, tmp_path / "pulled.zip", endpoint=hub.address)
    assert zipfile.is_zipfile(tmp_path / "pulled.zip")
    assert read_bundle(tmp_path / "pulled.zip").sha256 == read_bundle(tmp_path / "model").sha256


def test_nothing_but_the_bundle_s_own_files_is_sent(tmp_path: Path, hub: Hub) -> None:
    out = make_bundle(tmp_path / "model")
    (out / "patients.csv").write_text("Doe, Jane")
    (out / ".env").write_text("PASSWORD=1")
    (out / "maps").mkdir()
    (out / "maps" / "film.png").write_bytes(b"film")
    push_bundle(out, NAME, endpoint=hub.address)
    assert hub.files is not None
    assert set(hub.files) == {SPEC, *FILES}
    sent = b"".join(body for _, _, body in hub.asked)
    assert not any(word in sent for word in (b"Jane", b"PASSWORD", b"patients.csv", b"film.png", str(tmp_path).encode()))


def test_an_older_bundle_s_networks_do_not_stay_behind(tmp_path: Path, hub: Hub) -> None:
    push_bundle(make_full(tmp_path / "old"), NAME, endpoint=hub.address)
    push_bundle(make_bundle(tmp_path / "new", name="newer"), NAME, endpoint=hub.address)
    assert hub.files is not None
    assert set(hub.files) == {SPEC, *FILES}
    assert pull_bundle(NAME, tmp_path / "pulled", endpoint=hub.address).name == "newer"


@pytest.mark.parametrize("there", [[], [".gitattributes"], [".gitattributes", "README.md"]])
def test_an_empty_repository_is_taken(tmp_path: Path, hub: Hub, there: list[str]) -> None:
    hub.files = dict.fromkeys(there, b"")
    push_bundle(make_bundle(tmp_path / "model"), NAME, endpoint=hub.address)
    assert pull_bundle(NAME, tmp_path / "pulled", endpoint=hub.address).name == "tiny"


def test_a_repository_of_something_else_is_left_alone(tmp_path: Path, hub: Hub) -> None:
    hub.files = {"README.md": b"mine", "weights.bin": b"mine"}
    with pytest.raises(HubError, match=r"^A bundle needs a repository of its own, but owner/name holds something else; choose"):
        push_bundle(make_bundle(tmp_path / "model"), NAME, endpoint=hub.address)
    assert hub.files == {"README.md": b"mine", "weights.bin": b"mine"}


def test_private_means_private(tmp_path: Path, hub: Hub) -> None:
    out = make_bundle(tmp_path / "model")
    push_bundle(out, NAME, endpoint=hub.address, private=True)
    assert hub.private
    hub.private, hub.files = False, {}
    with pytest.raises(HubError, match=r"^owner/name is public already, which --private cannot change"):
        push_bundle(out, NAME, endpoint=hub.address, private=True)
    assert hub.files == {}


def test_a_damaged_bundle_is_not_pushed(tmp_path: Path, hub: Hub) -> None:
    out = make_full(tmp_path / "model")
    (out / "model_int8.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"model_int8\.onnx is not the file that was exported"):
        push_bundle(out, NAME, endpoint=hub.address)
    assert hub.asked == []


@pytest.mark.parametrize("name", [SPEC, *FILES, *EXTRAS])
def test_a_file_that_was_changed_on_the_way_is_refused_by_name(tmp_path: Path, hub: Hub, name: str) -> None:
    hub.files = uploaded(make_full(tmp_path / "model"))
    data = bytearray(hub.files[name])
    data[len(data) // 2] ^= 1
    hub.files[name] = bytes(data)
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        pull_bundle(NAME, tmp_path / "pulled", endpoint=hub.address)
    assert [child.name for child in tmp_path.iterdir()] == ["model"]


def test_a_file_that_came_short_is_refused(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import file_download

    hub.files = uploaded(make_bundle(tmp_path / "model"))

    def cut(_url: str, file: object, **_: object) -> None:
        raise OSError("Consistency check failed: file should be of size 10 but has size 5")

    monkeypatch.setattr(file_download, "http_get", cut)
    with pytest.raises(HubError, match=r"^A file of owner/name did not come whole from http://.*; try again\.$"):
        pull_bundle(NAME, tmp_path / "pulled", endpoint=hub.address)
    assert [child.name for child in tmp_path.iterdir()] == ["model"]


def test_a_repository_without_a_bundle_is_refused(tmp_path: Path, hub: Hub) -> None:
    hub.files = {"README.md": b"x", "pytorch_model.bin": b"x"}
    with pytest.raises(HubError, match=r"^owner/name must hold a bundle, but it has no lungwise\.json; check the name\.$"):
        pull_bundle(NAME, tmp_path / "pulled", endpoint=hub.address)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_lacks_a_file_on_the_hub_is_refused(tmp_path: Path, hub: Hub) -> None:
    hub.files = uploaded(make_bundle(tmp_path / "model"))
    del hub.files["head.npz"]
    with pytest.raises(BundleError, match=r"head\.npz is not the file that was exported \(SHA-256 no such file\)"):
        pull_bundle(NAME, tmp_path / "pulled", endpoint=hub.address)
    assert [child.name for child in tmp_path.iterdir()] == ["model"]


def test_only_files_of_a_bundle_are_fetched(tmp_path: Path, hub: Hub) -> None:
    hub.files = {**uploaded(make_bundle(tmp_path / "model")), "../../evil": b"x", "more.bin": b"x", ".gitattributes": b"x"}
    pull_bundle(NAME, tmp_path / "pulled", endpoint=hub.address)
    assert set(uploaded(tmp_path / "pulled")) == {SPEC, *FILES}
    assert not any("evil" in path or "more" in path for _, path, _ in hub.asked)


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_revision_is_fetched_as_one_commit(tmp_path: Path, hub: Hub, revision: str | None) -> None:
    hub.files = uploaded(make_bundle(tmp_path / "model"))
    pull_bundle(NAME, tmp_path / "pulled", revision=revision, endpoint=hub.address)
    fetched = [path for method, path, _ in hub.asked if method == "GET" and "/resolve/" in path]
    assert len(fetched) == 4
    assert all(f"/resolve/{COMMIT}/" in path for path in fetched)


def test_an_unknown_revision_is_refused(tmp_path: Path, hub: Hub) -> None:
    hub.files = uploaded(make_bundle(tmp_path / "model"))
    with pytest.raises(
        HubError, match=r"owner/name must exist on http://.*, but it or the revision does not \(404\); check the"
    ):
        pull_bundle(NAME, tmp_path / "pulled", revision="v9", endpoint=hub.address)


REFUSALS = {
    401: r"must know you for owner/name, but it does not \(401\); run hf auth login, or check the name\.$",
    403: r"must let you do this with owner/name, but it does not \(403\); take a token that may\.$",
    404: r"^owner/name must exist on http://.*, but it or the revision does not \(404\); check the name\.$",
    418: r"answered 418 for owner/name; try again later\.$",
}


def test_an_upload_that_breaks_off_is_one_sentence(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.lfs = (".onnx",)
    out = make_bundle(tmp_path / "model")
    from huggingface_hub import _commit_api

    def broken(**_: object) -> None:
        raise RuntimeError("Error while uploading 'model.onnx' to the Hub.")

    monkeypatch.setattr(_commit_api, "_upload_lfs_files", broken)
    with pytest.raises(HubError, match=r"must come to its end, but it broke off \(Error while uploading 'model\.onnx' to"):
        push_bundle(out, NAME, endpoint=hub.address)
    assert hub.files == {}


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_is_one_sentence(tmp_path: Path, hub: Hub, status: int) -> None:
    hub.refuse = status
    out = make_bundle(tmp_path / "model")
    with pytest.raises(HubError, match=REFUSALS[status]):
        push_bundle(out, NAME, endpoint=hub.address)
    with pytest.raises(HubError, match=REFUSALS[status]):
        pull_bundle(NAME, tmp_path / "pulled", endpoint=hub.address)
    assert [child.name for child in tmp_path.iterdir()] == ["model"]


def test_a_hub_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    said = r"^http://127\.0\.0\.1:\d+ must be reachable, but it does not answer; check the address and the connection\.$"
    with pytest.raises(HubError, match=said):
        pull_bundle(NAME, tmp_path / "pulled", endpoint=address)
    with pytest.raises(HubError, match=said):
        push_bundle(make_bundle(tmp_path / "model"), NAME, endpoint=address)
    assert [child.name for child in tmp_path.iterdir()] == ["model"]


def test_a_server_that_is_no_hub_is_one_sentence(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hub, "answer", lambda *_: (200, b"<html>Welcome</html>", {}))
    with pytest.raises(HubError, match=r"must answer as a Hugging Face Hub does, but it did not \(.*\); check --endpoint\.$"):
        pull_bundle(NAME, tmp_path / "pulled", endpoint=hub.address)


@pytest.mark.parametrize(
    "name", ["name", "a/b/c", "../name", "owner/", "/name", "owner/na me", "https://h/owner/name", "o/n\n"]
)
def test_a_repository_has_an_owner_and_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(HubError, match=r"^A repository must be named owner/name, got '.*"):
        pull_bundle(name, tmp_path / "pulled")


@pytest.mark.parametrize("address", ["http://hub.example.org", "hub.example.org", "ftp://localhost", "file:///etc", "https://"])
def test_a_token_is_not_sent_in_the_clear(tmp_path: Path, address: str) -> None:
    with pytest.raises(HubError, match=r"^The Hub's address must begin with https:// \(http:// only on this machine\), got '"):
        pull_bundle(NAME, tmp_path / "pulled", endpoint=address)


def test_a_taken_place_is_refused_before_anything_is_asked(tmp_path: Path, hub: Hub) -> None:
    hub.files = uploaded(make_bundle(tmp_path / "model", name="newer"))
    make_bundle(tmp_path / "pulled")
    with pytest.raises(BundleError, match=r"holds another bundle; add --overwrite or choose another --out\.$"):
        pull_bundle(NAME, tmp_path / "pulled", endpoint=hub.address)
    assert hub.asked == []
    pull_bundle(NAME, tmp_path / "pulled", endpoint=hub.address, overwrite=True)
    assert verify_bundle(tmp_path / "pulled").name == "newer"


def test_a_failed_pull_keeps_the_bundle_that_was_there(tmp_path: Path, hub: Hub) -> None:
    hub.files = {**uploaded(make_bundle(tmp_path / "model", name="newer")), "README.md": b"changed"}
    make_bundle(tmp_path / "pulled")
    with pytest.raises(BundleError, match=r"README\.md is not the file that was exported"):
        pull_bundle(NAME, tmp_path / "pulled", endpoint=hub.address, overwrite=True)
    assert verify_bundle(tmp_path / "pulled").name == "tiny"
    assert sorted(child.name for child in tmp_path.iterdir()) == ["model", "pulled"]


def test_the_commit_names_the_bundle(tmp_path: Path, hub: Hub) -> None:
    out = make_bundle(tmp_path / "model")
    push_bundle(out, NAME, endpoint=hub.address)
    body = next(body for _, path, body in hub.asked if "/commit/" in path)
    summary = json.loads(body.splitlines()[0])["value"]["summary"]
    assert summary == f"Lungwise bundle {read_bundle(out).spec.files[SPEC][:12]}"
    assert set(hub.tokens) == {"Bearer hf_test"}
