"""The folder of real X-rays, where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder named by LUNGWISE_REALDATA; tests that need it are skipped without."""
    folder = os.environ.get("LUNGWISE_REALDATA")
    if not folder:
        pytest.skip("LUNGWISE_REALDATA names no folder")
    return Path(folder)
