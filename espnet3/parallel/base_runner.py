"""Map a function over indices with the objects that a provider builds."""

from __future__ import annotations

import functools
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from espnet3.errors import SettingError
from espnet3.parallel.clients import close_client
from espnet3.parallel.detached_jobs import (
    collect_async_results,
    get_job_class,
    needs_cluster,
    start_process,
    submit_shards,
    submit_to_cluster,
)
from espnet3.parallel.item_calls import Bind, bind_forward, call_on_workers
from espnet3.parallel.job_spec import (
    AsyncJobSpec,
    convert_paths,
    get_full_class_path_from_instance,
)
from espnet3.parallel.job_worker import run_spec_file
from espnet3.parallel.parallel import (
    build_client,
    get_parallel_config,
    read_settings,
)
from espnet3.parallel.plain_json import dump_plain
from espnet3.parallel.shards import (
    ShardPlan,
    bind_shard_work,
    check_hooks,
    check_subdir,
    concatenate_shard_files,
)
from espnet3.parallel.worker_env import build_local_env
from espnet3.utils.types import PathLike

__all__ = [
    "AsyncJobSpec",
    "BaseRunner",
    "collect_async_results",
    "concatenate_shard_files",
    "convert_paths",
    "get_full_class_path_from_instance",
    "get_job_class",
]


_RESULTS = "results.jsonl"


class LocalEnvProvider(Protocol):
    """What a runner needs of a provider to work in its own process.

    With workers it also needs ``build_worker_setup_fn``, detached ``config`` and ``params``.
    """

    def build_env_local(self) -> dict[str, Any]:
        """Return the objects that ``forward`` takes by name."""


