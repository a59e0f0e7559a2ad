"""Which recordings make up each string: a pure function of the settings and a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from espnet3.errors import ConfigError, did_you_mean
from espnet3.utils.settings import parse_settings

from .recordings import Take

CONFIG_PATH = Path(__file__).with_name("config.yaml")
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """The contents of ``config.yaml``."""

    url: str
    recordings_sha256: str
    sample_rate: int
    words: tuple[str, ...]
    speakers: tuple[str, ...]
    recordings_per_digit: int
    indices: dict[str, tuple[int, ...]]
    single_word_share: float
    max_words: int
    pause: tuple[float, float]
    rms: float
    snr_db: tuple[float, float]

    def takes(self) -> list[Take]:
        """List every recording that the corpus should have."""
        return [
            Take(digit, speaker, index)
            for digit in range(len(self.words))
            for speaker in self.speakers
            for index in range(self.recordings_per_digit)
        ]


@dataclass(frozen=True, kw_only=True)
class DigitString:
    """One utterance.

    Attributes:
        utt_id: Identifier and stem of the WAV file.
        text: What is said.
        takes: Recordings in order, all of one speaker.
        pauses: Seconds of silence before each recording and after the last one.
        speed: Factor on the speed, and with it on all frequencies.
        snr_db: Level of the speech over the noise.
        seed: Seed of the noise.
    """

    utt_id: str
    text: str
    takes: tuple[Take, ...]
    pauses: tuple[float, ...]
    speed: float
    snr_db: float
    seed: int


def load_corpus_settings(path: Path = CONFIG_PATH) -> CorpusSettings:
    """Read ``config.yaml``."""
    return parse_settings(OmegaConf.load(path), CorpusSettings, key="", file=path)


def choose_takes(
    settings: CorpusSettings, split: str, heldout_speaker: str | None
) -> dict[str, list[Take]]:
    """List the recordings that a split may use, by speaker.

    With a held-out speaker, ``test`` is everything of that speaker, and the other splits have
    nothing of it. The official test recordings are never used for training, either way.

    Raises:
        ConfigError: If the corpus has no such speaker.
    """
    if heldout_speaker is not None and heldout_speaker not in settings.speakers:
        raise ConfigError(
            f"is not a speaker of the corpus ({', '.join(settings.speakers)})",
            key="create_dataset.heldout_speaker",
            value=heldout_speaker,
            hint=did_you_mean(heldout_speaker, settings.speakers),
        )
    everything = split == "test" and heldout_speaker is not None
    indices = range(settings.recordings_per_digit) if everything else _indices(settings, split)
    pools: dict[str, list[Take]] = {}
    for take in settings.takes():
        is_heldout = take.speaker == heldout_speaker
        if take.index in indices and is_heldout == everything:
            pools.setdefault(take.speaker, []).append(take)
    return pools


def plan_split(
    settings: CorpusSettings,
    split: str,
    *,
    size: int,
    seed: int,
    heldout_speaker: str | None = None,
    speed: tuple[float, float] = (1.0, 1.0),
) -> list[DigitString]:
    """Draw the strings of a split; all its speakers occur equally often.

    Args:
        settings: What the corpus is.
        split: ``train``, ``valid`` or ``test``.
        size: Number of strings.
        seed: Another seed gives other strings.
        heldout_speaker: See :func:`choose_takes`.
        speed: Range from which each string draws its speed.
    """
    pools = choose_takes(settings, split, heldout_speaker)
    return [_draw_string(settings, split, index, seed, pools, speed) for index in range(size)]


def _indices(settings: CorpusSettings, split: str) -> set[int]:
    if split != "train":
        return set(settings.indices[split])
    return set(range(settings.recordings_per_digit)).difference(*settings.indices.values())


def _draw_string(
    settings: CorpusSettings,
    split: str,
    index: int,
    seed: int,
    pools: dict[str, list[Take]],
    speed: tuple[float, float],
) -> DigitString:
    # Each string has a generator of its own, so it does not depend on the size of its split.
    # Seeding `random.Random` with text is stable over platforms and Python versions.
    rng = random.Random(f"{seed}/{split}/{index}")
    speaker = sorted(pools)[index % len(pools)]
    single = rng.random() < settings.single_word_share
    takes = tuple(
        rng.choices(pools[speaker], k=1 if single else rng.randint(2, settings.max_words))
    )
    return DigitString(
        utt_id=f"{speaker}-{split}-{index:05d}",
        text=" ".join(settings.words[take.digit] for take in takes),
        takes=takes,
        pauses=tuple(round(rng.uniform(*settings.pause), 4) for _ in range(len(takes) + 1)),
        speed=round(rng.uniform(*speed), 4),
        snr_db=round(rng.uniform(*settings.snr_db), 3),
        seed=rng.randint(1, 2**31 - 1),
    )
