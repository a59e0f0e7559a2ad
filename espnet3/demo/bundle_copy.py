"""The packed model that goes into a demo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from espnet3.errors import BundleError, ConfigError
from espnet3.publication.bundle import INFERENCE_CONFIG, is_member, read_meta, verify_manifest
from espnet3.publication.file_kinds import check_bundle_files
from espnet3.publication.limited_yaml import read_mapping


def iter_bundle_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield every file of a bundle with its path in it.

    Raises:
        BundleError: If a file is damaged, is none, or a link leads out of the bundle.
    """
    check_bundle_files(root)
    verify_manifest(root)
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            if not is_member(path, root):
                raise BundleError(f"{path} is a link that leads out of the bundle {root}")
            yield path.relative_to(root).as_posix(), path


def check_trust(root: Path, *, is_trusted: bool, output_fn: str | None) -> None:
    """Raise if a demo could not load its packed model, because that names code.

    Args:
        root: Folder of the bundle.
        is_trusted: ``model.trust_user_code`` of the demo.
        output_fn: What the demo uses in place of the bundle's own output function.

    Raises:
        ConfigError: If the model needs more trust than it gets.
    """
    trust = read_meta(root).get("trust")
    named = trust.get("targets") if isinstance(trust, Mapping) else None
    if is_trusted or not isinstance(named, list):
        return
    replaced = (read_mapping(root / INFERENCE_CONFIG) or {}).get("output_fn") if output_fn else None
    for target in named:
        if target != replaced:
            raise ConfigError(
                f"the packed model runs {target}, which it may not without trust",
                key="model.trust_user_code",
                value=False,
                hint=f"read the code in {root}, then set the key to true",
            )
