"""Check what ESPnet2 reads of a training configuration: options of its tasks and preprocessor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from espnet3.errors import ConfigError, UnknownKeyError, did_you_mean
from espnet3.utils.config_sources import indexed_key
from espnet3.utils.espnet2_run import is_run_config
from espnet3.utils.espnet2_table import find_arguments, find_task, load_table
from espnet3.utils.target_arguments import check_function
from espnet3.utils.value_checks import is_open


def check_task_options(plain: Mapping[Any, Any]) -> Iterator[ConfigError]:
    """Report options that the task, or a class that an option chooses, does not take.

    Args:
        plain: Raw or resolved content of the training configuration.
    """
    dataset = plain.get("dataset")
    if isinstance(dataset, Mapping) and isinstance(dataset.get("preprocessor"), Mapping):
        effects = dataset["preprocessor"].get("data_aug_effects") or []
        yield from _check_effects(effects, "dataset.preprocessor.data_aug_effects")
    path, model = plain.get("task"), plain.get("model")
    task = find_task(path) if isinstance(path, str) else None
    if task is None or not isinstance(model, Mapping):
        return
    # The whole `config.yaml` of a run, from which a training may go on.
    is_of_run = is_run_config(model)
    for name, value in model.items():
        if name not in task["options"]:
            if is_of_run:
                continue
            hint = did_you_mean(str(name), task["options"])
            yield UnknownKeyError(
                f"is not an option of {path}", key=indexed_key(f"model.{name}"), hint=hint
            )
        elif name in task["sections"]:
            yield from _check_section(value, task["sections"][name], f"model.{name}")
        elif name.endswith("_conf") and name.removesuffix("_conf") in task["parts"]:
            choice = model.get(name.removesuffix("_conf"), ...)
            part = task["parts"][name.removesuffix("_conf")]
            chosen = part["classes"].get(part["default"] if choice is ... else choice)
            if chosen is not None:
                yield from _check_section(value, chosen, f"model.{name}")
        elif name in task["parts"]:
            yield from _check_choice(value, task["parts"][name]["classes"], f"model.{name}")


def _check_effects(effects: Any, path: str) -> Iterator[ConfigError]:
    """Check lists ``[weight, name, arguments]`` and ``[weight, effects to choose from]``."""
    known = load_table()["effects"]
    for index, effect in enumerate(effects if isinstance(effects, list) else []):
        key = f"{path}.{index}"
        if isinstance(effect, list) and len(effect) == 2 and isinstance(effect[1], list):
            yield from _check_effects(effect[1], f"{key}.1")
        elif isinstance(effect, list) and len(effect) == 3 and effect[1] in known:
            yield from _check_section(effect[2], known[effect[1]], f"{key}.2")
        elif isinstance(effect, list) and len(effect) == 3 and isinstance(effect[1], str):
            hint = did_you_mean(effect[1], known) or "effects: " + ", ".join(known)
            error = "is not the name of an effect"
            yield ConfigError(error, key=indexed_key(f"{key}.1"), value=effect[1], hint=hint)
        else:
            error = "is not a list of a weight, the name of an effect, and its arguments"
            hint = "effects: " + ", ".join(known)
            yield ConfigError(error, key=indexed_key(key), value=effect, hint=hint)


def _check_choice(value: Any, classes: Mapping[str, str], key: str) -> Iterator[ConfigError]:
    if value is None or is_open(value) or str(value).lower() in classes:
        return
    hint = did_you_mean(str(value), classes) or "it knows: " + ", ".join(classes)
    yield ConfigError("is not a choice of the task", key=key, value=value, hint=hint)


def _check_section(value: Any, owner: str, path: str) -> Iterator[ConfigError]:
    """Check the arguments of a class of ESPnet2, and of the parts that it makes out of them."""
    if not isinstance(value, Mapping):
        return
    signature = find_arguments(owner)
    # What has no default comes from the task.
    supplied = tuple(signature["required"]) if signature else ()
    yield from check_function(value, owner, path, supplied=supplied)
    for name, inner in load_table()["nested"].get(owner, {}).items():
        if isinstance(inner, str):
            yield from _check_section(value.get(name), inner, f"{path}.{name}")
            continue
        for index, block in enumerate(value.get(name) or []):
            key = f"{path}.{name}.{index}"
            kind = block.get("block_type") if isinstance(block, Mapping) else None
            if kind in inner:
                yield from _check_section(block, inner[kind], key)
            else:
                yield from _check_choice(kind or "", inner, f"{indexed_key(key)}.block_type")
