"""Which golden samples go into a bundle, and what recording them told."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from espnet3.errors import BundleError
from espnet3.publication import bundle, golden_recorder
from espnet3.publication.limited_yaml import read_mapping
from espnet3.publication.pack_plan import PackPlan

logger = logging.getLogger(__name__)


def add_golden_samples(plan: PackPlan, root: Path, meta: bundle.BundleMeta) -> bundle.BundleMeta:
    """Record golden samples in a bundle that is complete but for its card and manifest.

    Args:
        plan: What is packed.
        root: Folder of the bundle.
        meta: What ``meta.yaml`` says so far.

    Returns:
        The same, and that the bundle needs trust if that is what a clean interpreter says.

    Raises:
        BundleError: If recording fails, and audio files or ``smoke_test`` were asked for.
    """
    settings = plan.inputs.settings
    if not settings.golden_samples:
        return meta
    files = [plan.inputs.locate(path) for path in settings.golden_files]
    for file in files:
        if not file.is_file():
            raise BundleError(f"publication_config.pack_model.golden_samples: {file} is no file")
    is_wanted = bool(files) or settings.smoke_test
    obstacle = golden_recorder.find_obstacle(root)
    if obstacle is not None and not is_wanted:
        logger.info("no golden samples: %s", obstacle)
        return meta
    try:
        if obstacle is not None:
            raise BundleError(obstacle)
        needs_no_trust = golden_recorder.record_in_clean_interpreter(root, files)
        if settings.smoke_test:
            golden_recorder.verify_in_clean_interpreter(root)
    except BundleError as error:
        if is_wanted:
            raise BundleError(
                f"{error}\n  mend it, or leave out pack_model.golden_samples and smoke_test"
            ) from error
        logger.warning("no golden samples: %s", error)
        return meta
    if needs_no_trust or meta.trust["requires_user_code"]:
        return meta
    model = (read_mapping(root / bundle.INFERENCE_CONFIG) or {})["model"]
    trust = {"requires_user_code": True, "targets": [str(model["_target_"])]}
    return dataclasses.replace(meta, trust=trust)
