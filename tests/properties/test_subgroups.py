"""Whatever the groups are, shares stay shares and adjusted p-values never shrink."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lungwise.evaluation.multiplicity import holm
from lungwise.evaluation.subgroup_tests import class_weights, difference, share

IMAGES = st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 5), st.booleans()), min_size=1, max_size=40)


@settings(deadline=None)
@given(IMAGES)
def test_a_share_lies_inside_its_interval_which_has_a_width(images: list[tuple[bool, int, int, bool]]) -> None:
    right, patient = np.array([i[0] for i in images]), np.array([str(i[2]) for i in images])
    found = share(right, patient)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.01


@settings(deadline=None)
@given(IMAGES)
def test_a_difference_turns_round_with_the_group(images: list[tuple[bool, int, int, bool]]) -> None:
    right, y = np.array([i[0] for i in images]), np.array([i[1] for i in images], np.int32)
    patient, group = np.array([str(i[2]) for i in images]), np.array([i[3] for i in images])
    one, other = difference(right, y, patient, group), difference(right, y, patient, ~group)
    if one is None or other is None:
        assert one is other is None
        assert not class_weights(y, group).any()
        return
    assert -1 <= one.low <= one.value <= one.high <= 1
    np.testing.assert_allclose([one.value, one.low, one.high], [-other.value, -other.high, -other.low], atol=1e-9)


@settings(deadline=None)
@given(st.dictionaries(st.integers(), st.none() | st.floats(0, 1), max_size=12))
def test_adjusted_p_values_keep_their_order_and_only_grow(p: dict[int, float | None]) -> None:
    found = holm(p)
    tested = sorted((value, found[key]) for key, value in p.items() if value is not None)
    assert list(found) == list(p)
    assert all(adjusted is not None and value <= adjusted <= 1 for value, adjusted in tested)
    assert [adjusted for _, adjusted in tested] == sorted(adjusted for _, adjusted in tested if adjusted is not None)
