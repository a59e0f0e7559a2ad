"""The layout of a bundle: ``meta.yaml`` and ``manifest.json``, written, read and verified."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

import espnet3
from espnet3.errors import BundleError, ConfigError
from espnet3.publication.limited_yaml import read_json, read_mapping
from espnet3.utils.path_utils import is_inside, write_json, write_text

META_FILE = "meta.yaml"
MANIFEST_FILE = "manifest.json"
INFERENCE_CONFIG = "conf/inference.yaml"
SCHEMA_VERSION = 1
CONFIG_ENTRIES = {
    "training_config": "conf/training.yaml",
    "inference_config": INFERENCE_CONFIG,
    "metrics_config": "conf/metrics.yaml",
    "publication_config": "conf/publication.yaml",
}
"""Names under which the framework's own configs are registered, and where they lie."""


@dataclass(frozen=True, kw_only=True)
class BundleMeta:
    """What ``meta.yaml`` says about a new bundle."""

    files: Mapping[str, str] = field(default_factory=dict)
    yaml_files: Mapping[str, str] = field(default_factory=dict)
    espnet3_yaml_files: Mapping[str, str] = field(default_factory=dict)
    """Our own configs under strategy ``espnet2``, whose back ends get all of ``yaml_files``."""
    user_code_paths: tuple[str, ...] = ()
    strategy: str = "espnet3"
    trust: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Any] = field(default_factory=dict)


def build_time() -> float:
    """Return the time to write into a bundle, in Unix seconds; ``SOURCE_DATE_EPOCH`` wins."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    return float(fixed) if fixed else time.time()


def write_meta(root: Path, meta: BundleMeta) -> None:
    """Write ``meta.yaml``."""
    content: dict[str, Any] = {
        "files": dict(sorted(meta.files.items())),
        "yaml_files": dict(sorted(meta.yaml_files.items())),
        "timestamp": build_time(),
        "python": sys.version.replace("\n", " "),
        "torch": installed_version("torch"),
        "espnet": installed_version("espnet"),
    }
    if meta.espnet3_yaml_files:
        content["espnet3_yaml_files"] = dict(sorted(meta.espnet3_yaml_files.items()))
    if meta.user_code_paths:
        content["user_code_paths"] = list(meta.user_code_paths)
    content |= {
        "schema_version": SCHEMA_VERSION,
        "espnet3": espnet3.__version__,
        "strategy": meta.strategy,
        "trust": dict(meta.trust),
        "weights": dict(meta.weights),
    }
    write_text(root / META_FILE, dump_yaml(content))


def dump_yaml(content: Any) -> str:
    """Return plain containers as YAML, keys in their order."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution without importing it."""
    import importlib.metadata  # costs 0.03 s, which a dry run need not pay

    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def is_bundle(root: Path) -> bool:
    """Tell whether a folder holds a ``meta.yaml`` of a packed model."""
    content = read_mapping(root / META_FILE)
    return content is not None and ("files" in content or "yaml_files" in content)


def is_own_bundle(root: Path) -> bool:
    """Tell whether a folder is recognisably a bundle that packing wrote, so it may be replaced."""
    content = read_mapping(root / META_FILE)
    return content is not None and "files" in content and "yaml_files" in content


def find_bundle_root(paths: Iterable[Path]) -> Path | None:
    """Return the folder that artifacts belong to.

    That is the nearest ancestor with a valid ``meta.yaml``, links not followed (in a Hub cache all
    files are links into a blob store); else the common parent folder, or the one above it if that
    is where ``conf/inference.yaml`` starts; ``None`` without paths.
    """
    # Path.resolve would follow the links of the files themselves.
    located = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100
    for path in located:
        for folder in (path, *path.parents):
            if is_bundle(folder):
                return folder
    if not located:
        return None
    common = Path(os.path.commonpath([p if p.is_dir() else p.parent for p in located]))
    has_config = ((f / INFERENCE_CONFIG).is_file() for f in (common, common.parent))
    return common.parent if list(has_config) == [False, True] else common


def read_meta(root: Path) -> dict[str, Any]:
    """Read ``meta.yaml``; an absent file gives an empty mapping.

    Raises:
        BundleError: If the file is not YAML or not a mapping.
        ConfigError: If the bundle was written by a newer format than this version knows.
    """
    path = root / META_FILE
    if not path.is_file():
        return {}
    content = read_mapping(path)
    if content is None:
        raise BundleError(f"{path} is not a YAML mapping\n  the bundle is damaged: fetch it again")
    version = content.get("schema_version")
    if version is not None and (not isinstance(version, int) or version > SCHEMA_VERSION):
        raise ConfigError(
            f"this version of espnet3 reads bundles up to schema_version {SCHEMA_VERSION}",
            key="schema_version",
            file=path,
            value=version,
            hint="upgrade with: pip install --upgrade espnet3",
        )
    return content


