"""A command-line parser that names what was probably meant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import NoReturn

from espnet3.errors import did_you_mean


class HintingParser(argparse.ArgumentParser):
    """Adds the nearest choice or flag to its errors."""

    def error(self, message: str) -> NoReturn:
        """Print usage, message and hints, and leave with status 2."""
        super().error("; ".join([message, *self.iter_hints(message)]))

    def iter_hints(self, message: str) -> Iterator[str]:
        """Yield what helps with an error of the command line."""
        invalid = re.search(r"invalid choice: '(.*?)'", message)
        unknown = re.search(r"unrecognized arguments: (--[^\s=]+)", message)
        hint = None
        if invalid:
            choices = [c for action in self._actions for c in action.choices or ()]
            choices += self.get_default("stage_list") or []
            hint = did_you_mean(invalid[1], dict.fromkeys(choices))
        elif unknown:
            flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
            hint = did_you_mean(unknown[1], flags)
        if hint is not None:
            yield hint
