"""What an upload would do, without doing it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from espnet3.publication.hub_errors import clean, require_access
from espnet3.publication.hub_repository import compare, read_state
from espnet3.publication.upload_plan import UploadPlan

logger = logging.getLogger(__name__)


def announce(plan: UploadPlan, new_client: Callable[[], Any]) -> None:
    """Log what an upload would do; ask the Hub only questions, and only if it may be asked."""
    settings = plan.settings
    visibility = {None: "the Hub's default", True: "private", False: "public"}[settings.private]
    logger.info("dry run: %s -> %s, %d files, %.1f MiB, as %r", plan.bundle, plan.repository,
                len(plan.files), plan.size / 2**20, plan.message)  # fmt: skip
    for name, size in plan.files:
        logger.info("  %s (%d bytes)", name, size)
    client = new_client()
    try:
        require_access(client)
        state = read_state(client, plan.repository, settings.revision, plan.kind.repo_type)
    except Exception as error:
        # Whatever the reason, a dry run has said what it knows.
        logger.info("dry run: what the repository holds is unknown: %s", clean(error))
        return
    names = [name for name, _ in plan.files]
    changes = compare(plan.bundle, names, state, settings.delete_pattern_list)
    if state is None:
        logger.info("dry run: the repository would be created, visibility: %s", visibility)
    for kind, found in (("add", changes.added), ("change", changes.changed),
                        ("delete", changes.deleted)):  # fmt: skip
        logger.info("dry run: would %s %s", kind, ", ".join(found) or "nothing")
