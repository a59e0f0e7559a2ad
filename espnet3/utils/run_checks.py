"""Check what the configurations of a run say together, after all values are known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from espnet3.errors import ConfigError, MissingConfigError, did_you_mean
from espnet3.utils.config_merge import walk
from espnet3.utils.config_sources import flat_key, get_sources, locate
from espnet3.utils.import_utils import import_object
from espnet3.utils.key_accounting import Finding
from espnet3.utils.resolvers import STAGE_OUTPUTS
from espnet3.utils.slot_schema import RUN_CHECKS
from espnet3.utils.source_signatures import find_signature
from espnet3.utils.stage_table import STAGES
from espnet3.utils.value_checks import is_open
from espnet3.utils.yaml_source import SourcePosition

_OWN_MODULES = "espnet3.systems."


_LATE_FILE = re.compile(
    r"\$\{\s*load_(?:line|yaml)\s*:\s*['\"]?(?P<path>[^'\",{}$]+?)\s*['\"]?[,}]"
)


def run_first(stage: str) -> str:
    """Return the advice to run a stage."""
    return f"run the stage {stage} first"


_FIRST = frozenset(map(run_first, STAGES))


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """The configurations of a run and what is asked for."""

    configs: Mapping[str, DictConfig]
    """Slot without ``_config`` → resolved configuration."""
    stages: Sequence[str]
    """Stages that are to run."""
    system_cls: Any = None
    """Class whose methods they are."""

    def runs(self, stage: str) -> bool:
        """Tell whether a stage is to run that does what the framework says it does."""
        if stage not in self.stages or stage not in STAGES or not self._has_slots(stage):
            return False
        method = getattr(self.system_cls, stage, None)
        module = getattr(method, "__module__", "")
        return bool(module.startswith(_OWN_MODULES))

    def _has_slots(self, stage: str) -> bool:
        """Tell whether the usual slots are there; a recipe may have others for the stage."""
        return all(slot.removesuffix("_config") in self.configs for slot in STAGES[stage].slots)

    def has_own_stage(self) -> bool:
        """Tell whether a stage of the recipe is to run, of which nobody knows what it does."""
        return not all(map(self.runs, self.stages))

    def get(self, path: str, default: Any = None) -> Any:
        """Return a plain value by ``<slot>.<key>``; the default when it is not known."""
        slot, _, key = path.partition(".")
        node: Any = self.configs.get(slot)
        for part in flat_key(key).split("."):
            if isinstance(node, ListConfig) and part.isdigit() and int(part) < len(node):
                node = node._get_node(int(part))
            elif isinstance(node, DictConfig) and not node._is_none():
                node = node._get_node(part)
            else:
                return default
        plain = _plain(node)
        return default if plain is None or is_open(plain) else plain

    def texts(self, path: str) -> Iterator[tuple[str, str]]:
        """Yield the texts under ``<slot>.<key>``, one or a list of them, each behind its key."""
        value = self.get(path)
        items = {f"{path}[{i}]": v for i, v in enumerate(value)} if isinstance(value, list) else {}
        for key, text in items.items() if items else [(path, value)]:
            if isinstance(text, str) and not is_open(text):
                yield key, text

    def section(self, slot: str) -> dict[str, Any]:
        """Return a slot as plain containers, without top-level keys whose value is unknown."""
        plain: dict[str, Any] = _plain(self.configs[slot])
        return {k: v for k, v in plain.items() if not (isinstance(v, str) and "${" in v)}

    def place(self, path: str) -> SourcePosition | None:
        """Return where ``<slot>.<key>`` was written."""
        slot, _, key = path.partition(".")
        return locate(self.configs.get(slot), key)

    def owner(self, path: str) -> str | None:
        """Return where the class that a ``_target_`` mapping builds takes its arguments from."""
        target = self.get(f"{path}._target_")
        signature = find_signature(target) if isinstance(target, str) else None
        return None if signature is None else signature.owner

    def owner_of_function(self, path: str) -> str | None:
        """Return the dotted path under which a function that a key names is defined."""
        function = self.get(path)
        signature = find_signature(function) if isinstance(function, str) else None
        return None if signature is None else signature.owner

    def is_target(self, path: str, owner: str) -> bool:
        """Tell whether a mapping builds a class, or a subclass with the same arguments."""
        return self.owner(path) == owner

    def finding(self, path: str, error: ConfigError) -> Finding:
        """Return an error about ``<slot>.<key>`` as a finding, with file and line."""
        key = path.partition(".")[2]
        place = self.place(path)
        main = get_sources(self.configs[path.partition(".")[0]]).file
        if place is not None and main and isinstance(error, MissingConfigError):
            # What a template leaves open is for the recipe's own file to say.
            is_own = place.file == main or place.file.startswith("--set")
            place = place if is_own else SourcePosition(main, note=place.note)
        located = error.at(None, key=key)
        if place is not None:
            located = error.at(place.file, place.line, key=key, hint=place.note)
        return Finding(located)

    def findings(self, slot: str, errors: Iterable[ConfigError]) -> Iterator[Finding]:
        """Return errors that know their keys as findings."""
        for error in errors:
            yield self.finding(f"{slot}.{error.key}", error)

    def need_file(self, path: str, file: str) -> Iterator[Finding]:
        """Report a file that is absent, unless a requested stage writes into its folder."""
        if self.exists(file) or self.has_own_stage():
            return
        stage = self.producer(file)
        if stage is None or stage not in self.stages:
            hint = run_first(stage) if stage else "correct the path"
            yield self.finding(path, MissingConfigError("no such file", value=file, hint=hint))

    def producer(self, path: str | Path) -> str | None:
        """Return the stage whose output folder holds a path, by the training configuration."""
        target = Path(path).absolute()
        for key, stage in STAGE_OUTPUTS:
            folder = self.get(f"training.{key}")
            if isinstance(folder, str) and target.is_relative_to(Path(folder).absolute()):
                return stage
        return None

    def exists(self, path: str | Path) -> bool:
        """Tell whether a file exists, from here or from the recipe's folder."""
        return any((root / path).exists() for root in self._roots())

    def similar(self, path: str | Path) -> str | None:
        """Return advice about a file that does not exist: one beside it with nearly its name."""
        beside = (child.name for root in self._roots() for child in (root / path).parent.glob("*"))
        return did_you_mean(Path(path).name, beside)

    def _roots(self) -> set[Path]:
        return {Path(), *(Path(str(self.get(f"{s}.recipe_dir", "."))) for s in self.configs)}


def check_run(run: RunRequest) -> list[Finding]:
    """List contradictions between keys, slots and stages that can be decided with certainty."""
    checks: list[Callable[[RunRequest], Iterator[Finding]]] = list(map(import_object, RUN_CHECKS))
    findings = [*_check_late_files(run), *(f for check in checks for f in check(run))]
    # One stage that has not run is one mistake, however many of its files are missing.
    absent = {f.error.hint: f for f in reversed(findings) if f.error.hint in _FIRST}
    return [f for f in findings if f.error.hint not in absent or absent[f.error.hint] is f]


def _check_late_files(run: RunRequest) -> Iterator[Finding]:
    """Report files of ``load_line`` and ``load_yaml`` that are absent and that no stage writes."""
    for slot, config in run.configs.items():
        for key, text in walk(_plain(config)):
            match = _LATE_FILE.search(text) if isinstance(text, str) else None
            if match is not None:
                yield from run.need_file(f"{slot}.{key}", match["path"])


def _plain(node: Any) -> Any:
    if isinstance(node, DictConfig | ListConfig):
        if node._is_none():
            return None
        return OmegaConf.to_container(node, resolve=False)
    return None if node is None else node._value()
