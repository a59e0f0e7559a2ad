"""The loss that stands in for ``warprnnt_pytorch``."""

from __future__ import annotations

import torch

from espnet3.systems.asr.transducer_loss import build_loss


def sum_over_paths(logits: torch.Tensor, labels: list[int]) -> torch.Tensor:
    """Negative log-probability of the labels, by the forward recursion written out."""
    logp = logits.log_softmax(-1)
    alpha: dict[tuple[int, int], torch.Tensor] = {(0, 0): torch.zeros(())}
    for t in range(logp.shape[0]):
        for u in range(len(labels) + 1):
            ways = []
            if t:
                ways.append(alpha[t - 1, u] + logp[t - 1, u, 0])
            if u:
                ways.append(alpha[t, u - 1] + logp[t, u - 1, labels[u - 1]])
            if ways:
                alpha[t, u] = torch.logsumexp(torch.stack(ways), 0)
    last = (logp.shape[0] - 1, len(labels))
    return -(alpha[last] + logp[last[0], last[1], 0])


def test_loss_and_gradient_are_those_of_all_alignments() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 4, 6, requires_grad=True)
    labels, frames, counts = [[1, 5, 2], [3, 3, 0]], [5, 4], [3, 2]
    loss = build_loss(0)(
        logits, *(torch.tensor(value, dtype=torch.int32) for value in (labels, frames, counts))
    )
    expected = sum(
        sum_over_paths(logits[b, : frames[b], : counts[b] + 1], labels[b][: counts[b]])
        for b in range(2)
    )
    torch.testing.assert_close(loss.squeeze(), expected / 2)
    (actual,) = torch.autograd.grad(loss.sum(), logits, retain_graph=True)
    (wanted,) = torch.autograd.grad(expected / 2, logits)
    torch.testing.assert_close(actual, wanted)
