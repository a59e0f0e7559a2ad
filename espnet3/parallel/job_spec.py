"""What one detached job is to do, as a file."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from espnet3.errors import ParallelError
from espnet3.utils.config_utils import to_plain
from espnet3.utils.path_utils import atomic_open
from espnet3.utils.redaction import redact_config

_SECRETS = "secrets"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AsyncJobSpec:
    """What one detached job does; the content of its JSON file."""

    runner_cls: str
    """Dotted path of the runner."""
    provider_cls: str
    """Dotted path of the provider."""
    config: dict[str, Any] | None
    """Configuration of the provider, plain and resolved; ``None`` if it was given none."""
    params: dict[str, Any]
    """``params`` of the provider."""
    indices: list[Any]
    """Items of this shard."""
    world_size: int
    """Number of shards."""
    world_rank: int
    """Number of this shard, from 0."""
    result_path: str | None
    """JSONL file of the results; ``None`` returns them instead."""
    extras: dict[str, Any]
    """``batched``: whether the items are lists of indices."""

    @classmethod
    def of(cls, runner: Any, **values: Any) -> Self:
        """Describe a job of a runner.

        Args:
            runner: Its class and its provider are named, and what the provider was given.
            **values: All further attributes.

        Raises:
            ParallelError: If a job cannot import the class of the runner or of the provider, or
                cannot build the provider.
        """
        for owner in (runner, runner.provider):
            _check_importable(type(owner))
        params = getattr(runner.provider, "params", None) or {}
        _check_constructor(type(runner.provider), params)
        return cls(
            runner_cls=get_full_class_path_from_instance(runner),
            provider_cls=get_full_class_path_from_instance(runner.provider),
            config=convert_paths(to_plain(runner.provider.config)),
            params=convert_paths(to_plain(params)),
            extras={"batched": runner.batch_size is not None},
            **values,
        )

    def save(self, path: Path) -> None:
        """Write the file, which only its owner can read.

        Values that look like passwords or tokens go into a second file, which the job removes when
        it is done; the first one may be shown around.

        Raises:
            ParallelError: If there is something that JSON cannot hold.
        """
        try:
            content = json.loads(json.dumps(dataclasses.asdict(self)))
        except TypeError as error:
            raise ParallelError(
                f"the provider's configuration and params must be plain for detached jobs: {error}"
            ) from error
        shown = {**content, **{k: redact_config(content[k]) for k in ("config", "params")}}
        secrets = list(_iter_differences(content, shown))
        if secrets:
            _write_private(_secrets_path(path), secrets)
            shown["extras"][_SECRETS] = _secrets_path(path).name
        _write_private(path, shown)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file, and the secrets that belong to it."""
        content = json.loads(path.read_text(encoding="utf-8"))
        if _SECRETS in content["extras"]:
            for *place, last, value in json.loads(_secrets_path(path).read_text(encoding="utf-8")):
                node = content
                for key in place:
                    node = node[key]
                node[last] = value
        return cls(**content)


def build_provider(provider_cls: type[Any], config: Any, params: dict[str, Any]) -> Any:
    """Build the provider of a job from what the spec file holds of it.

    Args:
        provider_cls: Takes ``config``, and ``params`` if it has any.
        config: First argument.
        params: Given as a keyword if the class takes one of that name.
    """
    return (
        provider_cls(config, params=params) if _takes_params(provider_cls) else provider_cls(config)
    )


def _takes_params(provider_cls: type[Any]) -> bool:
    signature = inspect.signature(provider_cls).parameters
    return "params" in signature or any(p.kind is p.VAR_KEYWORD for p in signature.values())


def _check_constructor(provider_cls: type[Any], params: Any) -> None:
    """Raise unless :func:`build_provider` can make another provider like this one."""
    takes_params = _takes_params(provider_cls)
    try:
        inspect.signature(provider_cls).bind(None, **({"params": {}} if takes_params else {}))
        reason = "" if takes_params or not params else "it has `params` but does not take them"
    except TypeError as error:
        reason = str(error)
    if reason:
        raise ParallelError(
            f"a detached job cannot build {provider_cls.__qualname__}: {reason}\n"
            "  its constructor must take `config` alone, or `config` and `params`"
        )


def count_items(path: Path) -> int:
    """Return the number of items of the job that a file describes."""
    return len(json.loads(path.read_text(encoding="utf-8"))["indices"])


def forget_secrets(path: Path) -> None:
    """Remove the secrets of a job, which needs them no more."""
    _secrets_path(path).unlink(missing_ok=True)


def convert_paths(obj: Any) -> Any:
    """Return a copy of nested containers with every path turned into text."""
    if isinstance(obj, Mapping):
        return {key: convert_paths(value) for key, value in obj.items()}
    if isinstance(obj, tuple):
        return tuple(convert_paths(value) for value in obj)
    if isinstance(obj, list):
        return [convert_paths(value) for value in obj]
    return str(obj) if isinstance(obj, Path) else obj


def get_full_class_path_from_instance(obj: Any) -> str:
    """Return ``module.qualname`` of an instance's class; for a script, the stem of its file."""
    cls = type(obj)
    module = cls.__module__
    if module == "__main__":
        module = Path(str(getattr(sys.modules["__main__"], "__file__", "__main__"))).stem
    return f"{module}.{cls.__qualname__}"


def _check_importable(cls: type[Any]) -> None:
    is_interactive = cls.__module__ == "__main__" and not hasattr(
        sys.modules["__main__"], "__file__"
    )
    if is_interactive or "<locals>" in cls.__qualname__:
        raise ParallelError(
            f"{cls.__qualname__} exists only in this process, so a detached job cannot import it\n"
            "  move the class to the top of a module, or leave out `async_mode`"
        )


def _secrets_path(path: Path) -> Path:
    return path.with_suffix(f".{_SECRETS}.json")


def _iter_differences(content: Any, shown: Any, *place: Any) -> Iterator[list[Any]]:
    """Yield keys and value of each leaf that is shown as something else."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _iter_differences(value, shown[key], *place, key)
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from _iter_differences(value, shown[index], *place, index)
    elif content is not shown and content != shown:
        yield [*place, content]


def _write_private(path: Path, content: Any) -> None:
    with atomic_open(path, private=True) as stream:
        stream.write(json.dumps(content, ensure_ascii=False, indent=2))
