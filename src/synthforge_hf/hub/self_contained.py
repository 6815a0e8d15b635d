"""Repositories that need no ``synthforge_hf``: the model's own modules, laid flat, for ``trust_remote_code=True``.

transformers fetches the files that a repository's module imports by ``from .name import``, all from one folder. So
every module that the model needs is copied there under one flat name, its imports of this package rewritten, nothing
else.
"""

import ast
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from synthforge_hf import __version__
from synthforge_hf.checkpoints import pretrained
from synthforge_hf.errors import UsageError
from synthforge_hf.hub.contents import Contents, LocalFile

PACKAGE = "synthforge_hf"
DETECTOR_FOLDER = "detector"
TASK = "remote-face-analysis"
"""Not "face-analysis": a repository's own task of that name would shadow the one that this package registers."""

_PIPELINE = f"{PACKAGE}.hub.self_contained_pipeline"


def code_files(contents: Contents) -> dict[str, LocalFile]:
    """Return the files that make a model's repository self-contained: code, face detector, and configurations that
    point to the code. Raises UsageError when the model is not one of this package.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    config_class = type(AutoConfig.from_pretrained(contents.folder))
    if not config_class.__module__.startswith(f"{PACKAGE}."):
        raise UsageError(f"--with-code: {contents.folder} is no model of this package; push it without")
    model_class: Any = MODEL_MAPPING[config_class]
    auto_map = {"AutoConfig": _reference(config_class), "AutoModel": _reference(model_class)}
    modules = [config_class.__module__, model_class.__module__]
    configuration = dict(contents.configuration)
    files: dict[str, LocalFile] = {}
    if "preprocessor_config.json" in contents.files:
        from transformers import AutoImageProcessor

        processor_class = type(AutoImageProcessor.from_pretrained(contents.folder))
        auto_map["AutoImageProcessor"] = _reference(processor_class)
        preprocessing = json.loads(contents.files["preprocessor_config.json"].read())
        preprocessing["auto_map"] = {"AutoImageProcessor": _reference(processor_class)}
        files["preprocessor_config.json"] = _as_json(preprocessing)
        modules += [processor_class.__module__, _PIPELINE]
        configuration["custom_pipelines"] = {
            TASK: {
                "impl": f"{flat_name(_PIPELINE)}.SelfContainedFaceAnalysisPipeline",
                "pt": ["AutoModel"],
                "type": "image",
            }
        }
        detector = Path(pretrained()["detector"])
        files |= {
            f"{DETECTOR_FOLDER}/{name}": LocalFile(detector / name) for name in ("config.json", "model.safetensors")
        }
    configuration["auto_map"] = auto_map
    files["config.json"] = _as_json(configuration)
    return files | {f"{flat_name(name)}.py": LocalFile(content=_flat(name)) for name in sorted(_closure(modules))}


def flat_name(module: str) -> str:
    """Return the name of a module of this package among the files of a repository."""
    return module.removeprefix(f"{PACKAGE}.").replace(".", "_")


def _reference(class_: type) -> str:
    return f"{flat_name(class_.__module__)}.{class_.__name__}"


def _as_json(content: dict[str, Any]) -> LocalFile:
    return LocalFile(content=(json.dumps(content, indent=2) + "\n").encode())


def _closure(modules: list[str]) -> set[str]:
    """Return the modules and all of this package that they import, at whatever depth."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for node in _own_imports(ast.parse(_source(name))):
            waiting += [target for target, _, _ in _targets(node)]
    return found


def _own_imports(tree: ast.AST) -> list[ast.ImportFrom]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == PACKAGE
    ]


def _targets(node: ast.ImportFrom) -> list[tuple[str, str | None, str]]:
    """Return (module, name in it or None for the module itself, name it gets) of everything one import brings."""
    targets: list[tuple[str, str | None, str]] = []
    for alias in node.names:
        inner = f"{node.module}.{alias.name}"
        is_module = node.module is not None and _is_package(node.module) and find_spec(inner) is not None
        name = alias.asname or alias.name
        targets.append((inner, None, name) if is_module else (str(node.module), alias.name, name))
    return targets


def _flat(module: str) -> bytes:
    """Return a module's code with its imports of this package turned into imports of files beside it."""
    text = _source(module)
    lines = text.splitlines()
    for node in sorted(_own_imports(ast.parse(text)), key=lambda each: each.lineno, reverse=True):
        indent = " " * node.col_offset
        lines[node.lineno - 1 : node.end_lineno] = [f"{indent}{line}" for line in _rewritten(node)]
    header = f"# Part of synthforge_hf {__version__}, Apache License 2.0."
    return "\n".join([header, *lines, ""]).encode()


def _rewritten(node: ast.ImportFrom) -> list[str]:
    lines = []
    for target, name, own in _targets(node):
        flat = flat_name(target)
        if name is None:
            # transformers looks for files in lines of the first form only
            lines += [f"from .{flat} import __name__ as _", f"from . import {flat} as {own}"]
        else:
            lines.append(f"from .{flat} import {name}" + (f" as {own}" if own != name else ""))
    return lines


def _source(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    return Path(spec.origin).read_text(encoding="utf-8")


def _is_package(module: str) -> bool:
    spec = find_spec(module)
    return spec is not None and spec.submodule_search_locations is not None
