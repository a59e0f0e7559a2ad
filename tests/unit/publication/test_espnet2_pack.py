"""Bundles that ESPnet2's own tools read; packed without ESPnet2."""

from __future__ import annotations

import sys

import pytest
import torch
import yaml

from espnet3.errors import BundleError, MissingConfigError
from espnet3.publication.bundle import verify_manifest
from tests.unit.publication.conftest import Recipe, write


def read(path):
    return yaml.safe_load(path.read_text())


@pytest.fixture
def espnet2(recipe) -> Recipe:
    """The recipe, as if trained with an ESPnet2 task."""
    exp = recipe.exp_dir
    root = recipe.root
    write(root / "data" / "bpe" / "bpe.model", "b")
    write(exp / "stats" / "train" / "speech_shape", "utt1 3\n")
    write(
        exp / "config.yaml",
        {
            "token_list": str(root / "data" / "tokenizer" / "tokens.txt"),
            "bpemodel": "data/bpe/bpe.model",
            "normalize_conf": {"stats_file": str(exp / "stats" / "train" / "feats_stats.npz")},
            "train_shape_file": [str(exp / "stats" / "train" / "speech_shape")],
            "output_dir": str(exp),
            "token_type": "bpe",
        },
    )
    recipe.training["task"] = "espnet2.tasks.asr.ASRTask"
    recipe.inference["model"] = {
        "_target_": "espnet2.bin.asr_inference.Speech2Text",
        "asr_train_config": str(exp / "config.yaml"),
        "asr_model_file": str(exp / "last.ckpt"),
    }
    recipe.pack_model["espnet2"] = {"task": "asr"}
    return recipe


def test_the_defaults_of_an_asr_task(espnet2):
    out = espnet2.pack()
    meta = read(out / "meta.yaml")
    assert meta["strategy"] == "espnet2"
    assert meta["files"] == {"asr_model_file": "exp/debug/last.ckpt"}
    assert meta["yaml_files"] == {"asr_train_config": "exp/debug/config.yaml"}
    assert meta["espnet3_yaml_files"]["inference_config"] == "conf/inference.yaml"
    assert {"timestamp", "python", "torch", "espnet"} <= meta.keys()
    model = read(out / "conf" / "inference.yaml")["model"]
    assert model["asr_train_config"] == "${recipe_dir}/exp/debug/config.yaml"
    assert model["asr_model_file"] == "${recipe_dir}/exp/debug/last.ckpt"
    assert "espnet2" not in sys.modules


def test_its_training_config_names_members_of_the_bundle(espnet2):
    out = espnet2.pack()
    config = read(out / "exp" / "debug" / "config.yaml")
    assert config["token_list"] == "data/tokenizer/tokens.txt"
    assert config["bpemodel"] == "data/bpe/bpe.model"
    assert config["normalize_conf"]["stats_file"] == "exp/debug/stats/train/feats_stats.npz"
    assert "recipe_dir" not in config
    for place in (config["token_list"], config["bpemodel"], config["normalize_conf"]["stats_file"]):
        assert (out / place).is_file()
    assert not (out / "exp" / "debug" / "stats" / "train" / "speech_shape").exists()
    assert not (out / "exp" / "debug" / "train.log").exists()
    assert not (out / "exp" / "debug" / "training.yaml").exists()


def test_weights_are_flat_and_keep_their_name(espnet2):
    state = torch.load(espnet2.pack() / "exp" / "debug" / "last.ckpt", weights_only=True)
    assert list(state) == ["weight"]


def test_declared_files_win_and_lie_anywhere(espnet2, tmp_path):
    far = tmp_path / "far"
    torch.save({"w": torch.ones(1)}, write(far / "best.pth", ""))
    write(far / "train.yaml", {"token_list": str(write(far / "t.txt", "a b\n"))})
    write(far / "lexicon.txt", "one W AH N\n")
    write(far / "notes.log", "kept, although *.log is excluded\n")
    espnet2.pack_model["espnet2"] |= {
        "files": {"asr_model_file": str(far / "best.pth"), "lexicon": str(far / "lexicon.txt")},
        "yaml_files": {"asr_train_config": str(far / "train.yaml")},
        "option": [str(far / "notes.log"), "data/bpe/bpe.model"],
    }
    espnet2.pack_model["files"] = {"extra": "data/bpe/bpe.model"}
    del espnet2.inference["model"]
    out = espnet2.pack()
    meta = read(out / "meta.yaml")
    assert meta["files"] == {
        "asr_model_file": "files/asr_model_file.pth",
        "extra": "files/extra.model",
        "lexicon": "files/lexicon.txt",
    }
    assert meta["yaml_files"] == {"asr_train_config": "yaml_files/asr_train_config.yaml"}
    assert read(out / "yaml_files/asr_train_config.yaml") == {"token_list": "files/t.txt"}
    for place in ("files/t.txt", "option/notes.log", "data/bpe/bpe.model", "files/lexicon.txt"):
        assert (out / place).is_file(), place


