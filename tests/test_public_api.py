"""Public names and their parameters are promises: who changes one changes the list beside this file too.

After a change that is meant: python tests/test_public_api.py
"""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import synthforge_hf

SURFACE = Path(__file__).parent / "api_surface.json"


def describe(value: object) -> object:
    """Return what users rely on: a function's parameters, a class's parameters and members, a constant's value."""
    if inspect.isfunction(value):
        return list(inspect.signature(value).parameters)
    if inspect.isclass(value) and issubclass(value, Exception):
        return [base.__name__ for base in value.__bases__]
    if inspect.isclass(value):
        methods = [name for name in vars(value) if not name.startswith("_")]
        return {"parameters": list(inspect.signature(value).parameters), "members": sorted(methods)}
    return value if isinstance(value, str) else list(value)  # type: ignore[call-overload]


def surface() -> dict[str, object]:
    names = [name for name in synthforge_hf.__all__ if name != "__version__"]
    return {name: describe(getattr(synthforge_hf, name)) for name in names}


def test_public_names_and_parameters_are_as_promised() -> None:
    assert json.loads(json.dumps(surface())) == json.loads(SURFACE.read_text())


def test_dir_lists_every_public_name() -> None:
    assert set(synthforge_hf.__all__) <= set(dir(synthforge_hf))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'paint'"):
        synthforge_hf.paint  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    """The lazy table and the imports under TYPE_CHECKING must not drift apart."""
    text = Path(synthforge_hf.__file__).read_text()
    typed = {line.split(" as ")[1].strip() for line in text.splitlines() if " as " in line and "import" in line}
    assert typed == set(synthforge_hf.__all__) - {"__version__"}


def test_import_alone_teaches_the_auto_classes_our_models() -> None:
    code = (
        "import synthforge_hf, sys\n"
        "assert 'transformers' not in sys.modules\n"
        "from transformers import AutoConfig, AutoModel, AutoImageProcessor\n"
        "path = synthforge_hf.pretrained()['mini']\n"
        "print(*(type(auto.from_pretrained(path)).__name__ for auto in (AutoConfig, AutoModel, AutoImageProcessor)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["SynthForgeConfig", "SynthForgeModel", "SynthForgeImageProcessor"], result.stderr


def test_importing_transformers_first_works_too() -> None:
    code = (
        "from transformers import AutoConfig; import synthforge_hf\n"
        "print(type(AutoConfig.from_pretrained(synthforge_hf.pretrained()['mini'])).__name__)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["SynthForgeConfig"], result.stderr


if __name__ == "__main__":
    SURFACE.write_text(json.dumps(surface(), indent=1) + "\n")
