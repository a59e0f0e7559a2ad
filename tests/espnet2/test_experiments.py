"""From configuration to bundle and back, with models of ESPnet2."""

from __future__ import annotations

import contextlib
from pathlib import Path
from unittest.mock import patch

import lightning
import pytest
import soundfile
import torch
import yaml

from egs3.TEMPLATE.asr.run import DEFAULT_STAGES, build_parser, main, parse_cli_and_stage_args
from espnet3.errors import BundleError, SettingError, WeightsError
from espnet3.publication import InferenceSession
from espnet3.systems.asr.system import ASRSystem
from espnet3.utils.scp_utils import read_scp
from espnet3.utils.weights_utils import read_state_dict
from tests.espnet2.conftest import E_BRANCHFORMER
from tests.espnet2.corpus import RATE, TEXTS, TOKENS, tones

pytestmark = [
    pytest.mark.usefixtures("in_process"),
    pytest.mark.filterwarnings("ignore:Expanding a local model:UserWarning"),
]

SPEECH2TEXT = "espnet2.bin.asr_inference.Speech2Text"
DECODING = {"beam_size": 1, "ctc_weight": 0.3, "maxlenratio": -4}


def references(corpus: Path, *splits: str) -> list[dict]:
    arguments = [{"split": split, "root": str(corpus)} for split in splits]
    source = "tests.espnet2.corpus"
    return [{"name": a["split"], "data_src": source, "data_src_args": a} for a in arguments]


class Recipe:
    """A recipe folder whose model is built by a task of ESPnet2."""

    def __init__(self, root: Path, corpus: Path, model: object, **training: object) -> None:
        self.root = root
        self.exp_dir = root / "exp" / "training"
        token_list = str(corpus / "tokens.txt")
        preprocessor = {
            "_target_": "espnet2.train.preprocessor.CommonPreprocessor",
            "train": True,
            "token_type": "char",
            "token_list": token_list,
        }
        train, valid = references(corpus, "train", "valid")
        batches = {"type": "sorted", "batch_size": 2}
        configs = {
            "training": {
                "strict": True,
                "task": "espnet2.tasks.asr.ASRTask",
                "seed": 5,
                "model": model,
                "dataset": {"train": [train], "valid": [valid], "preprocessor": preprocessor},
                "dataloader": {
                    "collate_fn": {"_target_": "espnet2.train.collate_fn.CommonCollateFn"},
                    "train": {"iter_factory": {"batches": batches}},
                },
                "optimizer": {"lr": 0.01},
                "scheduler": {
                    "_target_": "espnet2.schedulers.warmup_lr.WarmupLR",
                    "warmup_steps": 2,
                },
                "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False},
                "best_model_criterion": [["valid/acc", 1, "max"]],
                **training,
            },
            "inference": {
                "dataset": {"test": references(corpus, "test")},
                "model": {
                    "_target_": SPEECH2TEXT,
                    "asr_train_config": "${exp_dir}/config.yaml",
                    "asr_model_file": "${exp_dir}/last.ckpt",
                    **DECODING,
                },
                "output_fn": "espnet3.systems.asr.outputs.build_output",
            },
            "publication": {"pack_model": {"golden_samples": []}},
        }
        for name, content in configs.items():
            path = root / "conf" / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(content))

    def run(self, *stages: str, overrides: tuple[str, ...] = ()) -> None:
        words = ["--stages", *stages]
        for name in ("training", "inference", "publication"):
            words += [f"--{name}_config", f"conf/{name}.yaml"]
        words += [word for override in overrides for word in ("--set", override)]
        with contextlib.chdir(self.root), patch("sys.argv", ["run.py", *words]):
            args, _ = parse_cli_and_stage_args(build_parser(DEFAULT_STAGES), DEFAULT_STAGES)
            main(args=args, system_cls=ASRSystem)

    def hypotheses(self) -> dict[str, str]:
        return dict(read_scp(self.exp_dir / "inference" / "test" / "hyp.scp"))


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory) -> Recipe:
    """An E-Branchformer trained by us, decoded and packed, all in one command."""
    model = {
        "token_list": str(corpus / "tokens.txt"),
        **E_BRANCHFORMER,
        "normalize": "global_mvn",
        "normalize_conf": {"stats_file": "${stats_dir}/train/feats_stats.npz"},
    }
    recipe = Recipe(tmp_path_factory.mktemp("work") / "egs3" / "toy" / "asr", corpus, model)
    recipe.root.mkdir(parents=True, exist_ok=True)
    recipe.run("collect_stats", "train", "infer", "pack_model")
    return recipe


