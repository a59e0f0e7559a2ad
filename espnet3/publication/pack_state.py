"""What a bundle was made from, so that packing again without a change takes no time.

The record lies beside the bundle, not in it: it names files of this machine.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

import espnet3
from espnet3.publication import bundle, model_card
from espnet3.publication.bundle_archive import archive_path
from espnet3.publication.pack_plan import PackPlan
from espnet3.utils.fingerprint import fingerprint, fingerprint_file
from espnet3.utils.path_utils import write_json


def state_file(out_dir: Path) -> Path:
    """Return where the record of a bundle lies."""
    return out_dir.with_name(f".{out_dir.name}.pack.json")


def digest_inputs(plan: PackPlan, git: Mapping[str, str]) -> str:
    """Return a digest of everything that a bundle is made from; files by size and time."""
    inputs = plan.inputs
    golden = [inputs.locate(path) for path in inputs.settings.golden_files]
    sources = [*plan.copies.values(), *(weight.source for weight in plan.weights), *golden]
    return fingerprint(
        {
            "versions": [espnet3.__version__, sys.version, bundle.installed_version("torch")],
            "epoch": os.environ.get("SOURCE_DATE_EPOCH"),
            "git": dict(git),
            "settings": _plain(dataclasses.asdict(inputs.settings)),
            "repository": inputs.upload.hf_repo,
            "system": inputs.system_name,
            "out_dir": str(inputs.out_dir),
            "configs": {name: OmegaConf.to_yaml(c) for name, c in inputs.configs.items()},
            "template": model_card.find_template(
                inputs.settings.readme_template, inputs.recipe_root
            ),
            "copies": _plain(dict(plan.copies)),
            "weights": [_plain(dataclasses.asdict(weight)) for weight in plan.weights],
            "registered": [dict(plan.files), dict(plan.yaml_files), sorted(plan.plain_yaml)],
            "moved": {str(path): place for path, place in plan.moved.items()},
            # By content: `measure` writes it anew each time.
            "scores": None if plan.scores is None else fingerprint_file(plan.scores),
            "sources": {str(path): _stamp(path) for path in sources},
        }
    )


def is_current(out_dir: Path, digest: str) -> bool:
    """Tell whether a bundle was made from these inputs, and nobody touched it since."""
    try:
        known = json.loads(state_file(out_dir).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    is_same = isinstance(known, dict) and known.get("inputs") == digest
    return is_same and known.get("files") == _stamps(out_dir)


def write_state(out_dir: Path, digest: str) -> None:
    """Record what a bundle was made from and what it looks like."""
    write_json(state_file(out_dir), {"inputs": digest, "files": _stamps(out_dir)})


def _stamps(root: Path) -> dict[str, list[int]]:
    stamps = {p.relative_to(root).as_posix(): _stamp(p) for p in sorted(root.rglob("*"))}
    return {**stamps, "../archive": _stamp(archive_path(root))}


def _stamp(path: Path) -> list[int]:
    if path.is_dir():
        return []
    facts = path.stat() if path.exists() else None
    return [facts.st_size, facts.st_mtime_ns] if facts is not None else [-1]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    return value if isinstance(value, str | int | float | None) else str(value)
