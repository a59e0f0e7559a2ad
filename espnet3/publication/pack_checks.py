"""Last looks at a bundle before it replaces the old one."""

from __future__ import annotations

import logging
from pathlib import Path

from espnet3.errors import BundleError
from espnet3.publication import scrub
from espnet3.publication.bundle import INFERENCE_CONFIG
from espnet3.publication.limited_yaml import read_mapping
from espnet3.publication.pack_inputs import PackInputs
from espnet3.publication.path_rewrite import BUNDLE_ROOT, EXTERNAL
from espnet3.publication.yaml_links import expand_references, iter_strings

logger = logging.getLogger(__name__)


def check_model_files(root: Path) -> None:
    """Raise if the packed inference config names a file that is not in the bundle."""
    config = read_mapping(root / INFERENCE_CONFIG) or {}
    for key, text in iter_strings(config.get("model"), "model"):
        path = expand_references(text, {**config, "recipe_dir": str(root)})
        is_lost = text.startswith(EXTERNAL)
        if is_lost or (path.startswith(f"{root}/") and not Path(path).exists()):
            raise BundleError(
                f"{INFERENCE_CONFIG}: {key} = {text.replace(BUNDLE_ROOT + '/', '')!r} "
                "names a file that is not in the bundle\n"
                "  check that it exists (has `train` run?), and add it to "
                "publication_config.pack_model.files or extra"
            )


def check_text(inputs: PackInputs, root: Path) -> None:
    """Refuse to publish secrets and paths of this machine."""
    mode = inputs.settings.secret_scan
    if mode == "off":
        return
    host_paths = scrub.HostPaths(inputs.recipe_root, Path.cwd())
    found = [
        f"{path.relative_to(root)}:{finding.line}: {finding.kind}"
        for path in sorted(root.rglob("*"))
        if path.is_file()
        for finding in scrub.scan_text(scrub.read_small_text(path) or "", host_paths)
    ]
    if not found:
        return
    listing = "\n  ".join(found[:20])
    if mode == "warn":
        logger.warning("the bundle holds what should not be published:\n  %s", listing)
        return
    raise BundleError(
        f"will not pack what should not be published:\n  {listing}\n"
        "  remove it, or set publication_config.pack_model.secret_scan: warn"
    )
