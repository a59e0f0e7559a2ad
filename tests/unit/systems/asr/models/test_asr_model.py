from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from espnet3.components.layers import ConformerEncoder, LogMelFrontend
from espnet3.errors import ConfigError, MissingConfigError, SettingError, UnknownKeyError
from espnet3.systems.asr.models import ASRModel
from espnet3.systems.asr.settings import PARAMETER_PARTS, PART_TYPES
from espnet3.utils.instantiate import instantiate_config

GOLDEN = Path(__file__).resolve().parents[4] / "golden" / "asr_model.json"
WORDS = ["▁one", "▁two", "▁three", "▁four"]
TOKENS = ["<blank>", "<unk>", *WORDS, "<sos/eos>"]
ENCODER = {
    "type": "conformer",
    "output_size": 32,
    "num_blocks": 1,
    "attention_heads": 2,
    "linear_units": 64,
    "cnn_kernel": 7,
    "subsampling": "dw4",
    "subsampling_channels": 8,
    "dropout_rate": 0.0,
}
FRONTEND = {"type": "log_mel", "win_length": 400, "hop_length": 160, "n_mels": 40}


def build(**options):
    torch.manual_seed(0)
    defaults = {
        "token_list": TOKENS,
        "frontend": FRONTEND,
        "normalize": {"type": "utterance_mvn", "norm_vars": True},
        "encoder": ENCODER,
    }
    return ASRModel(**{**defaults, **options})


def make_batch(num=8, seed=0):
    """Utterances in which every word is a tone of its own, 0.15 s long."""
    rng = np.random.default_rng(seed)
    t = np.arange(2400) / 16000
    speech, text = [], []
    for i in range(num):
        ids = rng.integers(2, 6, size=2 + i % 3)
        tones = [0.3 * np.sin(2 * np.pi * 300 * 2 ** (k - 2) * t) * np.hanning(2400) for k in ids]
        wave = np.concatenate(tones) + 0.003 * rng.standard_normal(2400 * len(ids))
        speech.append(torch.from_numpy(wave).float())
        text.append(torch.from_numpy(ids).long())
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "speech": pad(speech, batch_first=True),
        "speech_lengths": torch.tensor([len(s) for s in speech]),
        "text": pad(text, batch_first=True, padding_value=-1),
        "text_lengths": torch.tensor([len(s) for s in text]),
    }


def train(model, batch, steps):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(steps):
        loss, _, _ = model(**batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.fixture(scope="module")
def trained():
    torch.set_num_threads(1)
    model, batch = build(), make_batch()
    return model, batch, train(model, batch, 150)


def test_the_loss_of_eight_utterances_falls_below_five_percent(trained):
    _, _, losses = trained
    assert losses[-1] < 0.05 * losses[0]


def test_a_fitted_model_reports_no_errors(trained):
    model, batch, _ = trained
    _, stats, weight = model.eval()(**batch)
    assert stats["cer_ctc"] == stats["wer"] == 0.0
    assert weight == 8


def test_the_first_losses_are_the_recorded_ones():
    losses = train(build(), make_batch(), 4)
    expected = json.loads(GOLDEN.read_text())["losses"]
    np.testing.assert_allclose(losses, expected, rtol=2e-3)


def test_training_statistics_stay_on_the_device_and_hold_no_error_rates():
    _, stats, _ = build()(**make_batch())
    assert set(stats) == {"loss", "loss_ctc", "ctc_infeasible"}
    assert all(isinstance(v, torch.Tensor) and not v.requires_grad for v in stats.values())


def test_evaluation_reports_error_rates_in_percent():
    model = build().eval()
    batch = make_batch()
    _, stats, _ = model(**batch)
    assert {"cer_ctc", "wer"} <= set(stats)
    batch["text"] = torch.full_like(batch["text"], -1)
    batch["text_lengths"] = torch.zeros_like(batch["text_lengths"])
    assert "wer" not in model(**batch)[1]


def test_error_rates_are_absent_without_symbols_or_when_switched_off():
    batch = make_batch()
    for model in (build(token_list=None, vocab_size=7), build(report_cer=False)):
        assert "cer_ctc" not in model.eval()(**batch)[1]


def test_characters_without_a_space_symbol_have_no_words():
    model = build(token_list=["<blank>", "<unk>", *"天地玄黄", "<sos/eos>"]).eval()
    stats = model(**make_batch())[1]
    assert "cer_ctc" in stats and "wer" not in stats


def test_batch_results_equal_single_results():
    model, batch = build().eval(), make_batch()
    log_probs, lengths = model.log_probs(batch["speech"], batch["speech_lengths"])
    losses = []
    for i, samples in enumerate(batch["speech_lengths"]):
        single = {
            "speech": batch["speech"][i : i + 1, :samples],
            "speech_lengths": samples.unsqueeze(0),
        }
        alone, _ = model.log_probs(**single)
        torch.testing.assert_close(log_probs[i, : lengths[i]], alone[0], atol=1e-4, rtol=1e-4)
        labels = batch["text_lengths"][i : i + 1]
        text = batch["text"][i : i + 1, : labels[0]]
        losses.append(model(**single, text=text, text_lengths=labels)[0])
    torch.testing.assert_close(model(**batch)[0], torch.stack(losses).mean(), rtol=1e-4, atol=0)


def test_specaugment_acts_in_training_only():
    specaug = {"type": "specaug", "apply_time_warp": False, "time_mask_width_range": [5, 9]}
    model, batch = build(specaug=specaug), make_batch()
    assert model(**batch)[0] != model(**batch)[0]
    model.eval()
    assert model(**batch)[0] == model(**batch)[0]


def test_collect_feats_gives_features_before_normalisation():
    model, batch = build(), make_batch()
    collected = model.collect_feats(**batch)
    feats, lengths = model.frontend(batch["speech"], batch["speech_lengths"])
    assert torch.equal(collected["feats"], feats)
    assert torch.equal(collected["feats_lengths"], lengths)


def test_collect_feats_may_give_the_waveform():
    batch = make_batch()
    collected = build(extract_feats_in_collect_stats=False).collect_feats(**batch)
    assert collected["feats"] is batch["speech"]
    assert collected["feats_lengths"] is batch["speech_lengths"]


def test_the_model_works_without_normalisation():
    loss, _, _ = build(normalize=None)(**make_batch())
    assert torch.isfinite(loss)


def test_features_may_come_in_directly():
    model = build(frontend=None, encoder={**ENCODER, "input_size": 12})
    loss, _, _ = model(
        torch.randn(2, 50, 12),
        torch.tensor([50, 40]),
        torch.tensor([[2, 3], [4, -1]]),
        torch.tensor([2, 1]),
    )
    assert torch.isfinite(loss)


def test_global_statistics_take_their_size_from_the_front_end():
    model = build(normalize={"type": "global_mvn", "stats_file": None})
    assert model.normalize.mean.shape == (40,)


def test_impossible_labels_are_counted_and_reported(caplog):
    model, batch = build(), make_batch(num=2)
    batch["text"] = torch.full((2, 60), 2)
    batch["text_lengths"] = torch.tensor([60, 1])
    _, stats, _ = model(**batch)
    assert stats["ctc_infeasible"] == 0.5
    with caplog.at_level(logging.WARNING):
        model.eval()(**batch)
    assert "1 of 2 utterances have more labels" in caplog.text


def test_bf16_autocast_trains():
    model, batch = build(), make_batch()
    exact = model(**batch)[0]
    with torch.autocast("cpu", torch.bfloat16):
        loss, _, _ = model(**batch)
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=0.05, atol=0)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_parts_may_be_modules_and_the_token_list_a_file(tmp_path):
    path = tmp_path / "tokens.txt"
    path.write_text("\n".join(TOKENS), encoding="utf-8")
    encoder = ConformerEncoder(80, **{k: v for k, v in ENCODER.items() if k != "type"})
    model = ASRModel(token_list=path, frontend=LogMelFrontend(), encoder=encoder)
    assert model.token_list == tuple(TOKENS)
    assert model.encoder is encoder
    assert model.ctc.projection.out_features == len(TOKENS)


