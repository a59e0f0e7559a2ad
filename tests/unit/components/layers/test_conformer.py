from __future__ import annotations

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet3.components.layers import ConformerEncoder
from espnet3.components.layers.conformer_block import rotate
from espnet3.errors import ConfigError, DataError


def build(**options):
    torch.manual_seed(0)
    defaults = {
        "input_size": 20,
        "output_size": 16,
        "num_blocks": 2,
        "attention_heads": 2,
        "linear_units": 32,
        "cnn_kernel": 5,
        "dropout_rate": 0.0,
    }
    return ConformerEncoder(**{**defaults, **options})


@pytest.mark.parametrize("subsampling", ["conv2d4", "dw4", "dw8"])
def test_padding_changes_nothing(subsampling):
    encoder = build(subsampling=subsampling).eval()
    lengths = torch.tensor([60, 43, 17])
    feats = torch.randn(3, 60, 20)
    hidden, out_lengths = encoder(feats, lengths)
    for i, length in enumerate(lengths):
        alone, alone_length = encoder(feats[i : i + 1, :length], length.unsqueeze(0))
        assert alone_length[0] == out_lengths[i] == alone.shape[1]
        torch.testing.assert_close(hidden[i, : alone.shape[1]], alone[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("subsampling", "minimum"), [("conv2d4", 7), ("dw4", 7), ("dw8", 15)])
def test_lengths_follow_the_formula_from_the_shortest_input_on(subsampling, minimum):
    encoder = build(subsampling=subsampling, num_blocks=1).eval()
    for frames in range(minimum, minimum + 20):
        hidden, lengths = encoder(torch.randn(1, frames, 20), torch.tensor([frames]))
        assert lengths.tolist() == [hidden.shape[1]]
    with pytest.raises(DataError, match=f"{minimum - 1} frames are too short.*{minimum}"):
        encoder(torch.randn(2, 30, 20), torch.tensor([30, minimum - 1]))


@settings(max_examples=20)
@given(st.integers(1, 60))
def test_rotation_keeps_norms_and_depends_on_distance_only(shift):
    encoder = build()
    cos, sin = encoder._rotation(80)
    q, k = torch.randn(8), torch.randn(8)

    def turned(vector, position):
        rows = (cos[position : position + 1], sin[position : position + 1])
        return rotate(vector.view(1, 1, 1, 8), rows).flatten()

    torch.testing.assert_close(turned(q, shift).norm(), q.norm())
    near = turned(q, 3) @ turned(k, 1)
    far = turned(q, 3 + shift) @ turned(k, 1 + shift)
    torch.testing.assert_close(near, far, atol=1e-4, rtol=1e-4)


def test_attention_sees_positions():
    """Equal frames in another order must not give the same frames in that order."""
    encoder = build(cnn_kernel=1).eval()
    block_input = torch.randn(1, 6, 16)
    rotation = encoder._rotation(6)
    block = encoder.blocks[0]
    forward = block(block_input, None, rotation)
    backward = block(block_input.flip(1), None, rotation).flip(1)
    assert not torch.allclose(forward, backward, atol=1e-3)


def test_checkpointing_gives_the_same_gradients():
    feats, lengths = torch.randn(2, 30, 20), torch.tensor([30, 20])
    grads = []
    for flag in (False, True):
        encoder = build(grad_checkpoint=flag)
        hidden, out_lengths = encoder(feats, lengths)
        hidden[1, out_lengths[1] :] = 0
        hidden.square().sum().backward()
        grads.append(torch.cat([p.grad.flatten() for p in encoder.parameters()]))
    torch.testing.assert_close(grads[0], grads[1])


def test_dropped_layers_pass_frames_unchanged_and_only_in_training():
    encoder = build(layer_drop=1.0)
    feats, lengths = torch.randn(2, 30, 20), torch.tensor([30, 30])
    torch.testing.assert_close(encoder(feats, lengths)[0], encoder.subsampling(feats))
    assert not torch.allclose(encoder.eval()(feats, lengths)[0], encoder.subsampling(feats))


def test_no_dropout_module_exists_at_rate_zero():
    names = [type(m).__name__ for m in build().modules()]
    assert "Dropout" not in names
    assert "Dropout" in [type(m).__name__ for m in build(dropout_rate=0.1).modules()]


def test_attention_dropout_acts_in_training_only():
    encoder = build(attention_dropout_rate=0.5)
    feats, lengths = torch.randn(1, 40, 20), torch.tensor([40])
    assert not torch.equal(encoder(feats, lengths)[0], encoder(feats, lengths)[0])
    encoder.eval()
    assert torch.equal(encoder(feats, lengths)[0], encoder(feats, lengths)[0])


def test_bf16_autocast_is_finite_and_close():
    encoder = build().eval()
    feats, lengths = torch.randn(2, 60, 20), torch.tensor([60, 41])
    exact, out_lengths = encoder(feats, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = encoder(feats, lengths)
    assert torch.isfinite(rough).all()
    n = out_lengths[1]
    torch.testing.assert_close(rough[1, :n].float(), exact[1, :n], atol=0.1, rtol=0.1)


def test_random_state_is_not_touched_in_evaluation():
    encoder = build(layer_drop=0.5, dropout_rate=0.5).eval()
    feats = torch.randn(1, 30, 20)
    state = torch.get_rng_state()
    encoder(feats, torch.tensor([30]))
    assert torch.equal(torch.get_rng_state(), state)


def check_compiled(encoder, compiled):
    for frames in (60, 44, 52):
        feats, lengths = torch.randn(2, frames, 20), torch.tensor([frames, frames - 9])
        expected, out_lengths = encoder(feats, lengths)
        hidden, _ = compiled(feats, lengths)
        n = out_lengths[1]
        torch.testing.assert_close(hidden[1, :n], expected[1, :n], atol=1e-4, rtol=1e-4)
    return hidden


def test_forward_has_no_graph_breaks_and_dynamic_shapes():
    encoder = build(num_blocks=1)
    compiled = torch.compile(encoder, dynamic=True, fullgraph=True, backend="eager")
    check_compiled(encoder, compiled).sum().backward()


@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.slow
def test_inference_compiles():
    encoder = build(num_blocks=1).eval()
    compiled = torch.compile(encoder, dynamic=True, fullgraph=True)
    with torch.no_grad():
        check_compiled(encoder, compiled)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"output_size": 18, "attention_heads": 4}, "attention_heads = 4"),
        ({"cnn_kernel": 4}, "odd"),
        ({"subsampling": "dw16"}, "dw"),
        ({"input_size": 6}, "at least 7 features"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        build(**options)
