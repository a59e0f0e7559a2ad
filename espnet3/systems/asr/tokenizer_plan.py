"""What ``train_tokenizer`` would do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from espnet3.systems.asr.settings import TokenizerSettings
from espnet3.utils.named_files import iter_files
from espnet3.utils.stage_plan import StagePlan


def plan_train_tokenizer(settings: TokenizerSettings, recipe_dir: Any) -> StagePlan:
    """Say whether all files of the tokenizer exist, which is what the stage looks at."""
    absent = [path.name for path in settings.files if not path.is_file()]
    folder = Path(str(recipe_dir or "."))
    complaint = settings.find_complaint()
    return StagePlan(
        state="would run" if absent else "up to date",
        why=f"no {', '.join(absent)}" if absent else "its files exist",
        inputs=tuple(iter_files(settings.text_builder.arguments, folder)),
        outputs=settings.files,
        notes=() if complaint is None else (complaint,),
    )
