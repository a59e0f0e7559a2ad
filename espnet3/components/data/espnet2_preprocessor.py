"""Call a preprocessor of ESPnet2 with samples of ours."""

from __future__ import annotations

import sys
from typing import Any


def is_espnet2_preprocessor(preprocessor: Any) -> bool:
    """Tell whether a preprocessor is one of ESPnet2's."""
    # An instance of its class can only exist once the module has been imported.
    module = sys.modules.get("espnet2.train.preprocessor")
    return module is not None and isinstance(preprocessor, module.AbsPreprocessor)


def split_sample(preprocessor: Any, sample: Any) -> tuple[Any, dict[str, Any]]:
    """Split off what a preprocessor of ESPnet2 does not take: strings that it does not process.

    Ours keep the id of the utterance in the sample; theirs promise to return arrays only, which is
    checked when they return.
    """
    if not isinstance(sample, dict):
        return sample, {}
    processed = {"text"}
    for attribute, value in vars(preprocessor).items():
        if attribute.endswith("_name"):
            processed.update([value] if isinstance(value, str) else value or ())
    rest = {k: v for k, v in sample.items() if isinstance(v, str) and k not in processed}
    return {k: v for k, v in sample.items() if k not in rest}, rest
