"""Check raw plain values against type annotations and settings classes, as far as known."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Union

from espnet3.errors import ConfigError
from espnet3.utils.config_merge import walk
from espnet3.utils.settings import convert, field_hints, known_keys, parse_settings, unknown_key


def is_open(value: Any) -> bool:
    """Tell whether a raw value is an interpolation or a mandatory value that is missing."""
    return isinstance(value, str) and ("${" in value or value == "???")


def check_value(value: Any, hint: Any, key: str) -> Iterator[ConfigError]:
    """Check a plain value against a type annotation; null and interpolations always fit.

    Args:
        value: Raw plain containers.
        hint: Annotation, as in a settings class.
        key: Dotted key, for messages.
    """
    if value is None or is_open(value) or hint is Any:
        return
    if typing.get_origin(hint) in (Union, types.UnionType):
        yield from _check_union(value, hint, key)
        return
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        yield from _check_section(value, typing.cast(type[Any], hint), key)
    elif typing.get_origin(hint) in (list, tuple) and isinstance(value, list):
        if _has_wrong_length(value, hint):
            yield from _convert_error(value, hint, key)
            return
        for index, item in enumerate(value):
            yield from check_value(item, _item_hint(hint, index), f"{key}[{index}]")
    elif typing.get_origin(hint) in (dict, Mapping) and isinstance(value, dict):
        for name, item in value.items():
            yield from check_value(item, typing.get_args(hint)[1], f"{key}.{name}")
    else:
        yield from _convert_error(value, hint, key)


def build_section(value: Any, cls: type[Any], key: str) -> Iterator[ConfigError]:
    """Check a section as its reader will; one with unknown values is left alone.

    Args:
        value: Plain containers.
        cls: Settings class of the section.
        key: Dotted key of the section, for messages.
    """
    if any(is_open(child) for _, child in walk(value)):
        return
    try:
        parse_settings(value, cls, key=key)
    except ConfigError as error:
        yield error


def _convert_error(value: Any, hint: Any, key: str) -> Iterator[ConfigError]:
    try:
        convert(value, hint, key=key)
    except ConfigError as error:
        yield error


def _check_union(value: Any, hint: Any, key: str) -> Iterator[ConfigError]:
    options = [option for option in typing.get_args(hint) if option is not type(None)]
    failures = [list(check_value(value, option, key)) for option in options]
    if all(failures):
        # What was meant is the option that fails deepest inside the value.
        deepest = max(failures, key=lambda errors: len(errors[0].key or ""))
        if deepest[0].key == key:
            yield from _convert_error(value, hint, key)
        else:
            yield from deepest


def _check_section(value: Mapping[Any, Any], cls: type[Any], key: str) -> Iterator[ConfigError]:
    hints, known = field_hints(cls), known_keys(cls)
    found: list[ConfigError] = []
    for name, item in value.items():
        if name in hints:
            found += check_value(item, hints[name], f"{key}.{name}")
        elif known is not None and name not in known:
            found.append(unknown_key(f"{key}.{name}", known))
    yield from found or build_section(value, cls, key)


def _has_wrong_length(value: list[Any], hint: Any) -> bool:
    args = typing.get_args(hint)
    is_fixed = typing.get_origin(hint) is tuple and args[-1] is not Ellipsis
    return is_fixed and len(args) != len(value)


def _item_hint(option: Any, index: int) -> Any:
    args = typing.get_args(option)
    return args[min(index, len(args) - 1)] if args[-1] is not Ellipsis else args[0]
