"""A native recogniser, packed as our recipes pack it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import yaml

from espnet3.errors import UntrustedCodeError
from espnet3.publication import InferenceSession
from tests.unit.publication.asr_recipe import make_recipe
from tests.unit.publication.conftest import Recipe, write


@pytest.fixture
def digits(tmp_path, monkeypatch) -> Recipe:
    """Recipe run from its own folder, with the relative paths that this gives."""
    recipe = make_recipe(tmp_path / "digits" / "asr")
    monkeypatch.chdir(recipe.root)
    return recipe


def test_a_native_bundle_loads_anywhere_without_trust(digits, tmp_path, monkeypatch):
    speech = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    expected = InferenceSession.from_config(digits.inference)(speech)
    trained = torch.load(digits.exp_dir / "valid.loss.ave.pth", weights_only=True)
    moved = tmp_path / "moved"
    digits.pack().rename(moved)
    digits.root.rename(tmp_path / "gone")
    monkeypatch.chdir("/")
    monkeypatch.setenv("ESPNET3_STRICT_TARGETS", "1")
    session = InferenceSession.from_pretrained(str(moved))
    assert session(speech) == expected
    assert (
        session.forward_batch([speech, speech], use_model_batch=True)[1]["hyp"] == expected["hyp"]
    )
    loaded = session.model.model.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in trained.items())


@pytest.mark.parametrize(("together", "sizes"), [(True, [3]), (False, [1, 1, 1])])
def test_a_batch_is_one_pass_through_the_model(digits, monkeypatch, together, sizes):
    session = InferenceSession.from_pretrained(str(digits.pack()))
    compute, seen = session.model.model.log_probs, []

    def log_probs(speech, lengths):
        seen.append(len(speech))
        return compute(speech, lengths)

    monkeypatch.setattr(session.model.model, "log_probs", log_probs)
    samples = [np.ones(4000 + 900 * n, dtype=np.float32) for n in range(3)]
    assert len(session.forward_batch(samples, use_model_batch=together)) == 3
    assert seen == sizes


def test_threads_share_one_recogniser(digits):
    session = InferenceSession.from_pretrained(str(digits.pack()))
    session.output_fn = None
    noise = np.random.default_rng(0)
    samples = [noise.standard_normal(4000 + 900 * n).astype(np.float32) for n in range(12)]
    expected = [session(sample) for sample in samples]
    batch = session.forward_batch(samples, use_model_batch=True)

    def work(number):
        if number % 4 == 3:
            return session.forward_batch(samples, use_model_batch=True) == batch
        return session(samples[number % 12]) == expected[number % 12]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(48)))
    assert len({result[0][3] for result in expected}) == len(samples)


def test_the_report_says_what_was_let_through(digits):
    session = InferenceSession.from_pretrained(str(digits.pack()))
    report = session.security_report()
    assert report["bundle"] == digits.out_dir.resolve()
    assert report["rules"]
    assert set(report["allowed"]) == {
        "espnet3.systems.asr.recognizer.SpeechRecognizer",
        "espnet3.systems.asr.models.ASRModel",
        "espnet3.systems.asr.outputs.build_output",
    }
    assert set(report["allowed"].values()) == {"espnet3 lets bundles name it"}
    trusted = InferenceSession.from_pretrained(str(digits.out_dir), trust_user_code=True)
    assert not trusted.security_report()["rules"]


def test_the_packed_configs_of_a_native_model(digits):
    out = digits.pack()
    training = yaml.safe_load((out / "exp" / "debug" / "training.yaml").read_text())
    assert training["model"]["token_list"] == "${recipe_dir}/data/tokenizer/tokens.txt"
    assert training["tokenizer"]["save_path"] == "${recipe_dir}/data/tokenizer"
    model = yaml.safe_load((out / "conf" / "inference.yaml").read_text())["model"]
    assert model["train_config"] == "${recipe_dir}/exp/debug/training.yaml"
    assert model["model_file"] == "${recipe_dir}/exp/debug/valid.loss.ave.safetensors"
    assert not yaml.safe_load((out / "meta.yaml").read_text())["trust"]["requires_user_code"]


MODEL_OF_ONES_OWN = """
import torch


class Always(torch.nn.Module):
    token_list = ("<blank>", "<unk>", "one", "two", "three", "<sos/eos>")
    blank_id = 0

    def __init__(self, answer: int):
        super().__init__()
        self.answer = torch.nn.Parameter(torch.tensor(float(answer)))

    def log_probs(self, speech, speech_lengths):
        scores = torch.full((len(speech), 1, len(self.token_list)), -9.0)
        scores[:, :, int(self.answer)] = 0.0
        return scores, torch.ones_like(speech_lengths)
"""


def test_a_bundle_whose_training_config_names_recipe_code_needs_trust(
    digits, tmp_path, monkeypatch
):
    write(digits.root / "src" / "model.py", MODEL_OF_ONES_OWN)
    digits.training["model"] = {"_target_": "src.model.Always", "answer": 3}
    write(digits.exp_dir / "training.yaml", digits.training)
    torch.save({"answer": torch.tensor(3.0)}, digits.exp_dir / "valid.loss.ave.pth")
    bundle = digits.pack()
    monkeypatch.chdir(tmp_path)
    trust = yaml.safe_load((bundle / "meta.yaml").read_text())["trust"]
    assert trust == {"requires_user_code": True, "targets": ["src.model.Always"]}
    with pytest.raises(UntrustedCodeError, match=r"src\.model\.Always"):
        InferenceSession.from_pretrained(str(bundle))
    session = InferenceSession.from_pretrained(str(bundle), trust_user_code=True)
    assert session(np.zeros(160, dtype=np.float32))["hyp"] == "two"