class BaseRunner(ABC):
    """Apply ``forward`` to every index, in the order of the indices.

    Where that happens is said by the registered parallel configuration: in this process, or on
    workers that build their own environment once.

    Args:
        provider: Builds the environment whose entries ``forward`` receives by name.
        batch_size: Cut the indices into lists of this size, and give ``forward`` a list at a time.
        async_mode: Submit detached jobs, which outlive this process, instead of waiting.
        async_specs_dir: Folder of the descriptions of detached jobs.
        async_result_dir: Folder of the results of detached jobs.
        output_dir: Let workers write: see :meth:`open_writers`. ``None`` returns results.
        shard_subdir: Folder below ``output_dir`` for the shards of this call.
        resume: Whether the work of an earlier, equal run may be used: ``auto`` takes that of an
            interrupted run, true also that of a complete one. The stage ``infer`` reads it too.

    Example:
        >>> class Doubler(BaseRunner):
        ...     @staticmethod
        ...     def forward(idx, dataset, **env):
        ...         return 2 * dataset[idx]
        >>> class Provider:
        ...     def build_env_local(self):
        ...         return {"dataset": [1, 2, 3]}
        >>> Doubler(Provider())(range(3))
        [2, 4, 6]
    """

    def __init__(
        self,
        provider: LocalEnvProvider,
        batch_size: int | None = None,
        async_mode: bool = False,
        async_specs_dir: PathLike = "./_async_specs",
        async_result_dir: PathLike = "./_async_results",
        *,
        output_dir: PathLike | None = None,
        shard_subdir: str = "",
        resume: bool | Literal["auto"] = "auto",
    ) -> None:
        if async_mode and output_dir is not None:
            raise SettingError(
                "detached jobs write into async_result_dir", key="output_dir", value=output_dir
            )
        check_hooks(type(self), ["forward"])
        if resume not in (True, False, "auto"):
            raise SettingError("must be auto, true or false", key="resume", value=resume)
        self.provider = provider
        self.batch_size = batch_size
        self.async_mode = async_mode
        self.async_specs_dir = Path(async_specs_dir).absolute()
        self.async_result_dir = Path(async_result_dir).absolute()
        self.output_dir = None if output_dir is None else Path(output_dir).absolute()
        self.shard_subdir = shard_subdir
        if self.output_dir is not None:
            check_subdir(self.output_dir, shard_subdir)
        self.resume = resume

    @staticmethod
    @abstractmethod
    def forward(idx: Any, dataset: Any, model: Any, **env: Any) -> Any:
        """Do the work for one index, or for a list of indices when ``batch_size`` is set."""

    @classmethod
    def batch_forward(
        cls, indices: Iterable[Any], *, dataset: Any, model: Any, **env: Any
    ) -> list[Any]:
        """Do the work for several indices; for subclasses to call or to override."""
        return [cls.forward(idx, dataset=dataset, model=model, **env) for idx in indices]

    @staticmethod
    def open_writers(shard_dir: Path, **env: Any) -> dict[str, Any]:
        """Open what a process writes results with, when ``output_dir`` is set.

        The hooks are static or class methods, because workers have no instance. Like ``forward``
        they take entries of the environment by name; :meth:`write_record` and
        :meth:`close_writers` may also take ``state``, a dict that lives as long as the shard. The
        default hooks keep results as lines of JSON, and :meth:`merge` returns them.

        Args:
            shard_dir: Empty folder ``<output_dir>/<shard_subdir>/split.<n>``.
            **env: Environment.
        """
        return {"results": (shard_dir / _RESULTS).open("w", encoding="utf-8")}

    @staticmethod
    def write_record(writers: dict[str, Any], result: Any, **env: Any) -> None:
        """Write what ``forward`` returned for one item."""
        line = dump_plain(
            result,
            what="what `forward` returned",
            advice="return numbers, texts, lists and dicts, or write it in hooks of your own: "
            "`open_writers`, `write_record` and `merge`",
        )
        writers["results"].write(line + "\n")

    @staticmethod
    def close_writers(writers: dict[str, Any], **env: Any) -> dict[str, Any] | None:
        """Close the writers; a dict that is returned goes into the file ``done`` as JSON."""
        for writer in writers.values():
            writer.close()
        return None

    def merge(self, shard_dirs: Sequence[Path]) -> Any:
        """Return what a call returns, from complete shards in the order of the items."""
        results = []
        for folder in shard_dirs:
            with (folder / _RESULTS).open(encoding="utf-8") as stream:
                results += [json.loads(line) for line in stream]
        return results

    def __call__(self, indices: Iterable[Any]) -> Any:
        """Return one result per index, or per batch of indices when ``batch_size`` is set.

        In detached mode, the description of each job: ``job_id``, ``spec`` and ``result``. With
        ``output_dir``, what :meth:`merge` returns.

        Raises:
            ValueError: If ``batch_size`` is not a positive integer.
            ParallelError: If workers do not come or die of the work.
            FileNotFoundError: If a shard of ``output_dir`` is not complete in the end.
            Exception: What ``forward`` raises, with a note that names the item.
        """
        if self.async_mode:
            return self._submit(cut_batches(list(indices), self.batch_size))
        if self.output_dir is not None:
            return self._run_shards(cut_batches(list(indices), self.batch_size))
        return list(self.iter_outputs(indices))

    def iter_outputs(self, indices: Iterable[Any]) -> Iterator[Any]:
        """Yield one result at a time, neither in detached mode nor with ``output_dir``."""
        items = cut_batches(list(indices), self.batch_size)
        return self._run(functools.partial(bind_forward, type(self)), items)

    def _run(self, bind: Bind, items: list[Any]) -> Iterator[Any]:
        if not items:
            return iter(())
        if get_parallel_config() is None or read_settings().is_in_process:
            return self._run_here(bind, items)
        build_env = self.provider.build_worker_setup_fn()  # type: ignore[attr-defined]
        return call_on_workers(bind, build_env, items)

    def _run_here(self, bind: Bind, items: list[Any]) -> Iterator[Any]:
        yield from map(bind(build_local_env(self.provider)), items)

    def _run_shards(self, items: list[Any]) -> Any:
        check_hooks(type(self))
        settings = read_settings()
        plan = ShardPlan.of(self, items, num_workers=settings.num_workers)
        todo = plan.prepare(self.resume)
        for _ in self._run(functools.partial(bind_shard_work, type(self)), todo):
            continue
        plan.check_done()
        return self.merge(plan.shard_dirs)

    def _submit(self, items: list[Any]) -> list[dict[str, str]]:
        settings = read_settings()
        if not items or not needs_cluster(settings):
            return submit_shards(self, items, settings, start_process)
        client = build_client(get_parallel_config(), start_workers=False)
        cluster = client.cluster

        def submit(job: dict[str, str]) -> None:
            submit_to_cluster(cluster, get_job_class(cluster, job["spec"]), job)

        try:
            return submit_shards(self, items, settings, submit)
        finally:
            close_client(client)


def cut_batches(items: list[Any], batch_size: int | None) -> list[Any]:
    """Return the items as they are, or in lists of ``batch_size``, the last one shorter.

    Raises:
        ValueError: If ``batch_size`` is not a positive integer.
    """
    if batch_size is None:
        return items
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size <= 0:
        raise ValueError(f"batch_size must be a positive integer or null, got {batch_size!r}")
    return [items[start : start + batch_size] for start in range(0, len(items), batch_size)]


if __name__ == "__main__":
    run_spec_file(sys.argv[1])
