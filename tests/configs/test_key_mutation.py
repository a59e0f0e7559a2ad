"""Nothing in a shipped configuration is without a reader: misspell any key, and it is reported."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from espnet3.systems.asr.system import ASRSystem
from espnet3.utils.config_merge import walk
from espnet3.utils.config_utils import load_and_merge_config, locate, resolve_config
from espnet3.utils.key_accounting import check_config
from espnet3.utils.recipe_path import activate_recipe
from espnet3.utils.run_checks import RunRequest, check_run
from tests.conftest import REPO_ROOT

EGS3 = REPO_ROOT / "egs3"
SLOTS = ("training", "inference", "metrics", "publication", "demo")
CONFIGS = sorted(
    path.relative_to(EGS3) for slot in SLOTS for path in EGS3.glob(f"*/*/conf/{slot}*.yaml")
)
BUILDER_ARGUMENTS = "create_dataset."


@pytest.fixture(autouse=True)
def process_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("PYTHONPATH", "")


def misspell(plain: dict[str, Any], path: str) -> dict[str, Any] | None:
    """Return a copy with one key misspelt; ``None`` for an item of a list."""
    changed = copy.deepcopy(plain)
    *above, name = path.split(".")
    node: Any = changed
    for part in above:
        node = node[int(part)] if isinstance(node, list) else node[part]
    if isinstance(node, list):
        return None
    items = list(node.items())
    node.clear()
    node.update((f"{k}zz" if str(k) == name else k, v) for k, v in items)
    return changed


def mistakes(config: DictConfig, slot: str) -> list[str]:
    found = check_config(config, slot, strict=True)
    stages = ["create_dataset"] if slot == "training" else []
    run = RunRequest(configs={slot: config}, stages=stages, system_cls=ASRSystem)
    return [f.error.key or "" for f in found or check_run(run)]


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_every_misspelt_key_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = next(slot for slot in SLOTS if path.stem.startswith(slot))
    recipe = EGS3 / path.parts[0] / path.parts[1]
    monkeypatch.chdir(recipe)
    activate_recipe(recipe)
    config = load_and_merge_config(EGS3 / path, f"{slot}.yaml", "egs3.TEMPLATE.asr", resolve=False)
    assert config is not None
    resolve_config(config, late_files=True)
    plain: Any = OmegaConf.to_container(config, resolve=False)
    assert mistakes(config, slot) == []
    silent = []
    for key, _ in walk(plain):
        place = locate(config, key)
        if "TEMPLATE" in str(place and place.file) and path.parts[0] != "TEMPLATE":
            continue
        # What is inside a value of the builder is its own business.
        is_foreign = key.startswith(BUILDER_ARGUMENTS) and key.count(".") > 1
        if key.endswith("_convert_") or is_foreign or key == "strict":
            continue
        changed = misspell(plain, key)
        if changed is not None and not mistakes(OmegaConf.create(changed), slot):
            silent.append(key)
    assert silent == []


def test_there_are_recipes_to_check() -> None:
    assert len(CONFIGS) >= 10
