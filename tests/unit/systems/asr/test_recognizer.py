from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from espnet3.errors import ConfigError, DataError, MissingConfigError, SettingError, WeightsError
from espnet3.systems.asr.models import ASRModel
from espnet3.systems.asr.recognizer import SpeechRecognizer
from espnet3.systems.asr.tokenizers import train_sentencepiece
from espnet3.utils.import_utils import TRUSTED_TARGETS

ENCODER = {
    "type": "conformer",
    "output_size": 16,
    "num_blocks": 1,
    "attention_heads": 2,
    "linear_units": 32,
    "cnn_kernel": 5,
    "subsampling": "dw4",
    "subsampling_channels": 8,
}
WORDS = ["one", "two", "three", "four"]


def make_experiment(root: Path, prefix: str = "./") -> tuple[Path, Path]:
    """Lay out a recipe folder with a tokenizer, statistics, weights and a training.yaml."""
    root.mkdir(parents=True)
    (root / "text").write_text("\n".join(WORDS * 3))
    train_sentencepiece(root / "text", root / "data" / "tok", vocab_size=7, model_type="word")
    (root / "exp" / "stats").mkdir(parents=True)
    frames = np.random.default_rng(0).normal(-5, 4, (50, 80))
    np.savez(
        root / "exp" / "stats" / "feats_stats.npz",
        count=50,
        sum=frames.sum(0),
        sum_square=(frames**2).sum(0),
    )
    model = {
        "_target_": "espnet3.systems.asr.models.ASRModel",
        "token_list": f"{prefix}data/tok/tokens.txt",
        "frontend": {"type": "log_mel", "hop_length": 160},
        "normalize": {"type": "global_mvn", "stats_file": f"{prefix}exp/stats/feats_stats.npz"},
        "encoder": ENCODER,
    }
    tokenizer = {"model_type": "word", "vocab_size": 7, "save_path": f"{prefix}data/tok"}
    exp_dir = root / "exp" / "first"
    exp_dir.mkdir()
    config = {
        "recipe_dir": ".",
        "exp_dir": "./exp/first",
        "model": model,
        "tokenizer": tokenizer,
        "unrelated": "${absent.key}",
    }
    OmegaConf.save(OmegaConf.create(config), exp_dir / "training.yaml")
    torch.manual_seed(0)
    built = ASRModel(
        token_list=root / "data" / "tok" / "tokens.txt",
        frontend=model["frontend"],
        encoder=ENCODER,
        normalize={"type": "global_mvn", "stats_file": root / "exp/stats/feats_stats.npz"},
    )
    # Frames must differ enough from each other for hypotheses that are not empty.
    built.ctc.projection.weight.data.mul_(8)
    torch.save(built.state_dict(), exp_dir / "valid.loss.ave.pth")
    return exp_dir / "training.yaml", exp_dir / "valid.loss.ave.pth"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return make_experiment(tmp_path_factory.mktemp("work") / "recipe")


@pytest.fixture(scope="module")
def recognizer(experiment):
    return SpeechRecognizer(*experiment)


def noise(samples, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.standard_normal(samples) * np.linspace(0.01, 0.3, samples)).astype("float32")


def test_a_result_is_text_tokens_ids_and_score(recognizer):
    text, tokens, token_ids, score = recognizer(noise(8000))[0]
    assert token_ids and all(0 < i < 7 for i in token_ids)
    assert tokens == [recognizer.token_list[i] for i in token_ids]
    spoken = [t for t in tokens if t != "<sos/eos>"]
    words = [t.removeprefix("▁") for t in spoken if t != "<unk>"]
    assert [w for w in text.split() if w in WORDS] == words
    assert "▁" not in text
    assert score < 0


def test_batch_results_equal_single_results(experiment):
    waves = [noise(n, seed=n) for n in (8000, 5000, 3000, 9999, 6200)]
    for options in ({}, {"batch_size": 2}, {"decode": "ctc_prefix_beam", "nbest": 3}):
        recognizer = SpeechRecognizer(*experiment, **options)
        for wave, batched in zip(waves, recognizer.batch(waves), strict=True):
            alone = recognizer(wave)
            assert [r[:3] for r in batched] == [r[:3] for r in alone]
            np.testing.assert_allclose([r[3] for r in batched], [r[3] for r in alone], rtol=1e-3)
        assert [r[0][0] for r in recognizer(waves)] == [recognizer(w)[0][0] for w in waves]
    assert recognizer.batch([]) == []


def test_int16_tensors_and_doubles_give_what_floats_give(recognizer):
    ints = (noise(8000) * 32767).astype("int16")
    expected = recognizer(ints.astype("float32") / 32768)
    assert recognizer(ints) == expected
    assert recognizer(torch.from_numpy(ints)) == expected
    assert recognizer(ints.astype("float64") / 32768) == expected


def test_a_read_only_array_is_accepted_without_a_warning(recognizer):
    wave = noise(8000)
    wave.flags.writeable = False
    assert recognizer(wave)


@pytest.mark.parametrize(
    ("speech", "words"),
    [
        (np.zeros((8000, 2), "float32"), r"\(8000, 2\).*mono"),
        (np.zeros(8000, "int32"), "int32"),
        ("audio.wav", "str"),
    ],
)
def test_other_input_is_refused(recognizer, speech, words):
    with pytest.raises(DataError, match=words):
        recognizer(speech)


