"""What is odd about the outputs of a test set without being an error."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field

from espnet3.utils.redaction import redact_message

logger = logging.getLogger(__name__)


@dataclass
class SplitBatches:
    """Batches that came apart, though not for a lack of memory."""

    batches: int = 0
    """Batches that failed as a whole."""
    decoded_alone: int = 0
    """Samples of them that were decoded one at a time."""
    worked: int = 0
    """Calls with several samples that worked."""
    error: str | None = None
    """Why the first of them failed."""

    def note_failure(self, error: Exception) -> None:
        """Count a batch that failed."""
        self.batches += 1
        lines = redact_message(f"{type(error).__name__}: {error}").splitlines()
        self.error = self.error or lines[0]

    def note_success(self, size: int, *, is_part: bool) -> None:
        """Count a call that worked."""
        if size > 1:
            self.worked += 1
        else:
            self.decoded_alone += is_part

    def add(self, other: SplitBatches) -> None:
        """Take over the counts of other batches."""
        self.batches += other.batches
        self.decoded_alone += other.decoded_alone
        self.worked += other.worked
        self.error = self.error or other.error

    def log(self, test_set: str) -> None:
        """Warn, if there were any."""
        if not self.batches:
            return
        found = (test_set, self.decoded_alone, self.error)
        if not self.worked:
            logger.warning(
                "Test set %s: no batch worked; %d samples were decoded one at a time. The first "
                "error: %s; if the model or `output_fn` takes one sample at a time, set "
                "`batch_size: null` and no execution.batching.mode",
                *found,
            )
        else:
            logger.warning(
                "Test set %s: %d batches failed and were taken apart, until %d samples were "
                "decoded one at a time. The first error: %s",
                test_set,
                self.batches,
                *found[1:],
            )


@dataclass
class Remarks:
    """Oddities of outputs, counted while they are written; warnings say them at the end."""

    num_joined: int = 0
    """Values whose line breaks became spaces."""
    num_nan: dict[str, int] = field(default_factory=dict)
    """Numbers that are none, by field."""
    inline_fields: set[str] = field(default_factory=set)
    """Fields of which values stand in the SCP line itself."""
    file_fields: set[str] = field(default_factory=set)
    """Fields of which values have files of their own."""
    split: SplitBatches = field(default_factory=SplitBatches)

    def add(self, other: Remarks) -> None:
        """Take over what was noticed elsewhere."""
        self.num_joined += other.num_joined
        for name, count in other.num_nan.items():
            self.num_nan[name] = self.num_nan.get(name, 0) + count
        self.inline_fields |= other.inline_fields
        self.file_fields |= other.file_fields
        self.split.add(other.split)

    def log(self, test_set: str, artifacts: Collection[str] = ()) -> None:
        """Warn once of each kind.

        Args:
            test_set: Name of the test set.
            artifacts: Fields that ``output_artifacts`` names.
        """
        if self.num_joined:
            logger.warning("%d values had line breaks, replaced by spaces", self.num_joined)
        if self.num_nan:
            counts = ", ".join(f"{name}: {count}" for name, count in sorted(self.num_nan.items()))
            logger.warning("Test set %s: outputs that are not a number (%s)", test_set, counts)
        for name in sorted(self.inline_fields.intersection(artifacts) - self.file_fields):
            logger.warning(
                "Test set %s: output_artifacts.%s has no effect: its values are texts or numbers, "
                "which stand in %s.scp itself",
                test_set,
                name,
                name,
            )
        mixed = sorted(self.inline_fields & self.file_fields)
        if mixed:
            logger.warning(
                "Test set %s: %s.scp holds values of some samples and paths of files of others, "
                "which nobody can tell apart; let `output_fn` return one kind",
                test_set,
                ".scp and ".join(mixed),
            )
        self.split.log(test_set)
