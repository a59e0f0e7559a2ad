"""Check data set entries and the ``create_dataset`` block against the source of their modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from espnet3.components.data.dataset_module import (
    DatasetModuleError,
    missing_local_module,
    resolve_dataset_module_name,
)
from espnet3.errors import ConfigError, MissingConfigError
from espnet3.utils.key_accounting import Finding
from espnet3.utils.run_checks import RunRequest
from espnet3.utils.settings import unknown_key
from espnet3.utils.source_lookup import module_exists
from espnet3.utils.source_signatures import find_fields, find_signature
from espnet3.utils.target_arguments import check_function
from espnet3.utils.value_checks import check_value, is_open

ORGANIZER = "espnet3.components.data.data_organizer.DataOrganizer"
_SPLITS = {"training": ("train", "valid", "test"), "inference": ("test",)}
_METHODS = ("is_source_prepared", "prepare_source", "is_built", "build")


def check_datasets(run: RunRequest) -> Iterator[Finding]:
    """Check every entry of our own organizer, and what the builders of the entries are given."""
    builders: dict[_Module, None] = {}
    for slot, splits in _SPLITS.items():
        if not run.is_target(f"{slot}.dataset", ORGANIZER):
            continue
        organizer = run.get(f"{slot}.dataset")
        for split in splits:
            for index, entry in enumerate(organizer.get(split) or []):
                if entry.get("split") is not None:
                    yield _unread_split(run, f"{slot}.dataset.{split}[{index}].split")
                if entry.get("dataset") is None and not is_open(organizer.get("recipe_dir")):
                    key = f"dataset.{split}[{index}]"
                    module, error = _find_module(entry, organizer.get("recipe_dir"), key)
                    if error is not None:
                        yield run.finding(f"{slot}.{error.key}", error)
                    elif module is not None:
                        builders.setdefault(module)
                        yield from run.findings(slot, _check_arguments(entry, module, key))
    for module in builders:
        yield from run.findings("training", _check_builder(run, module))


def _unread_split(run: RunRequest, path: str) -> Finding:
    """Warn of a key that entries may have as a note, because it looks as if it chose the data."""
    error = ConfigError(
        "is a note that nothing reads", hint="what a data set gets stands in data_src_args"
    )
    return replace(run.finding(path, error), is_fatal=False)


@dataclass(frozen=True)
class _Module:
    """A data set module that exists, but has not been imported."""

    path: str
    root: Path | None
    """Folder that holds it; null for one on the import path."""


def _find_module(
    entry: Mapping[str, Any], recipe_dir: Any, key: str
) -> tuple[_Module | None, ConfigError | None]:
    data_src = str(entry.get("data_src") or "").strip()
    if is_open(data_src):
        return None, None
    if not data_src and recipe_dir is None:
        return None, MissingConfigError(
            "must be set, because an entry has no data_src", key="dataset.recipe_dir"
        )
    if not data_src:
        init_path = Path(str(recipe_dir)) / "dataset" / "__init__.py"
        if init_path.is_file():
            return _Module("dataset", Path(str(recipe_dir))), None
        return None, missing_local_module(init_path, key=key)
    try:
        path = resolve_dataset_module_name(data_src) if "/" in data_src else data_src
    except ConfigError as error:
        return None, error.at(None, key=f"{key}.data_src")
    if module_exists(path):
        return _Module(path, None), None
    return None, DatasetModuleError.of(data_src, path, key=f"{key}.data_src")


def _check_arguments(entry: Mapping[str, Any], module: _Module, key: str) -> Iterator[ConfigError]:
    arguments = entry.get("data_src_args") or {}
    path = f"{key}.data_src_args"
    yield from check_function(arguments, f"{module.path}.Dataset", path, root=module.root)


def _check_builder(run: RunRequest, module: _Module) -> Iterator[ConfigError]:
    """Check ``create_dataset`` against the builder's settings class, else against its methods."""
    arguments = run.get("training.create_dataset", {} if run.runs("create_dataset") else None)
    if not isinstance(arguments, Mapping):
        return
    builder = f"{module.path}.DatasetBuilder"
    fields = find_fields(builder, "SETTINGS", root=module.root)
    if fields is None:
        yield from _check_methods(arguments, builder, module)
        return
    for name, value in arguments.items():
        key = f"create_dataset.{name}"
        if name in fields.parameters:
            yield from check_value(value, fields.parameters[name], key)
        else:
            yield unknown_key(key, list(fields.parameters))
    lacking = [name for name in fields.required if name not in arguments]
    if lacking:
        names = ", ".join(lacking)
        yield MissingConfigError(f"the dataset builder needs {names}", key="create_dataset")


def _check_methods(
    arguments: Mapping[str, Any], builder: str, module: _Module
) -> Iterator[ConfigError]:
    for method in _METHODS:
        signature = find_signature(builder, method=method, root=module.root)
        if signature is not None and not signature.takes_any:
            unknown = [name for name in arguments if name not in signature.parameters]
            for name in unknown:
                yield unknown_key(f"create_dataset.{name}", list(signature.parameters))
            if unknown:
                return
