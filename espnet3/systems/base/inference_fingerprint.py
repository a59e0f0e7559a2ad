"""What the outputs of a test set depend on, as digests, without loading model or audio."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

import espnet3
from espnet3.components.inference.settings import ExecutionSettings
from espnet3.utils.config_utils import iter_targets
from espnet3.utils.fingerprint import fingerprint, fingerprint_file
from espnet3.utils.named_files import iter_files
from espnet3.utils.source_lookup import find_source
from espnet3.utils.yaml_source import read_yaml

_VOLATILE = {"parallel", "device", "device_index", "local_rank"}
_VOLATILE_EXECUTION = {
    "batch_timeout",
    "cpu_affinity",
    "dry_run",
    "keep_journal",
    "limit",
    "max_failures",
    "on_error",
    "prefetch",
    "progress",
    "retries",
    "sample_rate",
    "verify",
    "workers_per_device",
}
_EXECUTION_DEFAULTS = dataclasses.asdict(ExecutionSettings())
_YAML_SUFFIXES = {".yaml", ".yml"}


def with_test_set(config: DictConfig, name: str) -> DictConfig:
    """Return a copy of an inference configuration that names the test set to decode."""
    own = copy.deepcopy(config)
    OmegaConf.set_readonly(own, False)
    OmegaConf.set_struct(own, False)
    own["test_set"] = name
    return own


def fingerprint_parts(config: Mapping[str, Any], *, num_samples: int) -> dict[str, str]:
    """Return a digest of each thing that the outputs of one test set depend on.

    These are the keys of the configuration (without where the work runs), the number of samples,
    the content of files named under ``dataset`` and ``model`` (and under ``model`` inside YAML
    files named there), the manifests in ``data_dir``, and the source code of the package, of the
    recipe and of modules that the configuration names.

    Args:
        config: Resolved inference configuration, as plain containers.
        num_samples: Length of the test set.
    """
    counting = {n: _without_volatile(n, v) for n, v in config.items() if n not in _VOLATILE}
    # An empty section is the same as none.
    parts = {f"config.{n}": fingerprint(v) for n, v in counting.items() if v not in (None, {})}
    parts["data.length"] = str(num_samples)
    recipe_dir = Path(str(config.get("recipe_dir") or "."))
    for kind, files in input_files(config).items():
        parts |= {f"{kind}.{path}": fingerprint_file(path) for path in files}
    parts["code.espnet3"] = _tree_digest([Path(espnet3.__file__).parent])
    parts["code.recipe"] = _tree_digest([recipe_dir / "src", recipe_dir / "dataset"])
    parts |= {f"code.{p}": fingerprint_file(p) for p in _named_sources(config)}
    return dict(sorted(parts.items()))


def input_files(config: Mapping[str, Any]) -> dict[str, list[Path]]:
    """Return the existing files that the outputs depend on, under ``data`` and ``model``."""
    recipe_dir = Path(str(config.get("recipe_dir") or "."))
    data = {*iter_files(config.get("dataset"), recipe_dir), *_manifests(config)}
    return {"data": sorted(data), "model": sorted(_model_files(config, recipe_dir))}


def _without_volatile(name: str, value: Any) -> Any:
    """Leave out what changes how the outputs come about, but not what they are."""
    volatile = {"runner": {"resume"}, "execution": _VOLATILE_EXECUTION}.get(name)
    if volatile is None or not isinstance(value, Mapping):
        return value
    rest = {k: v for k, v in value.items() if k not in volatile}
    return _without_defaults(rest, _EXECUTION_DEFAULTS) if name == "execution" else rest


def _without_defaults(value: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what says the same as its absence."""
    found = {}
    for key, item in value.items():
        default = defaults.get(key)
        if isinstance(default, Mapping):
            item = _without_defaults(item or {}, default) or default
        if item != default:
            found[key] = item
    return found


def _manifests(config: Mapping[str, Any]) -> Iterator[Path]:
    if config.get("data_dir"):
        yield from Path(str(config["data_dir"])).glob("manifest/*.tsv")


def _model_files(config: Mapping[str, Any], recipe_dir: Path) -> set[Path]:
    files = set(iter_files(config.get("model"), recipe_dir))
    for path in [path for path in files if path.suffix in _YAML_SUFFIXES]:
        content = read_yaml(path).value
        if isinstance(content, Mapping):
            files |= set(iter_files(content.get("model"), recipe_dir))
    return files


def _named_sources(config: Mapping[str, Any]) -> set[Path]:
    """Return the source files, outside this package, of all targets and the output function."""
    names = [path for _, path in iter_targets(config)]
    names += [config["output_fn"]] if config.get("output_fn") else []
    found = {find_source(str(name)) for name in names}
    own = Path(espnet3.__file__).parent
    return {path for path in found if path is not None and not path.is_relative_to(own)}


def _tree_digest(folders: Sequence[Path]) -> str:
    return fingerprint([row for folder in folders for row in _digest_rows(folder)])


def _digest_rows(folder: Path) -> list[list[str]]:
    """Return relative path and digest of each Python file; text is faster than path objects."""
    found = [
        f"{parent}/{name}"
        for parent, _, names in os.walk(folder)
        for name in names
        if name.endswith(".py")
    ]
    return [[path[len(str(folder)) + 1 :], fingerprint_file(path)] for path in sorted(found)]
