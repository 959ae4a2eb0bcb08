"""``lungwise push``, ``pull``, and what ``export`` refuses before any work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lungwise.bundle.store import read_bundle
from tests.bundle.hub_server import Hub, serving
from tests.bundle_factory import make_bundle
from tests.cli.test_main import lungwise


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    made = Hub()
    with serving(made):
        yield made


def test_push_and_pull(tmp_path: Path, hub: Hub) -> None:
    out = make_bundle(tmp_path / "model")
    pushed = lungwise("push", out, "owner/name", "--endpoint", hub.address, "--private")
    assert f"Pushed: {hub.address}/owner/name/commit/" in pushed.stderr
    assert "Next: lungwise pull owner/name --out DIR" in pushed.stderr
    assert hub.private
    pulled = lungwise("pull", "owner/name", "--out", tmp_path / "pulled", "--endpoint", hub.address)
    assert f"Bundle: {tmp_path / 'pulled'} (tiny). Next: lungwise predict IMAGE" in pulled.stderr
    assert "Research use only." in pulled.stderr
    assert read_bundle(tmp_path / "pulled").sha256 == read_bundle(out).sha256


def test_quiet_says_nothing(tmp_path: Path, hub: Hub) -> None:
    pushed = lungwise("push", make_bundle(tmp_path / "model"), "owner/name", "--endpoint", hub.address, "--quiet")
    assert pushed.output == ""


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_is_one_sentence_and_exit_code_2(tmp_path: Path, hub: Hub, status: int) -> None:
    hub.refuse = status
    result = lungwise("pull", "owner/name", "--out", tmp_path / "pulled", "--endpoint", hub.address, code=2)
    assert result.stderr.startswith("Error: ")
    assert f"({status})" in result.stderr
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_bundle_is_not_pushed(tmp_path: Path, hub: Hub) -> None:
    result = lungwise("push", tmp_path, "owner/name", "--endpoint", hub.address, code=2)
    assert "is not a bundle: it has no lungwise.json" in result.stderr
    assert hub.asked == []
