"""The files of ``collect_stats`` for one split, written as results come in."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from espnet3.components.data.fileio import escape_uid, write_npy
from espnet3.components.data.stats_identity import META_NAME
from espnet3.errors import ConfigError, ModelOutputError
from espnet3.utils.path_utils import write_json, write_text
from espnet3.utils.types import UttId

_OWN_PATTERNS = ("*_shape", "*_stats.npz", "stats_keys", META_NAME, "collect_feats")
_HISTOGRAM_BINS = 20


class StatsWriter:
    """Sums features in float64 and writes shapes line by line, so that memory stays bounded.

    Args:
        folder: Empty folder to write to.
        final_folder: Where ``folder`` will be once complete; SCP files name paths there.
        keys: Features to keep; ``None`` keeps all.
    """

    def __init__(
        self, folder: Path, *, final_folder: Path, keys: Sequence[str] | None = None
    ) -> None:
        self.folder = folder
        self.final_folder = final_folder
        self.keys = None if keys is None else frozenset(keys)
        self.num_utterances = 0
        self._sums: dict[str, dict[str, Any]] = {}
        self._lengths: dict[str, array[int]] = {}
        self._files = contextlib.ExitStack()
        self._streams: dict[str, IO[str]] = {}

    @contextlib.contextmanager
    def open(self) -> Iterator[StatsWriter]:
        """Close all files at the end of the block."""
        with self._files:
            yield self

    def add_shapes(self, shapes: Mapping[str, Mapping[UttId, str]]) -> None:
        """Append the shapes of a batch.

        Raises:
            ModelOutputError: If the batch has other features than the ones before it.
        """
        kept = {key: table for key, table in shapes.items() if self._is_kept(key)}
        if not kept:
            raise ConfigError(
                "none of these is a feature of the model",
                key="collect_stats.keys",
                value=sorted(self.keys or ()),
                hint="it returns: " + ", ".join(shapes),
            )
        if self.num_utterances and kept.keys() != self._lengths.keys():
            raise ModelOutputError(
                f"collect_feats returned {sorted(kept)} for one batch and"
                f" {sorted(self._lengths)} for the ones before it"
            )
        for key, table in kept.items():
            stream = self._stream(f"{key}_shape")
            stream.writelines(f"{uid} {shape}\n" for uid, shape in table.items())
            lengths = self._lengths.setdefault(key, array("q"))
            lengths.extend(int(shape.partition(",")[0]) for shape in table.values())
        self.num_utterances += len(next(iter(kept.values())))

    def add_sums(self, stats: Mapping[str, Mapping[str, Any]]) -> None:
        """Merge the sums of a batch."""
        for key, entry in stats.items():
            if not self._is_kept(key):
                continue
            total = self._sums.setdefault(key, {"count": 0, "sum": 0.0, "sq": 0.0})
            for name in total:
                total[name] = total[name] + entry[name]

    def add_feats(
        self, feats: Mapping[str, np.ndarray], shapes: Mapping[str, Mapping[UttId, str]]
    ) -> None:
        """Store the features of a batch, each utterance without its padding."""
        for key, batch in feats.items():
            if not self._is_kept(key):
                continue
            scp = self._stream(f"collect_feats/{key}.scp")
            for value, (uid, shape) in zip(batch, shapes[key].items(), strict=True):
                relative = Path("collect_feats", f"data_{key}", f"{escape_uid(uid)}.npy")
                is_sequence = value.ndim > 0 and f"{key}_lengths" in feats
                own = value[: int(shape.partition(",")[0])] if is_sequence else value
                write_npy(self.folder / relative, own)
                scp.write(f"{uid} {self.final_folder / relative}\n")

    def finish(self, meta: Mapping[str, Any]) -> None:
        """Write sums, key list and metadata."""
        for key, entry in self._sums.items():
            np.savez(
                self.folder / f"{key}_stats.npz",
                count=entry["count"],
                sum=entry["sum"],
                sum_square=entry["sq"],
            )
        write_text(self.folder / "stats_keys", "".join(f"{key}\n" for key in self._sums))
        lengths = {key: _summarise(values) for key, values in self._lengths.items()}
        write_json(
            self.folder / META_NAME,
            {**meta, "num_utterances": self.num_utterances, "lengths": lengths},
        )

    def _is_kept(self, key: str) -> bool:
        return self.keys is None or key.removesuffix("_lengths") in self.keys or key in self.keys

    def _stream(self, name: str) -> IO[str]:
        if name not in self._streams:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._streams[name] = self._files.enter_context(path.open("w", encoding="utf-8"))
        return self._streams[name]


def check_replaceable(folder: Path) -> None:
    """Make sure that a folder about to be replaced holds statistics and nothing else.

    Raises:
        ConfigError: If it holds other files.
    """
    foreign = [
        path.name
        for path in (folder.iterdir() if folder.is_dir() else ())
        if not any(path.match(pattern) for pattern in _OWN_PATTERNS)
    ]
    if foreign:
        raise ConfigError(
            f"{folder} would be replaced, but it holds files that are not statistics:"
            f" {', '.join(sorted(foreign)[:5])}",
            key="stats_dir",
            value=str(folder.parent),
            hint="move them, or choose another stats_dir",
        )


def _summarise(values: array[int]) -> dict[str, Any]:
    lengths = np.frombuffer(values, dtype=np.int64)
    counts, edges = np.histogram(lengths, bins=_HISTOGRAM_BINS)
    return {
        "min": int(lengths.min()),
        "max": int(lengths.max()),
        "mean": float(lengths.mean()),
        "total": int(lengths.sum()),
        "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
    }
