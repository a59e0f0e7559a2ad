"""Tests that need ESPnet2 itself; `make test-espnet2` has an environment for them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.espnet2.corpus import RATE, write_corpus
from tests.recipes.conftest import in_process

__all__ = ["in_process"]

# Elsewhere they are left out: .ci/run runs that environment besides the core one.
collect_ignore_glob = [] if importlib.util.find_spec("espnet2") else ["test_*.py"]

FRONTEND_CONF = {"fs": RATE, "n_fft": 256, "hop_length": 128, "n_mels": 20}
E_BRANCHFORMER = {
    "frontend_conf": FRONTEND_CONF,
    "specaug": "specaug",
    "specaug_conf": {
        "apply_time_warp": True,
        "apply_freq_mask": True,
        "freq_mask_width_range": [0, 4],
        "apply_time_mask": True,
        "time_mask_width_ratio_range": [0.0, 0.05],
    },
    "encoder": "e_branchformer",
    "encoder_conf": {
        "output_size": 16,
        "attention_heads": 2,
        "attention_layer_type": "rel_selfattn",
        "pos_enc_layer_type": "rel_pos",
        "rel_pos_type": "latest",
        "cgmlp_linear_units": 32,
        "cgmlp_conv_kernel": 7,
        "use_linear_after_conv": False,
        "gate_activation": "identity",
        "num_blocks": 2,
        "dropout_rate": 0.1,
        "input_layer": "conv2d",
        "layer_drop_rate": 0.0,
        "linear_units": 32,
        "positionwise_layer_type": "linear",
        "use_ffn": True,
        "macaron_ffn": True,
        "merge_conv_kernel": 7,
    },
    "decoder": "transformer",
    "decoder_conf": {"attention_heads": 2, "linear_units": 32, "num_blocks": 1},
    "model_conf": {"ctc_weight": 0.3, "lsm_weight": 0.1, "length_normalized_loss": False},
}
"""The parts of the recipe librispeech_100, made small."""

SMALL = {
    "frontend_conf": FRONTEND_CONF,
    "normalize": "utterance_mvn",
    "encoder": "transformer",
    "encoder_conf": {
        "output_size": 8,
        "attention_heads": 2,
        "linear_units": 16,
        "num_blocks": 1,
        "input_layer": "conv2d",
    },
    "decoder": "transformer",
    "decoder_conf": {"attention_heads": 2, "linear_units": 16, "num_blocks": 1},
    "model_conf": {"ctc_weight": 0.3},
}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the toy corpus."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def espnet2_experiment(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ESPnet2's own training command leaves: `config.yaml`, `valid.acc.best.pth`, …"""
    from espnet2.bin import asr_train

    folder = tmp_path_factory.mktemp("espnet2_experiment")
    (folder / "train.yaml").write_text(yaml.safe_dump(SMALL))
    command = ["--config", str(folder / "train.yaml"), "--output_dir", str(folder / "out")]
    command += ["--token_type", "char", "--token_list", str(corpus / "tokens.txt")]
    for mode in ("train", "valid"):
        here = corpus / mode
        for file, kind in (("wav.scp", "speech,sound"), ("text", "text,text")):
            command += [f"--{mode}_data_path_and_name_and_type", f"{here / file},{kind}"]
        for file in ("speech_shape", "text_shape"):
            command += [f"--{mode}_shape_file", str(here / file)]
    command += ["--batch_type", "unsorted", "--batch_size", "2", "--max_epoch", "1"]
    command += ["--num_workers", "0", "--ngpu", "0", "--seed", "3"]
    command += ["--use_tensorboard", "false", "--use_matplotlib", "false"]
    asr_train.main(command)
    return folder / "out"


@pytest.fixture
def model_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """ESPnet2's downloader, with a cache of its own for every object that is made of it."""
    from espnet_model_zoo.downloader import ModelDownloader

    monkeypatch.setattr(ModelDownloader.__init__, "__defaults__", (str(tmp_path / "cache"),))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    yield ModelDownloader
