"""Parse the command line of ``espnet3`` and hand it to a verb."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import espnet3
from espnet3.cli import bundle, check, demo, doctor, new
from espnet3.errors import Espnet3Error
from espnet3.utils.hinting_parser import HintingParser

VERBS = (new, check, doctor, bundle, demo)
"""Modules with ``add_parser(verbs)`` and ``run(args)``, whose import is cheap."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all verbs."""
    parser = HintingParser(
        prog="espnet3",
        description="Make, check and diagnose recipes. A recipe's run.py runs its stages.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"espnet3 {espnet3.__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add_parser(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        arguments: Words after ``espnet3``; those of this process by default.

    Returns:
        The exit status: 0, or 1 when something is wrong. What is wrong is on stderr, or is the
        output of a verb that looks for it. 2 for a command line without or with wrong words.
    """
    parser = build_parser()
    words = sys.argv[1:] if arguments is None else arguments
    if not words:
        parser.print_help(sys.stderr)
        return 2
    args = parser.parse_args(words)
    try:
        return int(args.run(args))
    except (Espnet3Error, OSError) as error:
        lines = [f"error: {error}", *getattr(error, "__notes__", [])]
        sys.stderr.write("\n".join(lines) + "\n")
        return 1
