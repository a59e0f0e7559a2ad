"""Stage ``create_dataset``: prepare the corpus behind every dataset reference, once each."""

from __future__ import annotations

import contextlib
import copy
import difflib
import inspect
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, ListConfig

from espnet3.components.data.dataset_module import (
    check_entry_keys,
    parse_dataset_reference_config,
)
from espnet3.errors import ConfigError, MissingConfigError, did_you_mean
from espnet3.utils.config_utils import to_plain
from espnet3.utils.lock_utils import file_lock

logger = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test")
_ORGANIZER = "espnet3.components.data.data_organizer.DataOrganizer"


class BuilderNameError(ConfigError, AttributeError):
    """A dataset module has a class that was probably meant to be its builder."""


class BuilderArgumentError(ConfigError, TypeError):
    """The ``create_dataset`` block does not fit the builder's methods."""


def create_dataset(
    training_config: Any,
    inference_config: Any = None,
    *,
    load_module: Callable[..., ModuleType],
    builder_class_name: str,
) -> None:
    """Prepare the corpus of every dataset entry.

    One process at a time works in a ``data_dir``; further ones wait and then find it done.

    Args:
        training_config: Read for ``dataset``, ``recipe_dir``, ``data_dir`` and ``create_dataset``
            (the keyword arguments of the builder's methods).
        inference_config: Read for the test sets in ``dataset.test``, if there is one.
        load_module: Turns ``data_src`` and ``recipe_dir`` into the dataset module.
        builder_class_name: Name of the builder class in dataset modules.

    Raises:
        MissingConfigError: If no dataset or no entry is configured.
        BuilderArgumentError: If a key of ``create_dataset`` is no argument of the builder.
        BuilderNameError: If a module has only a misspelt builder.
    """
    began = time.monotonic()
    logger.info("starting dataset creation process")
    recipe_dir = training_config.get("recipe_dir")
    arguments = to_plain(training_config.get("create_dataset")) or {}
    with _locked(training_config.get("data_dir")):
        for data_src in find_sources(training_config, inference_config):
            logger.info("Ensuring dataset is prepared: %s", data_src or "local")
            module = load_module(data_src=data_src, recipe_dir=recipe_dir)
            builder_class = _builder_class(module, builder_class_name)
            if builder_class is not None:
                _prepare(builder_class(), arguments, recipe_dir)
    logger.info("Dataset creation completed in %.1fs", time.monotonic() - began)


def find_sources(training_config: Any, inference_config: Any) -> list[str | None]:
    """Return each distinct ``data_src`` in order of appearance; ``None`` is the local module.

    Raises:
        MissingConfigError: If no dataset or no entry is configured.
    """
    dataset = training_config.get("dataset")
    if dataset is None:
        raise MissingConfigError(
            "training_config.dataset must be set for create_dataset", key="dataset"
        )
    entries = [entry for split in SPLITS for entry in _entries(dataset, split)]
    if not entries:
        raise MissingConfigError(
            "training_config.dataset must include at least one entry in train, valid or test",
            key="dataset",
        )
    inference_dataset = inference_config.get("dataset") if inference_config is not None else None
    if inference_dataset is not None:
        entries.extend(_entries(inference_dataset, "test"))
    return list(dict.fromkeys(parse_dataset_reference_config(entry)[0] for entry in entries))


def _entries(dataset: Any, split: str) -> list[Any]:
    """Return the entries of a split; those of our own organizer have known keys only."""
    entries = dataset.get(split) or []
    if not isinstance(entries, list | tuple | ListConfig):
        raise ConfigError("must be a list of entries", key=f"dataset.{split}", value=entries)
    is_ours = dataset.get("_target_", _ORGANIZER) == _ORGANIZER
    for number, entry in enumerate(entries):
        key = f"dataset.{split}[{number}]"
        if not isinstance(entry, Mapping | DictConfig):
            raise ConfigError("must be a mapping", key=key, value=entry)
        if is_ours:
            check_entry_keys(entry, key=key)
    return list(entries)


@contextlib.contextmanager
def _locked(data_dir: str | Path | None) -> Iterator[None]:
    if data_dir is None:
        yield
        return
    with file_lock(Path(data_dir) / ".create_dataset.lock"):
        yield


def _builder_class(module: ModuleType, name: str) -> Callable[[], Any] | None:
    builder: Callable[[], Any] | None = getattr(module, name, None)
    if builder is not None:
        return builder
    public = {n.casefold(): n for n in dir(module) if not n.startswith("_")}
    close = difflib.get_close_matches(name.casefold(), public, n=1, cutoff=0.75)
    if close:
        raise BuilderNameError(
            f"dataset module {module.__name__} has no class {name}, but it has "
            f"{public[close[0]]}; rename it or export it as {name}"
        )
    logger.info("nothing to build: dataset module %s has no %s", module.__name__, name)
    return None


def _prepare(builder: Any, arguments: Mapping[str, Any], recipe_dir: Any) -> None:
    def call(method_name: str) -> Any:
        method = getattr(builder, method_name)
        keywords = _keywords(builder, method, arguments, recipe_dir)
        return method(**keywords)

    if not call("is_source_prepared"):
        call("prepare_source")
    if not call("is_built"):
        call("build")


def _keywords(
    builder: Any, method: Callable[..., Any], arguments: Mapping[str, Any], recipe_dir: Any
) -> dict[str, Any]:
    """Copy the configured arguments; add ``recipe_dir`` where the method asks for it by name."""
    keywords = copy.deepcopy(dict(arguments))
    signature = inspect.signature(method)
    if "recipe_dir" in signature.parameters:
        keywords.setdefault("recipe_dir", recipe_dir)
    try:
        signature.bind(**keywords)
    except TypeError as error:
        name = f"{type(builder).__qualname__}.{method.__name__}"
        extra = next((key for key in keywords if key not in signature.parameters), None)
        raise BuilderArgumentError(
            f"{name}{signature}: {error}",
            key="create_dataset",
            hint="keys of the create_dataset block are arguments of the dataset builder"
            + (
                f"; {hint}" if extra and (hint := did_you_mean(extra, signature.parameters)) else ""
            ),
        ) from error
    return keywords
