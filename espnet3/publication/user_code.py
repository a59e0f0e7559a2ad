"""The decision to run Python code that comes with a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from espnet3.errors import UntrustedCodeError
from espnet3.publication.limited_yaml import read_mapping
from espnet3.publication.yaml_links import iter_strings, linked_files

DEFAULT_ROOTS = ("src",)


def choose_import_roots(argument: Sequence[str] | None, metadata: Any) -> tuple[str, ...]:
    """Return the import roots of a bundle, as relative POSIX paths.

    Args:
        argument: What the caller asked for; wins.
        metadata: ``user_code_paths`` of ``meta.yaml``: a string, a list or ``None``.

    Raises:
        UntrustedCodeError: If a root is absolute or climbs out of the bundle.
    """
    chosen = argument if argument is not None else metadata
    if chosen is None:
        return DEFAULT_ROOTS
    is_list = isinstance(chosen, list | tuple)
    names = tuple(chosen) if is_list else (chosen,)
    for name in names:
        path = PurePosixPath(name) if isinstance(name, str) else None
        if path is None or path.is_absolute() or ".." in path.parts or not path.parts:
            raise UntrustedCodeError(
                f"user_code_paths: {name!r} must be a relative path inside the bundle"
            )
    return names


def find_references(config: Mapping[str, Any], roots: Sequence[str]) -> list[tuple[str, str]]:
    """Return ``(key, dotted path)`` of every value that names code below an import root."""
    names = {PurePosixPath(root).name for root in roots}
    return [(key, text) for key, text in iter_strings(config) if is_reference(text, names)]


def find_linked_references(
    config: Mapping[str, Any], bundle_root: Path, roots: Sequence[str]
) -> list[tuple[str, str]]:
    """Return what :func:`find_references` finds, also where ``model`` names a training config.

    A recogniser builds the model that such a file describes, so its section ``model`` counts.
    """
    documents = iter_described(config, bundle_root)
    return [found for document in documents for found in find_references(document, roots)]


def iter_described(config: Mapping[str, Any], bundle_root: Path) -> Iterator[Mapping[str, Any]]:
    """Yield a config, and section ``model`` of every file that its own section ``model`` names."""
    yield config
    for path in sorted(linked_files({"model": config.get("model")}, bundle_root, bundle_root)):
        yield {"model": (read_mapping(path) or {}).get("model")}


def is_reference(text: str, names: set[str]) -> bool:
    """Tell whether a string is a dotted path that starts with one of ``names``."""
    first, _, rest = text.partition(".")
    return first in names and all(part.isidentifier() for part in rest.split("."))


def decide(
    references: Sequence[tuple[str, str]], *, enable: bool | None, trust: bool, source: str
) -> bool:
    """Decide whether bundled code is made importable.

    Args:
        references: What the config refers to, from :func:`find_references`.
        enable: ``True`` asks for it, ``None`` decides by the references.
        trust: The user vouches for the code.
        source: Where the code comes from, for the message.

    Raises:
        UntrustedCodeError: If it is asked for, or needed, without trust.
    """
    if enable and not trust:
        raise UntrustedCodeError(
            f"enable_user_code=True requires trust_user_code=True\n"
            f"  read the code in {source} first; it can do anything on this machine"
        )
    if references and not trust:
        key, path = references[0]
        raise untrusted_reference(path, key=key, source=source)
    if enable is None:
        return bool(references)
    return enable


def untrusted_reference(path: str, *, key: str | None, source: str) -> UntrustedCodeError:
    """Return the error for a config that needs bundled code which nobody vouched for."""
    return UntrustedCodeError(
        f"{source} references bundled user code: {key} = {path!r}\n"
        "  read the code, then allow it with trust_user_code=True"
    )