def test_a_configuration_builds_the_model():
    model = instantiate_config(
        {
            "_target_": "espnet3.systems.asr.models.ASRModel",
            "token_list": TOKENS,
            "frontend": FRONTEND,
            "encoder": ENCODER,
        },
        key="model",
    )
    assert isinstance(model.encoder, ConformerEncoder)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"encoder": None}, MissingConfigError, "model.encoder"),
        ({"encoder": {"type": "confromer"}}, ConfigError, 'did you mean "conformer"'),
        ({"encoder": {"output_size": 32}}, ConfigError, "known types: conformer"),
        ({"encoder": {**ENCODER, "num_block": 2}}, UnknownKeyError, 'mean "num_blocks"'),
        ({"encoder": {**ENCODER, "num_blocks": "a"}}, ConfigError, "encoder.num_blocks = 'a': exp"),
        ({"encoder": ENCODER, "frontend": None}, MissingConfigError, "encoder.input_size"),
        ({"encoder": 3}, ConfigError, "module or a mapping"),
        ({"token_list": None}, MissingConfigError, "vocab_size"),
        ({"vocab_size": 5}, SettingError, "7 symbols"),
        ({"token_list": "absent/tokens.txt"}, MissingConfigError, "train_tokenizer"),
        ({"sym_blank": "<eps>"}, ConfigError, "<eps>"),
        ({"frontend": {**FRONTEND, "win_length": 900}}, ConfigError, "win_length"),
    ],
)
def test_mistakes_are_named(options, error, words):
    with pytest.raises(error, match=words):
        build(**options)


def test_options_of_absent_parts_are_not_accepted():
    with pytest.raises(TypeError, match="lsm_weight"):
        build(lsm_weight=0.1)


def test_the_names_of_all_parameters_are_known_without_building_a_model():
    options = [{"encoder": {**ENCODER, "subsampling": kind}} for kind in ("conv2d4", "dw4", "dw8")]
    options += [
        {"specaug": {"type": "speaker_perturb"}},
        {"specaug": {"type": "specaug", "time_mask_width_range": [0, 5]}},
    ]
    models = [build(**option) for option in options]
    names = {part for m in models for name, _ in m.named_parameters() for part in name.split(".")}
    assert {name for name in names if not name.isdigit()} == set(PARAMETER_PARTS)
    assert set(PART_TYPES["encoder"]) == {"conformer"}
