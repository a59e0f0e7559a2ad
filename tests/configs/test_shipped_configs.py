"""Every YAML file that we ship loads under ``strict`` and names only things that exist."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from espnet3.utils.config_utils import iter_targets, load_and_merge_config
from espnet3.utils.import_utils import import_object
from espnet3.utils.key_accounting import check_config
from tests.conftest import REPO_ROOT

EGS3 = REPO_ROOT / "egs3"
CONFIGS = sorted(p.relative_to(EGS3) for p in EGS3.glob("*/*/conf/**/*.yaml"))
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
        if not target.startswith("src."):
            assert callable(import_object(target, key=key, file=path))


def test_there_are_configs_to_check() -> None:
    assert len(CONFIGS) >= 10
