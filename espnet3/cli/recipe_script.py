"""What a recipe's ``run.py`` says about configurations, read without running it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError, MissingFileError
from espnet3.utils.stage_table import SLOT_FILES, STAGES, flag_of

_TEMPLATE = re.compile(r"\begs3\.TEMPLATE\.\w+")
_DEFAULT_TEMPLATE = "egs3.TEMPLATE.asr"


@dataclass(frozen=True, kw_only=True)
class RecipeScript:
    """Arguments of the call of ``main`` in ``run.py``, as far as they are literals."""

    template_package: str = _DEFAULT_TEMPLATE
    extra_configs: dict[str, str | None] = field(default_factory=dict)
    naming_source: str = "training_config"

    @property
    def files(self) -> dict[str, str | None]:
        """Slot → template file with its defaults."""
        return {**SLOT_FILES, **self.extra_configs}

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

    def assign_configs(self, files: list[Path]) -> dict[str, Path | None]:
        """Return the slot of each file, by the longest slot that its name starts with.

        Raises:
            ConfigError: If there is none, or two files belong to the same slot.
        """
        found: dict[str, Path | None] = dict.fromkeys(self.files)
        for path in files:
            slots = [slot for slot in self.files if path.stem.startswith(_stem(slot))]
            if not slots:
                known = ", ".join(map(_stem, self.files))
                raise ConfigError(
                    "the name does not say what it configures",
                    file=path,
                    hint=f"it must start with one of: {known}",
                )
            slot = max(slots, key=len)
            if found[slot] is not None:
                raise ConfigError(
                    f"both {found[slot]} and {path} are for {flag_of(slot)}; check one at a time"
                )
            found[slot] = path
        return found


def read_recipe_script(recipe_dir: Path) -> RecipeScript:
    """Read ``run.py`` of a recipe; without one, or where it is no plain Python, defaults apply."""
    path = recipe_dir / "run.py"
    if not path.is_file():
        return RecipeScript()
    text = path.read_text(encoding="utf-8")
    try:
        module = ast.parse(text)
    except SyntaxError as error:
        raise ConfigError(str(error.msg), file=path, line=error.lineno) from error
    constants = _constants(module)
    keywords = _main_keywords(module)
    found = {name: _literal(node, constants) for name, node in keywords.items()}
    template = _TEMPLATE.search(text)
    values: dict[str, Any] = {
        "template_package": template[0] if template else None,
        "extra_configs": found.get("extra_configs"),
        "naming_source": found.get("naming_source"),
    }
    return RecipeScript(**{name: value for name, value in values.items() if value is not None})


def runnable_stages(paths: dict[str, Path | None]) -> list[str]:
    """Return the framework's stages whose configurations are all there."""
    return [
        stage
        for stage, entry in STAGES.items()
        if entry.slots and all(paths.get(slot) is not None for slot in entry.slots)
    ]


def _stem(slot: str) -> str:
    return slot.removesuffix("_config")


def _constants(module: ast.Module) -> dict[str, ast.expr]:
    """Return what the module assigns to single names at its top."""
    return {
        statement.targets[0].id: statement.value
        for statement in module.body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }


def _main_keywords(module: ast.Module) -> dict[str, ast.expr]:
    keywords: dict[str, ast.expr] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "main":
            keywords.update({word.arg: word.value for word in node.keywords if word.arg})
    return keywords


def _literal(node: ast.expr, constants: dict[str, ast.expr]) -> Any:
    """Return the value of a literal or of a name for one; ``None`` for anything else."""
    if isinstance(node, ast.Name) and node.id in constants:
        node = constants[node.id]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
