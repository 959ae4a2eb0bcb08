"""The house rules: imports point one way, heavy packages stay in their rooms, rooms stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "lungwise"
CORE = {"__init__", "answer", "errors", "files", "labels", "recipe"}
ROOMS = {
    "core": set(),
    "imaging": {"core"},
    "data": {"core", "imaging"},
    "models": {"core"},
    "training": {"core", "imaging", "data", "models"},
    "evaluation": {"core"},
    "bundle": {"core", "imaging"},
    "inference": {"core", "imaging", "bundle"},
    "service": {"core", "imaging", "bundle", "inference"},
    "scale": {"core", "training", "inference"},
    "assembly": {"core", "imaging", "data", "models", "training", "evaluation", "bundle", "inference", "service", "scale"},
}
HOMES = {
    "keras": {"models", "training"},
    "tensorflow": set(),
    "torch": set(),
    "ray": {"scale"},
    **{key: {"service"} for key in ("fastapi", "starlette", "uvicorn", "pydantic_settings", "prometheus_client", "joserfc")},
    "reportlab": set(),
    "matplotlib": set(),
    "onnxruntime": {"inference"},
    "sklearn": {"data"},
    "scipy": {"data", "evaluation"},
    "imagehash": {"data"},
    "polars": {"data", "evaluation", "training", "assembly"},
}
MODULES = sorted(SRC.rglob("*.py"))


def room_of(parts: tuple[str, ...]) -> str:
    """The room of a module inside the package, given its dotted parts below ``lungwise``."""
    if not parts or parts[0] in CORE:
        return "core"
    return parts[0] if parts[0] in ROOMS else "assembly"


def imports(tree: ast.AST, *, top_level: bool) -> Iterator[str]:
    """Names that a module imports; with ``top_level`` only those that run when it is imported."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        if top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        stack += list(ast.iter_child_nodes(node))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(SRC).as_posix())
def test_imports_point_to_the_left_only(module: Path) -> None:
    here = room_of(module.relative_to(SRC).with_suffix("").parts)
    for name in imports(ast.parse(module.read_text()), top_level=False):
        if name.split(".")[0] == "lungwise":
            there = room_of(tuple(name.split(".")[1:]))
            allowed = ROOMS[here] | {here}
            cure = "move the shared part to the left, or put the two together in an assembly module"
            assert there in allowed, f"{module}: the room '{here}' must not import '{there}' ({name}); {cure}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(SRC).as_posix())
def test_heavy_packages_are_imported_at_module_level_only_in_their_rooms(module: Path) -> None:
    here = room_of(module.relative_to(SRC).with_suffix("").parts)
    for name in imports(ast.parse(module.read_text()), top_level=True):
        package = name.split(".")[0]
        if package in HOMES and module.name != "pipeline.py":
            assert here in HOMES[package], f"{module}: import {package} inside the function that needs it"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(SRC).as_posix())
def test_modules_and_functions_are_small(module: Path) -> None:
    text = module.read_text()
    assert len(text.splitlines()) <= 300, f"{module} has more than 300 lines; split it by concept"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = node.body[1].lineno if ast.get_docstring(node) and len(node.body) > 1 else node.body[0].lineno
            lines = (node.end_lineno or start) - start + 1
            assert lines <= 40, f"{module}: {node.name} has {lines} lines below its docstring; take a step out of it"


@pytest.mark.parametrize("statement", ["import lungwise", "import lungwise.cli.main", "import lungwise.inference.predictor"])
def test_light_imports_load_nothing_heavy(statement: str) -> None:
    heavy = {"keras", "tensorflow", "matplotlib", "fastapi", "ray", "sklearn", "scipy"}
    code = f"{statement}; import sys; print(sorted({heavy!r} & set(sys.modules)))"
    reply = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert reply.stdout.strip() == "[]"


def test_version_stands_in_the_changelog() -> None:
    import lungwise

    changelog = (SRC.parents[1] / "CHANGELOG.md").read_text()
    assert f"## {lungwise.__version__}" in changelog, "CHANGELOG.md must have a section for the current version"
