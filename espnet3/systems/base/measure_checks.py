"""What ``measure`` needs from ``infer``, and what can be known of its metrics before the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet3.components.metrics.text_normalizers import check_normalizer
from espnet3.errors import ConfigError, MissingConfigError, SettingError, did_you_mean
from espnet3.systems.base.output_checks import written_fields
from espnet3.systems.base.score_columns import LENGTH, read_header, unknown_column
from espnet3.systems.base.settings import BLOCK_KEY, MeasureSettings
from espnet3.utils.key_accounting import Finding
from espnet3.utils.run_checks import RunRequest, run_first
from espnet3.utils.settings import parse_settings


def check_measure(run: RunRequest) -> Iterator[Finding]:
    """Check that ``infer`` has left, or will leave, what the metrics read."""
    try:
        settings = parse_settings(run.section("metrics"), MeasureSettings, key="")
        names = settings.test_names()
    except ConfigError as error:
        yield run.finding(f"metrics.{error.key or ''}", error)
        return
    earlier = settings.compare_with
    if earlier is not None and not run.exists(earlier) and not run.has_own_stage():
        absent = MissingConfigError("no such folder", value=str(earlier))
        yield run.finding("metrics.compare_with", absent)
    if not run.runs("infer"):
        folder = settings.inference_dir
        if not folder.is_dir() and not run.has_own_stage():
            absent = MissingConfigError(
                "no such folder", value=str(folder), hint=run_first("infer")
            )
            yield run.finding("metrics.inference_dir", absent)
    else:
        yield from _check_test_names(run, names)
        yield from _check_fields(run)
    yield from _check_normalizers(run)
    yield from _check_metadata(run, settings, _test_names(run, settings))
    yield from _check_columns(run, settings, _test_names(run, settings))


def _check_test_names(run: RunRequest, names: list[str]) -> Iterator[Finding]:
    known = [entry.get("name") for entry in run.get("inference.dataset.test") or []]
    for index, name in enumerate(names):
        if known and name not in known:
            hint = did_you_mean(name, known) or "test sets: " + ", ".join(map(str, known))
            error = SettingError("is not a test set of the inference config", value=name, hint=hint)
            yield run.finding(f"metrics.dataset.test[{index}].name", error)


def _check_fields(run: RunRequest) -> Iterator[Finding]:
    fields = written_fields(run)
    if not fields:
        return
    for index, entry in enumerate(run.get("metrics.metrics") or []):
        for key, name in _read_fields(entry, f"metrics.metrics[{index}]"):
            if name not in fields:
                hint = did_you_mean(name, fields) or "it writes: " + ", ".join(fields)
                yield run.finding(
                    key, SettingError("infer writes no such field", value=name, hint=hint)
                )


def _check_normalizers(run: RunRequest) -> Iterator[Finding]:
    """Check the names of text normalisers, where the metric is one of ours."""
    for index in range(len(run.get("metrics.metrics") or [])):
        key = f"metrics.metrics[{index}].metric"
        if not (run.owner(key) or "").startswith("espnet3."):
            continue
        for place, name in run.texts(f"{key}.normalizer"):
            error = check_normalizer(name)
            if error is not None:
                yield run.finding(place, error)


def _test_names(run: RunRequest, settings: MeasureSettings) -> list[str]:
    """Return the test sets that will be scored, as far as they are known."""
    if settings.test_names():
        return settings.test_names()
    if run.runs("infer"):
        names = (entry.get("name") for entry in run.get("inference.dataset.test") or [])
        return [name for name in names if isinstance(name, str)]
    return sorted({path.parent.name for path in settings.inference_dir.glob("[!.]*/*.scp")})


def _check_metadata(
    run: RunRequest, settings: MeasureSettings, test_names: list[str]
) -> Iterator[Finding]:
    """Check that the tables exist, or will, and that each belongs to a test set."""
    tables = settings.metadata
    if not isinstance(tables, dict):
        tables = {"": tables} if tables is not None else {}
    for name, path in tables.items():
        key = "metrics.metadata" + (f".{name}" if name else "")
        if name and test_names and name not in test_names:
            hint = did_you_mean(name, test_names) or "test sets: " + ", ".join(test_names)
            yield run.finding(key, SettingError("is not a test set that is scored", hint=hint))
        else:
            yield from run.need_file(key, str(path))


def _check_columns(
    run: RunRequest, settings: MeasureSettings, test_names: list[str]
) -> Iterator[Finding]:
    """Check the columns by which scores are split, where all columns of a test set are known."""
    wanted = settings.columns()
    for test_name in test_names:
        folder, table = settings.inference_dir / test_name, settings.metadata_of(test_name)
        known = _known_columns(run, folder, table)
        if known is None:
            continue
        for name, key in list(wanted.items()):
            is_length = name == LENGTH and key != BLOCK_KEY
            if name not in known and not is_length:
                del wanted[name]  # one mistake, however many test sets there are
                yield run.finding(f"metrics.{key}", unknown_column(name, key, folder, table, known))


def _known_columns(run: RunRequest, folder: Path, table: Path | None) -> list[str] | None:
    """Return the output fields of a test set and the columns of its table; null if unknown."""
    fields = [path.stem for path in folder.glob("*.scp")]
    if run.runs("infer"):
        fields = [*fields, *written_fields(run)] if written_fields(run) else []
    is_written = table is not None and (run.producer(table) or "") in run.stages
    if not fields or is_written or run.has_own_stage():
        return None
    if table is None:
        return fields
    try:
        return [*fields, *read_header(table)]
    except (OSError, ValueError):  # `measure` says what is wrong with the table
        return None


def _read_fields(entry: Mapping[str, Any], key: str) -> Iterator[tuple[str, str]]:
    """Yield the fields that a metric reads, and where they are named."""
    inputs = entry.get("inputs")
    if isinstance(inputs, list):
        yield from ((f"{key}.inputs[{i}]", str(name)) for i, name in enumerate(inputs))
    elif isinstance(inputs, Mapping):
        yield from ((f"{key}.inputs.{alias}", str(name)) for alias, name in inputs.items())
    else:
        for name in ("ref_key", "hyp_key"):
            if isinstance(value := entry["metric"].get(name), str):
                yield f"{key}.metric.{name}", value
