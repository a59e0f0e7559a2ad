"""The folder that a bundle is written to, and what must not be lost by that."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from espnet3.errors import BundleError
from espnet3.publication.bundle import is_own_bundle
from espnet3.publication.bundle_archive import archive_path, is_archive
from espnet3.publication.pack_inputs import PackInputs
from espnet3.utils.lock_utils import file_lock
from espnet3.utils.path_utils import is_inside


def check_out_dir(inputs: PackInputs, sources: Sequence[Path]) -> None:
    """Refuse to replace a folder that is not recognisably an older bundle.

    Args:
        inputs: What is packed, and where to.
        sources: Files and folders that will be read.

    Raises:
        BundleError: If the folder, or one above it, holds something that is not ours to delete.
    """
    out_dir = inputs.out_dir
    kept = {
        "the experiment": inputs.exp_dir,
        "the recipe": inputs.recipe_root,
        "the data": inputs.read_path("training", "data_dir"),
        "the working directory": Path.cwd(),
        "your home folder": Path.home(),
    }
    for label, path in [*kept.items(), *(("a file to be packed", source) for source in sources)]:
        if path is not None and is_inside(path, out_dir):
            raise _refusal(out_dir, f"it holds {label} ({path})")
    archive = archive_path(out_dir)
    if inputs.settings.archive and archive.exists() and not is_archive(archive):
        raise _refusal(archive, "it is not the archive of a bundle")
    if (out_dir / ".git").exists():
        raise _refusal(out_dir, "it is the root of a git work tree")
    if out_dir.exists() and not out_dir.is_dir():
        raise _refusal(out_dir, "it is a file")
    if not out_dir.is_dir() or not any(out_dir.iterdir()):
        return
    if not is_own_bundle(out_dir):
        raise _refusal(out_dir, "it is not empty and has no meta.yaml of an older bundle")
    if not inputs.settings.allow_overwrite:
        raise BundleError(
            f"{out_dir} holds a bundle already\n"
            "  set publication_config.pack_model.allow_overwrite: true, or another out_dir"
        )


@contextlib.contextmanager
def locked(out_dir: Path) -> Iterator[None]:
    """Keep other processes from packing into the same folder.

    Raises:
        BundleError: If nothing can be written beside it.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file_lock(out_dir.with_name(f".{out_dir.name}.lock")))
        except OSError as error:
            raise BundleError(
                f"{out_dir} cannot be written: {error.strerror or error}\n"
                "  choose another folder with publication_config.pack_model.out_dir"
            ) from error
        yield


def _refusal(out_dir: Path, reason: str) -> BundleError:
    return BundleError(
        f"will not replace {out_dir}: {reason}\n"
        "  choose another folder with publication_config.pack_model.out_dir"
    )
