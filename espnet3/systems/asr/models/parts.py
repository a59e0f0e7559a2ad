"""Short names for the parts of an ASR model."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from typing import Any

from torch import nn

from espnet3.components import layers
from espnet3.errors import ConfigError, MissingConfigError, UnknownKeyError, did_you_mean
from espnet3.systems.asr.settings import PART_TYPES
from espnet3.utils.instantiate import to_plain
from espnet3.utils.settings import convert

# Arguments that follow from the part before; a configuration need not repeat them.
_SIZE_ARGUMENTS = ("input_size", "feat_dim")


def build_part(role: str, spec: Any, *, feature_size: int | None = None) -> nn.Module | None:
    """Build one part of a model.

    Args:
        role: ``frontend``, ``specaug``, ``normalize`` or ``encoder``.
        spec: ``None``, a module, or a mapping with ``type`` and the arguments of that type.
        feature_size: Features per frame that reach the part, if known. Fills ``input_size`` or
            ``feat_dim`` where the mapping does not give them.

    Returns:
        The module, or ``None`` for an absent part.

    Raises:
        ConfigError: If ``spec`` is something else, its type is unknown, or an argument has a wrong
            type.
        UnknownKeyError: If the type does not take one of the arguments.
        MissingConfigError: If an argument without a default is absent.
    """
    if spec is None or isinstance(spec, nn.Module):
        return spec
    plain, key = to_plain(spec), f"model.{role}"
    if not isinstance(plain, Mapping):
        raise ConfigError("must be a module or a mapping with `type`", key=key, value=plain)
    part_type = _find_type(role, plain.get("type"), key)
    arguments = {str(name): value for name, value in plain.items() if name != "type"}
    parameters = inspect.signature(part_type).parameters
    _check_arguments(arguments, part_type, key)
    for name in _SIZE_ARGUMENTS:
        if name in parameters and feature_size is not None:
            arguments.setdefault(name, feature_size)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise MissingConfigError("must be set", key=f"{key}.{name}")
    try:
        return part_type(**arguments)
    except ConfigError as error:
        # The part knows its arguments, but not the section that they come from.
        own = f"{key}.{error.key}" if error.key in parameters else key
        raise error.at(error.file, error.line, key=own) from error.__cause__


def _check_arguments(arguments: Mapping[str, Any], part_type: type[nn.Module], key: str) -> None:
    parameters = inspect.signature(part_type).parameters
    hints = typing.get_type_hints(part_type.__init__)
    for name, value in arguments.items():
        if name not in parameters:
            hint = did_you_mean(name, parameters) or "it takes: " + ", ".join(parameters)
            raise UnknownKeyError(
                f"is not an argument of {part_type.__name__}", key=f"{key}.{name}", hint=hint
            )
        if hints[name] in (bool, int, float):
            convert(value, hints[name], key=f"{key}.{name}")


def _find_type(role: str, name: Any, key: str) -> type[nn.Module]:
    known = PART_TYPES[role]
    if name in known:
        part_type: type[nn.Module] = getattr(layers, known[name].rpartition(".")[2])
        return part_type
    hint = did_you_mean(str(name), known) or "known types: " + ", ".join(known)
    raise ConfigError("is not a known type", key=f"{key}.type", value=name, hint=hint)
