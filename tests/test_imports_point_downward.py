"""The house has floors: a module imports only from its own folder and from folders above it in this list."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "synthforge_hf"
EVERYWHERE = {
    "checkpoints",
    "converted_folder",
    "errors",
    "image_limits",
    "randomness",
    "segmentation_classes",
    "unpickling",
    "warp_runtime",
}
ORDER = [
    "heads",
    "rendering",
    "generators",
    "annotation",
    "testing",
    "data",
    "models",
    "training",
    "realism",
    "evaluation",
    "hub",
    "doctor",
    "cli",
    "__main__",
]
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"
)  # public names come from everywhere


def imported_names(tree: ast.Module, module: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the dotted path, below the package, of all of ours that a module imports, at any depth of code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ["synthforge_hf", *module[: len(module) - node.level]] if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        else:
            continue
        yield from (tuple(name[1:]) for name in names if name[0] == "synthforge_hf" and len(name) > 1)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_from_above(path: Path) -> None:
    module = path.relative_to(PACKAGE).with_suffix("").parts
    floor = module[0]
    assert floor in EVERYWHERE or floor in ORDER, f"{floor} has no place in the house yet; give it one in this test"
    allowed = EVERYWHERE | {"__version__"}
    if floor in ORDER:
        allowed |= set(ORDER[: ORDER.index(floor) + 1])
    wrong = {".".join(name) for name in imported_names(ast.parse(path.read_text()), module) if name[0] not in allowed}
    assert not wrong, f"{'/'.join(module)}.py may not import {sorted(wrong)}"


def test_the_check_sees_every_form_of_import() -> None:
    code = """
import os, synthforge_hf.cli
from synthforge_hf import hub
def function():
    from ..data.schema import field
    from . import neighbour
"""
    found = set(imported_names(ast.parse(code), ("models", "registration")))
    assert found == {("cli",), ("hub",), ("data", "schema", "field"), ("models", "neighbour")}
