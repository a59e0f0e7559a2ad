"""The note beside a bundle that says where it went."""

from __future__ import annotations

import json

from espnet3.publication import bundle
from espnet3.publication.upload_plan import UploadPlan
from espnet3.utils.path_utils import write_json


def write_receipt(plan: UploadPlan, commit: str, pull_request: int | None) -> None:
    """Note repository, commit and content of an upload."""
    write_json(
        plan.receipt,
        {
            "repository": plan.repository,
            "revision": plan.settings.revision,
            "commit": commit,
            "pull_request": pull_request,
            "time": bundle.build_time(),
            "manifest_sha256": plan.digest,
        },
    )


def read_pull_request(plan: UploadPlan) -> int | None:
    """Return the number of the pull request that an earlier run made for this very bundle."""
    if not plan.receipt.is_file():
        return None
    try:
        receipt = json.loads(plan.receipt.read_text(encoding="utf-8"))
    except ValueError:
        return None
    known = {key: receipt.get(key) for key in ("repository", "manifest_sha256")}
    if known != {"repository": plan.repository, "manifest_sha256": plan.digest}:
        return None
    number = receipt.get("pull_request")
    return int(number) if number else None
