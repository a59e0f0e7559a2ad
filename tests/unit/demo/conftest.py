from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from omegaconf import OmegaConf

from espnet3.demo.pack import pack_demo
from espnet3.utils import publish_utils
from tests.unit.publication.asr_recipe import make_recipe
from tests.unit.publication.conftest import (  # noqa: F401 - fixtures for all tests here
    Recipe,
    _fresh_imports,
    _known_provenance,
)

SCORED = "espnet3.systems.asr.outputs.build_scored_output"


def make_system(demo_config, **attributes) -> SimpleNamespace:
    """What the stages read of a system."""
    known = {"demo_config_path": None, "exp_dir": None, "publication_config": None}
    config = None if demo_config is None else OmegaConf.create(demo_config)
    return SimpleNamespace(demo_config=config, **{**known, **attributes})


def tone(seconds: float = 1.0, rate: int = 16000) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


@pytest.fixture(scope="session")
def packed_recipe(tmp_path_factory) -> Recipe:
    """A recipe whose tiny recogniser is packed as a bundle."""
    recipe = make_recipe(tmp_path_factory.mktemp("digits") / "asr")
    with contextlib.chdir(recipe.root):
        recipe.pack()
    return recipe


@pytest.fixture(scope="session")
def demo_dir(packed_recipe, tmp_path_factory) -> Path:
    """A packed demo around that bundle."""
    folder = tmp_path_factory.mktemp("packed") / "demo"
    config = {
        "system": "asr",
        "recipe_dir": str(packed_recipe.root),
        "model": {"dir_or_tag": str(packed_recipe.out_dir.absolute())},
        "extra_kwargs": {"output_fn_path": SCORED},
        "ui": {"title": "Digits", "description": "Say a digit."},
        "pack": {"out_dir": str(folder)},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish_utils, "_hf_username", lambda: "ada")
        pack_demo(make_system(config))
    return folder


@pytest.fixture(scope="session")
def wav(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "tone.wav"
    soundfile.write(path, tone(), 16000)
    return path
