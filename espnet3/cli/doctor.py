"""``espnet3 doctor``: what each stage needs, what is missing, and the command that installs it."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def add_parser(verbs: Any) -> None:
    """Add the verb to the parser of the command."""
    parser = verbs.add_parser(
        "doctor",
        help="say what is missing on this machine",
        description="Say for each stage of a recipe whether this machine has what it needs: "
        "packages, commands, GPUs, files, folders. The status is 1 when a stage cannot run.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "recipe_dir",
        nargs="?",
        type=Path,
        metavar="RECIPE",
        help="folder of the recipe; default: the working directory, or every stage if it is none",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the machine, one line per stage, what is wrong, and how to mend it."""
    from espnet3.cli.diagnosis import diagnose

    diagnosis = diagnose(args.recipe_dir)
    lines = [*_machine_lines(), ""]
    width = max((len(report.stage) for report in diagnosis.reports), default=0)
    for report in diagnosis.reports:
        verdict = "cannot run" if report.problems else "ok"
        lines.append(f"{report.stage:{width}}  {verdict:10}  {', '.join(report.present)}".rstrip())
        lines += [f"{'':{width}}  {problem}" for problem in report.problems]
    lines += _section("further configurations", diagnosis.variants)
    lines += _section("folders", diagnosis.folders)
    lines += _section("warnings", diagnosis.warnings)
    lines += _section("what helps", diagnosis.remedies)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return int(diagnosis.is_broken)


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"{title}:", *(f"  {line}" for line in lines)] if lines else []


def _machine_lines() -> Iterator[str]:
    import espnet3
    from espnet3.cli.machine import count_gpus, has_apple_gpu, torch_build

    place = Path(espnet3.__file__).parent
    yield f"espnet3  {espnet3.__version__} in {place}"
    yield f"python   {platform.python_version()}, {sys.executable}"
    build = torch_build()
    if build is None:
        yield "torch    not installed"
    else:
        gpus = (
            "without support for GPUs" if build.cuda is None else f"for CUDA or ROCm {build.cuda}"
        )
        yield f"torch    {build.version}, built {gpus}"
    count = count_gpus()
    yield f"GPUs     {count or ('1, of Apple' if has_apple_gpu() else 'none')}"
