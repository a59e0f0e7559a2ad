"""Run stages of the recipe: ``python run.py --stages … --training_config conf/training.yaml``."""

from __future__ import annotations

from src.system import MiniDigitsSystem

from egs3.TEMPLATE.asr.run import ALL_STAGES, build_parser, main, parse_cli_and_stage_args

STAGES = [*ALL_STAGES, "report"]
NEEDS = {"report": ("training_config", "metrics_config", "publication_config")}

if __name__ == "__main__":
    args, _ = parse_cli_and_stage_args(build_parser(stages=STAGES), stages=STAGES)
    main(args=args, system_cls=MiniDigitsSystem, stages=STAGES, required_configs=NEEDS)
