"""What a bundle that nobody vouches for may make this program do.

Rules are per object, never per module prefix: names such as ``torch.nn.utils.rnn.torch.os.system``
show that a prefix says nothing about what is reached.
"""

from __future__ import annotations

import contextvars
import functools
import importlib.util
import inspect
import os
import sys
import sysconfig
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from espnet3.errors import UntrustedTargetError
from espnet3.publication.bundle import is_member
from espnet3.publication.code_scope import is_activated
from espnet3.publication.espnet2_backends import find_backend, why_unlisted
from espnet3.publication.user_code import untrusted_reference
from espnet3.utils.import_utils import TRUSTED_TARGETS

_ENV_ALLOWED = "ESPNET3_ALLOWED_TARGETS"
_ENV_STRICT = "ESPNET3_STRICT_TARGETS"
_OWN_PACKAGES = ("espnet3", "egs3")
_BY_ESPNET3 = "espnet3 lets bundles name it"
_BY_TORCH = "a layer of torch.nn"
_BY_ESPNET2 = "a class of ESPnet2, whose arguments and training config were checked"
_REASONS_OF_OURS = frozenset({_BY_ESPNET3, _BY_TORCH, _BY_ESPNET2})

_allowed_always: set[str] = set()
_allowed_here: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar(
    "espnet3_allowed_targets", default=frozenset()
)


class allow_targets:  # noqa: N801 - used like a function
    """Let untrusted bundles name further classes or functions.

    Called as a function it holds for the rest of the program; as a context manager, inside the
    block only. The environment variable ``ESPNET3_ALLOWED_TARGETS`` (separated by ``:``) does the
    same from outside.

    Args:
        *targets: Classes, functions, exact dotted names, or ``package.module.*`` for all classes
            that are defined in a module.

    Example:
        >>> with allow_targets("fractions.Fraction"):
        ...     pass
    """

    def __init__(self, *targets: Any) -> None:
        self._names = frozenset(t if isinstance(t, str) else qualified_name(t) for t in targets)
        self._added = self._names - _allowed_always
        _allowed_always.update(self._added)

    def __enter__(self) -> None:
        _allowed_always.difference_update(self._added)
        self._token = _allowed_here.set(_allowed_here.get() | self._names)

    def __exit__(self, *details: object) -> None:
        _allowed_here.reset(self._token)


