"""Read a finished bundle as its users will."""

from __future__ import annotations

import logging
from pathlib import Path

from espnet3.publication import bundle
from espnet3.publication.limited_yaml import read_mapping
from espnet3.publication.user_code import iter_described
from espnet3.publication.yaml_links import iter_targets
from espnet3.utils.import_utils import is_available
from espnet3.utils.weights_utils import read_state_dict

logger = logging.getLogger(__name__)

_LARGEST = 10


def check_bundle(root: Path) -> None:
    """Check that registered files exist and weights can be read; report what users will lack.

    Args:
        root: Folder of the bundle.

    Raises:
        BundleError: If a registered file is absent.
        UnsafeCheckpointError: If exported weights hold more than tensors.
        WeightsError: If they are damaged.
    """
    meta = bundle.read_meta(root)
    bundle.read_artifacts(root, meta)
    for name, facts in (meta.get("weights") or {}).items():
        if facts["tensor_only"]:
            read_state_dict(root / meta["files"][name])
    config = read_mapping(root / bundle.INFERENCE_CONFIG) or {}
    used = {name: config.get(name) for name in ("model", "output_fn", "provider")}
    targets = [found for part in iter_described(used, root) for found in iter_targets(part)]
    for key, target in targets:
        if not is_importable(root, target):
            logger.warning("users need a package for %s = %s, which is not installed here",
                           key, target)  # fmt: skip
    sizes = {p: p.stat().st_size for p in root.rglob("*") if p.is_file()}
    for path in sorted(sizes, key=lambda p: -sizes[p])[:_LARGEST]:
        logger.info("  %9.2f MiB  %s", sizes[path] / 2**20, path.relative_to(root))


def is_importable(root: Path, target: str) -> bool:
    """Tell whether the package of a dotted path is installed, or lies in the bundle."""
    package = target.partition(".")[0]
    folders = (root, *(root / name for name in bundle.read_meta(root).get("user_code_paths", ())))
    in_bundle = any((f / package).is_dir() or (f / f"{package}.py").is_file() for f in folders)
    return in_bundle or is_available(package)
