"""Jobs that a batch system does not take, and what it says about that."""

from __future__ import annotations

import re
import shlex
from typing import Any

from espnet3.utils.redaction import redact_message

REFUSALS = (OSError, RuntimeError, ValueError)
"""What dask-jobqueue raises when a command is absent, fails, or answers without a job id."""
_FAILED = re.compile(
    r"Exit code: (?P<status>-?\d+)\n.*?\nstdout:\n(?P<out>.*?)\nstderr:\n(?P<err>.*)", re.DOTALL
)
_NOT_FOUND = 127
"""What a shell says of a command that it does not find."""


def explain_refusal(error: Exception, submit_command: str) -> str:
    """Return in one sentence, and the words of the batch system, why a job was not taken.

    Args:
        error: One of :data:`REFUSALS`.
        submit_command: Command that was to submit the job, with its arguments.
    """
    command = (shlex.split(submit_command) or [submit_command])[0]
    failed = _FAILED.search(str(error))
    if isinstance(error, FileNotFoundError) or (failed and failed["status"] == str(_NOT_FOUND)):
        return f"{command}: command not found; jobs can be submitted only where it is installed"
    if failed is None:
        return redact_message(f"{command} did not submit the job: {error}")
    reason = failed["err"].strip() or failed["out"].strip() or "it does not say why"
    return redact_message(f"{command} refused the job (exit status {failed['status']}): {reason}")


def note_refusals(cluster: Any) -> None:
    """Let a cluster of dask-jobqueue keep why jobs were refused, which it only logs by itself.

    The attribute ``refusal`` of its jobs (``cluster.workers``) is the reason, or ``None``.
    """
    from distributed import Status

    class NotedJob(cluster.job_cls):  # type: ignore[misc]
        """A job that tells why it was not taken."""

        refusal: str | None = None

        async def start(self) -> None:
            try:
                await super().start()
            except REFUSALS as error:
                self.refusal = explain_refusal(error, self.submit_command)
                self.status = Status.running  # as Dask expects of each job; nobody waits for it

        async def close(self) -> None:
            await super().close()
            self.status = Status.closed  # else a cluster cannot close before its jobs are forgotten

    cluster.new_spec = {**cluster.new_spec, "cls": NotedJob}
