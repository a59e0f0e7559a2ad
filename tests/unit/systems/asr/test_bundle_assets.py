from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from espnet3.systems.asr.bundle_assets import find_bundle_assets
from espnet3.systems.asr.system import ASRSystem
from espnet3.utils import publish_utils


@pytest.fixture
def trained(tmp_path):
    """Files that the stages before packing leave."""
    names = ["data/bpe/tokens.txt", "data/manifest/train.tsv"]
    for split in ("train", "valid"):
        names += [f"stats/{split}/{name}" for name in ("feats_shape", "feats_stats.npz")]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return {
        "exp_dir": str(tmp_path / "exp"),
        "data_dir": str(tmp_path / "data"),
        "stats_dir": str(tmp_path / "stats"),
        "tokenizer": {"save_path": str(tmp_path / "data" / "bpe")},
    }


def test_the_tokenizer_and_the_sums_of_the_training_set_are_taken(trained, tmp_path):
    (tmp_path / "data" / "tokenizer").mkdir()
    assert find_bundle_assets(trained) == [
        tmp_path / "data" / "bpe",
        tmp_path / "data" / "tokenizer",
        tmp_path / "stats" / "train" / "feats_stats.npz",
    ]


def test_other_statistics_are_taken_whole(trained, tmp_path):
    (tmp_path / "stats" / "valid" / "feats_shape").unlink()
    assert tmp_path / "stats" in find_bundle_assets(trained)


def test_lengths_by_utterance_id_stay_out_when_there_are_no_sums(trained, tmp_path):
    for split in ("train", "valid"):
        (tmp_path / "stats" / split / "feats_stats.npz").unlink()
        (tmp_path / "stats" / split / "stats_keys").touch()
    assert not [path for path in find_bundle_assets(trained) if "stats" in path.parts]


def test_what_is_not_there_is_not_taken(tmp_path):
    config = {"data_dir": str(tmp_path / "no"), "stats_dir": str(tmp_path / "none")}
    assert find_bundle_assets(config) == []
    assert find_bundle_assets(OmegaConf.create({"tokenizer": None})) == []


def test_the_stage_packs_them(trained, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(publish_utils, "pack_model", lambda system, **given: seen.update(given))
    system = ASRSystem(
        training_config=OmegaConf.create(trained),
        publication_config=OmegaConf.create({"pack_model": {}}),
    )
    system.pack_model()
    assert seen == {"extra": find_bundle_assets(trained)}
    with pytest.raises(TypeError, match="pack_model"):
        system.pack_model(1)
