"""The inside of a detached job."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from omegaconf import OmegaConf

from espnet3.parallel.job_spec import AsyncJobSpec, forget_secrets
from espnet3.parallel.worker_env import EnvSelector
from espnet3.utils.import_utils import import_object
from espnet3.utils.types import PathLike


def run_spec_file(spec_path: PathLike) -> list[Any] | None:
    """Do the work of one detached job.

    Each result is one line of JSON, flushed at once; what JSON cannot hold becomes its ``repr``.
    A job that was killed goes on after its last complete line when it is started again.

    Args:
        spec_path: File of an :class:`~espnet3.parallel.job_spec.AsyncJobSpec`.

    Returns:
        The results, if the job has no file for them.
    """
    spec = AsyncJobSpec.load(Path(spec_path))
    runner_cls = import_object(spec.runner_cls, key="runner_cls")
    provider_cls = import_object(spec.provider_cls, key="provider_cls")
    os.environ["WORLD_SIZE"] = str(spec.world_size)
    os.environ["WORLD_RANK"] = str(spec.world_rank)
    provider = provider_cls(OmegaConf.create(spec.config), params=spec.params)
    env = provider.build_worker_setup_fn()()
    chosen = EnvSelector(runner_cls.forward)(env, 1, {})
    if spec.result_path is None:
        return [runner_cls.forward(item, **chosen) for item in spec.indices]
    with Path(spec.result_path).open("ab+") as stream:
        for item in spec.indices[_count_done(stream) :]:
            stream.write(to_json(runner_cls.forward(item, **chosen)) + b"\n")
            stream.flush()
    forget_secrets(Path(spec_path))
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
