"""Ours give the numbers of the ESPnet2 classes that they stand in for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet3.components.data.dataloader import DataLoaderBuilder
from espnet3.utils.import_utils import import_object
from espnet3.utils.target_aliases import ESPNET2_ALIASES
from tests.espnet2.corpus import TOKENS


def both(name: str) -> tuple:
    """Return ESPnet2's object of a name and ours."""
    (theirs,) = [target for target in ESPNET2_ALIASES if target.endswith(f".{name}")]
    return import_object(theirs), import_object(ESPNET2_ALIASES[theirs])


def test_all_of_espnet2_exist_and_are_used_where_they_are_installed():
    for target in ESPNET2_ALIASES:
        assert import_object(target).__module__.startswith("espnet2.")


def assert_equal_batches(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.dtype == second[name].dtype, name
        assert torch.equal(value, second[name]), name


@settings(max_examples=30)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=5),
    pads=st.tuples(st.sampled_from([0.0, -1.5]), st.sampled_from([-1, -32768])),
    dims=st.sampled_from([(), (3,)]),
)
def test_collate(lengths, pads, dims):
    rng = np.random.default_rng(0)
    items = [
        (
            f"u{i}",
            {
                "speech": rng.normal(size=(n, *dims)).astype(np.float32),
                "text": rng.integers(0, 9, m),
                "spembs": rng.normal(size=4).astype(np.float32),
            },
        )
        for i, (n, m) in enumerate(lengths)
    ]
    outputs = [
        c(float_pad_value=pads[0], int_pad_value=pads[1], not_sequence=["spembs"])(items)
        for c in both("CommonCollateFn")
    ]
    assert outputs[0][0] == outputs[1][0]
    assert_equal_batches(outputs[0][1], outputs[1][1])


@pytest.fixture
def shapes(tmp_path) -> tuple[Path, Path]:
    rng = np.random.default_rng(1)
    paths = tmp_path / "speech_shape", tmp_path / "text_shape"
    ids = [f"utt{i:02}" for i in range(23)]
    paths[0].write_text("".join(f"{u} {rng.integers(20, 300)},4\n" for u in ids))
    paths[1].write_text("".join(f"{u} {rng.integers(2, 30)},7\n" for u in ids))
    return paths


SAMPLERS = [
    {"type": "unsorted", "batch_size": 4},
    {"type": "unsorted", "batch_size": 4, "drop_last": True},
    {"type": "sorted", "batch_size": 5},
    {"type": "sorted", "batch_size": 5, "drop_last": True, "sort_batch": "descending"},
    {"type": "sorted", "batch_size": 3, "sort_in_batch": "ascending"},
    {"type": "folded", "batch_size": 6, "fold_lengths": [100, 10]},
    {"type": "folded", "batch_size": 6, "fold_lengths": [80, 20], "min_batch_size": 2},
    {"type": "length", "batch_bins": 900},
    {"type": "length", "batch_bins": 700, "min_batch_size": 3, "sort_batch": "descending"},
    {"type": "length", "batch_bins": 600, "padding": False},
    {"type": "numel", "batch_bins": 4000},
    {"type": "numel", "batch_bins": 2500, "padding": False, "sort_in_batch": "ascending"},
]


@pytest.mark.parametrize("options", SAMPLERS, ids=str)
def test_batch_samplers(shapes, options):
    files = shapes if options["type"] in ("folded", "length", "numel") else shapes[:1]
    options = {"batch_size": 1, "batch_bins": 1, **options}
    options["shape_files"] = [str(file) for file in files]
    theirs, ours = (list(map(tuple, b(**options))) for b in both("build_batch_sampler"))
    assert theirs == ours


