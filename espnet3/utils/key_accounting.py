"""Check the keys of loaded configurations before a stage starts, without importing torch.

An unknown key inside a section that the framework owns is an error. An unknown top-level key that
no interpolation uses is a warning, and an error under ``strict: true``.
"""

from __future__ import annotations

import dataclasses
import logging
import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from espnet3.errors import ConfigError, UnknownKeyError, did_you_mean
from espnet3.utils.config_merge import walk
from espnet3.utils.config_sources import (
    find_references,
    get_sources,
    indexed_key,
    is_borrowed,
    locate,
)
from espnet3.utils.import_utils import import_object
from espnet3.utils.settings import known_keys
from espnet3.utils.slot_schema import IMPORT_PATHS, SLOT_KEYS, Key
from espnet3.utils.source_lookup import check_import_path
from espnet3.utils.target_arguments import check_calls
from espnet3.utils.task_options import check_task_options
from espnet3.utils.value_checks import check_value, is_open
from espnet3.utils.value_ranges import check_ranges
from espnet3.utils.worker_options import check_block

logger = logging.getLogger(__name__)

_WRITE_NULL = "in YAML, null is written null"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a configuration."""

    error: ConfigError
    is_fatal: bool = True
    """Whether a run must not start; else it is worth a warning."""
    is_borrowed: bool = False
    """Whether the value stands elsewhere, where it may be wrong too."""


def check_config(
    config: DictConfig,
    slot: str,
    *,
    strict: bool | None = None,
    used: Collection[str] = (),
) -> list[Finding]:
    """List what is wrong with the keys of one configuration.

    Works before and after interpolations are resolved; values that are not known yet are not
    checked.

    Args:
        config: A loaded configuration; never changed.
        slot: Slot whose keys apply, with or without ``_config``.
        strict: Make unknown top-level keys fatal; by default what the key ``strict`` says.
        used: Top-level keys that another configuration refers to.

    Returns:
        Unknown keys, values of a wrong type, dotted import paths that lead nowhere, and keys beside
        a ``_target_`` that its source does not name as arguments.
    """
    known = SLOT_KEYS.get(slot.removesuffix("_config"))
    plain: dict[Any, Any] = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]
    findings: list[Finding] = []
    if known is not None:
        is_fatal = bool(plain.get("strict")) if strict is None else strict
        references = {*used, *get_sources(config).references, *find_references(plain)}
        findings += _check_top_level(plain, known, references, is_fatal)
        for name, spec in known.items():
            findings += map(Finding, _check_key(plain.get(name), spec, name))
        if "parallel" in known:
            findings += map(Finding, check_block(plain.get("parallel")))
    findings += map(Finding, _check_import_paths(plain, known or {}))
    findings += map(Finding, check_calls(plain, slot.removesuffix("_config")))
    if known is SLOT_KEYS["training"]:
        findings += map(Finding, check_task_options(plain))
    reported = {finding.error.key for finding in findings}
    findings += map(Finding, _find_written_none(plain, known or {}, reported))
    findings += map(Finding, check_ranges(plain, slot.removesuffix("_config"), reported))
    return [_placed(config, finding) for finding in findings]


def check_configs(
    configs: Mapping[str, DictConfig | None], *, strict: bool | None = None
) -> list[Finding]:
    """List what is wrong with all loaded configurations, by slot name."""
    loaded = {slot: config for slot, config in configs.items() if config is not None}
    used = {name for config in loaded.values() for name in get_sources(config).references}
    return [
        finding
        for slot, config in loaded.items()
        for finding in check_config(config, slot, strict=strict, used=used)
    ]


def report_findings(findings: Iterable[Finding]) -> None:
    """Log the warnings, then raise if anything is fatal.

    Raises:
        ConfigError: The only fatal finding, or one that lists all of them; an
            :class:`~espnet3.errors.UnknownKeyError` when unknown keys are all there is.
    """
    fatal: list[ConfigError] = []
    for finding in findings:
        if finding.is_fatal:
            fatal.append(finding.error)
        else:
            logger.warning("%s", finding.error)
    if len(fatal) == 1:
        raise fatal[0]
    if fatal:
        is_unknown = all(isinstance(error, UnknownKeyError) for error in fatal)
        cls = UnknownKeyError if is_unknown else ConfigError
        text = "\n".join(f"- {error}" for error in fatal)
        raise cls(f"the configuration has {len(fatal)} mistakes:\n{text}")


def _check_top_level(
    plain: Mapping[Any, Any], known: Mapping[str, Key], references: Collection[str], is_fatal: bool
) -> Iterator[Finding]:
    replacing = [f"override {name}" for name in known]
    for name in map(str, plain):
        if name not in known and name not in references:
            error = UnknownKeyError(
                "is not a key that anything reads, and no interpolation uses it",
                key=name,
                hint=_find_home(name, known)
                or did_you_mean(name, replacing if " " in name else known),
            )
            yield Finding(error, is_fatal)


def _find_home(name: str, known: Mapping[str, Key]) -> str | None:
    """Say below which section a key stands that was written at the top."""
    sections = {k: spec.settings for k, spec in known.items() if spec.settings and not spec.is_list}
    homes = [
        key for key, path in sections.items() if name in (known_keys(import_object(path)) or ())
    ]
    return f"it belongs below {' or '.join(homes)}" if homes else None


def _check_key(value: Any, spec: Key, path: str) -> Iterator[ConfigError]:
    if value is None:
        return
    if spec.settings is None:
        yield from check_value(value, spec.type, path)
        return
    cls = import_object(spec.settings)
    yield from check_value(value, types.GenericAlias(list, (cls,)) if spec.is_list else cls, path)


def _check_import_paths(
    plain: Mapping[Any, Any], known: Mapping[str, Key]
) -> Iterator[ConfigError]:
    named = {*IMPORT_PATHS, *(name for name, spec in known.items() if spec.is_import_path)}
    for path, value in walk(plain):
        is_target = path.rpartition(".")[2] == "_target_"
        if value is None or is_open(value) or not (is_target or path in named):
            continue
        error = check_import_path(value, key=indexed_key(path))
        if error is not None:
            yield error


def _find_written_none(
    plain: Mapping[Any, Any], known: Mapping[str, Key], reported: Collection[str | None]
) -> Iterator[ConfigError]:
    """Report the text ``None`` as a value; names and paths of the experiment have their check."""
    for path, value in walk(plain):
        key = indexed_key(path)
        is_item = path.rpartition(".")[2].isdigit()
        section = known.get(path.partition(".")[0])
        if value != "None" or is_item or key in reported or section is None:
            continue
        if "." in path or section.type is Any:
            yield ConfigError("is a text", key=key, value=value, hint=_WRITE_NULL)


def _placed(config: DictConfig, finding: Finding) -> Finding:
    """Return a finding with file and line."""
    error, key = finding.error, finding.error.key or ""
    place = locate(config, key)
    # A key that nothing knows is wrong where it stands, whatever its value.
    section = key.rpartition(".")[0]
    borrowed = is_borrowed(config, section if isinstance(error, UnknownKeyError) else key)
    if place is not None:
        hint = _WRITE_NULL if error.value == "None" else place.note
        error = error.at(place.file, place.line, hint=hint)
    return dataclasses.replace(finding, error=error, is_borrowed=borrowed)
