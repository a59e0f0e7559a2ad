"""Train, validation and test sets from the entries of a configuration."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from espnet3.components.data.dataset import (
    CombinedDataset,
    DatasetWithTransform,
    callable_name,
    do_nothing,
)
from espnet3.components.data.dataset_module import check_entry_keys, instantiate_dataset_reference
from espnet3.components.data.espnet2_preprocessor import is_espnet2_preprocessor
from espnet3.components.data.first_samples import FirstSamples
from espnet3.components.data.preprocessor import AbsPreprocessor
from espnet3.errors import MissingConfigError, SettingError
from espnet3.utils.config_utils import instantiate_config, to_plain
from espnet3.utils.instantiate import building
from espnet3.utils.types import PathLike

__all__ = ["DataOrganizer", "DatasetConfig", "do_nothing"]

logger = logging.getLogger(__name__)


@dataclass
class DatasetConfig:
    """One dataset entry, as a Python object."""

    name: str | None = None
    data_src: str | None = None
    data_src_args: dict[str, Any] | None = None
    transform: Any = None
    split: str | None = None


class DataOrganizer:
    """Holds the data sets of an experiment.

    Each entry names a data set by ``data_src`` and ``data_src_args`` (see
    :mod:`~espnet3.components.data.dataset_module`) or gives it directly as ``dataset``, and may
    have a ``transform``, which runs before the preprocessor.

    Args:
        train: Entries of the training set; all of them become one ``CombinedDataset``.
        valid: Entries of the validation set, likewise.
        test: Entries of the test sets; each stays separate, under its ``name``.
        preprocessor: Callable or ``_target_`` mapping, shared by all entries. An
            :class:`~espnet3.components.data.preprocessor.AbsPreprocessor` is called with the
            utterance id and the sample, anything else with the sample.
        recipe_dir: Folder of the recipe, for entries without ``data_src``.
        uid_key: Sample key that holds the utterance id, for example ``utt_id``. By default the
            position serves as id.
        allow_duplicates: Let a later test set replace an earlier one of the same name.
        allow_missing_valid: Accept ``train`` without ``valid``.
        max_utterances: Use only the first so many utterances of each entry; ``None`` uses all.
        validate: Read the first sample of each training and validation entry and compare keys.

    Attributes:
        train: ``CombinedDataset`` or ``None``.
        valid: ``CombinedDataset`` or ``None``.
        test_sets: Test sets by name.

    Raises:
        MissingConfigError: If only one of ``train`` and ``valid`` is given.
        SettingError: If the preprocessor is not callable.
        UnknownKeyError: If an entry has a key that nothing reads.
    """

    def __init__(
        self,
        train: Iterable[Any] | None = None,
        valid: Iterable[Any] | None = None,
        test: Iterable[Any] | None = None,
        preprocessor: Callable[..., Any] | Mapping[str, Any] | None = None,
        recipe_dir: PathLike | None = None,
        *,
        uid_key: str | None = None,
        allow_duplicates: bool = True,
        allow_missing_valid: bool = False,
        max_utterances: int | None = None,
        validate: bool = True,
    ) -> None:
        self.recipe_dir = recipe_dir
        self.max_utterances = max_utterances
        self.uid_key = uid_key
        self.preprocessor = _build_preprocessor(preprocessor)
        self._is_espnet_style = is_espnet_preprocessor(self.preprocessor)
        missing = "train" if train is None else "valid" if valid is None else None
        if (train is None) != (valid is None) and not (missing == "valid" and allow_missing_valid):
            raise MissingConfigError(
                "train and valid must be given together",
                key=f"dataset.{missing}",
                hint="add it, or set dataset.allow_missing_valid: true to train without validation",
            )
        self.train = self._combine("train", train, validate)
        self.valid = self._combine("valid", valid, validate)
        self.test_sets = self._build_test_sets(test or (), allow_duplicates)

    @property
    def test(self) -> dict[str, DatasetWithTransform]:
        """Test sets by name."""
        return self.test_sets

    def __repr__(self) -> str:
        def size(dataset: CombinedDataset | None) -> str:
            return "None" if dataset is None else str(len(dataset))

        tests = ", ".join(f"{name}={len(dataset)}" for name, dataset in self.test_sets.items())
        return (
            f"DataOrganizer(preprocessor={callable_name(self.preprocessor)},"
            f" train={size(self.train)}, valid={size(self.valid)}, test={{{tests}}})"
        )

    def log_summary(self, log: logging.Logger | None = None) -> None:
        """Log every data set at INFO: class, length, transform, preprocessor. Reads no sample."""
        log = log or logger
        for split, dataset in (("train", self.train), ("valid", self.valid)):
            if dataset is not None:
                log.info("dataset %s: %d utterances", split, len(dataset))
                for number, line in enumerate(dataset.describe()):
                    log.info("dataset %s[%d]: %s", split, number, line)
        for name, test_set in self.test_sets.items():
            log.info("dataset test[%s]: %r", name, test_set)

    def _combine(
        self, split: str, entries: Iterable[Any] | None, validate: bool
    ) -> CombinedDataset | None:
        if entries is None:
            return None
        built = [
            self._build(entry, f"dataset.{split}[{number}]")
            for number, entry in enumerate(_check_list(entries, split))
        ]
        return CombinedDataset(
            [dataset for dataset, _, _ in built],
            [(transform, self.preprocessor) for _, transform, _ in built],
            self._is_espnet_style,
            uid_key=self.uid_key,
            validate=validate,
        )

    def _build_test_sets(
        self, entries: Iterable[Any], allow_duplicates: bool
    ) -> dict[str, DatasetWithTransform]:
        test_sets: dict[str, DatasetWithTransform] = {}
        for number, raw_entry in enumerate(_check_list(entries, "test")):
            dataset, transform, entry = self._build(raw_entry, f"dataset.test[{number}]")
            name = str(entry.get("name") or entry.get("data_src") or "local")
            if name in test_sets:
                if not allow_duplicates:
                    raise SettingError(
                        "two test sets have this name",
                        key=f"dataset.test[{number}].name",
                        value=name,
                    )
                logger.warning("dataset.test: %r is named twice; the last entry is used", name)
            test_sets[name] = DatasetWithTransform(
                dataset, transform, self.preprocessor, self._is_espnet_style, uid_key=self.uid_key
            )
        return test_sets

    def _build(self, raw_entry: Any, key: str) -> tuple[Any, Callable[..., Any], dict[str, Any]]:
        entry = _read_entry(raw_entry, key)
        transform = entry.get("transform")
        if isinstance(transform, Mapping):
            transform = instantiate_config(transform, key=f"{key}.transform")
        dataset = entry.get("dataset")
        if dataset is None:
            with building(key):
                dataset = instantiate_dataset_reference(entry, recipe_dir=self.recipe_dir)
        elif isinstance(dataset, Mapping) and "_target_" in dataset:
            dataset = instantiate_config(dataset, key=f"{key}.dataset")
        if self.max_utterances is not None:
            dataset = FirstSamples(dataset, self.max_utterances)
        return dataset, do_nothing if transform is None else transform, entry


def is_espnet_preprocessor(preprocessor: Any) -> bool:
    """Tell whether a preprocessor is called with the utterance id before the sample."""
    return isinstance(preprocessor, AbsPreprocessor) or is_espnet2_preprocessor(preprocessor)


def _build_preprocessor(preprocessor: Any) -> Callable[..., Any]:
    if preprocessor is None:
        return do_nothing
    if isinstance(preprocessor, Mapping | DictConfig):
        preprocessor = instantiate_config(preprocessor, key="dataset.preprocessor")
    if not callable(preprocessor):
        raise SettingError("must be callable", key="dataset.preprocessor", value=preprocessor)
    built: Callable[..., Any] = preprocessor
    return built


def _check_list(entries: Any, split: str) -> Iterable[Any]:
    if isinstance(entries, str | Mapping | DictConfig) or not isinstance(entries, Iterable):
        raise SettingError("must be a list of entries", key=f"dataset.{split}", value=entries)
    return entries


def _read_entry(raw_entry: Any, key: str) -> dict[str, Any]:
    if isinstance(raw_entry, DatasetConfig):
        values = {f.name: getattr(raw_entry, f.name) for f in dataclasses.fields(raw_entry)}
        return {name: value for name, value in values.items() if value is not None}
    entry = to_plain(raw_entry)
    if not isinstance(entry, Mapping):
        raise SettingError("must be a mapping", key=key, value=entry)
    check_entry_keys(entry, key=key)
    if entry.get("dataset") is not None and entry.get("data_src") is not None:
        raise SettingError("give either dataset or data_src, not both", key=key)
    return dict(entry)
