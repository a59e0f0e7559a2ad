"""Keys of the ``dataloader`` and ``collect_stats`` sections of ``training.yaml``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from espnet3.errors import SettingError

Order = Literal["random", "ascending", "descending"]
Tail = Literal["drop", "pad", "repeat"]
Oversize = Literal["warn_skip", "single", "error"]

PLAIN_KEYS = ("batch_size", "drop_last", "in_order")
"""Keys of ``torch.utils.data.DataLoader`` that only the plain mode reads."""
WORKER_KEYS = (
    "num_workers",
    "pin_memory",
    "prefetch_factor",
    "persistent_workers",
    "timeout",
    "multiprocessing_context",
)
"""Keys of ``torch.utils.data.DataLoader`` that the plain and the native mode read."""

DATALOADER_OPTIONS = (
    *WORKER_KEYS,
    "worker_init_fn",
    "generator",
    "pin_memory_device",
    "in_order",
)
"""Arguments of ``torch.utils.data.DataLoader`` that an iterator factory passes on."""


@dataclass(frozen=True, kw_only=True)
class PlannerSettings:
    """How utterances are grouped into batches. Lengths have the unit of the shape file."""

    max_tokens: int | None = None
    """Budget of a batch on one rank: number of utterances times the longest of them."""
    max_batch_size: int | None = None
    """Most utterances in a batch."""
    min_batch_size: int = 1
    """Fewest utterances in a batch, where the number of utterances allows it."""
    num_buckets: int = 30
    """Number of groups of similar length; each holds about the same total length."""
    shuffle: bool = True
    """Draw a new order in every epoch."""
    seed: int = 0
    """Seed of the order."""
    order: Order = "random"
    """Order of the batches of an epoch."""
    tail: Tail = "drop"
    """What happens to batches that do not go round all ranks: drop them (at random), split other
    batches until they do (``pad``), or ``repeat`` some."""
    oversize: Oversize = "warn_skip"
    """What happens to utterances longer than ``max_tokens``."""
    min_length: int | None = None
    """Shorter utterances are left out."""
    max_length: int | None = None
    """Longer utterances are left out."""

    def __post_init__(self) -> None:
        if self.max_tokens is None and self.max_batch_size is None:
            raise SettingError(
                "the native loader needs a batch size: set max_tokens, max_batch_size or both",
                key="max_tokens",
            )
        for name in ("max_tokens", "max_batch_size", "min_batch_size", "num_buckets"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingError("must be at least 1", key=name, value=value)
        if self.max_batch_size is not None and self.min_batch_size > self.max_batch_size:
            raise SettingError(
                f"must not exceed max_batch_size = {self.max_batch_size}",
                key="min_batch_size",
                value=self.min_batch_size,
            )


@dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """``dataloader.train`` or ``dataloader.valid``.

    ``loader`` decides who builds the loader; while it is null, ``iter_factory`` does, and while
    that is null too, the plain ``torch.utils.data.DataLoader``.
    """

    loader: Literal["native"] | dict[str, Any] | None = None
    """``native``: batches planned by length, exact resume. Mapping with ``_target_``: your own,
    built with the data set and ``collate_fn``. Null: see above."""
    iter_factory: dict[str, Any] | None = None
    """Mapping with ``_target_`` and ``batches``; not read while ``loader`` is set."""
    num_shards: int | None = None
    """Accepted and not used: the data set itself says how many shards it has."""

    batch_size: int | None = None
    """Utterances per batch (plain)."""
    drop_last: bool = False
    """Drop the last, smaller batch (plain)."""
    in_order: bool = True
    """Deliver batches in order although workers finish out of order (plain)."""
    sampler: dict[str, Any] | None = None
    """Mapping with ``_target_``, built with the data set as first argument (plain)."""
    batch_sampler: dict[str, Any] | None = None
    """Likewise, for a sampler of batches (plain)."""

    num_workers: int = 0
    """Processes that read data; 0 reads in the training process."""
    pin_memory: bool = False
    """Put batches into page-locked memory, for faster copies to a GPU."""
    prefetch_factor: int | None = None
    """Batches that each worker reads ahead."""
    persistent_workers: bool = False
    """Keep workers from epoch to epoch."""
    timeout: float = 0
    """Seconds to wait for a batch of a worker; 0 waits forever."""
    multiprocessing_context: str | None = None
    """``fork``, ``spawn`` or ``forkserver``."""

    shuffle: bool | None = None
    """New order in every epoch. Native: default true for train, false for valid."""

    shape_file: str | None = None
    """Lengths of all utterances; default ``<stats_dir>/<mode>/feats_shape`` or ``speech_shape``
    (native)."""
    length_unit: Literal["frames", "samples"] = "frames"
    """Which lengths ``max_tokens`` counts, and so which shape file is the default: ``frames`` of
    ``feats_shape`` or ``samples`` of ``speech_shape`` (native)."""
    max_tokens: int | None = None
    """See :class:`PlannerSettings`; so are the keys down to ``max_length`` (native)."""
    batch_bins: int | None = None
    """Another name of ``max_tokens``."""
    max_batch_size: int | None = None
    min_batch_size: int = 1
    num_buckets: int = 30
    seed: int | None = None
    """Default: the seed of the experiment, or 0 (native)."""
    order: Order = "random"
    tail: Tail | None = None
    """Default ``drop`` for train, ``pad`` for valid (native)."""
    oversize: Oversize = "warn_skip"
    min_length: int | None = None
    max_length: int | None = None
    allow_data_change: bool = False
    """When a checkpoint was made with other data or batch settings: start the epoch again instead
    of stopping with an error (native)."""

    def __post_init__(self) -> None:
        if self.loader != "native":
            self._refuse(NATIVE_KEYS, "is read only with `loader: native`")
        else:
            self._refuse(
                (*PLAIN_KEYS, "sampler", "batch_sampler"), "is not read by `loader: native`"
            )
        if self.max_tokens is not None and self.batch_bins is not None:
            raise SettingError("is another name of max_tokens; give one of them", key="batch_bins")
        for name, least in (("batch_size", 1), ("max_batch_size", 1), ("num_workers", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise SettingError(f"must be at least {least}", key=name, value=value)

    def planner_settings(self, mode: str, run_seed: int) -> PlannerSettings:
        """Return the settings of the planner, with the defaults of ``mode``."""
        is_train = mode == "train"
        return PlannerSettings(
            max_tokens=self.batch_bins if self.max_tokens is None else self.max_tokens,
            max_batch_size=self.max_batch_size,
            min_batch_size=self.min_batch_size,
            num_buckets=self.num_buckets,
            shuffle=is_train if self.shuffle is None else self.shuffle,
            seed=run_seed if self.seed is None else self.seed,
            order=self.order,
            tail=self.tail or ("drop" if is_train else "pad"),
            oversize=self.oversize,
            min_length=self.min_length,
            max_length=self.max_length,
        )

    def options(self, *names: str) -> dict[str, Any]:
        """Return the given keys that differ from their defaults."""
        return {name: getattr(self, name) for name in names if name in self.changed_keys()}

    def changed_keys(self) -> list[str]:
        """Return the keys that differ from their defaults."""
        return [f.name for f in dataclasses.fields(self) if getattr(self, f.name) != f.default]

    def _refuse(self, names: tuple[str, ...], reason: str) -> None:
        for name in self.changed_keys():
            if name in names:
                hint = "use max_batch_size or max_tokens" if name == "batch_size" else None
                raise SettingError(reason, key=name, value=getattr(self, name), hint=hint)


NATIVE_KEYS = (
    "shape_file",
    "length_unit",
    "max_tokens",
    "batch_bins",
    "max_batch_size",
    "min_batch_size",
    "num_buckets",
    "seed",
    "order",
    "tail",
    "oversize",
    "min_length",
    "max_length",
    "allow_data_change",
)


@dataclass(frozen=True, kw_only=True)
class DataloaderSettings:
    """``dataloader``."""

    collate_fn: Any = None
    """Mapping with ``_target_``; default ``CommonCollateFn(int_pad_value=-1)``."""
    train: LoaderSettings = LoaderSettings()
    valid: LoaderSettings = LoaderSettings()


@dataclass(frozen=True, kw_only=True)
class DatasetEntrySettings:
    """One entry of ``dataset.train``, ``dataset.valid`` or ``dataset.test``."""

    name: str | int | None = None
    """Folder of a test set's outputs."""
    data_src: str | None = None
    """Data set module; null is the recipe's own."""
    data_src_args: dict[str, Any] | None = None
    """Arguments of its ``Dataset``."""
    transform: Any = None
    """Mapping with ``_target_`` of a function of a sample."""
    split: str | None = None
    """Accepted for code that shares entries between data sets; not given to ``Dataset``."""
    dataset: Any = None
    """Mapping with ``_target_`` of a data set that needs no module."""


@dataclass(frozen=True, kw_only=True)
class CollectStatsSettings:
    """``collect_stats``."""

    batch_size: int = 4
    """Utterances per batch."""
    write_collected_feats: bool = False
    """Also store the features of every utterance as ``.npy``."""
    modes: tuple[Literal["train", "valid"], ...] = ("train", "valid")
    """Splits to go through."""
    augment: bool = False
    """Let the preprocessor augment the training split while statistics are collected."""
    keys: tuple[str, ...] | None = None
    """Features to keep of those that the model returns; null keeps all."""
    resume: bool = True
    """Keep statistics that were made of the same data and settings; false makes them anew."""
    lengths_only: bool = False
    """Read lengths from audio headers and write ``speech_shape`` only: no model, no statistics."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise SettingError(
                "batch_size must be a positive integer", key="batch_size", value=self.batch_size
            )
