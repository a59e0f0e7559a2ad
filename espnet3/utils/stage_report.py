"""What one run of a stage leaves beside its log: a header, snapshots and a JSON twin."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Mapping
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
from espnet3.utils.path_utils import write_json, write_text
from espnet3.utils.redaction import redact_argument, redact_config, redact_text
from espnet3.utils.stage_table import SLOT_FILES, stage_entry

logger = logging.getLogger(__name__)


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
        text = config_yaml(config, slot)
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


def config_yaml(config: Any, slot: str) -> str:
    """Render a configuration as YAML, resolved where possible, secrets masked."""
    plain = config
    if isinstance(config, DictConfig | ListConfig):
        try:
            plain = OmegaConf.to_container(config, resolve=True)
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            logger.warning("%s is logged unresolved: %s", slot, reason, extra=FILE_ONLY)
            plain = OmegaConf.to_container(config, resolve=False)
    return yaml.safe_dump(redact_config(plain), sort_keys=False, allow_unicode=True)


def report_files(log_path: Path) -> list[Path]:
    """Return the files that belong to a stage log: ``<stage>.run.json`` and the snapshots."""
    json_path = log_path.with_name(f"{log_path.stem}.run.json")
    snapshots = sorted(log_path.parent.glob(f"{log_path.stem}.*_config.yaml"))
    return [path for path in (json_path, *snapshots) if path.exists()]


class StageReport:
    """Machine-readable twin of a stage log.

    ``start`` writes ``<stage>.run.json`` with status ``running`` and a snapshot
    ``<stage>.<slot>.yaml`` of each slot; ``finish`` completes the JSON. A status that still says
    ``running`` when no process does belongs to a stage that was killed.

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
        self._system = system
        self._facts: dict[str, Any] = {}
        self._began = time.monotonic()

    def start(self) -> None:
        """Note the beginning and what the stage was given."""
        if self.log_path is None:
            return
        slots = filled_slots(self._system)
        files = getattr(self._system, "config_paths", None) or {}
        self._facts = {
            "started": _now(),
            **describe_process(),
            "configs": {s: {"path": str(p), "sha256": file_sha256(p)} for s, p in files.items()},
            "overrides": [text for c in slots.values() for text in _overrides(c)],
            "seed": _seed(slots.get("training_config")),
        }
        for slot, config in slots.items():
            snapshot = self.log_path.with_name(f"{self.log_path.stem}.{slot}.yaml")
            write_text(snapshot, config_yaml(config, slot))
        self._write()

    def finish(self, status: str, error: BaseException | None = None) -> None:
        """Note the end: ``done``, ``failed`` or ``interrupted``."""
        self.status = status
        self.seconds = time.monotonic() - self._began
        if self.log_path is None:
            return
        if error is not None:
            text = redact_text(str(error))
            self._facts["exception"] = {"type": type(error).__qualname__, "message": text}
        self._facts["ended"] = _now()
        self._write()

    def _write(self) -> None:
        if self.log_path is None:
            return
        head = {
            "stage": self.stage,
            "system": f"{type(self._system).__module__}.{type(self._system).__qualname__}",
            "status": self.status,
            "seconds": round(self.seconds, 3),
        }
        write_json(self.log_path.with_name(f"{self.log_path.stem}.run.json"), head | self._facts)


def _overrides(config: Any) -> list[str]:
    """Return the ``--set`` words that shaped a configuration."""
    if not isinstance(config, DictConfig):
        return []
    return [redact_argument(text) for text in get_sources(config).overrides]


def _seed(training_config: Any) -> int | None:
    if not isinstance(training_config, Mapping | DictConfig):
        return None
    seed = training_config.get("seed")
    return seed if isinstance(seed, int) else None


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
