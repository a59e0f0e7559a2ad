"""What one run of a stage leaves beside its log: a header, snapshots and a JSON twin."""

from __future__ import annotations

import datetime
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from espnet3.utils.config_sources import get_sources
from espnet3.utils.env_report import (
    FILE_ONLY,
    describe_process,
    file_sha256,
    log_env_metadata,
    log_run_metadata,
)
from espnet3.utils.path_utils import atomic_directory, write_json
from espnet3.utils.redaction import redact_argument, redact_config, redact_text
from espnet3.utils.stage_table import SLOT_FILES, stage_entry

logger = logging.getLogger(__name__)

_running: ContextVar[StageReport | None] = ContextVar("espnet3_stage_report", default=None)

_SNAPSHOT_HEAD = """\
# The configuration as the stage saw it. Given back through its flag it repeats the run:
# `override` keeps the defaults of the template from being merged a second time.
"""


def log_stage_metadata(
    logger: logging.Logger, system: Any, args: Any = None, *, stage: str | None = None
) -> None:
    """Log command, environment and the resolved configurations at the start of a stage.

    Args:
        logger: Where to log, at INFO.
        system: Object whose ``*_config`` attributes are its slots.
        args: Parsed command line with the paths of the configurations, if there is one.
        stage: Name of the stage; torch is imported to report on it only where the stage will
            import it anyway.
    """
    given = vars(args) if args is not None else {}
    slots = filled_slots(system)
    paths = {slot_label(slot): given.get(slot) for slot in dict.fromkeys([*SLOT_FILES, *slots])}
    log_run_metadata(
        logger,
        configs=paths,
        write_requirements=bool(given.get("write_requirements", False)),
        stacklevel=2,
    )
    load_torch = stage is None or stage_entry(stage).uses_torch
    log_env_metadata(logger, load_torch=load_torch, stacklevel=2)
    for slot, config in slots.items():
        text = _dump(redact_config(_plain(config, slot)))
        label = slot_label(slot)
        logger.info("%s config content:\n%s", label, text, stacklevel=2, extra=FILE_ONLY)


def filled_slots(system: Any) -> dict[str, Any]:
    """Return the slots of a system that hold a configuration, the standard ones first."""
    own = [name for name in getattr(system, "__dict__", {}) if name.endswith("_config")]
    standard = [slot for slot in SLOT_FILES if slot in own]
    extra = [name for name in own if name not in standard and not name.startswith("_")]
    slots = {name: getattr(system, name) for name in (*standard, *extra)}
    return {name: config for name, config in slots.items() if config is not None}


def slot_label(slot: str) -> str:
    """Return the heading of a slot: ``training_easy_config`` is ``Training Easy``."""
    return slot.removesuffix("_config").replace("_", " ").title()


def snapshot_yaml(config: Any, slot: str) -> str:
    """Render a configuration so that loading it gives the same one, secrets aside.

    Top-level mappings are marked ``override``: what the recipe had taken out of the template's
    mappings would otherwise come back.
    """
    plain = redact_config(_plain(config, slot))
    if isinstance(plain, dict):
        plain = {f"override {k}" if isinstance(v, dict) else k: v for k, v in plain.items()}
    return _SNAPSHOT_HEAD + _dump(plain)


def _plain(config: Any, slot: str) -> Any:
    """Return plain containers, resolved where that is possible."""
    if not isinstance(config, DictConfig | ListConfig):
        return config
    try:
        return OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        logger.warning("%s is logged unresolved: %s", slot, reason, extra=FILE_ONLY)
        return OmegaConf.to_container(config, resolve=False)


def _dump(plain: Any) -> str:
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def report_paths(log_path: Path) -> list[Path]:
    """Return what belongs to a stage log: ``<stage>.run.json`` and the folder of snapshots."""
    return [log_path.with_name(f"{log_path.stem}.{end}") for end in ("run.json", "config")]


