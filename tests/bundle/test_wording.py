"""Text from a user's data, as a card may show it."""

from __future__ import annotations

import json

import pytest

from lungwise.bundle.wording import ends, line, plain, quoted, share, table


@pytest.mark.parametrize(
    "end", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x1b", "\x00", "\ud800", "\ufeff"]
)
def test_whatever_ends_a_line_is_a_space(end: str) -> None:
    assert line(f"a{end}{end}# b") == "a # b"
    assert plain(f"a{end}b") == "a b"


@pytest.mark.parametrize("mark", list("\\`*[]<>|~$"))
def test_markup_is_escaped(mark: str) -> None:
    assert plain(f"a{mark}b") == f"a\\{mark}b"


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("COVID-19", "normal (PA)", "model_int8.onnx", "Röntgen & Söhne", "5 %"):
        assert plain(name) == name


def test_an_entity_is_shown_as_it_was_written() -> None:
    assert plain("&lt;b&gt; &#60; A & B") == "&amp;lt;b&amp;gt; &amp;#60; A & B"


def test_very_long_text_is_cut() -> None:
    assert len(line("x" * 10_000)) == 500
    assert line("x" * 10_000).endswith("…")


def test_yaml_s_scalars_are_in_quotes() -> None:
    assert quoted('yes: "no" #x') == '"yes: \\"no\\" #x"'
    assert json.loads(quoted("Größe\n\\")) == "Größe \\"


def test_a_table_keeps_its_columns() -> None:
    assert table(("a", "b"), [("x|y", 1)]) == ["| a | b |", "|---|---|", "| x\\|y | 1 |", ""]


def test_estimates() -> None:
    assert ends({"value": 0.5, "low": 0.4, "high": 0.6}) == "0.400 to 0.600"
    assert ends({"value": 0.5, "low": None, "high": None}) == "unknown"
    assert share({"value": 0.5, "low": 0.4, "high": 0.6}) == "0.500 (0.400 to 0.600)"
    assert share({"value": 0.5, "low": None, "high": None}) == "0.500"
    assert share({"value": None}) == share(None) == "–"
