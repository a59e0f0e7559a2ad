"""Turn a configuration section into a frozen dataclass, once, at the edge of a stage.

A settings class is a frozen, keyword-only dataclass; each field is one key. Supported field
types: ``bool``, ``int``, ``float``, ``str``, ``Path``, ``Literal[...]``, ``tuple[T, ...]``, fixed
tuples, ``list[T]``, ``dict[str, T]``, nested settings classes, unions of these with ``None``, and
``Any`` for payloads that go on to :func:`~espnet3.utils.config_utils.instantiate_config`. One field
may be declared with :func:`rest` to collect keys that are passed through to a library.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from espnet3.errors import ConfigError, MissingConfigError, UnknownKeyError, did_you_mean
from espnet3.utils.config_sources import locate
from espnet3.utils.instantiate import to_plain

S = TypeVar("S")

_REST = "espnet3_rest"
_YAML_WORDS = {False: ("off", "no", "false"), True: ("on", "yes", "true")}
"""What YAML reads as a truth value unless it is quoted."""


def rest(doc: str = "", *, names: Collection[str] | None = None) -> Any:
    """Declare the field that takes all keys without a field of their own.

    Args:
        doc: What these keys are.
        names: The keys that may occur, for example the arguments of a library; ``None`` for any.
    """
    return dataclasses.field(default_factory=dict, metadata={_REST: names, "doc": doc})


def parse_settings(section: Any, cls: type[S], *, key: str, file: str | Path | None = None) -> S:
    """Read a section into a settings dataclass.

    A null counts as an absent key, unless the type of its field allows ``None``.

    Args:
        section: Mapping, ``DictConfig`` or ``None`` (all defaults). Never modified.
        cls: Settings class to build.
        key: Dotted key of the section, for messages; ``""`` for the root of a file.
        file: YAML file that holds the section, for messages; a loaded configuration knows better.

    Raises:
        UnknownKeyError: If the section has a key that ``cls`` lacks.
        MissingConfigError: If a key without a default is absent.
        ConfigError: If a value has the wrong type, or ``cls.__post_init__`` refuses it.

    Example:
        >>> @dataclasses.dataclass(frozen=True, kw_only=True)
        ... class Loader:
        ...     batch_size: int = 1
        >>> parse_settings({"batch_size": 8}, Loader, key="dataloader.train").batch_size
        8
    """
    try:
        return _parse(to_plain(section), cls, key, file)
    except ConfigError as error:
        raise _located(error, section, key) from error.__cause__


_type_hints: Callable[[Any], dict[str, Any]] = functools.cache(typing.get_type_hints)


def field_hints(cls: type[Any]) -> dict[str, Any]:
    """Return the keys of a settings class and their types, without the :func:`rest` field."""
    hints = _type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls) if _REST not in f.metadata}


def known_keys(cls: type[Any]) -> frozenset[str] | None:
    """Return all keys that a settings class takes; ``None`` when it takes any."""
    names = set(field_hints(cls))
    for field in dataclasses.fields(cls):
        if _REST in field.metadata:
            if field.metadata[_REST] is None:
                return None
            names.update(field.metadata[_REST])
    return frozenset(names)


def _parse(plain: Any, cls: type[S], key: str, file: str | Path | None) -> S:
    if plain is None:
        plain = {}
    if not isinstance(plain, Mapping):
        raise ConfigError("must be a mapping", key=key, file=file, value=plain)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = _read_values(plain, fields, cls, key, file)
    for name, field in fields.items():
        if name not in values and _has_no_default(field):
            raise MissingConfigError("must be set", key=_join(key, name), file=file)
    try:
        return cls(**values)
    except ConfigError as error:
        # `__post_init__` knows its fields, but not the section that it is built from.
        if error.key in fields and key:
            raise error.at(error.file or file, error.line, key=_join(key, error.key)) from None
        raise
    except ValueError as error:
        raise ConfigError(str(error), key=key, file=file) from error


def _located(error: ConfigError, section: Any, key: str) -> ConfigError:
    """Add file and line to an error about a key of a loaded configuration."""
    name = (error.key or "").removeprefix(key).strip(".")
    place = locate(section, name)
    return error if place is None else error.at(place.file, place.line, hint=place.note)


def _read_values(
    plain: Mapping[Any, Any],
    fields: Mapping[str, dataclasses.Field[Any]],
    cls: type[Any],
    key: str,
    file: str | Path | None,
) -> dict[str, Any]:
    hints, known = field_hints(cls), known_keys(cls)
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in plain.items():
        if known is not None and name not in known:
            raise unknown_key(_join(key, str(name)), known).at(file)
        if name not in hints:
            extra[str(name)] = value
        elif value is not None or _accepts_none(hints[name]):
            values[name] = convert(value, hints[name], key=_join(key, name), file=file)
    rest_name = next((name for name, f in fields.items() if _REST in f.metadata), None)
    return values if rest_name is None else {**values, rest_name: extra}


def convert(value: Any, expected: Any, *, key: str, file: str | Path | None = None) -> Any:
    """Check one value against a type annotation and return it in that type.

    Raises:
        ConfigError: If the value does not fit; the message says what was expected.
    """
    if isinstance(value, str) and value == "???":
        raise MissingConfigError("must be set", key=key, file=file)
    if expected is Any:
        return value
    origin = typing.get_origin(expected)
    if origin in (Union, types.UnionType):
        return _convert_union(value, expected, key, file)
    if origin is Literal:
        return _convert_literal(value, typing.get_args(expected), key, file)
    if origin in (tuple, list):
        return _convert_sequence(value, expected, key, file)
    if origin in (dict, Mapping) or expected is dict:
        return _convert_mapping(value, expected, key, file)
    if dataclasses.is_dataclass(expected):
        return _parse(value, typing.cast(type[Any], expected), key, file)
    return _convert_scalar(value, expected, key, file)


def _convert_scalar(value: Any, expected: Any, key: str, file: str | Path | None) -> Any:
    if expected is Path and isinstance(value, str | Path):
        return Path(value)
    # bool is an int in Python, but `batch_size: true` is a mistake.
    if expected is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if expected is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if expected in (str, bool) and isinstance(value, expected):
        return value
    name = getattr(expected, "__name__", str(expected))
    raise ConfigError(
        f"expected {name}, got {type(value).__name__}", key=key, file=file, value=value
    )


def _convert_union(value: Any, expected: Any, key: str, file: str | Path | None) -> Any:
    options = typing.get_args(expected)
    if value is None and type(None) in options:
        return None
    failures: list[ConfigError] = []
    for option in options:
        if option is type(None):
            continue
        try:
            return convert(value, option, key=key, file=file)
        except ConfigError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    wanted = " or ".join("null" if o is type(None) else _type_name(o) for o in options)
    raise ConfigError(f"expected {wanted}", key=key, file=file, value=value)


def _convert_literal(
    value: Any, choices: tuple[Any, ...], key: str, file: str | Path | None
) -> Any:
    if value in choices and type(value) in {type(c) for c in choices}:
        return value
    if isinstance(value, bool):
        words = _YAML_WORDS[value]
        word = next((word for word in words if word in choices), None)
        if word is not None:
            return word
        hint: str | None = f"YAML reads {', '.join(words)} without quotes as {str(value).lower()}"
    else:
        hint = did_you_mean(str(value), map(str, choices))
    names = ", ".join(map(str, choices))
    raise ConfigError(f"must be one of {names}", key=key, file=file, value=value, hint=hint)


def _convert_sequence(value: Any, expected: Any, key: str, file: str | Path | None) -> Any:
    if not isinstance(value, list | tuple):
        raise ConfigError("must be a list", key=key, file=file, value=value)
    origin, args = typing.get_origin(expected), typing.get_args(expected)
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        if len(value) != len(args):
            raise ConfigError(f"must have {len(args)} items", key=key, file=file, value=value)
        item_types: list[Any] = list(args)
    else:
        item_types = [args[0]] * len(value)
    items = [
        convert(item, kind, key=f"{key}[{i}]", file=file)
        for i, (item, kind) in enumerate(zip(value, item_types, strict=True))
    ]
    return tuple(items) if origin is tuple else items


def _convert_mapping(value: Any, expected: Any, key: str, file: str | Path | None) -> Any:
    if not isinstance(value, Mapping):
        raise ConfigError("must be a mapping", key=key, file=file, value=value)
    args = typing.get_args(expected)
    kind = args[1] if args else Any
    return {str(k): convert(v, kind, key=_join(key, str(k)), file=file) for k, v in value.items()}


def _type_name(expected: Any) -> str:
    """Name a type as a user of YAML would."""
    origin = typing.get_origin(expected) or expected
    if origin is Literal:
        return ", ".join(map(str, typing.get_args(expected)))
    if origin in (dict, Mapping) or dataclasses.is_dataclass(origin):
        return "a mapping"
    if origin in (list, tuple):
        return "a list"
    return str(getattr(origin, "__name__", origin))


def unknown_key(key: str, known: Collection[str]) -> UnknownKeyError:
    """Return the error for a dotted key that is not one of the ``known`` names of its section."""
    name = key.rpartition(".")[2]
    hint = did_you_mean(name, known) or "valid keys: " + ", ".join(sorted(known))
    return UnknownKeyError("is not a key that anything reads", key=key, hint=hint)


def _accepts_none(hint: Any) -> bool:
    return hint is Any or hint is None or type(None) in typing.get_args(hint)


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