def note_stop(reason: str) -> None:
    """Record that the running stage ends before its work is complete, but in order.

    Its status is then ``stopped`` instead of ``done``. Outside a stage this does nothing.

    Args:
        reason: Why, and what makes it go on.
    """
    report = _running.get()
    if report is not None:
        report.stop_reason = reason


class StageReport:
    """Machine-readable twin of a stage log.

    ``start`` writes ``<stage>.run.json`` with status ``running`` and a snapshot
    ``<stage>.config/<slot>.yaml`` of each slot; ``finish`` completes the JSON. A status that still
    says ``running`` when no process does belongs to a stage that was killed.

    Args:
        stage: Name of the stage.
        system: Object whose ``*_config`` attributes are its slots.
        log_path: The stage log; ``None`` keeps everything in memory.
    """

    def __init__(self, stage: str, system: Any, log_path: Path | None) -> None:
        self.stage = stage
        self.log_path = log_path
        self.status = "running"
        self.seconds = 0.0
        self.stop_reason: str | None = None
        self._system = system
        self._facts: dict[str, Any] = {}
        self._began = time.monotonic()

    def start(self) -> None:
        """Note the beginning and what the stage was given."""
        _running.set(self)
        if self.log_path is None:
            return
        slots = filled_slots(self._system)
        files = getattr(self._system, "config_paths", None) or {}
        self._facts = {
            "started": _now(),
            **describe_process(),
            "configs": {s: {"path": str(p), "sha256": file_sha256(p)} for s, p in files.items()},
            "overrides": [text for c in slots.values() for text in _overrides(c)],
            "seed": _seed(slots),
        }
        json_path, folder = report_paths(self.log_path)
        if slots:
            with atomic_directory(folder) as staging:
                for slot, config in slots.items():
                    text = snapshot_yaml(config, slot)
                    (staging / f"{slot}.yaml").write_text(text, encoding="utf-8")
        else:
            shutil.rmtree(folder, ignore_errors=True)
        self._write(json_path)

    def finish(self, status: str, error: BaseException | None = None) -> None:
        """Note the end: ``done``, ``stopped``, ``failed`` or ``interrupted``."""
        _running.set(None)
        self.status = "stopped" if status == "done" and self.stop_reason else status
        self.seconds = time.monotonic() - self._began
        if self.log_path is None:
            return
        if error is not None:
            text = redact_text(str(error))
            self._facts["exception"] = {"type": type(error).__qualname__, "message": text}
        if self.stop_reason:
            self._facts["reason"] = self.stop_reason
        self._facts["ended"] = _now()
        self._write(report_paths(self.log_path)[0])

    def _write(self, path: Path) -> None:
        head = {
            "stage": self.stage,
            "system": f"{type(self._system).__module__}.{type(self._system).__qualname__}",
            "status": self.status,
            "seconds": round(self.seconds, 3),
        }
        write_json(path, head | self._facts)


def format_summary(reports: Sequence[StageReport], stages_to_run: Sequence[str]) -> str:
    """Return a table of stages with status, duration and log file."""
    width = max(len("stage"), *map(len, stages_to_run))
    rows = [f"  {'stage':{width}}  {'status':11}  {'seconds':>8}  log"]
    for report in reports:
        log = report.log_path or "-"
        rows.append(f"  {report.stage:{width}}  {report.status:11}  {report.seconds:8.1f}  {log}")
        if report.stop_reason:
            rows.append(f"  {'':{width}}  {report.stop_reason}")
    ran = {report.stage for report in reports}
    rows += [f"  {s:{width}}  {'not run':11}  {'-':>8}  -" for s in stages_to_run if s not in ran]
    return "\n".join(rows)


def _overrides(config: Any) -> list[str]:
    """Return the ``--set`` words that shaped a configuration."""
    if not isinstance(config, DictConfig):
        return []
    return [redact_argument(text) for text in get_sources(config).overrides]


def _seed(slots: Mapping[str, Any]) -> int | None:
    """Return the seed of the first slot that has one."""
    found = [c.get("seed") for c in slots.values() if isinstance(c, Mapping | DictConfig)]
    return next((seed for seed in found if isinstance(seed, int)), None)


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