def read_artifacts(root: Path, meta: Mapping[str, Any]) -> dict[str, str]:
    """Return the artifacts registered in ``meta.yaml`` as name → absolute path.

    Raises:
        BundleError: If a path is absolute, climbs out of the bundle, or does not exist.
    """
    artifacts: dict[str, str] = {}
    for section in ("yaml_files", "espnet3_yaml_files", "files"):
        entries = meta.get(section) or {}
        if not isinstance(entries, Mapping):
            raise BundleError(f"{root / META_FILE}: {section} must be a mapping")
        for name, value in entries.items():
            artifacts[str(name)] = str(member_path(root, value, f"{META_FILE}: {section}.{name}"))
    return artifacts


def member_path(root: Path, value: Any, label: str) -> Path:
    """Return the absolute path of a bundle member, links unresolved.

    Raises:
        BundleError: If ``value`` does not name an existing member of the bundle.
    """
    relative = PurePosixPath(str(value))
    if not isinstance(value, str) or relative.is_absolute() or ".." in relative.parts:
        raise BundleError(f"{root}: {label} = {value!r} is not a path inside the bundle")
    path = root / relative
    if not path.exists():
        raise BundleError(f"{root}: {label} = {value!r} does not exist; the bundle is incomplete")
    if not is_member(path, root):
        raise BundleError(f"{root}: {label} = {value!r} is a link that leaves the bundle")
    return path


def is_member(path: Path, root: Path) -> bool:
    """Tell whether a path, links resolved, belongs to a bundle.

    The files of a Hub snapshot are links into the blob store beside it, which counts as inside.
    """
    try:
        if is_inside(path, root):
            return True
    except (OSError, RuntimeError):
        # A link that leads to itself.
        return False
    real_root = root.resolve()
    blobs = real_root.parent.parent / "blobs"
    return real_root.parent.name == "snapshots" and blobs.is_dir() and is_inside(path, blobs)


def write_manifest(root: Path) -> None:
    """Write size and SHA-256 of every file of a bundle to ``manifest.json``."""
    entries = []
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        name = path.relative_to(root).as_posix()
        if name != MANIFEST_FILE:
            entries.append({"path": name, "size": path.stat().st_size, "sha256": sha256_of(path)})
    write_json(root / MANIFEST_FILE, entries)


def read_manifest(root: Path) -> list[tuple[str, int, str]]:
    """Return path, size in bytes and SHA-256 of the files in ``manifest.json``; empty without it.

    Raises:
        BundleError: If the manifest is unreadable.
    """
    path = root / MANIFEST_FILE
    if not path.is_file():
        return []
    try:
        return [
            (str(entry["path"]), int(entry["size"]), str(entry["sha256"]))
            for entry in read_json(path)
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise BundleError(f"{path} is not a manifest ({error}); fetch the bundle again") from error


def verify_manifest(root: Path, *, may_be_relocated: bool = False) -> None:
    """Check every file that ``manifest.json`` lists; without that file there is nothing to check.

    Args:
        root: Folder of the bundle.
        may_be_relocated: Accept that ``espnet_model_zoo`` unpacked the bundle: it writes the files
            in ``yaml_files`` anew, with the paths of this machine.

    Raises:
        BundleError: If the manifest is unreadable, or a file is absent or differs from it.
    """
    relocated = set((read_meta(root).get("yaml_files") or {}).values()) if may_be_relocated else ()
    for name, size, digest in read_manifest(root):
        member = member_path(root, name, MANIFEST_FILE)
        is_same = member.stat().st_size == size and sha256_of(member) == digest
        if not is_same and not (name in relocated and _is_plain_dump(member)):
            raise BundleError(
                f"{member} is not the file that {MANIFEST_FILE} describes\n"
                "  it was damaged or changed after packing: fetch or pack the bundle again"
            )


def _is_plain_dump(path: Path) -> bool:
    """Tell whether a YAML file is as ``yaml.safe_dump`` writes it."""
    content = read_mapping(path)
    return content is not None and yaml.safe_dump(content) == path.read_text(encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
