"""What a recipe's ``run.py`` says about its system, stages and configurations."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError, MissingFileError
from espnet3.utils.stage_table import (
    SLOT_FILES,
    STAGES,
    UPLOAD_STAGES,
    flag_of,
    stage_entry,
    template_file,
)

_TEMPLATE = re.compile(r"\begs3\.TEMPLATE\.\w+")
_CALLS = ("main", "parse_cli_and_stage_args", "build_parser")
"""Functions of the template, with keywords that count; those of the first win."""

_STARTERS = ("main", "parse_args", "parse_cli_and_stage_args")
"""Functions that must not be called when the script is imported."""


@dataclass(frozen=True, kw_only=True)
class RecipeScript:
    """Arguments of the call of ``main`` in ``run.py``, as far as they can be known."""

    template_package: str = "egs3.TEMPLATE.asr"
    system_cls: Any = None
    stages: tuple[str, ...] = tuple(STAGES)
    extra_configs: Mapping[str, str | None] = field(default_factory=dict)
    required_configs: Mapping[str, Any] = field(default_factory=dict)
    naming_source: str = "training_config"

    @property
    def files(self) -> dict[str, str | None]:
        """Slot → template file with its defaults."""
        return {**SLOT_FILES, **self.extra_configs}

    def slots_of(self, stage: str) -> tuple[str, ...]:
        """Return the slots that a stage needs."""
        needs = self.required_configs.get(stage, stage_entry(stage).slots)
        return (needs,) if isinstance(needs, str) else tuple(needs)

    def runnable_stages(self, paths: Mapping[str, Path | None]) -> list[str]:
        """Return the stages whose configurations are all there, without those that publish."""
        return [
            stage
            for stage in self.stages
            if stage not in UPLOAD_STAGES
            and all(paths.get(slot) is not None for slot in self.slots_of(stage))
        ]

    def find_configs(self, recipe_dir: Path) -> dict[str, Path | None]:
        """Return the file ``conf/<slot>.yaml`` of each slot, relative to the recipe.

        Raises:
            MissingFileError: If the recipe has none.
        """
        paths = {slot: Path("conf", f"{_stem(slot)}.yaml") for slot in self.files}
        found = {s: p if (recipe_dir / p).is_file() else None for s, p in paths.items()}
        if not any(found.values()):
            raise MissingFileError(
                f"there is none of {', '.join(path.as_posix() for path in paths.values())}",
                file=recipe_dir,
                hint="name the folder of a recipe, or its configuration files",
            )
        return found

    def find_slot(self, path: Path) -> str | None:
        """Return the slot with the longest name that a file's name starts with."""
        slots = [slot for slot in self.files if path.stem.startswith(_stem(slot))]
        return max(slots, key=len, default=None)

    def assign_configs(self, files: Sequence[Path]) -> dict[str, Path | None]:
        """Return the file of each slot, by their names.

        Raises:
            ConfigError: If a file has no slot, or two files belong to the same slot.
        """
        found: dict[str, Path | None] = dict.fromkeys(self.files)
        for path in files:
            slot = self.find_slot(path)
            if slot is None:
                known = ", ".join(map(_stem, self.files))
                raise ConfigError(
                    "the name does not say what it configures",
                    file=path,
                    hint=f"it must start with one of: {known}",
                )
            if found[slot] is not None:
                raise ConfigError(
                    f"both {found[slot]} and {path} are for {flag_of(slot)}; check one at a time"
                )
            found[slot] = path
        return found


def read_recipe_script(recipe_dir: Path) -> RecipeScript:
    """Read ``run.py`` of the recipe that is importable now; without one defaults apply.

    The script is imported, which runs nothing but its definitions; one that would run stages when
    it is imported is only read.

    Raises:
        ConfigError: If it cannot be imported.
    """
    path = recipe_dir / "run.py"
    if not path.is_file():
        return RecipeScript()
    text = path.read_text(encoding="utf-8")
    try:
        module = ast.parse(text)
    except SyntaxError as error:
        raise ConfigError(str(error.msg), file=path.name, line=error.lineno) from error
    names = _import_script(path) if _is_guarded(module) else {}
    template = _TEMPLATE.search(text)
    values: dict[str, Any] = {"template_package": template[0] if template else None}
    known = RecipeScript.__dataclass_fields__
    for keyword in _keywords(module):
        if keyword.arg in known and values.get(keyword.arg) is None:
            values[keyword.arg] = _value(keyword.value, names)
    values["extra_configs"] = {**_flags(module), **(values.get("extra_configs") or {})}
    if values.get("stages") is not None:
        values["stages"] = tuple(values["stages"])
    return RecipeScript(**{name: value for name, value in values.items() if value is not None})


def _stem(slot: str) -> str:
    return slot.removesuffix("_config")


def _is_guarded(module: ast.Module) -> bool:
    """Tell whether stages run only when the script is started as a program."""
    others = [node for node in module.body if not _is_harmless(node)]
    return not any(_name(call) in _STARTERS for node in others for call in _calls(node))


def _is_harmless(node: ast.stmt) -> bool:
    is_guard = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
    return is_guard or isinstance(node, ast.FunctionDef | ast.ClassDef)


def _import_script(path: Path) -> dict[str, Any]:
    try:
        return runpy.run_path(str(path), run_name="espnet3_recipe")
    except Exception as error:  # code of the recipe may raise anything
        raise ConfigError(
            f"cannot be imported: {type(error).__name__}: {error}", file=path.name
        ) from error


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (child for child in ast.walk(node) if isinstance(child, ast.Call))


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _keywords(module: ast.Module) -> Iterator[ast.keyword]:
    calls = [call for call in _calls(module) if _name(call) in _CALLS]
    for call in sorted(calls, key=lambda call: _CALLS.index(_name(call))):
        yield from call.keywords
        # The stage list comes last in each call that takes it by position.
        position = {"parse_cli_and_stage_args": 1, "build_parser": 0, "main": 2}[_name(call)]
        if len(call.args) > position:
            yield ast.keyword("stages", call.args[position])


def _flags(module: ast.Module) -> dict[str, str | None]:
    """Return the slots that the recipe adds as flags, with their template files."""
    words = [c.args[0] for c in _calls(module) if _name(c) == "add_argument" and c.args]
    names = [w.value for w in words if isinstance(w, ast.Constant) and isinstance(w.value, str)]
    slots = [name.removeprefix("--") for name in names if name.endswith("_config")]
    return {slot: template_file(slot) for slot in slots}


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """Return what a name or a literal stands for; ``None`` for anything else."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
