"""What is done to texts before they are compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from espnet3.utils.fingerprint import fingerprint
from espnet3.utils.import_utils import require_package


@dataclasses.dataclass(frozen=True, kw_only=True)
class Normalizer:
    """A function on texts, with the identity that scores must state."""

    name: str
    version: str
    normalize: Callable[[str], str]

    def describe(self) -> dict[str, Any]:
        """Return name, version and a hash of both: equal hashes mean comparable scores."""
        identity = {"name": self.name, "version": self.version}
        return {**identity, "hash": fingerprint(identity)}


def build_normalizer(clean_types: str | Sequence[str] | None) -> Normalizer:
    """Return the normaliser that ``clean_types`` asks for; null leaves texts as they are.

    Args:
        clean_types: Name or names of cleaners of ``espnet2.text.cleaner.TextCleaner``.

    Raises:
        MissingDependencyError: If cleaners are asked for and ESPnet2 is not installed.
    """
    if not clean_types:
        return Normalizer(name="none", version="1", normalize=str)
    names = [clean_types] if isinstance(clean_types, str) else list(clean_types)
    feature = f"the text cleaner `clean_types: {', '.join(names)}`"
    cleaner = require_package("espnet2.text.cleaner", extra="espnet2", feature=feature)
    version = require_package("espnet2", extra="espnet2", feature=feature).__version__
    return Normalizer(
        name="espnet2:" + "+".join(names),
        version=str(version),
        normalize=cleaner.TextCleaner(names),
    )
