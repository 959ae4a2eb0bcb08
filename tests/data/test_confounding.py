"""Does the source give the label away?"""

from __future__ import annotations

import pytest

from lungwise.data.audit.confounding import confounding, measure
from tests.conftest import MakeManifest


def test_figures_worked_out_by_hand(make_manifest: MakeManifest) -> None:
    # Source a: 3 x, 1 y; source b: 1 x, 3 y. chi2 = 8 * (3*3 - 1*1)**2 / (4*4*4*4) = 2, V = sqrt(2 / 8) = 0.5.
    found = measure(make_manifest(label=list("xxxyxyyy"), source=list("aaaabbbb")))
    assert found["oracle_accuracy"] == 6 / 8
    assert found["majority_accuracy"] == 4 / 8
    assert found["cramers_v"] == pytest.approx(0.5)
    assert found["counts"] == {"a": {"x": 3, "y": 1}, "b": {"x": 1, "y": 3}}
    assert found["classes_of_own_sources"] == []


def test_the_test_list_of_covidx_9a_in_small(make_manifest: MakeManifest) -> None:
    labels = ["COVID-19"] * 20 + ["normal"] * 10 + ["pneumonia"] * 10
    (finding,) = confounding(make_manifest(label=labels, source=["ricord"] * 20 + ["rsna"] * 20, split=["test"] * 40))
    assert finding.severity == "error"
    assert finding.evidence["parts"]["test"]["oracle_accuracy"] == 0.75
    assert finding.message == (
        "the source gives the class away: knowing only the source is right for 75% of the images of the test part, always "
        "answering the most frequent class for 50% (Cramér's V 1.00); all of its images of COVID-19 come from sources without "
        "any other class"
    )
    assert len(finding.images) == 20


def test_a_rare_class_of_its_own_source_is_an_error_though_it_adds_little_accuracy(make_manifest: MakeManifest) -> None:
    labels = ["COVID-19"] * 10 + ["normal"] * 60 + ["pneumonia"] * 130
    (finding,) = confounding(make_manifest(label=labels, source=["cohen"] * 10 + ["kermany"] * 190))
    assert finding.severity == "error"
    assert finding.evidence["parts"]["all"]["oracle_accuracy"] - finding.evidence["parts"]["all"]["majority_accuracy"] < 0.1
    assert "all of its images of COVID-19 come from sources without any other class" in finding.message


def test_a_weak_association_is_a_warning_and_chance_is_none(make_manifest: MakeManifest) -> None:
    weak = make_manifest(label=["x"] * 560 + ["y"] * 440, source=["a"] * 320 + ["b"] * 240 + ["a"] * 180 + ["b"] * 260)
    (finding,) = confounding(weak)
    assert finding.severity == "warning"
    assert len(finding.images) == 1000
    assert confounding(make_manifest(label=list("xyxxyy"), source=list("ababab"))) == []


def test_one_source_or_one_class_cannot_be_confounded(make_manifest: MakeManifest) -> None:
    assert confounding(make_manifest(label=list("xxyy"))) == []
    assert confounding(make_manifest(source=list("abab"))) == []


def test_the_source_may_tell_in_one_part_only(make_manifest: MakeManifest) -> None:
    labels, sources = list("xy" * 20) + ["x"] * 10 + ["y"] * 10, list("abba" * 10) + ["a"] * 10 + ["b"] * 10
    (finding,) = confounding(make_manifest(label=labels, source=sources, split=["train"] * 40 + ["test"] * 20))
    assert finding.severity == "error"
    assert "100% of the images of the test part" in finding.message
    assert finding.evidence["parts"]["train"]["cramers_v"] == pytest.approx(0.0)
