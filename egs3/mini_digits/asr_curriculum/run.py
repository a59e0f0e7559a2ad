"""Run stages of the recipe: ``python run.py --stages train_easy --training_easy_config …``."""

from __future__ import annotations

from pathlib import Path

from src.system import CurriculumSystem

from egs3.TEMPLATE.asr.run import (
    DEFAULT_STAGES,
    DEMO_STAGES,
    build_parser,
    main,
    parse_cli_and_stage_args,
)

STAGES = [
    *("create_dataset", "train_tokenizer", "collect_stats", "train_easy", "train_full"),
    *DEFAULT_STAGES[4:],
    *DEMO_STAGES,
    "export_debug",
]
FULL = ("create_dataset", "train_tokenizer", "collect_stats", "train_full")
NEEDS = {
    "train_easy": "training_easy_config",
    **dict.fromkeys(FULL, "training_full_config"),
    "pack_model": ("training_full_config", "publication_config"),
    "export_debug": "inference_config",
}

if __name__ == "__main__":
    parser = build_parser(stages=STAGES)
    parser.add_argument("--training_easy_config", type=Path, default=None, metavar="YAML")
    parser.add_argument("--training_full_config", type=Path, default=None, metavar="YAML")
    args, _ = parse_cli_and_stage_args(parser, stages=STAGES)
    main(
        args=args,
        system_cls=CurriculumSystem,
        stages=STAGES,
        required_configs=NEEDS,
        naming_source="training_full_config",
    )
