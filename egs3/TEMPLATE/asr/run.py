"""Run a speech recognition recipe: ``python run.py --stages train --training_config …``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from espnet3.systems.asr.system import ASRSystem
from espnet3.utils.run_cli import build_parser, parse_cli_and_stage_args

DEFAULT_STAGES = [
    "create_dataset",
    "train_tokenizer",
    "collect_stats",
    "train",
    "infer",
    "measure",
    "pack_model",
    "upload_model",
]
DEMO_STAGES = ["pack_demo", "upload_demo"]
ALL_STAGES = DEFAULT_STAGES + DEMO_STAGES
TEMPLATE_PACKAGE = "egs3.TEMPLATE.asr"


def main(
    args: argparse.Namespace,
    system_cls: Callable[..., Any],
    stages: Sequence[str] | None = None,
    *,
    extra_configs: Mapping[str, str | None] | None = None,
    required_configs: Mapping[str, str | Sequence[str]] | None = None,
    naming_source: str = "training_config",
) -> None:
    """Run the requested stages with the defaults of this template.

    Args:
        args: Parsed command line.
        system_cls: System of the recipe.
        stages: The recipe's stages in the order in which they run; by default the list that its
            parser was built with, else :data:`DEFAULT_STAGES`.
        extra_configs: Further slots → the file of this template with their defaults, or ``None``;
            only for those whose flag does not say it (``--training_easy_config`` does).
        required_configs: Stage → slot or slots that it needs.
        naming_source: Slot that names the experiment.
    """
    from espnet3.utils import run_utils  # loads OmegaConf, which `--help` does not need

    run_utils.main(
        args,
        system_cls,
        stages,
        default_stages=DEFAULT_STAGES,
        template_package=TEMPLATE_PACKAGE,
        extra_configs=extra_configs,
        required_configs=required_configs,
        naming_source=naming_source,
    )


if __name__ == "__main__":
    arguments, _ = parse_cli_and_stage_args(build_parser(ALL_STAGES), ALL_STAGES)
    main(args=arguments, system_cls=ASRSystem)
