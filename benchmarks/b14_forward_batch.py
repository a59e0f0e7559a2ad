"""B14: `InferenceSession.forward_batch` against the model's own batched call."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from timing import interleave, machine_load, median_ratio, pin_threads, seconds

pin_threads()

RATIO_LIMIT = 1.05
OVERHEAD_LIMIT = 50e-6
"""Seconds per item that a session may add to a model that does nothing."""

ASR = {
    "frontend": {"type": "log_mel", "n_mels": 40},
    "encoder": {"type": "conformer", "output_size": 64, "num_blocks": 2, "attention_heads": 4,
                "linear_units": 128, "cnn_kernel": 15, "subsampling_channels": 32},
}  # fmt: skip


def build_recognizer(folder: Path) -> Any:
    """Return our recogniser with a small model of random weights."""
    import torch

    from espnet3.systems.asr.models import ASRModel
    from espnet3.systems.asr.recognizer import SpeechRecognizer

    tokens = folder / "tokens.txt"
    tokens.write_text("\n".join(["<blank>", "<unk>", *"abcdefghij", "<sos/eos>"]))
    torch.save(ASRModel(token_list=str(tokens), **ASR).state_dict(), folder / "m.pth")
    model = {"_target_": "espnet3.systems.asr.models.ASRModel", "token_list": str(tokens), **ASR}
    return SpeechRecognizer({"model": model}, folder / "m.pth")


class Nothing:
    """A model that costs nothing, so that what remains is the session."""

    sample_rate = 16000

    def __call__(self, speech: Any) -> Any:
        """Return one result per sample."""
        return [0] * len(speech) if isinstance(speech, list) else 0


def main() -> int:
    """Print ratios and overheads; the status says whether the limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    import numpy as np

    from espnet3.publication import InferenceSession

    noise = np.random.default_rng(0)
    samples = [
        noise.standard_normal(16000 + 500 * index).astype(np.float32) for index in range(args.items)
    ]
    many = [np.zeros(16, dtype=np.float32)] * 1000
    with tempfile.TemporaryDirectory() as name:
        recognizer = build_recognizer(Path(name))
    session, empty = InferenceSession(recognizer), InferenceSession(Nothing())
    runs = {
        "own": lambda: seconds(lambda: recognizer.batch(samples)),
        "session": lambda: seconds(lambda: session.forward_batch(samples, use_model_batch=True)),
        "singles": lambda: seconds(lambda: session.forward_batch(samples)),
        "empty batch": lambda: seconds(lambda: empty.forward_batch(many, use_model_batch=True)),
        "empty singles": lambda: seconds(lambda: empty.forward_batch(many)),
    }
    results = interleave(runs, args.repeats)
    ratio = median_ratio(results, "session", "own")
    per_item = {kind: min(results[f"empty {kind}"]) / len(many) for kind in ("batch", "singles")}
    print(f"{args.items} utterances, {machine_load()}")
    print(f"forward_batch {ratio:.3f} x the recogniser's own batch (limit {RATIO_LIMIT})")
    print(f"one by one    {median_ratio(results, 'singles', 'own'):.2f} x")
    for kind, value in per_item.items():
        print(
            f"overhead per item, {kind:8} {1e6 * value:.1f} us (limit {1e6 * OVERHEAD_LIMIT:.0f})"
        )
    return int(ratio > RATIO_LIMIT or max(per_item.values()) > OVERHEAD_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
