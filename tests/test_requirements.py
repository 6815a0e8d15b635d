"""setup.cfg lists exactly what the package imports, so that a fresh installation works and carries nothing for show."""

import ast
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SOURCE = Path(__file__).parents[1] / "src" / "synthforge_hf"
USED_BY_OTHERS = {"tensorboard"}  # accelerate's tracker imports it when training logs
OPTIONAL = {"pytorch3d", "ray"}  # imported only where the extra is installed


def imported_packages() -> set[str]:
    names: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - OPTIONAL - {"synthforge_hf"}


def test_requirements_are_what_is_imported() -> None:
    providers = metadata.packages_distributions()
    imported = {canonicalize_name(name) for package in imported_packages() for name in providers[package]}
    listed = [Requirement(line) for line in metadata.requires("synthforge_hf") or []]
    required = {canonicalize_name(each.name) for each in listed if each.marker is None}
    assert required - USED_BY_OTHERS == imported
