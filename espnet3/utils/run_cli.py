"""The flags of ``run.py`` and what its user sees when it fails."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from espnet3.errors import BUILD_NOTE, Espnet3Error
from espnet3.utils.hinting_parser import HintingParser
from espnet3.utils.stage_selection import resolve_stages
from espnet3.utils.stage_table import NAMED_STAGES, SLOT_FILES, flag_of

_RENAMED = {
    "--train_config": "--training_config",
    "--infer_config": "--inference_config",
    "--metric_config": "--metrics_config",
    "--publish_config": "--publication_config",
}


def build_parser(stages: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a recipe; the recipe may add flags of its own.

    Args:
        stages: The recipe's stages in the order in which they run.
    """
    parser = _RecipeParser(
        description="Run stages of a recipe. All settings live in the YAML files.",
        allow_abbrev=False,
    )
    parser.set_defaults(stage_list=list(stages))
    named = [stage for stage in stages if stage in NAMED_STAGES]
    parser.add_argument(
        "--stages",
        nargs="+",
        choices=[*stages, "all"],
        default=["all"],
        metavar="STAGE",
        help=f"stages to run, out of: {', '.join(stages)}; default: all"
        + (f" but {', '.join(named)}, which must be named" if named else ""),
    )
    for slot, file in SLOT_FILES.items():
        parser.add_argument(
            flag_of(slot), type=Path, default=None, metavar="YAML", help=f"usually conf/{file}"
        )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SLOT.KEY=VALUE",
        help="override one value, for example training.trainer.max_epochs=1; repeatable",
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="check everything and say what would run"
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="run everything at toy size on a CPU, in folders of its own (conf/*.yaml by default)",
    )
    parser.add_argument(
        "--write_requirements",
        action="store_true",
        help="write the installed packages next to each stage log",
    )
    return parser


def parse_cli_and_stage_args(
    parser: argparse.ArgumentParser, stages: Sequence[str]
) -> tuple[argparse.Namespace, list[str]]:
    """Parse the command line of this process.

    From here on an error that carries its own explanation ends the program with that text instead
    of a traceback, which the stage log keeps.

    Args:
        parser: Parser of the recipe.
        stages: The recipe's stages in the order in which they run.

    Returns:
        The arguments, with the raw request in ``stages``, and the stages to run in list order.
    """
    sys.excepthook = show_error
    args = parser.parse_args()
    args.stage_list = list(stages)
    return args, resolve_stages(args.stages, stages)


def show_error(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Write an uncaught exception to stderr: explained errors as text, others with traceback.

    An error of a library that was given wrong arguments by the configuration counts as explained;
    one in code of the recipe does not.
    """
    notes = getattr(error, "__notes__", [])
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("\n".join(["interrupted", *notes]) + "\n")
    elif _explains_itself(kind):
        sys.stderr.write("\n".join([f"error: {error}", *notes]) + "\n")
    elif any(note.startswith(BUILD_NOTE) for note in notes) and not _is_in_recipe(trace):
        sys.stderr.write("\n".join([f"error: {kind.__name__}: {error}", *notes]) + "\n")
    else:
        sys.__excepthook__(kind, error, trace)


def _explains_itself(kind: type[BaseException]) -> bool:
    """Tell whether such an error says what to do; a traceback would only bury it."""
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    return issubclass(kind, Espnet3Error | OSError | YAMLError | OmegaConfBaseException)


def _is_in_recipe(trace: TracebackType | None) -> bool:
    """Tell whether an error arose in a file of the working directory."""
    file = Path()
    while trace is not None:
        file, trace = Path(trace.tb_frame.f_code.co_filename), trace.tb_next
    return file.is_relative_to(Path.cwd()) and "site-packages" not in file.parts


class _RecipeParser(HintingParser):
    """Also knows the successors of flags of earlier versions."""

    def iter_hints(self, message: str) -> Iterator[str]:
        renamed = [f"{old} is now called {new}" for old, new in _RENAMED.items() if old in message]
        yield from renamed or super().iter_hints(message)
