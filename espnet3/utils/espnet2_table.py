"""What ESPnet2's tasks and recognisers take, without ESPnet2. Names only, read from a table."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError, did_you_mean

TABLE_PATH = Path(__file__).with_name("espnet2_table.json")
_ALIASES = {
    "espnet3.systems.asr.task.ASRTask": "espnet2.tasks.asr.ASRTask",
    "espnet3.systems.asr.transducer_task.ASRTransducerTask": (
        "espnet2.tasks.asr_transducer.ASRTransducerTask"
    ),
}
"""Our subclasses of tasks take what the tasks take."""

RUN_OPTIONS = frozenset(
    {"config", "init_param", "output_dir", "train_shape_file", "valid_shape_file"}
    | {f"{mode}_data_path_and_name_and_type" for mode in ("train", "valid")}
)
"""Options that tell what an ESPnet2 run read and wrote, not how its model is built."""


@functools.cache
def load_table() -> dict[str, Any]:
    """Return the table: ``tasks``, ``nested``, ``signatures`` and ``modules`` by dotted path."""
    table: dict[str, Any] = json.loads(TABLE_PATH.read_text(encoding="utf-8"))
    return table


def find_task(path: str) -> dict[str, Any] | None:
    """Return ``options``, ``parts`` and ``sections`` of a task class, if the table has it."""
    task: dict[str, Any] | None = load_table()["tasks"].get(_ALIASES.get(path, path))
    return task


def check_espnet2_path(path: str, *, key: str) -> ConfigError | None:
    """Return what is wrong with a dotted path into ESPnet2, by the names that its modules define.

    Args:
        path: Dotted path that begins with ``espnet2``.
        key: Dotted key that holds it, for the message.
    """
    modules: dict[str, str] = load_table()["modules"]
    parts = path.split(".")
    owner, name = parts[0], ""
    for name in parts[1:]:
        inner = f"{owner}.{name}"
        if inner not in modules and not any(m.startswith(f"{inner}.") for m in modules):
            break
        owner = inner
    else:
        return None
    names = modules.get(owner, "").split()
    # A name of another module may be imported there.
    if owner in modules and any(name in text.split() for text in modules.values()):
        return None
    below = [m.removeprefix(f"{owner}.").partition(".")[0] for m in modules if m.startswith(owner)]
    hint = did_you_mean(name, [*names, *below])
    message = f"ESPnet2 {load_table()['version']} has no {name!r} in {owner}"
    return ConfigError(message, key=key, value=path, hint=hint)


def find_arguments(path: str) -> dict[str, Any] | None:
    """Return ``parameters``, ``required`` and ``takes_any`` of a class, if the table has it."""
    if not path.startswith("espnet2."):
        return None
    signature: dict[str, Any] | None = load_table()["signatures"].get(path)
    return signature
