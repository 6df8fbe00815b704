"""The house's one rule, kept true: imports run one way, and each heavy library lives in one wing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WINGS = ["hall", "engine", "jobs", "web", "doors"]  # each may import itself and what stands before it
DOORS = (
    "__main__.py", "drawing_commands.py", "models_command.py", "notebook.py", "served.py", "cells.py",
    "panel.py", "plots.py", "__init__.py",
)  # fmt: skip
HOME = {"torch": "engine", "diffusers": "engine", "transformers": "engine", "flask": "web", "cheroot": "web", "sqlalchemy": "jobs"}
FILES = sorted((ROOT / "webapp").rglob("*.py"))


def wing(module: Path) -> str:
    first = module.relative_to(ROOT / "webapp").parts[0]
    return "doors" if first in DOORS else first if "." not in first else "hall"


def imports(module: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


@pytest.mark.parametrize("module", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(module):
    here = WINGS.index(wing(module))
    for name in imports(module):
        parts = name.split(".")
        if parts[0] == "webapp" and len(parts) > 1:
            there = ROOT / "webapp" / parts[1]
            other = wing(there if there.is_dir() else there.with_suffix(".py")) if parts[1] != "__version__" else "hall"
            assert WINGS.index(other) <= here, f"{module.name} imports {name}"
        if parts[0] in HOME:
            assert wing(module) == HOME[parts[0]] or (wing(module) == "doors" and parts[0] == "flask"), f"{module.name} imports {name}"


def test_every_module_says_what_it_is():
    for module in FILES:
        assert ast.get_docstring(ast.parse(module.read_text())), module
