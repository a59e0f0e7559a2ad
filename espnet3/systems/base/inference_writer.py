"""Turn the records of a test set into lines and files."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from espnet3.components.inference.records import check_record
from espnet3.errors import ConfigError, DataError, InferenceError, ModelOutputError, ScpError
from espnet3.systems.base.inference_remarks import Remarks
from espnet3.utils.scp_utils import check_id, join_lines
from espnet3.utils.types import UttId
from espnet3.utils.writer_utils import to_scalar, write_artifact

logger = logging.getLogger(__name__)

_encode = json.JSONEncoder(ensure_ascii=False).encode

_PLAIN_NAME = re.compile(r"[\w+=@,-][\w.+=@,-]*")
_MAX_NAME_BYTES = 150
_SUFFIXES = (".wav", ".npy", ".json", ".pkl", ".flac")


class WrittenSample(NamedTuple):
    """One sample whose files are on disk."""

    position: int
    """Index into the data set."""
    ids: list[str]
    """Ids of its records."""
    line: str
    """JSON of the index and of one row per record: id and the text of each output field."""


class RecordWriter:
    """Write artifacts at once, under their final names, and make lines of the rest.

    What it writes for a record depends on that record only, so any process may do it.

    Args:
        folder: ``<inference_dir>/<test set>``.
        idx_key: Field of a record with the sample id.
        fields: Output fields; empty takes those of the first record.
        artifacts: Settings of :func:`~espnet3.utils.writer_utils.write_artifact` by field.
        allow_none: Whether ``None`` is an empty text.
    """

    def __init__(
        self,
        folder: Path,
        *,
        idx_key: str,
        fields: Sequence[str] = (),
        artifacts: Mapping[str, Any] | None = None,
        allow_none: bool = False,
    ) -> None:
        self.folder = folder
        self.idx_key = idx_key
        self.fields = list(fields)
        self.artifacts = dict(artifacts or {})
        self.artifact_fields: set[str] = set()
        """Fields that have files of their own."""
        self.remarks = Remarks()
        """What is odd about the values; whoever takes it puts a new one in its place."""
        self._allow_none = allow_none
        self._is_checked = False
        self._first_decides = not fields

    def write(self, index: int, records: Sequence[Any]) -> WrittenSample:
        """Write the records of one sample.

        Raises:
            ModelOutputError: If one is not a dict, or a value is a list.
            ScpError: If an id is ``None`` or empty, or holds whitespace.
            DataError: If the id or a field is absent, or a value is ``None``.
            OSError: If a file cannot be written.
        """
        rows = [self._write_row(record) for record in records]
        # All values are texts, for which the encoder has a fast path that lists lack.
        texts = ["[" + ",".join(map(_encode, row)) + "]" for row in rows]
        line = f"[{index},[{','.join(texts)}]]"
        if not line.isascii():
            _refuse_broken_text(line, rows[0][0])
        return WrittenSample(index, [row[0] for row in rows], line)

    def _write_row(self, record: Any) -> list[str]:
        check_record(record, idx_key=self.idx_key, fields=self.fields)
        if not self._is_checked:
            self._choose_fields(record)
        sample_id = _read_id(record[self.idx_key])
        row = [sample_id]
        if self._first_decides and len(record) > len(self.fields) + 1:
            self._warn_of_more(sample_id, record)
        for field in self.fields:
            value = to_scalar(record[field])
            if value is None and self._allow_none:
                value = ""
            if isinstance(value, str | bool | int | float):
                row.append(self._write_inline(field, value))
            else:
                _refuse_unwritable(field, sample_id, value)
                row.append(self._write_artifact(field, sample_id, value))
        return row

    def _write_inline(self, field: str, value: str | float) -> str:
        remarks = self.remarks
        remarks.inline_fields.add(field)
        if value != value:
            remarks.num_nan[field] = remarks.num_nan.get(field, 0) + 1
        text = str(value)
        joined = join_lines(text)
        remarks.num_joined += joined != text
        return joined

    def _choose_fields(self, record: Mapping[str, Any]) -> None:
        fields = self.fields or [str(name) for name in record if name != self.idx_key]
        if not fields:
            raise InferenceError(f"the first record has nothing but its id ({self.idx_key})")
        for field in fields:
            if not _PLAIN_NAME.fullmatch(field):
                if self._first_decides:
                    raise ConfigError(
                        f"the first record has the field {field!r}, which cannot be a file name",
                        key="output_fn",
                        hint="rename it, or list the fields to write in `output_keys`",
                    )
                raise ConfigError("cannot be the name of a file", key="output_keys", value=field)
        self.fields, self._is_checked = fields, True

    def _warn_of_more(self, sample_id: str, record: Mapping[str, Any]) -> None:
        more = sorted({str(name) for name in record} - {*self.fields, self.idx_key})
        self._first_decides = False
        logger.warning(
            "Sample %s has %s, which the first sample lacks, so nobody's is written; "
            "`output_keys` would require it of all",
            sample_id,
            ", ".join(more),
        )

    def _write_artifact(self, field: str, sample_id: str, value: Any) -> str:
        self.artifact_fields.add(field)
        self.remarks.file_fields.add(field)
        path = self.folder / field / safe_file_name(sample_id)
        return write_artifact(value, path, field_config=self.artifacts.get(field)).as_posix()


def _read_id(value: Any) -> UttId:
    value = to_scalar(value)
    if value is None:
        raise ScpError("sample id is None; every sample needs a text or a number as its id")
    check_id(str(value), set())
    return str(value)


def safe_file_name(sample_id: str) -> str:
    """Return an id as a file name that stays in its folder and differs for different ids.

    Names differ with any suffix of an artifact appended, so ids that end with one are hashed too.

    Example:
        >>> safe_file_name("spk1.001")
        'spk1.001'
    """
    is_plain = _PLAIN_NAME.fullmatch(sample_id) and not sample_id.endswith(_SUFFIXES)
    if is_plain and len(sample_id.encode()) <= _MAX_NAME_BYTES:
        return sample_id
    # No plain name holds a percent sign, so a hashed one never equals it.
    readable = quote(sample_id, safe="").lstrip(".")[:_MAX_NAME_BYTES]
    digest = hashlib.sha256(sample_id.encode()).hexdigest()[:16]
    return f"{readable}%{digest}"


def _refuse_broken_text(line: str, sample_id: str) -> None:
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"the output of sample {sample_id!r} holds {line[error.start]!r}, half of a character, "
            "which no text file can hold\n"
            "  decode bytes with errors='replace' in `output_fn`"
        ) from error


def _refuse_unwritable(field: str, sample_id: str, value: Any) -> None:
    if isinstance(value, list | tuple):
        raise ModelOutputError(
            "Top-level list outputs are not supported: "
            f"field {field!r} of sample {sample_id!r} is a {type(value).__name__}\n"
            "  return a dict, for example {'items': [...]}, which is written as JSON"
        )
    if value is None:
        raise DataError(
            f"field {field!r} of sample {sample_id!r} is None; return a value or '', "
            "or set `execution.allow_none: true`"
        )
