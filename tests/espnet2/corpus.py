"""A corpus of a few tones, as a dataset module of ours and as ESPnet2's data directories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

TEXTS = {
    "train": {"a1": "AB", "a2": "BAC", "a3": "CC", "a4": "A B"},
    "valid": {"b1": "CAB", "b2": "BB"},
    "test": {"c1": "AC", "c2": "B AB"},
}
TOKENS = ["<blank>", "<unk>", "A", "B", "C", "<space>", "<sos/eos>"]
RATE = 8000


def write_corpus(folder: Path) -> Path:
    """Write audio, token list and, per split, `wav.scp`, `text`, `speech_shape`, `text_shape`."""
    (folder / "tokens.txt").parent.mkdir(parents=True, exist_ok=True)
    (folder / "tokens.txt").write_text("\n".join(TOKENS) + "\n")
    for split, texts in TEXTS.items():
        here = folder / split
        here.mkdir()
        lines: dict[str, list[str]] = {"wav.scp": [], "text": [], "speech_shape": []}
        lines["text_shape"] = []
        for utt_id, text in texts.items():
            speech = tones(text)
            soundfile.write(here / f"{utt_id}.wav", speech, RATE)
            lines["wav.scp"].append(f"{utt_id} {here / utt_id}.wav")
            lines["text"].append(f"{utt_id} {text}")
            lines["speech_shape"].append(f"{utt_id} {len(speech)}")
            lines["text_shape"].append(f"{utt_id} {len(text)},{len(TOKENS)}")
        for name, content in lines.items():
            (here / name).write_text("\n".join(content) + "\n")
    return folder


def tones(text: str) -> np.ndarray:
    """Return float32 speech, shape (samples,): a tone of 0.2 s for each letter."""
    time = np.arange(RATE // 5) / RATE
    noise = np.random.default_rng(len(text)).normal(size=len(text) * len(time))
    parts = [np.sin(2 * np.pi * (200 + 150 * TOKENS.index(_name(c))) * time) for c in text]
    return (0.3 * np.concatenate(parts) + 0.01 * noise).astype(np.float32)


def _name(letter: str) -> str:
    return "<space>" if letter == " " else letter


class Dataset:
    """Samples of a split."""

    def __init__(self, split: str, root: str) -> None:
        self.folder = Path(root) / split
        self.rows = list(TEXTS[split].items())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        utt_id, text = self.rows[index]
        speech, _ = soundfile.read(self.folder / f"{utt_id}.wav", dtype="float32")
        return {"utt_id": utt_id, "speech": speech, "text": text}
