"""Check what stands beside each ``_target_`` against the source of the target."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError, MissingConfigError, UnknownKeyError, did_you_mean
from espnet3.utils.config_merge import walk
from espnet3.utils.config_sources import indexed_key
from espnet3.utils.import_utils import import_object
from espnet3.utils.slot_schema import (
    ARGUMENTS,
    CALLS,
    REST_ARGUMENTS,
    SLOT_KEYS,
    TARGET_SETTINGS,
    Argument,
    Call,
)
from espnet3.utils.source_signatures import Signature, find_signature
from espnet3.utils.value_checks import build_section, check_value, is_open
from espnet3.utils.value_ranges import check_argument_range

BUILD_KEYS = ("_target_", "_convert_", "_partial_", "_recursive_", "_args_")
"""Keys of a ``_target_`` mapping that say how to build it."""

_UNREAD = "is not a key that anything reads"


def check_calls(plain: Mapping[Any, Any], slot: str) -> Iterator[ConfigError]:
    """Check the arguments of every ``_target_``, ``type`` and ``func`` of a configuration.

    Args:
        plain: Raw or resolved content of a slot.
        slot: Name of the slot without ``_config``.
    """
    for path, node in [("", plain), *walk(plain)]:
        if not isinstance(node, Mapping):
            continue
        yield from _check_build_keys(node, path)
        target = node.get("_target_")
        if isinstance(target, str) and not is_open(target):
            yield from _check_target(node, target, path, _find_call(path, slot))
    if slot == "training":
        yield from _check_text_builder(plain)


def check_function(
    node: Mapping[Any, Any],
    path: str,
    key: str,
    *,
    supplied: tuple[str, ...] = (),
    root: Path | None = None,
) -> Iterator[ConfigError]:
    """Check that the keys of a mapping are arguments of a function or class.

    Args:
        node: Mapping of arguments.
        path: Dotted path of the function.
        key: Dotted key of the mapping, in the form ``a.0.b``.
        supplied: Arguments that come from elsewhere when the mapping lacks them.
        root: Folder that goes before the import path.
    """
    signature = find_signature(path, root=root)
    if signature is None:
        return
    found = list(_check_keys(node, signature, path, key, Call(extra=dict.fromkeys(supplied, Any))))
    lacking = [n for n in signature.required if n not in node and n not in supplied]
    if lacking and not _has_unknown(found):
        found.append(_lacks(lacking, path, key))
    yield from found


def _find_call(path: str, slot: str) -> Call | None:
    """Return what is known about how the mapping at ``path`` is built."""
    for pattern, call in CALLS.items():
        if re.fullmatch(pattern, f"{slot}:{path}"):
            return call
    is_ours = path.partition(".")[0] in SLOT_KEYS.get(slot, {})
    return Call() if is_ours else None


def _check_build_keys(node: Mapping[Any, Any], path: str) -> Iterator[ConfigError]:
    for name in map(str, node):
        if name.startswith("_") and name not in BUILD_KEYS:
            hint = did_you_mean(name, BUILD_KEYS)
            if hint is not None:
                yield UnknownKeyError(_UNREAD, key=_key(path, name), hint=hint)


def _check_target(
    node: Mapping[Any, Any], target: str, path: str, call: Call | None
) -> Iterator[ConfigError]:
    signature = find_signature(target)
    if signature is None:
        return
    found = list(_check_keys(node, signature, target, path, call or Call()))
    if call is not None and not _has_unknown(found):
        found += _check_required(node, signature, target, path, call)
    for name, argument in ARGUMENTS.get(signature.owner, {}).items():
        found += _check_argument(node.get(name), argument, f"{path}.{name}")
    settings = TARGET_SETTINGS.get(signature.owner)
    if settings is not None and not found:
        found += build_section(_arguments(node), import_object(settings), path)
    yield from found


def _check_keys(
    node: Mapping[Any, Any], signature: Signature, target: str, path: str, call: Call
) -> Iterator[ConfigError]:
    framework = {*signature.parameters} & {*call.supplied} - {*call.extra}
    framework.update([n for n in signature.required[: call.num_positional]])
    names = [n for n in signature.parameters if n not in framework]
    rest = REST_ARGUMENTS.get(signature.owner)
    if rest is not None:
        names += [n for n in import_object(rest) if n not in names]
    for name, value in _arguments(node).items():
        key = _key(path, name)
        if name in call.extra:
            yield from check_value(value, call.extra[name], key)
            if name == call.groups:
                yield from _check_groups(value, signature, target, f"{path}.{name}")
        elif name in framework:
            yield UnknownKeyError(
                f"is given to {target} by the framework", key=key, hint="remove it"
            )
        elif name in signature.parameters:
            yield from _check_parameter(value, signature, name, key)
        elif name not in names and (rest is not None or not signature.takes_any):
            known = [*names, *call.extra]
            hint = did_you_mean(name, known) or "it takes: " + ", ".join(known)
            yield UnknownKeyError(f"is not an argument of {target}", key=key, hint=hint)


def _check_groups(
    groups: Any, signature: Signature, target: str, path: str
) -> Iterator[ConfigError]:
    """Check the options of each parameter group; they are arguments of the optimizer."""
    for index, group in enumerate(groups if isinstance(groups, list) else []):
        if isinstance(group, Mapping):
            options = {k: v for k, v in group.items() if k != "params"}
            call = Call(num_positional=1)
            yield from _check_keys(options, signature, target, f"{path}.{index}", call)


def _check_parameter(
    value: Any, signature: Signature, name: str, key: str
) -> Iterator[ConfigError]:
    is_ours = signature.owner.startswith("espnet3.")
    is_needed = name in signature.plain or (is_ours and not signature.allows_null(name))
    if value is None and is_needed:
        has_default = name not in signature.required
        hint = "remove the key to get the default" if has_default else None
        yield ConfigError("must not be null", key=key, hint=hint)
    elif not isinstance(value, Mapping) or "_target_" not in value:
        found = list(check_value(value, signature.parameters[name], key))
        yield from found or check_argument_range(value, signature.owner, name, key)


def _check_required(
    node: Mapping[Any, Any], signature: Signature, target: str, path: str, call: Call
) -> Iterator[ConfigError]:
    if node.get("_partial_") or node.get("_args_") or call.is_partly_known:
        return
    given = {*node, *call.supplied, *call.extra, *signature.required[: call.num_positional]}
    lacking = [name for name in signature.required if name not in given]
    if lacking:
        yield _lacks(lacking, target, path)


def _check_argument(value: Any, argument: Argument, path: str) -> Iterator[ConfigError]:
    if value is None or is_open(value):
        return
    key = indexed_key(path)
    if argument.settings is not None:
        items = types.GenericAlias(list, (import_object(argument.settings),))
        yield from check_value(value, items, key)
    elif not isinstance(value, Mapping):
        yield ConfigError("must be a mapping", key=key, value=value)
    elif "_target_" in value:
        return
    elif argument.function is not None:
        yield from check_function(value, argument.function, path)
    elif argument.types is not None:
        yield from _check_typed(value, argument, path)


def _check_typed(value: Mapping[Any, Any], argument: Argument, path: str) -> Iterator[ConfigError]:
    module, _, role = typing.cast(str, argument.types).rpartition(".")
    table: Mapping[str, str] = import_object(module)[role]
    name = value.get("type")
    if is_open(name):
        return
    misspelt = difflib.get_close_matches("type", map(str, value), n=1)
    if name is None and misspelt:
        hint = 'did you mean "type"?'
        yield UnknownKeyError(_UNREAD, key=_key(path, misspelt[0]), hint=hint)
    elif not isinstance(name, str) or name not in table:
        hint = did_you_mean(str(name), table) or "known types: " + ", ".join(table)
        key = _key(path, "type")
        if name is None:
            yield MissingConfigError("must be set", key=key, hint=hint)
        else:
            yield ConfigError("is not a known type", key=key, value=name, hint=hint)
    else:
        arguments = {k: v for k, v in value.items() if k != "type"}
        yield from check_function(arguments, table[name], path, supplied=argument.follows)


def _check_text_builder(plain: Mapping[Any, Any]) -> Iterator[ConfigError]:
    section = plain.get("tokenizer")
    node = section.get("text_builder") if isinstance(section, Mapping) else None
    if not isinstance(node, Mapping):
        return
    function = node.get("func")
    if node and function is None:
        hint = next((h for h in (did_you_mean(str(n), ["func"]) for n in node) if h), None)
        yield MissingConfigError("must be set", key="tokenizer.text_builder.func", hint=hint)
    elif isinstance(function, str) and not is_open(function):
        arguments = {k: v for k, v in node.items() if k != "func"}
        yield from check_function(arguments, function, "tokenizer.text_builder")


def _has_unknown(found: list[ConfigError]) -> bool:
    """Tell whether a key is unknown; it may be a misspelt one that is required."""
    return any(isinstance(error, UnknownKeyError) for error in found)


def _lacks(names: list[str], target: str, path: str) -> ConfigError:
    word = "arguments" if len(names) > 1 else "argument"
    return MissingConfigError(
        f"{target} needs the {word} {', '.join(names)}", key=indexed_key(path)
    )


def _arguments(node: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(k): v for k, v in node.items() if k not in BUILD_KEYS and k[:1] != "_"}


def _key(path: str, name: str) -> str:
    return indexed_key(f"{path}.{name}" if path else name)
