"""Where further ranks wait while rank 0 does what only one process may do."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from espnet3.errors import StageError
from espnet3.utils.device_utils import launcher_world_size, process_rank
from espnet3.utils.types import Seconds

logger = logging.getLogger(__name__)

FILE_NAME = ".ranks.lock"
DEFAULT_TIMEOUT: Seconds = 24 * 3600.0

_POLL_SEC = 0.2
_LOCK_SEC = 10.0
_LAUNCH_VARIABLES = (
    "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT", "PMIX_NAMESPACE",
)  # fmt: skip


class RankGate:
    """Lets every rank into a stage; the gate of a process that runs alone."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """End the run of this rank."""

    def enter(self, stage: str) -> None:
        """Return when this rank may begin a stage."""


class LeaderGate(RankGate):
    """Rank 0: tells the others, through a locked file, how far it has come.

    The operating system frees the lock when rank 0 dies, however that happens, so the others see
    the difference between a rank 0 that works and one that is gone.

    Args:
        path: The file; its folder is seen by all ranks.

    Raises:
        StageError: If another run holds the file, or the file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entered: list[str] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream: IO[str] = path.open("a+", encoding="utf-8")
        # First a shared lock, which waiting ranks take for none: they must not find the exclusive
        # one together with what an earlier run left in the file.
        self._lock(fcntl.LOCK_SH)
        self._stream.truncate(0)
        self._lock(fcntl.LOCK_EX)
        self._write()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Say how it ended and let go of the file."""
        self._write(ended="done" if kind is None else kind.__name__)
        self._stream.close()

    def enter(self, stage: str) -> None:
        """Announce that this stage begins."""
        self._entered.append(stage)
        self._write()

    def _write(self, ended: str | None = None) -> None:
        state = {"launch": _launch_id(), "entered": self._entered, "ended": ended}
        self._stream.truncate(0)
        self._stream.write(json.dumps(state))
        self._stream.flush()

    def _lock(self, kind: int) -> None:
        deadline = time.monotonic() + _LOCK_SEC
        while True:
            try:
                fcntl.flock(self._stream.fileno(), kind | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self._stream.close()
                    raise StageError(
                        f"another run of several ranks works in {self.path.parent}\n"
                        "  wait until it has ended, or choose another exp_tag"
                    ) from None
            except OSError as error:
                self._stream.close()
                raise StageError(
                    f"{self.path} cannot be locked ({error}), so ranks cannot wait for rank 0\n"
                    "  run the stages before the training in a call of their own"
                ) from error
            time.sleep(_POLL_SEC / 4)


class FollowerGate(RankGate):
    """Another rank: begins a stage when rank 0 does, and ends when rank 0 has.

    Args:
        path: The file of rank 0.
        timeout: How long to wait for one stage.
    """

    def __init__(self, path: Path, timeout: Seconds) -> None:
        self.path = path
        self.timeout = timeout
        self._seen = False

    def enter(self, stage: str) -> None:
        """Wait until rank 0 begins the stage.

        Raises:
            StageError: If rank 0 ends before, or the time is over.
        """
        logger.info("waiting for rank 0 to reach stage %s", stage)
        deadline = time.monotonic() + self.timeout
        while True:
            is_alive, state = _read_state(self.path)
            self._seen = self._seen or is_alive
            # A launch that has a name of its own is told from earlier ones by it.
            is_ours = self._seen or (state.get("launch") or "") == (_launch_id() or "none")
            has_come = stage in state.get("entered", ())
            if is_ours and has_come and (is_alive or state.get("ended") == "done"):
                return
            if is_ours and not is_alive:
                raise StageError(self._describe_end(stage, state))
            if time.monotonic() > deadline:
                raise StageError(
                    f"rank 0 did not reach stage {stage} within {self.timeout:g} s;"
                    f" {_describe_progress(state) if self._seen else 'it never started'}\n"
                    "  set rank_timeout in training.yaml, or run the stages before it in a call"
                    " of their own"
                )
            time.sleep(_POLL_SEC)

    def _describe_end(self, stage: str, state: Mapping[str, Any]) -> str:
        how = f"ended with {state['ended']}" if state.get("ended") else "is gone"
        return (
            f"rank 0 {how} before stage {stage}, so rank {process_rank()} stops;"
            f" {_describe_progress(state)}\n  rank 0's message and its stage log say why"
        )


def rank_gate(
    folder: Path | None, stages: Sequence[str], distributed: Sequence[str], timeout: Seconds | None
) -> RankGate:
    """Return the gate of this process.

    Ranks wait only where a launcher started all of them together and rank 0 has something to do
    before a stage that all execute.

    Args:
        folder: Folder that all ranks see; ``None`` lets everyone pass.
        stages: Stages of this run, in order.
        distributed: Stages that all ranks execute.
        timeout: How long to wait for one stage; ``None`` is a day.
    """
    alone = [stage for stage in stages if stage not in distributed]
    shared = [stage for stage in stages if stage in distributed]
    is_needed = alone and shared and stages.index(alone[0]) < stages.index(shared[-1])
    if folder is None or not is_needed or launcher_world_size() == 1:
        return RankGate()
    path = Path(folder) / FILE_NAME
    if process_rank() == 0:
        return LeaderGate(path)
    return FollowerGate(path, DEFAULT_TIMEOUT if timeout is None else timeout)


def _read_state(path: Path) -> tuple[bool, dict[str, Any]]:
    """Return whether rank 0 holds the file, and what stands in it."""
    try:
        with path.open("r", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
                is_alive = False
            except BlockingIOError:
                is_alive = True
            with contextlib.suppress(json.JSONDecodeError):  # caught while rank 0 writes it
                return is_alive, json.load(stream)
            return is_alive, {}
    except FileNotFoundError:
        return False, {}


def _describe_progress(state: Mapping[str, Any]) -> str:
    entered = state.get("entered")
    return f"its last stage was {entered[-1]}" if entered else "it had begun no stage"


def _launch_id() -> str | None:
    """Return what tells this launch from any other; ``None`` where the launcher has no such name.

    ``torchrun`` has none, but ends all ranks when one fails.
    """
    found = [os.environ[name] for name in _LAUNCH_VARIABLES if os.environ.get(name)]
    return "/".join(found) or None
