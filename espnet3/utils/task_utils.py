"""Models that a task class of ESPnet2 builds, and the configuration that its tools read."""

from __future__ import annotations

import argparse
import contextlib
import copy
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig

from espnet3.errors import (
    ConfigError,
    MissingDependencyError,
    MissingFileError,
    UntrustedTargetError,
)
from espnet3.utils.device_utils import process_rank
from espnet3.utils.espnet2_table import RUN_OPTIONS
from espnet3.utils.import_utils import import_object
from espnet3.utils.instantiate import instantiate_config, to_plain
from espnet3.utils.path_utils import write_text
from espnet3.utils.types import PathLike

if TYPE_CHECKING:
    from torch import nn

_CONFIG_NAME = "config.yaml"
_arguments_lock = threading.RLock()


class TaskError(ConfigError, RuntimeError):
    """A task class cannot be used."""


class _Dumper(yaml.SafeDumper):
    """Writes every value where it stands, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def get_task_class(task_path: str) -> type:
    """Return the task class that a dotted path names, such as ``espnet2.tasks.asr.ASRTask``.

    Raises:
        TaskError: If it cannot be imported, or builds no models. A ``RuntimeError``.
        MissingDependencyError: If ESPnet2 is missing or broken. A ``RuntimeError`` too.
        UntrustedTargetError: If the active policy refuses it.
    """
    try:
        task = import_object(task_path, key="task")
    except (UntrustedTargetError, MissingDependencyError):
        raise
    except ConfigError as error:
        raise TaskError(error.message, key="task", value=task_path, hint=error.hint) from error
    except Exception as error:  # importing somebody's module may raise anything
        raise TaskError(f"cannot be imported: {error}", key="task", value=task_path) from error
    for name in ("get_default_config", "build_model"):
        if not callable(getattr(task, name, None)):
            raise TaskError(
                f"is not a task class: it has no {name}()",
                key="task",
                value=task_path,
                hint="for example espnet2.tasks.asr.ASRTask",
            )
    found: type = task
    return found


def get_espnet_model(task: str, config: Mapping[str, Any] | DictConfig) -> nn.Module:
    """Build the model that a task would build from these options.

    Args:
        task: Dotted path of the task class.
        config: Options of the task; those that are absent have their defaults. An option counts
            as a whole: a given ``encoder_conf`` replaces the default one. Never modified.

    Raises:
        RuntimeError: If the task cannot be used; see :func:`get_task_class`.
    """
    task_class: Any = get_task_class(task)
    options = _task_options(task_class, _without_target(to_plain(config)))
    model: nn.Module = task_class.build_model(argparse.Namespace(**copy.deepcopy(options)))
    return model


def build_task_or_target(task: str | None, section: Mapping[str, Any] | DictConfig) -> nn.Module:
    """Build the model of a training configuration from its ``task`` and its section ``model``."""
    if task:
        return get_espnet_model(task, section)
    model: nn.Module = instantiate_config(section, key="model")
    return model


def save_espnet_config(
    task: str, config: Mapping[str, Any] | DictConfig, output_dir: PathLike
) -> None:
    """Write the flat training configuration that ESPnet2's inference classes read; rank 0 only.

    Args:
        task: Dotted path of the task class.
        config: Training configuration. Never modified.
        output_dir: Folder for ``config.yaml``, or, with a suffix, the file.
    """
    path = Path(output_dir)
    if process_rank() == 0:
        text = espnet_config_text(task, config)
        write_text(path if path.suffix else path / _CONFIG_NAME, text)


def espnet_config_text(task: str, config: Mapping[str, Any] | DictConfig) -> str:
    """Return what :func:`save_espnet_config` writes.

    That is: the defaults of the task, over them the options in ``model``, over them the arguments
    of ``dataset.preprocessor``, over them the other keys of the training configuration. A token
    list is written out, so that the file does not depend on another; data files of the run that
    the options were copied from are left out.
    """
    others = dict(to_plain(config))
    model = _without_target(others.pop("model", None) or {})
    model = {name: value for name, value in model.items() if name not in RUN_OPTIONS}
    preprocessor: dict[str, Any] = {}
    if isinstance(others.get("dataset"), Mapping):
        others["dataset"] = dict(others["dataset"])
        preprocessor = _without_target(others["dataset"].pop("preprocessor", None) or {})
    options = _task_options(get_task_class(task), {**model, **preprocessor, **others})
    tokens = options.get("token_list")
    if isinstance(tokens, str | Path):
        options["token_list"] = _read_tokens(Path(tokens))
    return yaml.dump(
        _writable(options), Dumper=_Dumper, indent=4, sort_keys=False, allow_unicode=True
    )


def _task_options(task_class: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of a task with given options over them."""
    with _hidden_arguments():
        defaults: dict[str, Any] = task_class.get_default_config()
    for name, value in given.items():
        # The default options of a part are those of the default choice, which may be another.
        if value != defaults.get(name) and f"{name}_conf" in defaults:
            defaults[f"{name}_conf"] = {}
    merged = {**defaults, **given}
    return {k: {} if v is None and k.endswith("_conf") else v for k, v in merged.items()}


@contextlib.contextmanager
def _hidden_arguments() -> Iterator[None]:
    """Hide the arguments of this program from a parser that looks at them."""
    with _arguments_lock:
        saved = sys.argv
        sys.argv = saved[:1]
        try:
            yield
        finally:
            sys.argv = saved


def _without_target(section: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in section.items() if name != "_target_"}


def _read_tokens(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise MissingFileError(
            "no such file",
            key="model.token_list",
            value=str(path),
            hint="run the train_tokenizer stage first",
        ) from error
    # A token may be white space; only the end of the last line is none.
    return lines[:-1] if lines[-1] == "" else lines


def _writable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _writable(child) for name, child in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_writable(child) for child in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
