"""Run stages of the recipe: ``python run.py --stages … --training_config conf/training.yaml``."""

from __future__ import annotations

from egs3.TEMPLATE.asr.run import ALL_STAGES, build_parser, main, parse_cli_and_stage_args
from espnet3.systems.asr.system import ASRSystem

if __name__ == "__main__":
    args, _ = parse_cli_and_stage_args(build_parser(stages=ALL_STAGES), stages=ALL_STAGES)
    main(args=args, system_cls=ASRSystem)
