"""What can be said about ``create_dataset`` without running the recipe's builder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet3.components.data.corpus_record import CorpusRecord
from espnet3.systems.base.dataset_stage import find_sources
from espnet3.utils.config_utils import to_plain
from espnet3.utils.named_files import iter_files
from espnet3.utils.stage_plan import StagePlan


def plan_create_dataset(training_config: Any, inference_config: Any = None) -> StagePlan:
    """Say what the stage works on; whether there is work is known to the builder alone."""
    sources = find_sources(training_config, inference_config)
    recipe_dir = Path(str(training_config.get("recipe_dir") or "."))
    arguments = to_plain(training_config.get("create_dataset")) or {}
    data_dir = training_config.get("data_dir")
    folder = None if data_dir is None else Path(str(data_dir))
    notes = [f"prepares {source}" for source in sources if source is not None]
    notes += _compare_record(folder, arguments) if folder is not None else []
    return StagePlan(
        state="unknown",
        why="the recipe's dataset builder decides when it runs",
        inputs=(
            *((recipe_dir / "dataset",) if None in sources else ()),
            *iter_files(arguments, recipe_dir),
        ),
        outputs=() if folder is None else (folder,),
        notes=tuple(notes),
    )


def _compare_record(data_dir: Path, arguments: Mapping[str, Any]) -> Iterator[str]:
    """Say where the note that a builder left beside its data contradicts the configuration."""
    path = data_dir / CorpusRecord.FILE_NAME
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return
    if not isinstance(record, dict):
        return
    for name in sorted(record.keys() & arguments.keys()):
        if record[name] != arguments[name]:
            yield f"{path} was made with {name}={record[name]}, now it is {arguments[name]}"
