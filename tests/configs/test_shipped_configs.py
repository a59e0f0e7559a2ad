"""Every YAML file that we ship loads under ``strict`` and names only things that exist."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from espnet3.utils.config_utils import iter_targets, load_and_merge_config
from espnet3.utils.espnet2_table import find_arguments
from espnet3.utils.import_utils import import_object
from espnet3.utils.key_accounting import check_config
from espnet3.utils.slot_configs import SlotRequest, prepare_configs
from espnet3.utils.smoke.refinement import read_refinement
from tests.conftest import REPO_ROOT

EGS3 = REPO_ROOT / "egs3"
FOUND = sorted(p.relative_to(EGS3) for p in EGS3.glob("*/*/conf/**/*.yaml"))
CONFIGS = [path for path in FOUND if path.name != "smoke.yaml"]
SMOKE = [path.parents[1] for path in FOUND if path.name == "smoke.yaml"]
SLOTS = ("training", "inference", "metrics", "publication", "demo")


def _slot(path: Path) -> str:
    return next(slot for slot in SLOTS if path.stem.startswith(slot))


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_config_loads_strictly_and_its_targets_import(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = _slot(path)
    recipe = EGS3 / path.parts[0] / path.parts[1]
    monkeypatch.chdir(recipe)
    config = load_and_merge_config(
        EGS3 / path, f"{slot}.yaml", default_package="egs3.TEMPLATE.asr", resolve=False
    )
    check_config(config, f"{slot}_config", strict=True)
    plain = OmegaConf.to_container(config, resolve=False)
    for key, target in iter_targets(plain):
        if target.startswith("espnet2."):
            assert find_arguments(target) is not None
        elif not target.startswith("src."):
            assert callable(import_object(target, key=key, file=path))


@pytest.mark.parametrize("recipe", SMOKE, ids=str)
def test_the_rules_for_smoke_mode_fit_the_recipe(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = EGS3 / recipe
    monkeypatch.chdir(folder)
    refinement = read_refinement(folder)
    assert refinement.makes_data
    slots = {*SLOTS, *(override.slot for override in refinement.overrides)}
    files = {f"{slot}_config": f"{slot.split('_')[0]}.yaml" for slot in slots}
    paths = {f"{slot}_config": folder / "conf" / f"{slot}.yaml" for slot in slots}
    request = SlotRequest(
        paths={slot: path if path.is_file() else None for slot, path in paths.items()},
        files=files,
        template_package="egs3.TEMPLATE.asr",
        naming_source=max((s for s in paths if "training" in s and paths[s].is_file()), key=len),
        smoke=refinement,
    )
    configs, findings = prepare_configs(request)
    assert [finding for finding in findings if finding.is_fatal] == []
    assert all(c is None or "smoke_" in str(c.exp_dir) for c in configs.values())


def test_there_are_configs_to_check() -> None:
    assert len(CONFIGS) >= 10
