"""Thousands of damaged files: each is a picture or one sentence, and no decoder crashes, hangs or takes too much memory.

They are decoded in the sandbox, so that a crash of a codec does not end the tests; there it counts as a failure all the same.
The choice is seeded: the same files in every run. A failure prints the smallest file that shows it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lungwise.inference.sandbox import Sandbox
from tests.faults.mutants import MUTATIONS, Numbers, dicoms, images, mutated, outcome, seeds

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no sandbox there")
NUMBER = st.integers(0, 2**32 - 1)
STEPS = st.lists(st.tuples(st.integers(0, len(MUTATIONS) - 1), st.tuples(NUMBER, NUMBER, NUMBER)), min_size=1, max_size=4)
Steps = list[tuple[int, Numbers]]


def seeded(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(1, seconds=120) as made:
        yield made


@pytest.mark.parametrize("name", seeds())
def test_every_seed_is_a_picture(sandbox: Sandbox, name: str) -> None:
    assert outcome(sandbox, seeds()[name]) == ""


@seeded(250)
@given(seed=st.sampled_from(sorted(images())), steps=STEPS)
def test_some_damaged_images(sandbox: Sandbox, seed: str, steps: Steps) -> None:
    outcome(sandbox, mutated(seed, steps))


@seeded(150)
@given(seed=st.sampled_from([f"dicom {name}" for name in sorted(dicoms())]), steps=STEPS)
def test_some_damaged_dicom_files(sandbox: Sandbox, seed: str, steps: Steps) -> None:
    outcome(sandbox, mutated(seed, steps))


@pytest.mark.slow
@seeded(7000)
@given(seed=st.sampled_from(sorted(images())), steps=STEPS)
def test_thousands_of_damaged_images(sandbox: Sandbox, seed: str, steps: Steps) -> None:
    outcome(sandbox, mutated(seed, steps))


@pytest.mark.slow
@seeded(5000)
@given(seed=st.sampled_from([f"dicom {name}" for name in sorted(dicoms())]), steps=STEPS)
def test_thousands_of_damaged_dicom_files(sandbox: Sandbox, seed: str, steps: Steps) -> None:
    outcome(sandbox, mutated(seed, steps))
