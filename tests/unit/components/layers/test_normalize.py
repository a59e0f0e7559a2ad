from __future__ import annotations

import numpy as np
import pytest
import torch

from espnet3.components.layers import GlobalMVN, UtteranceMVN
from espnet3.errors import ConfigError, MissingConfigError


@pytest.fixture
def feats():
    torch.manual_seed(0)
    feats = torch.randn(3, 7, 4) * 3 + 5
    lengths = torch.tensor([7, 5, 2])
    for row, length in zip(feats, lengths, strict=True):
        row[length:] = 0
    return feats, lengths


def save_stats(path, feats, lengths):
    frames = torch.cat([row[:n] for row, n in zip(feats, lengths, strict=True)]).double().numpy()
    total, square = frames.sum(0), (frames**2).sum(0)
    if path.suffix == ".npz":
        np.savez(path, count=len(frames), sum=total, sum_square=square)
    else:
        matrix = np.zeros((2, len(total) + 1))
        matrix[0, :-1], matrix[0, -1], matrix[1, :-1] = total, len(frames), square
        np.save(path, matrix)
    return frames


@pytest.mark.parametrize("name", ["feats_stats.npz", "cmvn.npy"])
def test_global_normalisation_gives_zero_mean_and_unit_variance(tmp_path, feats, name):
    frames = save_stats(tmp_path / name, *feats)
    layer = GlobalMVN(tmp_path / name)
    normed, _ = layer(*feats)
    valid = torch.cat([row[:n] for row, n in zip(normed, feats[1], strict=True)])
    torch.testing.assert_close(valid.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(valid.std(0, correction=0), torch.ones(4), atol=1e-4, rtol=0)
    np.testing.assert_allclose(layer.mean.numpy(), frames.mean(0), rtol=1e-6)


def test_global_normalisation_is_inverted_and_leaves_its_input_alone(tmp_path, feats):
    save_stats(tmp_path / "s.npz", *feats)
    before = feats[0].clone()
    layer = GlobalMVN(tmp_path / "s.npz")
    normed, lengths = layer(*feats)
    assert (normed[2, 2:] == 0).all()
    torch.testing.assert_close(layer.inverse(normed, lengths)[0], feats[0])
    assert torch.equal(feats[0], before)


def test_global_statistics_come_from_the_weights_without_a_file(tmp_path, feats):
    save_stats(tmp_path / "s.npz", *feats)
    trained = GlobalMVN(tmp_path / "s.npz")
    published = GlobalMVN(stats_file=None, feat_dim=4)
    published.load_state_dict(trained.state_dict())
    assert torch.equal(published(*feats)[0], trained(*feats)[0])


def test_global_normalisation_of_means_only(tmp_path, feats):
    save_stats(tmp_path / "s.npz", *feats)
    layer = GlobalMVN(tmp_path / "s.npz", norm_vars=False)
    torch.testing.assert_close(layer(*feats)[0][0], feats[0][0] - layer.mean)


def test_statistics_that_do_not_fit_are_refused(tmp_path, feats):
    with pytest.raises(MissingConfigError, match="collect_stats"):
        GlobalMVN(tmp_path / "absent.npz")
    with pytest.raises(MissingConfigError, match="stats_file"):
        GlobalMVN()
    save_stats(tmp_path / "s.npz", *feats)
    with pytest.raises(ConfigError, match="4 features, but the front end has 80"):
        GlobalMVN(tmp_path / "s.npz", feat_dim=80)
    np.savez(tmp_path / "other.npz", total=1)
    with pytest.raises(ConfigError, match="count"):
        GlobalMVN(tmp_path / "other.npz")


@pytest.mark.parametrize("norm_vars", [False, True])
def test_utterance_normalisation_uses_valid_frames_only(feats, norm_vars):
    normed, _ = UtteranceMVN(norm_vars=norm_vars)(*feats)
    for row, source, n in zip(normed, feats[0], feats[1], strict=True):
        expected = source[:n] - source[:n].mean(0)
        if norm_vars:
            expected = expected / source[:n].std(0, correction=0)
        torch.testing.assert_close(row[:n], expected)
        assert (row[n:] == 0).all()


def test_utterance_normalisation_of_variance_only(feats):
    normed, _ = UtteranceMVN(norm_means=False, norm_vars=True)(*feats)
    torch.testing.assert_close(normed[0], feats[0][0] / feats[0][0].std(0, correction=0))
