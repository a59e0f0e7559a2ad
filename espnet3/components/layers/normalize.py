"""Mean and variance normalisation of features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from espnet3.components.layers.masks import length_mask, zero_padding
from espnet3.errors import ConfigError, MissingConfigError
from espnet3.utils.import_utils import trusted_target
from espnet3.utils.types import PathLike

# Shapes: B batch, T frames, F features


@trusted_target
class GlobalMVN(nn.Module):
    """Normalise with the mean and variance of the training data.

    Mean and standard deviation are part of the state dict, so a published model does not need the
    statistics file: with ``stats_file=None`` they are allocated for ``feat_dim`` features and come
    from the weights.

    Args:
        stats_file: ``.npz`` with ``count``, ``sum`` and ``sum_square`` as ``collect_stats`` writes
            it, or a Kaldi-style ``.npy`` of shape (2, F + 1) whose last column holds the count.
        norm_means: Subtract the mean.
        norm_vars: Divide by the standard deviation.
        eps: Smallest variance.
        feat_dim: Number of features; needed without ``stats_file``, checked with it.

    Raises:
        MissingConfigError: If the file does not exist, or neither file nor ``feat_dim`` is given.
        ConfigError: If the file has other contents or another number of features.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        stats_file: PathLike | None = None,
        norm_means: bool = True,
        norm_vars: bool = True,
        eps: float = 1e-20,
        feat_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.norm_means = norm_means
        self.norm_vars = norm_vars
        if stats_file is not None:
            mean, std = map(torch.from_numpy, _read_stats(Path(stats_file), eps))
        elif feat_dim is not None:
            mean, std = torch.zeros(feat_dim), torch.ones(feat_dim)
        else:
            raise MissingConfigError("must be set unless feat_dim is given", key="stats_file")
        if feat_dim is not None and mean.shape != (feat_dim,):
            raise ConfigError(
                f"holds statistics of {mean.shape[0]} features, but the front end has {feat_dim}",
                key="stats_file",
                value=str(stats_file),
                hint="run collect_stats again after changing the front end",
            )
        self.register_buffer("mean", mean.float())
        self.register_buffer("std", std.float())

    def forward(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise features of shape (B, T, F); padded frames become 0."""
        if self.norm_means:
            feats = feats - self.mean
        if self.norm_vars:
            feats = feats / self.std
        return zero_padding(feats, lengths), lengths

    def inverse(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Undo :meth:`forward`; padded frames become 0."""
        if self.norm_vars:
            feats = feats * self.std
        if self.norm_means:
            feats = feats + self.mean
        return zero_padding(feats, lengths), lengths


@trusted_target
class UtteranceMVN(nn.Module):
    """Normalise each utterance with its own mean, and variance if asked for.

    Args:
        norm_means: Subtract the mean over the utterance's frames.
        norm_vars: Divide by the standard deviation over the utterance's frames.
        eps: Smallest variance.
    """

    def __init__(
        self, norm_means: bool = True, norm_vars: bool = False, eps: float = 1e-20
    ) -> None:
        super().__init__()
        self.norm_means = norm_means
        self.norm_vars = norm_vars
        self.eps = eps

    def forward(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise features of shape (B, T, F); padded frames become 0."""
        valid_BT1 = length_mask(lengths, feats.shape[1]).unsqueeze(2).to(feats.dtype)
        count_B11 = lengths.clamp(min=1).to(feats.dtype)[:, None, None]
        mean_B1F = (feats * valid_BT1).sum(1, keepdim=True) / count_B11
        centred = (feats - mean_B1F) * valid_BT1
        if not self.norm_vars:
            return (centred if self.norm_means else feats * valid_BT1), lengths
        variance = centred.square().sum(1, keepdim=True) / count_B11
        scale = variance.clamp(min=self.eps).rsqrt()
        return (centred if self.norm_means else feats * valid_BT1) * scale, lengths


def _read_stats(path: Path, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation in float64."""
    if not path.is_file():
        raise MissingConfigError(
            "no such statistics file",
            key="stats_file",
            value=str(path),
            hint="run the collect_stats stage first",
        )
    stored = np.load(path, allow_pickle=False)
    try:
        if isinstance(stored, np.ndarray):
            count, total, square = stored[0, -1], stored[0, :-1], stored[1, :-1]
        else:
            count, total, square = (stored[key] for key in ("count", "sum", "sum_square"))
    except (KeyError, IndexError) as error:
        raise ConfigError(
            f"does not hold count, sum and sum_square ({error})", key="stats_file", value=str(path)
        ) from error
    mean = np.asarray(total, dtype=np.float64) / float(count)
    variance = np.asarray(square, dtype=np.float64) / float(count) - mean**2
    return mean, np.sqrt(np.maximum(variance, eps))