def decode(speech2text, text: str) -> str:
    return speech2text(tones(text))[0][0]


def assert_holds(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Assert that a model has exactly these tensors."""
    assert_same(model.state_dict(), state)


def assert_same(found: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> None:
    assert found.keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.items())


def test_espnet2_loads_the_weights_of_our_checkpoint(trained):
    from espnet2.bin.asr_inference import Speech2Text

    checkpoint = trained.exp_dir / "last.ckpt"
    full = torch.load(checkpoint, weights_only=True)
    assert full["module"].keys() == full["state_dict"].keys()
    with contextlib.chdir(trained.root):
        own = Speech2Text(str(trained.exp_dir / "config.yaml"), str(checkpoint), **DECODING)
    assert_holds(own.asr_model, read_state_dict(checkpoint))
    expected = {utt_id: decode(own, text) for utt_id, text in TEXTS["test"].items()}
    assert trained.hypotheses() == expected


def test_the_average_is_loaded_too(trained):
    trained.run(
        "infer",
        overrides=(
            "inference.model.asr_model_file=${exp_dir}/valid.acc.ave.pth",
            "inference.inference_dir=${exp_dir}/averaged",
        ),
    )
    assert (trained.exp_dir / "averaged" / "test" / "hyp.scp").is_file()


def test_a_checkpoint_that_espnet2_would_not_load_is_refused(trained, tmp_path):
    full = torch.load(trained.exp_dir / "last.ckpt", weights_only=True)
    del full["module"]
    torch.save(full, tmp_path / "bare.ckpt")
    with pytest.raises(WeightsError, match="did not load these weights"):
        trained.run("infer", overrides=(f"inference.model.asr_model_file={tmp_path}/bare.ckpt",))


def test_a_session_and_espnet2_decode_with_the_packed_weights(trained, tmp_path):
    from espnet2.bin.asr_inference import Speech2Text

    bundle = trained.exp_dir / "model_pack"
    state = read_state_dict(trained.exp_dir / "last.ckpt")
    meta = yaml.safe_load((bundle / "meta.yaml").read_text())
    session = InferenceSession.from_pretrained(str(bundle), trust_user_code=True, device="cpu")
    assert_holds(session.model.asr_model, state)
    for utt_id, text in TEXTS["test"].items():
        speech = tones(text)
        file = tmp_path / f"{utt_id}.wav"
        soundfile.write(file, speech, RATE, subtype="FLOAT")
        forms = (speech, torch.tensor(speech), str(file), file.read_bytes(), (RATE, speech))
        found = {session(form)["hyp"] for form in forms}
        assert found == {trained.hypotheses()[utt_id]}
    artifacts = {**meta["files"], **meta["yaml_files"]}
    paths = {name: str(bundle / path) for name, path in artifacts.items()}
    with contextlib.chdir(bundle):
        own = Speech2Text(
            asr_train_config=paths["asr_train_config"],
            asr_model_file=paths["asr_model_file"],
            **DECODING,
        )
    assert_holds(own.asr_model, state)


def test_a_bundle_whose_weights_espnet2_would_not_load_is_refused(trained, tmp_path):
    import shutil

    bundle = shutil.copytree(trained.exp_dir / "model_pack", tmp_path / "pack")
    (bundle / "manifest.json").unlink()
    meta = yaml.safe_load((bundle / "meta.yaml").read_text())
    weights = bundle / meta["files"]["asr_model_file"]
    state = torch.load(weights, weights_only=True)
    torch.save({f"x.{name}": tensor for name, tensor in state.items()}, weights)
    with pytest.raises((BundleError, WeightsError), match="did not load these weights"):
        InferenceSession.from_pretrained(str(bundle), trust_user_code=True)


class KeepStart(lightning.Callback):
    """Writes the weights that a training starts with, before its first step."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        torch.save(module.state_dict(), self.path)


def test_a_model_trained_by_espnet2_is_fine_tuned_decoded_and_published(
    espnet2_experiment, corpus, model_zoo, tmp_path
):
    from espnet2.bin.asr_inference import Speech2Text

    theirs = espnet2_experiment / "valid.acc.best.pth"
    before, start = read_state_dict(theirs), tmp_path / "start.pth"
    keep_start = {"_target_": f"{__name__}.KeepStart", "path": str(start)}
    recipe = Recipe(
        tmp_path / "egs3" / "toy" / "asr",
        corpus,
        model=f"${{load_yaml:{espnet2_experiment}/config.yaml}}",
        init_from={"path": str(theirs)},
        optimizer={"lr": 0.01},
        scheduler=None,
        scheduler_interval=None,
        trainer={
            "max_epochs": 30,
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "callbacks": [keep_start],
        },
    )
    archive_too = ("publication.pack_model.archive=zip",)
    recipe.run("collect_stats", "train", "infer", "pack_model", overrides=archive_too)
    tuned = read_state_dict(recipe.exp_dir / "last.ckpt")
    assert_same(read_state_dict(start), before)
    assert tuned.keys() == before.keys()
    pretrained = Speech2Text(str(espnet2_experiment / "config.yaml"), str(theirs), **DECODING)
    learned = [name for name, _ in pretrained.asr_model.named_parameters()]
    assert not any(torch.equal(tuned[name], before[name]) for name in learned)
    hypotheses = recipe.hypotheses()
    assert hypotheses != {u: decode(pretrained, text) for u, text in TEXTS["test"].items()}
    archive = str(recipe.exp_dir / "model_pack.zip")
    published = Speech2Text.from_pretrained(archive, **DECODING)
    assert_holds(published.asr_model, tuned)
    session = InferenceSession.from_pretrained(
        archive, downloader_class=model_zoo, trust_user_code=True
    )
    assert_holds(session.model.asr_model, tuned)
    for utt_id, text in TEXTS["test"].items():
        assert decode(published, text) == session(tones(text))["hyp"] == hypotheses[utt_id]


def test_other_tokens_than_those_of_the_model_are_refused_before_training(trained, tmp_path):
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("\n".join([*TOKENS[:2], *reversed(TOKENS[2:-1]), TOKENS[-1]]) + "\n")
    before = (trained.exp_dir / "config.yaml").read_text()
    with pytest.raises(SettingError, match="differs from dataset.preprocessor.token_list"):
        trained.run("train", overrides=(f"training.dataset.preprocessor.token_list={tokens}",))
    assert (trained.exp_dir / "config.yaml").read_text() == before


def test_a_training_goes_on_from_the_configuration_of_ours(trained, corpus, tmp_path):
    recipe = Recipe(
        tmp_path / "egs3" / "toy" / "asr",
        corpus,
        model=f"${{load_yaml:{trained.exp_dir}/config.yaml}}",
        init_from={"path": str(trained.exp_dir / "last.ckpt")},
        optimizer={"lr": 1e-30},
        scheduler=None,
        scheduler_interval=None,
    )
    recipe.run("collect_stats", "train", "infer", overrides=("training.model.ctc_conf={}",))
    assert recipe.hypotheses() == trained.hypotheses()
    written = yaml.safe_load((recipe.exp_dir / "training.yaml").read_text())
    assert "dataset" not in written["model"] and written["model"]["ctc_conf"] == {}
    stats = Path(written["model"]["normalize_conf"]["stats_file"])
    assert stats.is_relative_to(trained.root)  # found from where the file lies
