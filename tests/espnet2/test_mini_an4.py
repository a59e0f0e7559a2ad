"""The recipe mini_an4 with ESPnet2's models: from the archive to a bundle that ESPnet2 loads."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from espnet2.bin import asr_inference, asr_transducer_inference
from espnet_model_zoo.downloader import ModelDownloader

from espnet3.publication import InferenceSession
from espnet3.utils.scp_utils import read_scp
from tests.recipes.shipped import copy_recipe

STAGES = ("create_dataset", "train_tokenizer", "collect_stats", "train")
DECODING = ("infer", "measure", "pack_model")
TRANSDUCER = "training_transducer_asr_conformer_rnnt"
OPTIONS = {"beam_size": 1, "ctc_weight": 0.3}
# For golden samples a clean interpreter has to load ESPnet2 again.
NO_GOLDEN = "publication.pack_model.golden_samples=false"

pytestmark = pytest.mark.filterwarnings("ignore:Expanding a local model:UserWarning")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """A copy of the recipe, whose data and tokenizer all tests share."""
    folder = copy_recipe("mini_an4/asr", tmp_path_factory.mktemp("mini_an4"))
    shutil.copyfile(shared_data / "mini_an4.tar.gz", folder / "downloads.tar.gz")
    return folder


def run(
    recipe: Path, training: str, inference: str, stages: tuple[str, ...], *options: str
) -> Path:
    """Run stages as `python run.py` does, in this process, which has loaded ESPnet2 already."""
    slots = {"training": training, "inference": inference}
    slots |= {"metrics": "metrics", "publication": "publication"}
    command = [f"--{slot}_config=conf/{name}.yaml" for slot, name in slots.items()]
    command += ["--set=publication.pack_model.archive=zip", "--set=inference.model.beam_size=1"]
    command += [f"--set={option}" for option in options]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(recipe)
        patch.setattr(sys, "argv", ["run.py", *command, "--stages", *stages])
        runpy.run_path("run.py", run_name="__main__")
    return recipe / "exp" / training


def read_speech(recipe: Path) -> dict[str, np.ndarray]:
    files = sorted((recipe / "data" / "wav" / "test").glob("*.wav"))
    return {file.stem: soundfile.read(file, dtype="float32")[0] for file in files}


@pytest.mark.parametrize(
    "name",
    [
        "training_asr_transformer",
        "training_asr_rnn",
        "training_asr_rnn_data_aug",
        "training_asr_streaming",
    ],
)
def test_what_espnet2_decodes_with_the_bundle_is_what_infer_wrote(
    recipe: Path, model_zoo: type, in_process: None, name: str
) -> None:
    experiment = run(recipe, name, "inference_asr", STAGES + DECODING, NO_GOLDEN)
    written = dict(read_scp(experiment / "inference_asr" / "test" / "hyp.scp"))
    assert any(written.values())
    archive = str(experiment / "model_pack.zip")
    espnet2 = asr_inference.Speech2Text.from_pretrained(archive, **OPTIONS)
    ours = InferenceSession.from_pretrained(archive, downloader_class=model_zoo)
    meta = yaml.safe_load((experiment / "model_pack" / "meta.yaml").read_text())
    assert meta["trust"] == {"requires_user_code": False, "targets": []}
    for utt_id, speech in read_speech(recipe).items():
        assert espnet2(speech)[0][0] == written[utt_id]
        assert ours(speech)["hyp"] == written[utt_id]
    weights = torch.load(experiment / "last.ckpt", weights_only=False)["module"]
    loaded = espnet2.asr_model.state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[key], weights[key]) for key in loaded)


def test_a_bundle_from_the_hub_is_rewritten_in_place_and_loads(
    recipe: Path, model_zoo: type, tmp_path: Path, in_process: None
) -> None:
    experiment = run(recipe, "training_asr_transformer", "inference_asr", STAGES + DECODING)
    written = dict(read_scp(experiment / "inference_asr" / "test" / "hyp.scp"))
    snapshot = shutil.copytree(experiment / "model_pack", tmp_path / "snapshot")
    # What the downloader does with a snapshot that it got from the Hub.
    artifacts = ModelDownloader._unpack_cache_dir_for_huggingfase(str(snapshot))
    espnet2 = asr_inference.Speech2Text(**artifacts, **OPTIONS)
    session = InferenceSession.from_artifacts(artifacts)
    # The folder as it was packed, too: our loader needs no rewriting.
    packed = InferenceSession.from_pretrained(str(experiment / "model_pack"))
    for utt_id, speech in read_speech(recipe).items():
        assert espnet2(speech)[0][0] == written[utt_id]
        assert session(speech)["hyp"] == packed(speech)["hyp"] == written[utt_id]


def test_the_transducer_of_its_own_task_trains_with_a_loss_that_installs(
    recipe: Path, model_zoo: type, in_process: None
) -> None:
    stages = STAGES + DECODING
    experiment = run(recipe, TRANSDUCER, "inference_transducer", stages, NO_GOLDEN)
    written = dict(read_scp(experiment / "inference_transducer" / "test" / "hyp.scp"))
    archive = str(experiment / "model_pack.zip")
    espnet2 = asr_transducer_inference.Speech2Text.from_pretrained(archive, beam_size=1)
    ours = InferenceSession.from_pretrained(archive, downloader_class=model_zoo)
    for utt_id, speech in read_speech(recipe).items():
        hypotheses = espnet2(speech)
        assert espnet2.hypotheses_to_results(hypotheses)[0][0] == written[utt_id]
        assert ours(speech)["hyp"] == written[utt_id]
    weights = torch.load(experiment / "last.ckpt", weights_only=False)["module"]
    loaded = espnet2.asr_model.state_dict()
    assert all(torch.equal(loaded[key], weights[key]) for key in loaded)


def test_the_transducer_of_the_hybrid_task_trains_and_packs(recipe: Path, in_process: None) -> None:
    # ESPnet2's own class cannot build it for decoding without warprnnt_pytorch.
    experiment = run(
        recipe,
        "training_asr_transducer",
        "inference_asr",
        (*STAGES, "pack_model"),
        NO_GOLDEN,
    )
    bundle = experiment / "model_pack"
    meta = yaml.safe_load((bundle / "meta.yaml").read_text())
    assert meta["files"] == {"asr_model_file": "exp/training_asr_transducer/last.ckpt"}
    config = yaml.safe_load((bundle / meta["yaml_files"]["asr_train_config"]).read_text())
    assert config["decoder"] == "transducer"
    assert config["model"] == "espnet"
    weights = torch.load(bundle / meta["files"]["asr_model_file"], weights_only=True)
    assert any(name.startswith("joint_network.") for name in weights)
