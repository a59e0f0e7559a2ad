"""Put the records of one test set on disk: SCP files and artifacts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from espnet3.components.inference.records import check_record
from espnet3.errors import ConfigError, DataError, InferenceError, ModelOutputError
from espnet3.utils.path_utils import write_json
from espnet3.utils.scp_utils import check_id, format_line, join_lines
from espnet3.utils.writer_utils import to_scalar, write_artifact

logger = logging.getLogger(__name__)

STATE_DIR = ".infer"
"""Folder of a test set that holds what only the stage reads."""

_PLAIN_NAME = re.compile(r"[\w+=@,-][\w.+=@,-]*")
_MAX_NAME_BYTES = 150
_SUFFIXES = (".wav", ".npy", ".json", ".pkl", ".flac")


class InferenceWriter:
    """Write records as they come; readers see the SCP files only when all are complete.

    Artifacts are written at once, under their final names. Lines collect in hidden files that
    :meth:`commit` renames.

    Args:
        folder: ``<inference_dir>/<test set>``.
        idx_key: Field of a record with the sample id.
        fields: Output fields; empty takes those of the first record.
        artifacts: Settings of :func:`~espnet3.utils.writer_utils.write_artifact` by field.
    """

    def __init__(
        self,
        folder: Path,
        *,
        idx_key: str,
        fields: Sequence[str] = (),
        artifacts: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.idx_key = idx_key
        self.fields = list(fields)
        self.artifacts = dict(artifacts or {})
        self.artifact_fields: set[str] = set()
        """Fields that have files of their own."""
        self.count = 0
        """Records so far."""
        self._partial = folder / STATE_DIR / "partial"
        self._owned = folder / STATE_DIR / "owned.json"
        self._streams: dict[str, IO[str]] = {}
        self._ids: set[str] = set()
        self._file_names: set[str] = set()
        self._joined = 0

    def __enter__(self) -> InferenceWriter:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        return self

    def __exit__(self, *error: object) -> None:
        for stream in self._streams.values():
            stream.close()
        shutil.rmtree(self._partial, ignore_errors=True)

    def add(self, record: Mapping[str, Any]) -> None:
        """Write one record.

        Raises:
            ModelOutputError: If it is not a dict, or a value is a list.
            DataError: If the id or a field is absent or empty, or the id occurred before.
        """
        check_record(record, idx_key=self.idx_key, fields=self.fields)
        if not self._streams:
            self._open_streams(record)
        sample_id = str(to_scalar(record[self.idx_key]))
        check_id(sample_id, self._ids)
        name = None
        for field, stream in self._streams.items():
            value = to_scalar(record[field])
            if isinstance(value, str | bool | int | float):
                text = self._one_line(str(value))
            else:
                _refuse_unwritable(field, sample_id, value)
                name = name or self._choose_file_name(sample_id)
                text = self._write_artifact(field, name, value)
            stream.write(format_line(sample_id, text))
        self.count += 1

    def commit(self) -> None:
        """Move the SCP files into place and remove those of earlier runs that are now stale."""
        for stream in self._streams.values():
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
        if self._joined:
            logger.warning("%d values had line breaks, replaced by spaces", self._joined)
        earlier = self._read_owned()
        write_json(self._owned, sorted({*earlier, *self.fields}))
        for field in self.fields:
            (self._partial / f"{field}.scp").replace(self.folder / f"{field}.scp")
        for field in set(earlier) - set(self.fields):
            (self.folder / f"{field}.scp").unlink(missing_ok=True)
            logger.info("Removed %s.scp of an earlier run", field)
        write_json(self._owned, sorted(self.fields))

    def _open_streams(self, record: Mapping[str, Any]) -> None:
        if not self.fields:
            self.fields = [str(name) for name in record if name != self.idx_key]
        if not self.fields:
            raise InferenceError(f"the first record has nothing but its id ({self.idx_key})")
        for field in self.fields:
            if not _PLAIN_NAME.fullmatch(field):
                raise ConfigError("cannot be the name of a file", key="output_keys", value=field)
            path = self._partial / f"{field}.scp"
            self._streams[field] = path.open("w", encoding="utf-8")

    def _one_line(self, text: str) -> str:
        joined = join_lines(text)
        self._joined += joined != text
        return joined

    def _choose_file_name(self, sample_id: str) -> str:
        """Return a file name that no other id of this run has, with any suffix, in any case."""
        name = safe_file_name(sample_id)
        suffix = next((s for s in _SUFFIXES if name.endswith(s)), "")
        plain = name.removesuffix(suffix).casefold()
        if plain in self._file_names:
            return _hashed_name(sample_id)
        self._file_names.add(plain)
        return name

    def _write_artifact(self, field: str, name: str, value: Any) -> str:
        self.artifact_fields.add(field)
        path = self.folder / field / name
        return write_artifact(value, path, field_config=self.artifacts.get(field)).as_posix()

    def _read_owned(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return [str(name) for name in json.loads(self._owned.read_text(encoding="utf-8"))]
        return []


def safe_file_name(sample_id: str) -> str:
    """Return an id as a file name that stays in its folder and differs for different ids.

    Example:
        >>> safe_file_name("spk1.001")
        'spk1.001'
    """
    if _PLAIN_NAME.fullmatch(sample_id) and len(sample_id.encode()) <= _MAX_NAME_BYTES:
        return sample_id
    return _hashed_name(sample_id)


def _hashed_name(sample_id: str) -> str:
    # No plain name holds a percent sign, so a hashed one never equals it.
    readable = quote(sample_id, safe="").lstrip(".")[:_MAX_NAME_BYTES]
    digest = hashlib.sha256(sample_id.encode()).hexdigest()[:16]
    return f"{readable}%{digest}"


def _refuse_unwritable(field: str, sample_id: str, value: Any) -> None:
    if isinstance(value, list | tuple):
        raise ModelOutputError(
            "Top-level list outputs are not supported: "
            f"field {field!r} of sample {sample_id!r} is a {type(value).__name__}\n"
            "  return a dict, for example {'items': [...]}, which is written as JSON"
        )
    if value is None:
        raise DataError(f"field {field!r} of sample {sample_id!r} is None; return a value or ''")
