"""Output in shards: each process writes a folder of its own, and the driver merges them."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from espnet3.errors import SettingError
from espnet3.parallel.item_calls import bind_forward, name_item
from espnet3.parallel.job_spec import get_full_class_path_from_instance
from espnet3.parallel.plain_json import dump_plain
from espnet3.parallel.worker_env import EnvSelector
from espnet3.utils.fingerprint import fingerprint
from espnet3.utils.path_utils import atomic_open, is_inside, write_json, write_text
from espnet3.utils.types import PathLike

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
DONE = "done"
_VERSION = 1
_SHARD_NAME = re.compile(r"split\.\d+")
_HOOKS = ("open_writers", "write_record", "close_writers")


def cut_shards(items: list[Any], count: int) -> list[list[Any]]:
    """Return at most ``count`` contiguous parts of about the same size, larger ones first.

    Example:
        >>> cut_shards([1, 2, 3], 2)
        [[1, 2], [3]]
    """
    count = min(count, len(items))
    shards, start = [], 0
    for rank in range(count):
        size = len(items) // count + (rank < len(items) % count)
        shards.append(items[start : start + size])
        start += size
    return shards


def concatenate_shard_files(
    shard_dirs: Iterable[PathLike], relative_name: str, out_path: PathLike
) -> bool:
    """Join the files of one name in the order of the shards; shards without it are left out.

    Args:
        shard_dirs: Folders of the shards.
        relative_name: Path of the file within each.
        out_path: File to write, atomically; removed if no shard has such a file.

    Returns:
        Whether there was one.
    """
    parts = [path for folder in shard_dirs if (path := Path(folder) / relative_name).is_file()]
    if not parts:
        Path(out_path).unlink(missing_ok=True)
        return False
    with atomic_open(out_path, "wb") as stream:
        for path in parts:
            with path.open("rb") as part:
                shutil.copyfileobj(part, stream)
    return True


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """Which items go to which folder; kept as ``manifest.json`` beside the folders."""

    output_dir: Path
    shard_subdir: str
    shards: list[list[Any]]
    """Items of each shard."""
    identity: str | None
    """Digest of what the outputs depend on; ``None`` if it cannot be told."""

    @classmethod
    def of(cls, runner: Any, items: list[Any], *, num_workers: int) -> ShardPlan:
        """Cut the items of a runner, one shard for each worker."""
        provider = runner.provider
        parts = {
            "runner": get_full_class_path_from_instance(runner),
            "provider": get_full_class_path_from_instance(provider),
            "config": getattr(provider, "config", None),
            "params": getattr(provider, "params", None),
            "items": items,
        }
        identity = None
        with contextlib.suppress(TypeError):
            identity = fingerprint(parts)
        return cls(
            output_dir=runner.output_dir,
            shard_subdir=runner.shard_subdir,
            shards=cut_shards(items, num_workers),
            identity=identity,
        )

    @property
    def folder(self) -> Path:
        """Folder that holds the shards."""
        return self.output_dir / self.shard_subdir

    @property
    def shard_dirs(self) -> list[Path]:
        """Folder of each shard."""
        return [self.folder / f"split.{rank}" for rank in range(len(self.shards))]

    def prepare(self, resume: bool | Literal["auto"]) -> list[tuple[Path, list[Any]]]:
        """Write the manifest and return folder and items of the shards that are to be made.

        Args:
            resume: ``auto`` keeps complete shards of an interrupted, equal run; true keeps those
                of a complete run too; false keeps none.
        """
        manifest = {
            "version": _VERSION,
            "output_dir": str(self.output_dir),
            "shard_subdir": self.shard_subdir,
            "shards": [folder.name for folder in self.shard_dirs],
            "items": [len(items) for items in self.shards],
            "fingerprint": self.identity,
        }
        missing = self.missing()
        earlier = _read_manifest(self.folder)
        if not earlier and len(missing) < len(self.shards):
            logger.warning(
                "%s is gone, so nobody knows what the shards beside it hold; they are made again",
                self.folder / MANIFEST,
            )
        is_equal = self.identity is not None and earlier == manifest
        if not is_equal or resume is False or (resume == "auto" and not missing):
            for name in filter(_SHARD_NAME.fullmatch, map(str, earlier.get("shards", []))):
                shutil.rmtree(self.folder / name, ignore_errors=True)
            missing = self.shard_dirs
        write_json(self.folder / MANIFEST, manifest)
        return [
            (folder, items)
            for folder, items in zip(self.shard_dirs, self.shards, strict=True)
            if folder in missing
        ]

    def missing(self) -> list[Path]:
        """Return the folders of shards that are not complete."""
        return [folder for folder in self.shard_dirs if not (folder / DONE).is_file()]

    def check_done(self) -> None:
        """Raise unless all shards are complete.

        Raises:
            FileNotFoundError: If one is not; it names all such shards.
        """
        missing = self.missing()
        if missing:
            names = ", ".join(map(str, missing))
            raise FileNotFoundError(f"no file {DONE!r}, so these shards are not complete: {names}")


def check_subdir(output_dir: Path, shard_subdir: str) -> None:
    """Raise unless the folder of the shards is in that of the output.

    Raises:
        SettingError: If ``shard_subdir`` leads out of ``output_dir``.
    """
    if not is_inside(output_dir / shard_subdir, output_dir):
        raise SettingError(
            f"leads out of output_dir ({output_dir})",
            key="shard_subdir",
            value=shard_subdir,
            hint="name a folder below it, or choose another output_dir",
        )


def check_hooks(runner_cls: type[Any], names: Iterable[str] = _HOOKS) -> None:
    """Raise if a hook needs an instance, which does not travel to the workers.

    Raises:
        TypeError: If so.
    """
    for name in names:
        if not isinstance(inspect.getattr_static(runner_cls, name), staticmethod | classmethod):
            raise TypeError(
                f"{runner_cls.__name__}.{name} must be a static method or a class method: "
                "workers have the class, but no instance\n"
                f"  write @staticmethod above `def {name}`, and leave out `self`"
            )


def bind_shard_work(
    runner_cls: type[Any], env: dict[str, Any]
) -> Callable[[tuple[Path, list[Any]]], None]:
    """Return a function that fills the folder of a shard by the hooks of a runner class."""
    forward = bind_forward(runner_cls, env)

    def work(shard: tuple[Path, list[Any]]) -> None:
        folder, items = shard
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        open_writers, write_record, close_writers = _bind_hooks(runner_cls, env)
        writers = open_writers(folder)
        try:
            for item in items:
                result = forward(item)
                with name_item(runner_cls, item):
                    write_record(writers, result)
        except BaseException:
            with contextlib.suppress(Exception):
                close_writers(writers)
            raise
        summary = dump_plain(
            close_writers(writers) or {},
            what=f"what {runner_cls.__name__}.close_writers returned",
            advice="return numbers, texts, lists and dicts with texts as keys",
        )
        write_text(folder / DONE, summary + "\n")

    return work


def _bind_hooks(runner_cls: type[Any], env: dict[str, Any]) -> list[Callable[..., Any]]:
    """Return the hooks with those entries of the environment that they take."""
    state: dict[str, Any] = {}
    bound = []
    for name, num_positional in zip(_HOOKS, (1, 2, 1), strict=True):
        hook = getattr(runner_cls, name)
        known = env if name == "open_writers" else {**env, "state": state}
        bound.append(_bind(hook, EnvSelector(hook)(known, num_positional, {})))
    return bound


def _bind(hook: Callable[..., Any], chosen: dict[str, Any]) -> Callable[..., Any]:
    return lambda *args: hook(*args, **chosen)


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
