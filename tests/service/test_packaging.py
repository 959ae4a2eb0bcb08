"""What is written about running the service names settings that there are, and keeps what it promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lungwise.service.settings import Settings

ROOT = Path(__file__).parents[2]
OURS = {"CACHE", "BUNDLE", "TOKEN_SHA256"}
"""Not settings: the cache is of all commands, the others are variables of compose.yaml."""


@pytest.mark.parametrize(
    "name", ["docs/serving.md", "packaging/lungwise.service", "packaging/Dockerfile", "packaging/compose.yaml"]
)
def test_every_variable_is_a_setting(name: str) -> None:
    found = set(re.findall(r"LUNGWISE_([A-Z0-9_]+)", (ROOT / name).read_text(encoding="utf-8")))
    assert found
    assert {one.lower() for one in found - OURS} <= set(Settings.model_fields)


def test_containers_and_the_unit_have_no_rights_to_spare() -> None:
    docker, compose, unit = (
        (ROOT / "packaging" / name).read_text() for name in ("Dockerfile", "compose.yaml", "lungwise.service")
    )
    assert "USER 10001" in docker
    for line in ("read_only: true", "cap_drop: [ALL]", "no-new-privileges:true", "127.0.0.1:8000:8000", ":/model:ro"):
        assert line in compose
    for line in ("DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=\n"):
        assert line in unit