def test_too_short_speech_is_refused(recognizer):
    with pytest.raises(ValueError, match="too short"):
        recognizer(noise(500))


def test_paths_start_at_the_recipe_from_any_directory(
    experiment, recognizer, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    elsewhere = SpeechRecognizer(*experiment)
    monkeypatch.chdir("/")
    assert elsewhere(noise(8000)) == recognizer(noise(8000))


def test_a_moved_bundle_decodes_without_its_statistics_file(tmp_path, monkeypatch):
    config, weights = make_experiment(tmp_path / "made", prefix="${recipe_dir}/")
    (tmp_path / "made" / "meta.yaml").write_text("files: {}\n")
    expected = SpeechRecognizer(config, weights)(noise(8000))
    bundle = tmp_path / "moved"
    (tmp_path / "made").rename(bundle)
    (bundle / "exp" / "stats" / "feats_stats.npz").unlink()
    monkeypatch.chdir("/")
    exp_dir = bundle / "exp" / "first"
    moved = SpeechRecognizer(exp_dir / "training.yaml", exp_dir / weights.name)
    assert moved(noise(8000)) == expected


def test_the_recipe_folder_may_be_given(tmp_path, monkeypatch):
    config, weights = make_experiment(tmp_path / "made", prefix="${recipe_dir}/")
    lonely = tmp_path / "training.yaml"
    config.rename(lonely)
    monkeypatch.chdir("/")
    with pytest.raises(ConfigError, match="tokens.txt"):
        SpeechRecognizer(lonely, weights)
    assert SpeechRecognizer(lonely, weights, recipe_dir=tmp_path / "made")(noise(8000))


def test_the_configuration_may_be_a_mapping(experiment, recognizer):
    content = OmegaConf.load(experiment[0])
    content.recipe_dir = str(experiment[0].parents[2])
    del content["unrelated"]
    before = OmegaConf.to_yaml(content)
    from_mapping = SpeechRecognizer(content, experiment[1])
    assert from_mapping(noise(8000)) == recognizer(noise(8000))
    assert OmegaConf.to_yaml(content) == before


def test_without_a_tokenizer_section_the_token_list_is_enough(experiment, recognizer):
    content = OmegaConf.load(experiment[0])
    content.recipe_dir = str(experiment[0].parents[2])
    del content["unrelated"], content["tokenizer"]
    plain = SpeechRecognizer(content, experiment[1])
    # Unlike SentencePiece, plain joining leaves the unknown symbol visible.
    expected = recognizer(noise(8000))[0]
    assert plain(noise(8000))[0][1:] == expected[1:]
    assert "▁" not in plain(noise(8000))[0][0]


def test_a_missing_tokenizer_model_is_said_and_survived(tmp_path, caplog):
    config, weights = make_experiment(tmp_path / "made")
    (tmp_path / "made" / "data" / "tok" / "word.model").unlink()
    with caplog.at_level(logging.INFO):
        assert SpeechRecognizer(config, weights)(noise(8000))
    assert "word.model" in caplog.text


def test_autocast_gives_the_same_shape_of_result(experiment):
    result = SpeechRecognizer(*experiment, dtype="bfloat16")(noise(8000))
    assert isinstance(result[0][0], str) and len(result[0]) == 4


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"decode": "ctc_gredy"}, ConfigError, 'mean "ctc_greedy"'),
        ({"dtype": "float8"}, ConfigError, "dtype"),
        ({"nbest": 2}, SettingError, "ctc_prefix_beam"),
        ({"batch_size": 0}, SettingError, "batch_size"),
        ({"train_config": "absent.yaml"}, MissingConfigError, "train stage"),
        ({"train_config": {"tokenizer": {}}}, MissingConfigError, "model"),
        (
            {"train_config": {"model": {"_target_": "torch.nn.Linear", "in_features": 1,
                                        "out_features": 1}}},
            ConfigError,
            "Linear has no log_probs",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_named(experiment, options, error, words):
    arguments = {"train_config": experiment[0], "model_file": experiment[1], **options}
    with pytest.raises(error, match=words):
        SpeechRecognizer(**arguments)


def test_an_unresolved_value_is_named(experiment, tmp_path):
    path = tmp_path / "training.yaml"
    path.write_text("model:\n  _target_: x.Y\n  token_list: ${tokenizer.save_path}/tokens.txt\n")
    with pytest.raises(ConfigError, match="model.token_list.*is not resolved"):
        SpeechRecognizer(path, experiment[1])


def test_weights_of_another_model_are_refused(experiment, tmp_path):
    torch.save({"other.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError):
        SpeechRecognizer(experiment[0], tmp_path / "other.pth")


def test_bundles_may_name_the_recogniser_and_its_parts():
    for name in (
        "espnet3.systems.asr.recognizer.SpeechRecognizer",
        "espnet3.systems.asr.models.asr_model.ASRModel",
        "espnet3.components.layers.conformer.ConformerEncoder",
        "espnet3.components.layers.frontend.LogMelFrontend",
        "espnet3.components.layers.normalize.GlobalMVN",
    ):
        assert name in TRUSTED_TARGETS
