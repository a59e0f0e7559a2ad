"""The inside of a detached job."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from omegaconf import OmegaConf

from espnet3.parallel.item_calls import bind_forward
from espnet3.parallel.job_spec import AsyncJobSpec, build_provider, forget_secrets
from espnet3.parallel.job_state import sign_of_life
from espnet3.parallel.worker_env import WORKER_SETUP, check_env
from espnet3.utils.import_utils import import_object
from espnet3.utils.types import PathLike


def run_spec_file(spec_path: PathLike) -> list[Any] | None:
    """Do the work of one detached job.

    Each result is one line of JSON, flushed at once; what JSON cannot hold becomes its ``repr``.
    A job that was killed goes on after its last complete line when it is started again. What ends
    a job stands beside the spec file.

    Args:
        spec_path: File of an :class:`~espnet3.parallel.job_spec.AsyncJobSpec`.

    Returns:
        The results, if the job has no file for them.
    """
    path = Path(spec_path)
    with sign_of_life(path):
        results = _work_off(AsyncJobSpec.load(path))
    forget_secrets(path)
    return results


def _work_off(spec: AsyncJobSpec) -> list[Any] | None:
    runner_cls = import_object(spec.runner_cls, key="runner_cls")
    provider_cls = import_object(spec.provider_cls, key="provider_cls")
    os.environ["WORLD_SIZE"] = str(spec.world_size)
    os.environ["WORLD_RANK"] = str(spec.world_rank)
    config = None if spec.config is None else OmegaConf.create(spec.config)
    provider = build_provider(provider_cls, config, spec.params)
    env = check_env(provider.build_worker_setup_fn()(), WORKER_SETUP)
    forward = bind_forward(runner_cls, env)
    if spec.result_path is None:
        return [forward(item) for item in spec.indices]
    with Path(spec.result_path).open("ab+") as stream:
        for item in spec.indices[_count_done(stream) :]:
            stream.write(to_json(forward(item)) + b"\n")
            stream.flush()
    return None


def to_json(result: Any) -> bytes:
    """Return one document of JSON without line breaks, that of the ``repr`` if need be."""
    try:
        return json.dumps(result, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        return json.dumps(repr(result), ensure_ascii=False).encode()


def read_results(path: Path) -> Iterator[Any]:
    """Yield the complete results of a job so far; none if it has not begun."""
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for line in stream:
            # The last line of a job that runs or was killed may be cut short.
            if line.endswith(b"\n"):
                yield json.loads(line)


def _count_done(stream: IO[bytes]) -> int:
    """Return the number of complete lines, and cut off what comes after them."""
    stream.seek(0)
    count = end = 0
    for line in stream:
        if line.endswith(b"\n"):
            count += 1
            end += len(line)
    stream.truncate(end)
    return count
