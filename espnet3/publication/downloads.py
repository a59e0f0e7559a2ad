"""Where a model tag leads: a folder, an archive, the Hub, or a downloader of the user's choice."""

from __future__ import annotations

import importlib
import logging
import os
from pathlib import Path
from typing import Any

from espnet3.errors import BundleError, HubError, MissingDependencyError, did_you_mean
from espnet3.publication.bundle import (
    INFERENCE_CONFIG,
    META_FILE,
    find_bundle_root,
    read_meta,
    sha256_of,
)
from espnet3.publication.hub import BundleDownloader, folder_artifacts, is_hub_tag
from espnet3.utils.archive_utils import safe_extract
from espnet3.utils.import_utils import import_object
from espnet3.utils.lock_utils import file_lock
from espnet3.utils.path_utils import atomic_directory
from espnet3.utils.printable import printable_errors

logger = logging.getLogger(__name__)

ZOO_DOWNLOADER = "espnet_model_zoo.downloader.ModelDownloader"
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")


@printable_errors()
def fetch_artifacts(
    model_tag: str, downloader_class: str | type = ZOO_DOWNLOADER
) -> dict[str, Any]:
    """Return the artifacts of a packed model as name → path.

    A downloader that the caller chose is used as it is. The default one is bypassed for local
    folders and archives and for Hub ids, unless it is not the genuine class of that name.

    Raises:
        BundleError: If a local folder is no bundle, or the tag reads as a path of none.
        MissingDependencyError: If the tag needs ``espnet_model_zoo`` and it is not installed.
        Exception: What the downloader raises, unchanged.
    """
    if downloader_class != ZOO_DOWNLOADER:
        if isinstance(downloader_class, str):
            downloader_class = import_object(downloader_class, key="downloader_class")
        return dict(downloader_class().download_and_unpack(model_tag))  # type: ignore[operator]
    local = Path(model_tag).expanduser()
    if local.is_dir():
        return _local_folder(local)
    if local.is_file() and local.name.endswith(_ARCHIVE_SUFFIXES):
        return _local_archive(local)
    if not is_hub_tag(model_tag) and _looks_local(model_tag):
        raise BundleError(_missing_folder(local))
    zoo = _find_zoo_class()
    if zoo is not None:
        downloader = zoo()
        if not (_is_genuine(zoo) and is_hub_tag(model_tag) and not _knows(downloader, model_tag)):
            return dict(downloader.download_and_unpack(model_tag))
    if is_hub_tag(model_tag):
        return _hub_repository(model_tag)
    raise MissingDependencyError(
        f"{model_tag!r}: there is no such folder or archive (seen from {Path.cwd()}), and it is no "
        "Hub id owner/name; names of the model zoo need the package 'espnet_model_zoo'\n"
        '  install it with: pip install "espnet3[espnet2]"'
    )


def fetch_folder(model_tag: str) -> Path:
    """Return the folder of a bundle, fetched or unpacked first if it is not a local one.

    Raises:
        BundleError: If there is none behind the tag.
    """
    local = Path(model_tag).expanduser()
    if local.is_dir():
        return local
    root = find_bundle_root(Path(str(path)) for path in fetch_artifacts(model_tag).values())
    if root is None:
        raise BundleError(f"{model_tag} holds no files")
    return root


class MissingBundleError(BundleError, FileNotFoundError):
    """A folder that should be a bundle is absent, or lacks a file that makes it one."""


@printable_errors()
def packed_artifacts(folder: Path) -> dict[str, str]:
    """Return the artifacts of a complete bundle as name → path.

    Raises:
        MissingBundleError: If the folder, its ``meta.yaml`` or the registered inference config is
            absent.
        BundleError: If another artifact is.
    """
    if not folder.is_dir():
        raise MissingBundleError(_missing_folder(folder))
    if not (folder / META_FILE).is_file():
        raise MissingBundleError(f"{folder} is not a bundle: it has no {META_FILE}")
    meta = read_meta(folder)
    own = {**(meta.get("espnet3_yaml_files") or {}), **(meta.get("yaml_files") or {})}
    name = str(meta.get("inference_config_key") or "inference_config")
    if name not in own:
        raise MissingBundleError(f"{folder / META_FILE} does not list yaml_files.{name}")
    if not (folder / str(own[name])).is_file():
        raise MissingBundleError(f"{folder}: the inference config {own[name]} does not exist")
    return folder_artifacts(folder.absolute())


def _hub_repository(model_tag: str) -> dict[str, Any]:
    try:
        return dict(BundleDownloader().download_and_unpack(model_tag))
    except HubError as error:
        if _looks_local(model_tag):
            error.add_note(_missing_folder(Path(model_tag)))
        raise


def _looks_local(model_tag: str) -> bool:
    """Tell whether a tag reads as a path, whether or not it exists."""
    if "://" in model_tag or "/" not in model_tag.rstrip("/"):
        return model_tag.startswith((".", "~"))
    is_path = model_tag.startswith((".", "/", "~")) or model_tag.count("/") > 1
    return is_path or Path(model_tag).parent.is_dir()


def _missing_folder(path: Path) -> str:
    """Say that a path leads to no bundle, and what beside it has a similar name."""
    if path.is_file():
        kinds = ", ".join(_ARCHIVE_SUFFIXES)
        return (
            f"{path} is a file, but no archive of a bundle ({kinds})\n"
            "  give the folder that pack_model wrote, its archive, or a Hub id owner/name"
        )
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    guess = did_you_mean(path.name, siblings)
    hint = guess or "give the folder that pack_model wrote, or a Hub id owner/name"
    return f"there is no folder or archive {path} (seen from {Path.cwd()})\n  {hint}"


def _local_folder(folder: Path) -> dict[str, Any]:
    if not any((folder / name).is_file() for name in (META_FILE, INFERENCE_CONFIG)):
        raise BundleError(
            f"{folder} is not a bundle: it has neither {META_FILE} nor {INFERENCE_CONFIG}\n"
            "  give the folder that pack_model wrote"
        )
    return dict(folder_artifacts(folder.absolute()))


def _local_archive(archive: Path) -> dict[str, Any]:
    cache = Path(os.environ.get("ESPNET3_CACHE", "~/.cache/espnet3")).expanduser()
    folder = cache / "bundles" / sha256_of(archive)
    # Of several processes that start at once, one unpacks.
    with file_lock(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            with atomic_directory(folder) as building:
                safe_extract(archive, building)
    return _local_folder(_inner_folder(folder))


def _inner_folder(folder: Path) -> Path:
    """Return the one folder that an archive made of a folder, rather than of its files, holds."""
    entries = list(folder.iterdir())
    is_wrapped = len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink()
    return entries[0] if is_wrapped and (entries[0] / META_FILE).is_file() else folder


def _find_zoo_class() -> Any:
    module_name, _, name = ZOO_DOWNLOADER.rpartition(".")
    try:
        return getattr(importlib.import_module(module_name), name)
    except ImportError as error:
        logger.debug("espnet_model_zoo cannot be imported: %s", error)
        return None


def _is_genuine(cls: Any) -> bool:
    module_name = ZOO_DOWNLOADER.rpartition(".")[0]
    return getattr(cls, "__module__", None) == module_name and isinstance(cls, type)


def _knows(downloader: Any, model_tag: str) -> bool:
    """Tell whether the table of the model zoo has a name."""
    return model_tag in downloader.query("name")