def test_the_smallest_bundle(tmp_path, caplog):
    recipe = Recipe(tmp_path)
    write(recipe.exp_dir / "last.ckpt", "no checkpoint")
    recipe.training = {"exp_dir": str(recipe.exp_dir), "task": "espnet2.tasks.asr.ASRTask"}
    recipe.pack_model = {"out_dir": str(recipe.out_dir), "espnet2": {"task": "asr"}}
    meta = read(recipe.pack() / "meta.yaml")
    assert (recipe.out_dir / meta["files"]["asr_model_file"]).read_text() == "no checkpoint"


@pytest.mark.parametrize(
    ("section", "named"),
    [(None, r"pack_model\.espnet2"), ({"files": {}}, r"pack_model\.espnet2\.task")],
)
def test_the_section_must_name_the_task(espnet2, section, named):
    espnet2.pack_model["espnet2"] = section
    with pytest.raises(MissingConfigError, match=named) as caught:
        espnet2.pack()
    assert isinstance(caught.value, RuntimeError)
    espnet2.pack_model["strategy"] = "espnet3"
    assert read(espnet2.pack() / "meta.yaml")["strategy"] == "espnet3"


@pytest.mark.parametrize("section", ["files", "yaml_files", "option"])
def test_a_file_that_is_not_there_is_named(espnet2, section):
    entry = ["data/gone"] if section == "option" else {"x": "data/gone"}
    espnet2.pack_model["espnet2"][section] = entry
    with pytest.raises(FileNotFoundError, match=r"data/gone"):
        espnet2.pack()
    assert not espnet2.out_dir.exists()


def test_the_strategy_can_be_forced_without_a_task(recipe):
    recipe.pack_model |= {"strategy": "espnet2", "espnet2": {"task": "asr"}}
    assert read(recipe.pack() / "meta.yaml")["strategy"] == "espnet2"


def test_registered_yaml_that_the_model_zoo_rewrote_is_no_damage(espnet2):
    out = espnet2.pack()
    path = out / "exp" / "debug" / "config.yaml"
    config = read(path)
    path.write_text(yaml.safe_dump({**config, "bpemodel": str(out / config["bpemodel"])}))
    verify_manifest(out, may_be_relocated=True)
    with pytest.raises(BundleError, match=r"config\.yaml is not the file"):
        verify_manifest(out)
    path.write_text(path.read_text() + "# not by the model zoo\n")
    with pytest.raises(BundleError, match=r"config\.yaml is not the file"):
        verify_manifest(out, may_be_relocated=True)


def test_other_files_may_not_differ(espnet2):
    out = espnet2.pack()
    path = out / "conf" / "inference.yaml"
    path.write_text(yaml.safe_dump(read(path)))
    with pytest.raises(BundleError, match=r"inference\.yaml is not the file"):
        verify_manifest(out, may_be_relocated=True)


def test_the_card_tells_espnet2_how_infer_decoded(espnet2):
    espnet2.inference["model"] |= {"beam_size": 3, "ctc_weight": 0.4, "device": "cpu"}
    text = (espnet2.pack() / "README.md").read_text()
    assert 'Speech2Text.from_pretrained("model_pack.zip", beam_size=3, ctc_weight=0.4)' in text


def test_buffers_are_no_parameters(espnet2):
    checkpoint = espnet2.exp_dir / "last.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    torch.save({**content, "num_parameters": 2}, checkpoint)
    meta = read(espnet2.pack() / "meta.yaml")
    assert meta["weights"]["asr_model_file"]["params"] == 2


def test_the_card_says_what_to_install_only_where_the_model_needs_it(espnet2):
    command = 'pip install "espnet3[espnet2]"'
    assert command in (espnet2.pack() / "README.md").read_text()
    espnet2.inference["model"] = {"_target_": "torch.nn.Identity"}
    assert command not in (espnet2.pack() / "README.md").read_text()


@pytest.mark.parametrize(
    ("encoder", "targets"),
    [("conformer", []), ("whisper", ["espnet2.bin.asr_inference.Speech2Text"])],
)
def test_packing_says_whether_a_recogniser_of_espnet2_needs_trust(espnet2, encoder, targets):
    path = espnet2.exp_dir / "config.yaml"
    write(path, {**read(path), "encoder": encoder})
    trust = read(espnet2.pack() / "meta.yaml")["trust"]
    assert trust == {"requires_user_code": bool(targets), "targets": targets}