@pytest.mark.parametrize("num_iters", [None, 3, 7])
@pytest.mark.parametrize("shuffle", [False, True])
def test_iterator_factories(shuffle, num_iters):
    batches = [tuple(range(start, min(start + 3, 14))) for start in range(0, 14, 3)]

    class Items(torch.utils.data.Dataset):
        def __getitem__(self, uid):
            return uid

    options = {"num_iters_per_epoch": num_iters, "seed": 3, "shuffle": shuffle}
    theirs, ours = (
        f(Items(), list(batches), **options, collate_fn=list) for f in both("SequenceIterFactory")
    )
    # In virtual epochs ESPnet2 counts from 1, which the loader builder takes into account.
    shift = 0 if num_iters is None else 1
    for epoch in range(5):
        expected = list(theirs.build_iter(epoch + shift))
        assert list(ours.build_iter(epoch)) == expected
        config = {
            "dataloader": {
                "train": {
                    "iter_factory": {
                        "_target_": "espnet2.iterators.sequence_iter_factory.SequenceIterFactory",
                        **options,
                        "collate_fn": {
                            "_target_": "hydra.utils.get_method",
                            "path": "builtins.list",
                        },
                        "batches": [list(batch) for batch in batches],
                    }
                }
            }
        }
        loader = DataLoaderBuilder(Items(), config, None, 1, epoch).build("train")
        assert list(loader) == expected


@pytest.mark.parametrize("warmup", [1, 10, 25])
def test_warmup_lr(warmup):
    rates = []
    for schedule in both("WarmupLR"):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
        scheduler = schedule(optimizer, warmup_steps=warmup)
        rates.append([])
        for _ in range(40):
            rates[-1].append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    assert rates[0] == pytest.approx(rates[1], rel=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"fs": 16000},
        {"fs": "16k", "n_fft": 512, "win_length": 400, "hop_length": 160},
        {"fs": 8000, "n_fft": 256, "hop_length": 80, "n_mels": 40, "fmin": 80, "fmax": 3800},
        {"fs": 16000, "n_fft": 400, "hop_length": 160, "htk": True, "window": "hamming"},
        {"fs": 16000, "n_fft": 512, "center": False},
    ],
    ids=str,
)
def test_front_end(options):
    lengths = torch.tensor([4000, 2777])
    speech = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    speech[1, 2777:] = 0
    theirs, ours = (f(**options).eval() for f in both("DefaultFrontend"))
    assert theirs.output_size() == ours.output_size()
    expected, expected_lengths = theirs(speech, lengths)
    feats, feats_lengths = ours(speech, lengths)
    assert torch.equal(feats_lengths, expected_lengths)
    # Ours reflects each utterance at its own end, ESPnet2 at the end of the batch: the frames that
    # reach beyond a shorter utterance differ.
    n_fft, hop = options.get("n_fft", 512), options.get("hop_length", 128)
    reach = n_fft // 2 if options.get("center", True) else 0
    same = [int(feats_lengths[0]), (2777 - reach) // hop + 1 if reach else int(feats_lengths[1])]
    for row, count in enumerate(same):
        torch.testing.assert_close(feats[row, :count], expected[row, :count], rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("means", [True, False])
@pytest.mark.parametrize("variances", [True, False])
def test_normalisation(tmp_path, means, variances):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(40, 5)) * [1, 2, 3, 0.5, 5] + 4
    path = tmp_path / "stats.npz"
    np.savez(path, count=40, sum=data.sum(0), sum_square=(data**2).sum(0))
    feats = torch.from_numpy(rng.normal(size=(2, 7, 5)).astype(np.float32))
    lengths = torch.tensor([7, 4])
    options = {"norm_means": means, "norm_vars": variances}
    for name, more in (("GlobalMVN", {"stats_file": str(path)}), ("UtteranceMVN", {})):
        padded = feats.clone()
        padded[1, 4:] = 0
        theirs, ours = (c(**more, **options) for c in both(name))
        expected, _ = theirs(padded.clone(), lengths)
        found, _ = ours(padded.clone(), lengths)
        # Padded frames, which nobody reads, are 0 in ours. ESPnet2 counts them in the variance of
        # an utterance that is shorter than the batch; without a batch around it both agree.
        is_alone = name == "UtteranceMVN" and means and variances
        for row, count in enumerate(lengths.tolist()[: 1 if is_alone else 2]):
            torch.testing.assert_close(found[row, :count], expected[row, :count])
    state, own = (c(stats_file=str(path)).state_dict() for c in both("GlobalMVN"))
    assert state.keys() == own.keys()
    assert all(torch.allclose(state[n].float(), own[n], rtol=1e-6) for n in state)


def test_spec_augment_masks_as_much():
    options = {
        "apply_time_warp": False,
        "freq_mask_width_range": [0, 4],
        "num_freq_mask": 1,
        "time_mask_width_range": [0, 6],
        "num_time_mask": 1,
    }
    lengths = torch.tensor([60])
    for augment in both("SpecAug"):
        widths = []
        for seed in range(200):
            torch.manual_seed(seed)
            masked, _ = augment(**options).train()(torch.ones(1, 60, 20), lengths)
            is_zero = masked[0] == 0
            bands, frames = is_zero.all(0), is_zero.all(1)
            assert torch.equal(is_zero, bands[None] | frames[:, None])
            widths.append((bands.sum().item(), frames.sum().item()))
        # Widths are drawn evenly, without the upper end of the range.
        assert {band for band, _ in widths} == set(range(4))
        assert {frame for _, frame in widths} == set(range(6))


@pytest.fixture(scope="module")
def pieces(tmp_path_factory) -> str:
    stem = tmp_path_factory.mktemp("pieces") / "bpe"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["one two three", "two of three", "one or two of them"] * 20),
        model_prefix=str(stem),
        vocab_size=30,
        model_type="bpe",
        minloglevel=2,
    )
    return f"{stem}.model"


