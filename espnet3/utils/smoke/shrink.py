"""Make merged configurations small, and send what they write elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from espnet3.errors import MissingConfigError, UnknownKeyError, did_you_mean
from espnet3.utils.config_sources import flat_key, get_sources
from espnet3.utils.experiment_naming import known_value
from espnet3.utils.overrides import Override, apply_override, override_text
from espnet3.utils.smoke.folders import PREFIX, Moves, known_values
from espnet3.utils.smoke.refinement import Refinement
from espnet3.utils.smoke.rules import Values, shrink_inference, shrink_training
from espnet3.utils.yaml_source import SourcePosition

logger = logging.getLogger(__name__)

Configs = Mapping[str, DictConfig | None]
_PLACE = SourcePosition("--smoke")
_OUTPUTS = {
    "inference_config": {"inference_dir": "inference"},
    "publication_config": {"pack_model.out_dir": "model_pack"},
}
"""Folders that stages write to, and their names in the experiment if they lie elsewhere."""
_RULES: dict[str, Callable[[Mapping[str, Any]], Values]] = {
    "training.yaml": shrink_training,
    "inference.yaml": shrink_inference,
}


def shrink_configs(
    configs: Configs,
    files: Mapping[str, str | None],
    refinement: Refinement,
    *,
    naming_source: str,
    recipe_dir: Path,
) -> list[Override]:
    """Change merged, unresolved configurations in place, and log what was changed.

    The names of the experiment must have been propagated. What ``--set`` has set stays, but for
    the names of folders.

    Args:
        configs: Slot → configuration.
        files: Slot → template file, which says what kind of configuration it is.
        refinement: The recipe's own rules; they win over the general ones.
        naming_source: Slot that names the experiment and its data.
        recipe_dir: Folder of the recipe.

    Returns:
        What was changed, in order. Like ``--set``, it is recorded in the configurations.

    Raises:
        MissingConfigError: If there is no training configuration, which names the folders.
        ConfigError: If the refinement does not fit the configurations.
    """
    loaded = {slot: config for slot, config in configs.items() if config is not None}
    before = {slot: known_values(config) for slot, config in loaded.items()}
    given = {slot: _given_keys(config) for slot, config in loaded.items()}
    changes = list(_move(loaded, before, files, refinement, naming_source, recipe_dir))
    for slot, config in loaded.items():
        rule = _RULES.get(files.get(slot) or "")
        for key, value in rule(_plain(config)) if rule is not None else ():
            if not _is_given(key, given[slot]):
                changes += _set(config, slot, key, value)
    changes += _refine(configs, given, refinement)
    return changes


def log_changes(changes: Iterable[Override]) -> None:
    """Say what smoke mode changed."""
    lines = dict.fromkeys(f"\n  {change.text}" for change in changes)
    logger.info("--smoke changes:%s", "".join(lines))


def _move(
    loaded: Mapping[str, DictConfig],
    before: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, str | None],
    refinement: Refinement,
    naming_source: str,
    recipe_dir: Path,
) -> Iterator[Override]:
    """Rename the experiments, then send every path in their folders after them."""
    if naming_source not in loaded:
        raise MissingConfigError(
            f"--smoke needs --{naming_source}, which names the folders of the experiment"
        )
    moves = Moves(recipe_dir)
    phases = [slot for slot in loaded if files.get(slot) == "training.yaml"]
    for slot in dict.fromkeys([naming_source, *phases]):
        yield from _rename(slot, loaded[slot], before[slot], moves)
    lead, folder = before[naming_source], str(known_value(loaded[naming_source], "exp_dir"))
    _plan_moves(moves, lead, folder, refinement.makes_data)
    new_tag = known_value(loaded[naming_source], "exp_tag")
    for slot, config in loaded.items():
        if slot not in phases and before[slot].get("exp_tag") == lead.get("exp_tag"):
            yield from _set(config, slot, "exp_tag", new_tag)
        for key, path in moves.changes(before[slot], known_values(config)):
            yield from _set(config, slot, key, path)
        for key, name in _OUTPUTS.get(slot, {}).items():
            place = _current(config, key)
            if place is not None and not _lies_in(place, folder):
                yield from _set(config, slot, key, f"{folder}/{name}")
        if slot in phases and not _lies_in_any(before[slot].get("init_from.path"), moves):
            # Weights of another experiment do not fit the smaller model.
            yield from _set(config, slot, "init_from", None)
        if slot in phases and not refinement.makes_data and before[slot].get("tokenizer.save_path"):
            yield from _set(config, slot, "tokenizer.train_file", f"{folder}_tokenizer/train.txt")


def _plan_moves(moves: Moves, lead: Mapping[str, Any], folder: str, makes_data: bool) -> None:
    """Say where statistics, data and tokenizer go: beside the new experiment, or nowhere."""
    data_dir = lead.get("data_dir")
    moves.add(lead.get("stats_dir"), f"{folder}_stats")
    # Not into the experiment's folder, which is packed.
    moves.add(data_dir, f"{folder}_data" if makes_data else data_dir)
    if not makes_data:
        moves.add(lead.get("tokenizer.save_path"), f"{folder}_tokenizer")


def _rename(
    slot: str, config: DictConfig, before: Mapping[str, Any], moves: Moves
) -> Iterator[Override]:
    """Give an experiment another name and folder."""
    old = before.get("exp_dir")
    if not isinstance(old, str):
        raise MissingConfigError("must be set", key=f"{slot}.exp_dir")
    tag = before.get("exp_tag") or Path(old).name
    yield from _set(config, slot, "exp_tag", f"{PREFIX}{tag}")
    if _lies_in(str(known_value(config, "exp_dir")), old):
        new = Path(old).with_name(f"{PREFIX}{Path(old).name}")
        yield from _set(config, slot, "exp_dir", str(new))
    moves.add(old, known_value(config, "exp_dir"))


def _refine(
    configs: Configs, given: Mapping[str, set[str]], refinement: Refinement
) -> Iterator[Override]:
    for override in refinement.overrides:
        slot = f"{override.slot}_config"
        if slot not in configs:
            known = [name.removesuffix("_config") for name in configs]
            raise UnknownKeyError(
                "is no slot of this recipe",
                key=override.slot,
                file=override.source.file,
                line=override.source.line,
                hint=did_you_mean(override.slot, known) or f"slots: {', '.join(known)}",
            )
        config = configs[slot]
        if config is not None and not _is_given(override.key, given[slot]):
            apply_override(config, override)
            yield override


def _set(config: DictConfig, slot: str, key: str, value: Any) -> Iterator[Override]:
    """Set a value, if another one is there."""
    if value is not None and value in (_current(config, key), _raw(config, key)):
        return
    name = slot.removesuffix("_config")
    override = Override(name, key, value, override_text(name, key, value), _PLACE)
    apply_override(config, override)
    yield override


def _current(config: DictConfig, key: str) -> Any:
    try:
        return OmegaConf.select(config, key, default=None)
    except OmegaConfBaseException:
        return None


def _raw(config: DictConfig, key: str) -> Any:
    """Return a value as it is written; an interpolation stays one."""
    folder, _, name = key.rpartition(".")
    section = _current(config, folder) if folder else config
    node = section._get_node(name) if isinstance(section, DictConfig) else None
    return node._value() if isinstance(node, Node) else None


def _lies_in_any(path: Any, moves: Moves) -> bool:
    return path is None or moves.target(path) is not None


def _lies_in(path: Any, folder: str) -> bool:
    return Path(str(path)).absolute().is_relative_to(Path(folder).absolute())


def _plain(config: DictConfig) -> dict[str, Any]:
    """Return nested plain containers, resolved as far as possible."""
    values = known_values(config)

    def build(node: Any, path: str) -> Any:
        if isinstance(node, dict):
            return {k: build(v, f"{path}.{k}" if path else str(k)) for k, v in node.items()}
        if isinstance(node, list):
            return [build(v, f"{path}.{i}" if path else str(i)) for i, v in enumerate(node)]
        value = values.get(path)
        # What a whole section refers to is shrunk where it is written.
        return None if isinstance(value, dict | list) else value

    plain: dict[str, Any] = build(OmegaConf.to_container(config, resolve=False), "")
    return plain


def _given_keys(config: DictConfig) -> set[str]:
    """Return the keys that ``--set`` has set."""
    texts = (text.partition("=")[0] for text in get_sources(config).overrides)
    return {flat_key(text.partition(".")[2]) for text in texts}


def _is_given(key: str, given: set[str]) -> bool:
    key = flat_key(key)
    return any(f"{key}.".startswith(f"{g}.") or f"{g}.".startswith(f"{key}.") for g in given)
