"""A comparison as files: Markdown, CSV, LaTeX and JSON for other documents, one page for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lungwise.evaluation.compare.page import page
from lungwise.evaluation.compare.runs import Evaluated
from lungwise.evaluation.compare.table import COLUMNS, texts
from lungwise.evaluation.compare.words import PAIR_COLUMNS, pair_texts
from lungwise.files import defuse, write_json, write_text

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    # After the end of a row these two would be taken for its options.
    "[": "{[}", "*": "{*}", "−": "$-$", "–": "--", "\u00a0": "~",
}  # fmt: skip


def write_comparison(found: dict[str, Any], runs: Sequence[Evaluated], out: Path) -> list[Path]:
    """Write a comparison in every form.

    Args:
        found: of :func:`lungwise.evaluation.compare.compare`.
        runs: those compared, in the same order.
        out: a folder.

    Returns:
        The files: comparison.html, .md, .tex, .json, .csv (numbers, a row a run) and comparison-pairs.csv (a row a pair).
    """
    written = {
        "comparison.html": page(found, runs),
        "comparison.md": markdown(found),
        "comparison.tex": latex(found),
        "comparison.csv": _csv([_run_numbers(row) for row in found["runs"]]),
        "comparison-pairs.csv": _csv([_pair_numbers(pair) for pair in found["pairs"]]),
    }
    for name, text in written.items():
        write_text(out / name, text)
    write_json(out / "comparison.json", found)
    return [out / name for name in (*written, "comparison.json")]


def markdown(found: dict[str, Any]) -> str:
    """The tables and notes in GitHub's Markdown."""
    lines = _markdown_table(COLUMNS, texts(found["runs"]))
    if found["pairs"]:
        lines += ["", "Differences, first minus second, with 95 % intervals over patients:", ""]
        lines += _markdown_table(PAIR_COLUMNS, pair_texts(found["pairs"]))
    remarks = [f"{one['a']} and {one['b']} are not paired: {one['reason']}." for one in found["unpaired"]] + found["notes"]
    return "\n".join([*lines, "", *(f"- {_cell(remark)}" for remark in remarks)]).rstrip() + "\n"


def _markdown_table(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *([_cell(row[name]) for name in columns] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _cell(text: str) -> str:
    """Text that neither ends a cell nor is taken for HTML or markup."""
    for sign in "\\|`*_<>[]":
        text = text.replace(sign, f"&#{ord(sign)};" if sign in "<>" else f"\\{sign}")
    return " ".join(text.split(" "))


def latex(found: dict[str, Any]) -> str:
    """Two tables that need LaTeX's package booktabs."""
    blocks = [_latex_table(COLUMNS, texts(found["runs"]))]
    if found["pairs"]:
        blocks.append(_latex_table(PAIR_COLUMNS, pair_texts(found["pairs"])))
    return "\n".join(["% Needs \\usepackage{booktabs}.", *blocks])


def _latex_table(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    body = [" & ".join(escaped(row[name]) for name in columns) + r" \\" for row in rows]
    lines = [
        rf"\begin{{tabular}}{{{'l' * len(columns)}}}",
        r"\toprule",
        " & ".join(escaped(name) for name in columns) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _run_numbers(row: dict[str, Any]) -> dict[str, Any]:
    plain = ("run", "recipe", "data_fingerprint", "part", "folds", "images", "patients")
    cost = ("train_test_gap", "epochs_to_best", "epochs", "seconds", "seconds_per_epoch", "images_per_second")
    own = {"accuracy": row["accuracy"][row["part"]]} | {key: row[key] for key in ("balanced_accuracy", "macro_auroc")}
    others = {f"{split}_accuracy": row["accuracy"].get(split, {}).get("value") for split in ("train", "validation", "test")}
    met = {"targets_met": row["targets_met"]}
    return {key: row[key] for key in plain} | _spread(own, "value") | others | {key: row[key] for key in cost} | met


def _pair_numbers(pair: dict[str, Any]) -> dict[str, Any]:
    measured = {key: pair[key] for key in ("accuracy", "balanced_accuracy", "macro_auroc")}
    p = {f"{key}_{name}": pair[key][name] for key in ("accuracy", "macro_auroc") for name in ("p", "adjusted_p")}
    signs = {f"mcnemar_{key}": value for key, value in pair["mcnemar"].items()}
    areas = {"delong_p": ";".join(f"{label}={one['p']}" for label, one in pair["delong"].items())}
    plain = {key: pair[key] for key in ("a", "b", "images", "patients", "note")}
    return plain | _spread(measured, "difference") | p | signs | areas | {"verdict": pair["verdict"]}


def _spread(found: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """A value and its ends as three columns each."""
    ends = {"": name, "_low": "low", "_high": "high"}
    return {f"{key}{suffix}": one[field] for key, one in found.items() for suffix, field in ends.items()}


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    buffer = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(buffer, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {key: defuse(value) if isinstance(value, str) else value for key, value in row.items()} for row in rows
        )
    return buffer.getvalue()
