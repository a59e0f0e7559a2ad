"""The single place where text becomes code.

Every dotted path of a configuration (``_target_``, ``output_fn``, ``task``, …) goes through
:func:`import_object`. A loader of foreign bundles installs a :class:`TargetPolicy` with
:func:`use_target_policy`; while it is active each path is checked before its module is imported
and each object is checked before it is returned.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeVar

from espnet3.errors import ConfigError, MissingDependencyError, did_you_mean
from espnet3.utils.target_aliases import resolve_alias

T = TypeVar("T", bound=Callable[..., Any])

TRUSTED_TARGETS: set[str] = set()
"""``module.qualname`` of our own objects that an untrusted bundle may name."""


class TargetPolicy(Protocol):
    """Decides which dotted paths may become code."""

    def check_path(self, path: str, *, key: str | None) -> None:
        """Raise unless the module part of ``path`` may be imported."""

    def check_object(self, obj: Any, path: str, *, key: str | None) -> None:
        """Raise unless ``obj``, found under ``path``, may be called."""


_policy: ContextVar[TargetPolicy | None] = ContextVar("espnet3_target_policy", default=None)


@contextlib.contextmanager
def use_target_policy(policy: TargetPolicy | None) -> Iterator[None]:
    """Apply ``policy`` to every dotted path resolved inside the block."""
    token = _policy.set(policy)
    try:
        yield
    finally:
        _policy.reset(token)


def active_target_policy() -> TargetPolicy | None:
    """Return the policy of the innermost :func:`use_target_policy` block, if any."""
    return _policy.get()


def trusted_target(obj: T) -> T:
    """Mark a class or function as safe to be named by a bundle that nobody vouches for.

    Its constructor or body must not import, download, unpickle or execute what its arguments say.
    """
    TRUSTED_TARGETS.add(f"{obj.__module__}.{obj.__qualname__}")
    return obj


def import_object(path: str, *, key: str | None = None, file: str | Path | None = None) -> Any:
    """Import the object that a dotted path names.

    For a class of ESPnet2 that is not installed this is ours, where there is one.

    Args:
        path: ``package.module.attribute``; nested attributes are allowed.
        key: Configuration key that holds ``path``, for messages.
        file: YAML file that holds the key, for messages.

    Returns:
        The module, class, function or value.

    Raises:
        ConfigError: If ``path`` is malformed, or its module or attribute does not exist.
        UntrustedTargetError: If an active policy refuses it.
        MissingDependencyError: If it belongs to ESPnet2, which cannot be imported.

    Example:
        >>> import_object("pathlib.PurePosixPath").__name__
        'PurePosixPath'
    """
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise ConfigError("is not a dotted import path", key=key, file=file, value=path)
    path = resolve_alias(path)
    policy = _policy.get()
    if policy is not None:
        policy.check_path(path, key=key)
    module, rest = _import_longest_module(path, key=key, file=file)
    obj: Any = module
    for name in rest:
        if not hasattr(obj, name):
            raise _missing_attribute(path, obj, name, key=key, file=file)
        obj = getattr(obj, name)
    if policy is not None:
        policy.check_object(obj, path, key=key)
    return obj


def _import_longest_module(
    path: str, *, key: str | None, file: str | Path | None
) -> tuple[ModuleType, list[str]]:
    """Import the longest importable prefix; return it with the attribute names left over."""
    from espnet3.utils.espnet2_bridge import quiet_import

    parts = path.split(".")
    for cut in range(len(parts), 0, -1):
        name = ".".join(parts[:cut])
        try:
            with quiet_import(name):
                return importlib.import_module(name), parts[cut:]
        except ModuleNotFoundError as error:
            # Only "this very module does not exist" means: try a shorter prefix. A missing
            # import inside an existing module is the user's real problem and must surface.
            if error.name is None or not (name + ".").startswith(error.name + "."):
                _explain_espnet2(path, error)
                raise
        except (ImportError, OSError) as error:
            _explain_espnet2(path, error)
            raise
    if parts[0] == "espnet2":
        _explain_espnet2(path, ModuleNotFoundError("No module named 'espnet2'"))
    raise ConfigError(
        f"no module named {parts[0]!r}",
        key=key,
        file=file,
        value=path,
        hint="check the spelling, and that the recipe directory or package is importable",
    )


def _explain_espnet2(path: str, error: Exception) -> None:
    """Raise what says how to install ESPnet2, if ``path`` belongs to it."""
    from espnet3.utils.espnet2_bridge import espnet2_failure

    if path.startswith("espnet2."):
        raise espnet2_failure(path, error) from error


def _missing_attribute(
    path: str, owner: Any, name: str, *, key: str | None, file: str | Path | None
) -> ConfigError:
    found = getattr(owner, "__name__", type(owner).__name__)
    # `annotations` is what `from __future__ import annotations` leaves in a module.
    public = sorted(n for n in dir(owner) if not n.startswith("_") and n != "annotations")
    hint = did_you_mean(name, public) or "it has: " + (", ".join(public[:12]) or "nothing public")
    return ConfigError(
        f"{found} was found, but it has no attribute {name!r}",
        key=key,
        file=file,
        value=path,
        hint=hint,
    )


@contextlib.contextmanager
def import_path_of_here() -> Iterator[None]:
    """Keep what relative entries of ``sys.path`` mean now, wherever the block changes to.

    In notebooks and with ``python -c`` the first entry is the empty string, the working directory
    of the moment. A block that works in somebody's folder must not import what lies there.
    """
    before = list(sys.path)
    sys.path[:] = [os.path.abspath(entry) for entry in before]  # noqa: PTH100 - keeps links
    fixed = list(sys.path)
    try:
        yield
    finally:
        if sys.path == fixed:
            sys.path[:] = before


def is_available(package: str) -> bool:
    """Tell whether a top-level package is installed, without importing it."""
    return importlib.util.find_spec(package) is not None


def require_package(package: str, *, extra: str, feature: str) -> ModuleType:
    """Import an optional package or say which extra provides it.

    Args:
        package: Import name.
        extra: Name of our extra that installs it.
        feature: What the user asked for, for the message.

    Raises:
        MissingDependencyError: If the package cannot be imported.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        from espnet3.utils.package_requirements import install_command

        raise MissingDependencyError(
            f"{feature} needs the package {package!r}, which cannot be imported ({error})\n"
            f"  install it with: {install_command([extra])}"
        ) from error