LINES = ["one two", "three of them", "unseen ß words", " a  b ", ""]


@pytest.mark.parametrize("line", LINES)
def test_text_objects(pieces, line):
    theirs, ours = (c(pieces) for c in both("SentencepiecesTokenizer"))
    tokens = theirs.text2tokens(line)
    assert ours.text2tokens(line) == tokens
    assert ours.tokens2text(tokens) == theirs.tokens2text(tokens)
    symbols = ["<blank>", "<unk>", *dict.fromkeys(tokens), "<sos/eos>"]
    theirs, ours = (c(token_list=symbols) for c in both("TokenIDConverter"))
    words = [*tokens, "nowhere"]
    assert ours.tokens2ids(words) == theirs.tokens2ids(words)
    assert ours.ids2tokens([0, 1]) == theirs.ids2tokens([0, 1])
    assert ours.get_num_vocabulary_size() == theirs.get_num_vocabulary_size()


@pytest.mark.parametrize("options", [{}, {"speech_volume_normalize": 0.5}], ids=str)
@pytest.mark.parametrize("token_type", ["char", "bpe", "word"])
def test_preprocessor(pieces, token_type, options):
    symbols = TOKENS if token_type == "char" else ["<blank>", "<unk>", "▁two", "two", "<sos/eos>"]
    given = {"train": False, "token_type": token_type, "token_list": symbols, **options}
    if token_type == "bpe":
        given["bpemodel"] = pieces
    text = "AB C" if token_type == "char" else "one two"
    speech = np.sin(np.arange(200) / 7).astype(np.float32)
    outputs = [
        p(**given)("u", {"speech": speech.copy(), "text": text}) for p in both("CommonPreprocessor")
    ]
    assert outputs[0].keys() == outputs[1].keys()
    np.testing.assert_array_equal(outputs[0]["text"], outputs[1]["text"])
    np.testing.assert_allclose(outputs[1]["speech"], outputs[0]["speech"], rtol=1e-6)


def test_an_option_that_ours_lacks_is_named():
    _, ours = both("CommonPreprocessor")
    with pytest.raises(TypeError, match="rir_scp"):
        ours(train=True, rir_scp="rirs.scp")
