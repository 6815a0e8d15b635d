"""YAML files read strictly into nested frozen dataclasses: a typing mistake is an error, never a silently ignored line.

A field may be ``float``, ``int``, ``str``, ``bool``, ``Literal[...]``, a nested dataclass, ``dict[str, X]``,
``X | None``, ``tuple[X, ...]`` or a tuple of fixed length. ``tuple[float, float]`` and ``tuple[int, int]`` are ranges:
low must not exceed high.
"""

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from synthforge_hf.errors import UsageError

T = TypeVar("T")


class _UniqueKeyLoader(yaml.SafeLoader):
    """Plain YAML keeps the last of two equal keys without a word; here that is an error.

    So are aliases (``*name``): a few lines of them can stand for billions of values.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()
            problem = f"aliases (*{event.anchor}) are not read here: write the value out"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool):
                continue
            if key in seen:
                problem = f"the key '{key}' appears twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML file that holds a mapping. Raises UsageError naming the file (and line) otherwise."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} must hold a mapping of keys to values, not {_describe(content)}")
    return content


def from_mapping(cls: type[T], mapping: Any, where: str = "") -> T:
    """Build the dataclass ``cls`` from a mapping as YAML gives it. ``where`` is the path of keys so far, for messages.

    Fields that the mapping leaves out take their defaults. Raises UsageError for an unknown or missing key, a wrong
    type, an impossible range, and whatever the dataclass itself refuses in ``__post_init__`` (as ValueError).
    """
    if not isinstance(mapping, Mapping):
        raise UsageError(f"{where or cls.__name__} must be a mapping of keys to values, not {_describe(mapping)}")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    check_keys(mapping, fields, where)
    hints = typing.get_type_hints(cls)
    values = {name: _convert(hints[name], value, _join(where, name)) for name, value in mapping.items()}
    for name, field in fields.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and name not in values:
            raise UsageError(f"the key {_join(where, name)} is missing")
    try:
        return cls(**values)
    except UsageError as error:
        raise UsageError(f"{where}: {error}" if where else str(error)) from error
    except ValueError as error:
        raise UsageError(f"{where or cls.__name__}: {error}") from error


def to_mapping(value: Any) -> Any:
    """Turn a dataclass back into plain YAML/JSON values; ``from_mapping`` of the result gives the same dataclass."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_mapping(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, Mapping):
        return {str(key): to_mapping(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_mapping(item) for item in value]
    return value


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a plain value: sorted keys, no spaces, shortest exact floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def check_keys(mapping: Mapping[Any, Any], valid: typing.Iterable[str], where: str) -> None:
    """Raise UsageError for the first key that is not valid, naming the nearest that is."""
    valid = list(valid)
    for key in mapping:
        if key not in valid:
            nearest = difflib.get_close_matches(str(key), valid, n=1, cutoff=0.0)
            hint = f"; did you mean {_join(where, nearest[0])}?" if nearest else ""
            raise UsageError(
                f"unknown key {_join(where, key)}{hint} (valid here: {', '.join(sorted(valid)) or 'none'})"
            )


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_mapping(hint, value, where)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(argument for argument in arguments if argument is not type(None)), value, where)
    if origin is typing.Literal:
        if value not in arguments or isinstance(value, bool) != isinstance(arguments[0], bool):
            raise UsageError(f"{where} must be one of {', '.join(map(str, arguments))}, not {_describe(value)}")
        return value
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if origin in (dict, Mapping, types.MappingProxyType) or hint is dict:
        if not isinstance(value, Mapping):
            raise UsageError(f"{where} must be a mapping of keys to values, not {_describe(value)}")
        item_hint = arguments[1] if arguments else Any
        return {_convert(str, key, where): _convert(item_hint, item, _join(where, key)) for key, item in value.items()}
    return _convert_scalar(hint, value, where)


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    is_range = arguments in ((float, float), (int, int))
    any_length = len(arguments) == 2 and arguments[1] is Ellipsis
    if not isinstance(value, list | tuple) or not (any_length or len(value) == len(arguments)):
        wanted = "[low, high]" if is_range else "a list" if any_length else f"a list of {len(arguments)} values"
        raise UsageError(f"{where} must be {wanted}, not {_describe(value)}")
    if any_length:
        return tuple(_convert(arguments[0], item, f"{where}[{number}]") for number, item in enumerate(value))
    items = tuple(
        _convert(hint, item, f"{where}[{n}]") for n, (hint, item) in enumerate(zip(arguments, value, strict=True))
    )
    if is_range and items[0] > items[1]:
        raise UsageError(f"{where} is [{items[0]}, {items[1]}]: the low end is above the high end")
    return items


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise UsageError(f"{where} must be a finite number, not {_describe(value)}")
        return number
    if hint in (int, str, bool) and type(value) is hint:
        return value
    names = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}
    if hint not in names:
        raise TypeError(f"{where}: strict_yaml does not know fields of type {hint}")
    raise UsageError(f"{where} must be {names[hint]}, not {_describe(value)}")


def _join(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _describe(value: Any) -> str:
    kinds = {str: "text", bool: "boolean", int: "number", float: "number", list: "list", dict: "mapping"}
    if value is None:
        return "nothing"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({kinds.get(type(value), type(value).__name__)})"
