"""The text cleaners of ESPnet2 as steps of a normaliser."""

from __future__ import annotations

from collections.abc import Sequence

from espnet3.components.metrics.text_normalizers import Step
from espnet3.utils.import_utils import require_package


def build_cleaner(clean_types: str | Sequence[str] | None) -> list[Step]:
    """Return the cleaners that ``clean_types`` asks for as one step, or no step.

    Args:
        clean_types: Name or names of cleaners of ``espnet2.text.cleaner.TextCleaner``.

    Raises:
        MissingDependencyError: If cleaners are asked for and ESPnet2 is not installed.
    """
    if not clean_types:
        return []
    names = [clean_types] if isinstance(clean_types, str) else list(clean_types)
    feature = f"the text cleaner `clean_types: {', '.join(names)}`"
    cleaner = require_package("espnet2.text.cleaner", extra="espnet2", feature=feature)
    version = require_package("espnet2", extra="espnet2", feature=feature).__version__
    name = "espnet2:" + "+".join(names)
    return [Step(name=name, version=str(version), function=cleaner.TextCleaner(names))]