class BundlePolicy:
    """Refuses every target of a bundle that is not on the allow-list.

    It implements :class:`espnet3.utils.import_utils.TargetPolicy`.

    Args:
        bundle_root: Folder of the bundle.
        user_code_roots: Import roots of the bundle, for a message that names the remedy.
        model: The ``model`` section that was checked. If its class is one of
            :data:`espnet3.publication.espnet2_backends.BACKENDS`, it may be built.
    """

    def __init__(
        self,
        bundle_root: Path,
        user_code_roots: Sequence[str] = ("src",),
        model: Any = None,
    ) -> None:
        backend = find_backend(model)
        self.espnet2_class = None if backend is None else backend.builds
        self._root = bundle_root
        self._code_names = {PurePosixPath(root).name for root in user_code_roots}
        # What is imported from now on may be the bundle's doing: it does not count as the host's.
        self._host_modules = frozenset(sys.modules)
        self.allowed: dict[str, str] = {}
        """What was let through so far, and why."""

    def has_foreign(self, before: Collection[str] = ()) -> bool:
        """Tell whether a class of the program or one that its user allowed was let through.

        Args:
            before: Paths that do not count.
        """
        new = set(self.allowed) - set(before)
        return any(self.allowed[path] not in _REASONS_OF_OURS for path in new)

    def check_path(self, path: str, *, key: str | None) -> None:
        """Raise unless importing the module part of ``path`` is harmless."""
        listed = TRUSTED_TARGETS | _user_allowed() | {self.espnet2_class}
        if path in listed or self._has_allowed_module(path):
            return
        if path.partition(".")[0] in self._code_names:
            raise untrusted_reference(path, key=key, source=str(self._root))
        if self._first_party_module(path) is not None:
            return
        raise self._refusal(path, key, _why_refused(path))

    def check_object(self, obj: Any, path: str, *, key: str | None) -> None:
        """Raise unless ``obj`` is one of the objects on the allow-list, reached directly."""
        self._check_hops(path, key)
        if not (inspect.isclass(obj) or inspect.isfunction(obj)):
            raise self._refusal(path, key, f"is a {type(obj).__name__}, not a class or function")
        name = qualified_name(obj)
        if not _is_genuine(obj, name):
            raise self._refusal(path, key, f"is not the object that it calls itself ({name})")
        reason = self._why_allowed(obj, name, key)
        if reason is None:
            raise self._refusal(path, key, "is not on the list of what a bundle may name")
        self.allowed[path] = reason

    def _why_allowed(self, obj: Any, name: str, key: str | None) -> str | None:
        if name in TRUSTED_TARGETS:
            return _BY_ESPNET3
        if _is_torch_layer(obj):
            return _BY_TORCH
        if name == self.espnet2_class:
            return _BY_ESPNET2
        if name in _user_allowed():
            return "allowed by name"
        if inspect.isclass(obj) and any(_matches(name, entry) for entry in _user_allowed()):
            return "allowed by pattern"
        is_output_fn = key is not None and key.rpartition(".")[2] == "output_fn"
        is_plain_class = inspect.isclass(obj) and not issubclass(obj, type)
        may_be_own = is_plain_class or (is_output_fn and inspect.isfunction(obj))
        if may_be_own and self._is_first_party(sys.modules.get(obj.__module__)):
            return "the program's own"
        return None

    def _has_allowed_module(self, path: str) -> bool:
        # Importing modules only defines names, but for those that are programs (`__main__`).
        if "__" in path:
            return False
        if path.startswith(("espnet3.", "torch.nn.")):
            return True
        return any(_matches(path, entry) for entry in _user_allowed())

    def _check_hops(self, path: str, key: str | None) -> None:
        """Refuse a path that goes through a module which it does not name."""
        parts = path.split(".")
        depth = next(n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in sys.modules)
        obj: Any = sys.modules[".".join(parts[:depth])]
        for name in parts[depth:-1]:
            obj = getattr(obj, name)
            if not inspect.isclass(obj):
                raise self._refusal(path, key, f"goes through {name!r}, which is not a class")

    def _first_party_module(self, path: str) -> ModuleType | None:
        """Return the module of the host program that ``path`` starts with."""
        parts = path.split(".")
        for depth in range(len(parts) - 1, 0, -1):
            name = ".".join(parts[:depth])
            if name in sys.modules:
                module = sys.modules[name]
                is_own = self._is_first_party(module) and not _would_import(module, parts[depth])
                return module if is_own else None
        return None

    def _is_first_party(self, module: ModuleType | None) -> bool:
        if module is None or os.environ.get(_ENV_STRICT) == "1":
            return False
        name = module.__name__
        if name not in self._host_modules or name.partition(".")[0] in _OWN_PACKAGES:
            return False
        file = getattr(module, "__file__", None)
        if not file or not Path(file).is_file():
            # A notebook has no file, but its classes are the user's own.
            return name == "__main__" and file is None
        place = Path(file).resolve()
        is_installed = any(place.is_relative_to(folder) for folder in _installed_folders())
        in_packages = {"site-packages", "dist-packages"} & set(place.parts)
        is_bundled = is_member(place, self._root) or is_activated(place)
        return not (is_installed or in_packages or is_bundled)

    def _refusal(self, path: str, key: str | None, reason: str) -> UntrustedTargetError:
        return UntrustedTargetError(
            f"{self._root}: {key or 'a target'} = {path!r} {reason}\n"
            f"  allow it with espnet3.publication.security.allow_targets({path!r}), or read the "
            "bundle's code and configs and pass trust_user_code=True"
        )


def bundle_policy(
    bundle_root: Path, user_code_roots: Sequence[str] = ("src",), model: Any = None
) -> BundlePolicy:
    """Return the policy for a bundle that nobody vouches for."""
    return BundlePolicy(bundle_root, user_code_roots, model)


def qualified_name(obj: Any) -> str:
    """Return ``module.qualname`` of a class or function."""
    return f"{obj.__module__}.{obj.__qualname__}"


def _why_refused(path: str) -> str:
    if path.startswith("espnet2.bin."):
        return why_unlisted(path)
    return "is not on the list of what a bundle may name"


def _would_import(package: ModuleType, name: str) -> bool:
    """Tell whether ``package.name`` is a module that nobody has imported yet."""
    full = f"{package.__name__}.{name}"
    is_package = hasattr(package, "__path__")
    return is_package and full not in sys.modules and importlib.util.find_spec(full) is not None


def _is_genuine(obj: Any, name: str) -> bool:
    """Tell whether an object is really found where it says that it was defined."""
    module = sys.modules.get(obj.__module__)
    if module is None or "<locals>" in name:
        return False
    found: Any = module
    for part in obj.__qualname__.split("."):
        found = inspect.getattr_static(found, part, None)
    return found is obj


def _is_torch_layer(obj: Any) -> bool:
    if not inspect.isclass(obj) or not obj.__module__.startswith("torch.nn.modules."):
        return False
    import torch

    return issubclass(obj, torch.nn.Module)


def _user_allowed() -> frozenset[str]:
    from_environment = os.environ.get(_ENV_ALLOWED, "").split(":")
    return _allowed_here.get() | _allowed_always | frozenset(filter(None, from_environment))


def _matches(name: str, entry: str) -> bool:
    """Match ``pkg.mod.*`` against one name below ``pkg.mod``; other patterns match nothing."""
    module = entry.removesuffix("*")
    return entry.endswith(".*") and name.startswith(module) and "." not in name[len(module) :]


@functools.cache
def _installed_folders() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    paths = sysconfig.get_paths()
    return tuple(Path(paths[name]).resolve() for name in names)
