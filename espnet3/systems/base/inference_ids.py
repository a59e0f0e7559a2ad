"""Sample ids that no SCP file can hold, found before a model is built."""

from __future__ import annotations

import logging
from typing import Any

from espnet3.components.inference.records import load_output_fn
from espnet3.errors import ScpError
from espnet3.systems.base.inference_samples import ReadAhead, stated_ids
from espnet3.systems.base.settings import InferenceSettings
from espnet3.utils.scp_utils import check_id

logger = logging.getLogger(__name__)

_KEY = "utt_id"


def check_stated_ids(dataset: Any, num_samples: int, settings: InferenceSettings) -> None:
    """Look for ids that are empty, hold whitespace or occur twice, if the data set states ids.

    An ``output_fn`` of the user may give other ids than the data set, so there it is a warning.

    Args:
        dataset: Test set.
        num_samples: How many of its samples are to be decoded.
        settings: Inference settings.

    Raises:
        ScpError: If the first such sample would end the run.
    """
    seen: set[str] = set()
    errors: dict[int, ScpError] = {}
    for index, sample_id in enumerate(stated_ids(dataset)[:num_samples]):
        try:
            check_id(sample_id, seen)
        except ScpError as error:
            errors[index] = error
    if not errors:
        return
    first, problem = next(iter(errors.items()))
    is_fatal = settings.execution.on_error == "raise" and _keeps_ids(settings)
    if is_fatal and ReadAhead(dataset).name(first, _KEY) == stated_ids(dataset)[first]:
        problem.add_note(f"found before decoding; {len(errors)} such ids in all")
        raise problem
    logger.warning(
        "%d samples fail unless `output_fn` gives them other ids, the first is item %d: %s",
        len(errors),
        first,
        problem,
    )


def _keeps_ids(settings: InferenceSettings) -> bool:
    """Tell whether records have the ids of the data set, as those of our own functions."""
    if not settings.output_fn or settings.idx_key not in (None, _KEY):
        return False
    return str(getattr(load_output_fn(settings.output_fn), "__module__", "")).startswith("espnet3.")
