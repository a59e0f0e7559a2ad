"""What building the model of a bundle comes to, found out without memory for its tensors."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet3.errors import Espnet3Error
from espnet3.publication.security import BundlePolicy
from espnet3.publication.session_backend import ArtifactRequest, Trust, build_described
from espnet3.publication.size_limit import limited_size
from espnet3.publication.weights_only import tensors_only
from espnet3.utils.import_utils import use_target_policy

logger = logging.getLogger(__name__)

_OURS = ("espnet3.", "torch.nn.")


def lay_out(root: Path, config: Mapping[str, Any], policy: BundlePolicy) -> None:
    """Go through the construction of a model of ours, with tensors that have shapes but no numbers.

    Sizes and numbers of layers count as they do in loading. Other models are left alone.

    Args:
        root: Folder of the bundle.
        config: Its resolved inference config, checked already.
        policy: What it may name; knows the classes that it does name.

    Raises:
        Espnet3Error: What loading would raise.
    """
    import torch

    model = config.get("model")
    is_ours = policy.espnet2_class is None and all(p.startswith(_OURS) for p in policy.allowed)
    if not isinstance(model, Mapping) or not is_ours:
        return
    described = {**config, "device": "meta", "model": {**model, "device": "meta"}}
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # numbers of weight files go nowhere
            use_target_policy(policy),
            tensors_only(root),
            limited_size(root, lambda: False),
            torch.device("meta"),
        ):
            build_described(described, ArtifactRequest(artifacts={}, trust=Trust()))
    except Espnet3Error:
        raise
    except Exception as error:  # noqa: BLE001 - some class looked at numbers that are not there
        logger.debug("%s: its model cannot be laid out: %s", root, error)
