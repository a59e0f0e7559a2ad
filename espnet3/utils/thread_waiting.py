"""How the threads of a parallel CPU operation wait for their next task."""

from __future__ import annotations

import os
import sys

_SPIN_COUNT = "1000"


def shorten_spinning() -> None:
    """Make idle threads of GNU OpenMP sleep after some microseconds instead of milliseconds.

    By default they spin so long that any other busy process slows a training step on as many
    threads as cores down several times: each operation waits for a thread that lost its core to
    one that spins. Nothing changes where the user has chosen, or torch has been imported.
    """
    is_chosen = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys()
    if not is_chosen and "torch" not in sys.modules:
        os.environ["GOMP_SPINCOUNT"] = _SPIN_COUNT
