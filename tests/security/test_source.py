"""The package's own source opens no door: no pickles, no code from files, no archives, no unsafe YAML, no shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDERS = ("src", "examples", "dataset_builder", "tools", "benchmarks")

UNPICKLING = "src/synthforge_hf/unpickling/"
"""The one place that may read pickles: it is the restricted reader."""

PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
ARCHIVES = {"tarfile", "zipfile"}
CODE = {"eval", "exec", "compile", "__import__"}


def sources(repository: Path) -> list[tuple[str, ast.Module]]:
    paths = [path for folder in FOLDERS for path in sorted((repository / folder).rglob("*.py"))]
    return [(path.relative_to(repository).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def dotted(node: ast.expr) -> str:
    """Return "a.b.c" for such an expression, and a part of it for others."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imported(tree: ast.Module) -> set[str]:
    """Return the modules that something is imported from; names of errors do not count."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not all(alias.name.endswith("Error") for alias in node.names):
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


def faults(name: str, tree: ast.Module) -> Iterator[str]:
    """Yield what a source file must not do."""
    modules = imported(tree)
    if not name.startswith(UNPICKLING):
        yield from (f"imports {module}" for module in sorted(modules & PICKLES))
    yield from (f"imports {module}: nothing is unpacked here" for module in sorted(modules & ARCHIVES))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called, line = dotted(node.func), f"line {node.lineno}"
        options = {word.arg: word.value for word in node.keywords}

        def is_set(option: str, value: object, options: dict[str | None, ast.expr] = options) -> bool:
            given = options.get(option)
            return isinstance(given, ast.Constant) and given.value is value

        if called == "torch.load" and not is_set("weights_only", True):
            yield f"{line}: torch.load without weights_only=True"
        if called in ("np.load", "numpy.load") and "allow_pickle" in options and not is_set("allow_pickle", False):
            yield f"{line}: numpy.load with allow_pickle"
        if called.endswith((".unpack_archive", ".extractall")):
            yield f"{line}: unpacks an archive"
        if called.startswith("yaml.") and "load" in called and called not in ("yaml.safe_load", "yaml.load"):
            yield f"{line}: {called} is not safe"
        if called == "yaml.load" and dotted(options.get("Loader", ast.Constant(None))) != "_UniqueKeyLoader":
            yield f"{line}: yaml.load without the strict loader"
        if called in CODE:
            yield f"{line}: runs code with {called}"
        if called in ("os.system", "os.popen") or is_set("shell", True):
            yield f"{line}: runs a shell"
        if is_set("trust_remote_code", True):
            yield f"{line}: runs code of a repository"


def test_the_source_opens_no_door(repository: Path) -> None:
    found = sources(repository)
    assert len(found) > 100
    assert [f"{name}: {fault}" for name, tree in found for fault in faults(name, tree)] == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "torch.load('weights.bin')",
        "torch.load('weights.bin', weights_only=False)",
        "np.load('array.npy', allow_pickle=True)",
        "import tarfile",
        "shutil.unpack_archive('data.zip')",
        "yaml.load(text, Loader=yaml.FullLoader)",
        "yaml.unsafe_load(text)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_the_search_finds_what_it_is_for(line: str) -> None:
    assert list(faults("src/synthforge_hf/some.py", ast.parse(line)))


def test_the_strict_loader_is_a_safe_one() -> None:
    import yaml

    from synthforge_hf.data.strict_yaml import _UniqueKeyLoader

    assert issubclass(_UniqueKeyLoader, yaml.SafeLoader)
