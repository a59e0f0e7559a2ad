"""The one gate through which configuration becomes objects, and the only caller of Hydra."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from espnet3.errors import BUILD_NOTE, ConfigError, MissingConfigError
from espnet3.utils.config_sources import locate
from espnet3.utils.import_utils import import_object
from espnet3.utils.target_aliases import resolve_alias, with_aliases


def instantiate_config(
    node: Mapping[str, Any] | DictConfig,
    /,
    *args: Any,
    key: str | None = None,
    file: str | Path | None = None,
    recursive: bool = True,
    **kwargs: Any,
) -> Any:
    """Build the object that a ``_target_`` mapping describes.

    Nested ``_target_`` mappings are built first. Positional and keyword arguments given here are
    passed on as they are and win over the mapping; they never travel through OmegaConf, so large
    Python objects cost nothing.

    Args:
        node: Mapping with ``_target_`` and the arguments of the target.
        *args: Positional arguments of the outermost target.
        key: Dotted key of ``node``, for messages.
        file: YAML file that holds ``node``, for messages.
        recursive: Build nested ``_target_`` mappings; with ``False`` they arrive as plain dicts.
        **kwargs: Keyword arguments of the outermost target.

    Returns:
        What the target returns; with ``_partial_: true`` a callable that still waits for arguments.

    Raises:
        MissingConfigError: If ``node`` has no ``_target_``.
        ConfigError: If a target cannot be imported.
        UntrustedTargetError: If the active policy refuses a target.
        Exception: What the target raises, unchanged, with a note that names the key.

    Example:
        >>> instantiate_config({"_target_": "fractions.Fraction", "numerator": 3}, denominator=4)
        Fraction(3, 4)
    """
    plain = to_plain(node)
    if not isinstance(plain, dict) or "_target_" not in plain:
        raise MissingConfigError(
            "needs a `_target_` that names a class or function", key=key, file=file
        )
    targets = list(iter_targets(plain, key or ""))
    if not recursive:
        del targets[1:]
    for target_key, target in targets:
        import_object(target, key=target_key, file=file)
    if any(resolve_alias(target) != target for _, target in targets):
        plain = with_aliases(plain)
    place = locate(node)
    where = f" at {place.file}:{place.line}" if place and place.line else ""
    with building(f"{key or 'a config node'} (_target_: {plain['_target_']}){where}"):
        factory = _partial_factory(plain, recursive=recursive)
        if plain.get("_partial_", False):
            return functools.partial(factory, *args, **kwargs)
        return factory(*args, **kwargs)


def to_plain(node: Any) -> Any:
    """Return OmegaConf nodes as plain, resolved containers; other values unchanged."""
    if isinstance(node, DictConfig | ListConfig):
        return OmegaConf.to_container(node, resolve=True)
    return node


def iter_targets(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield ``(dotted key, path)`` of every ``_target_`` in plain containers, outermost first."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield (f"{key}._target_" if key else "_target_"), node["_target_"]
        for name, child in node.items():
            yield from iter_targets(child, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list | tuple):
        for index, child in enumerate(node):
            yield from iter_targets(child, f"{key}[{index}]")


def _partial_factory(plain: dict[str, Any], *, recursive: bool) -> Callable[..., Any]:
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    request = {
        **plain,
        "_partial_": True,
        "_convert_": plain.get("_convert_", "all"),
        "_recursive_": recursive and plain.get("_recursive_", True),
    }
    try:
        factory: Callable[..., Any] = instantiate(request)
    except InstantiationException as error:
        # Hydra wraps what a nested target raised; callers want the original type.
        raise (error.__cause__ or error) from None
    return factory


class building:  # noqa: N801 - reads as a statement
    """Say in a note of whatever is raised inside the block what was being built.

    Errors about configuration get none, because they name their key.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, ConfigError):
            error.add_note(BUILD_NOTE + self._what)
