"""What each utterance says, and how: a pure function of the settings and a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from espnet3.errors import ConfigError
from espnet3.utils.settings import parse_settings

CONFIG_PATH = Path(__file__).with_name("config.yaml")
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """The contents of ``config.yaml``."""

    sample_rate: int
    words: tuple[str, ...]
    words_per_utterance: tuple[int, int]
    words_per_minute: tuple[int, int]
    pitch: tuple[int, int]
    pitch_range: tuple[int, int]
    gain_db: tuple[float, float]
    snr_db: tuple[float, float]
    accents: tuple[str, ...]
    voices: dict[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        names = [voice for voices in self.voices.values() for voice in voices]
        shared = sorted({name for name in names if names.count(name) > 1})
        if shared:
            raise ConfigError("is in more than one split", key="voices", value=shared)


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One utterance to synthesise.

    Attributes:
        utt_id: Identifier and stem of the WAV file.
        text: Words to say.
        voice: Voice in eSpeak's notation, ``<language file>+<variant>``.
        words_per_minute: Speed.
        pitch: 0 to 99.
        pitch_range: 0 to 99.
        gain_db: Change of level before noise is added.
        snr_db: Level of the speech over the noise.
        seed: Seed of the synthesiser and of the noise; at least 1.
    """

    utt_id: str
    text: str
    voice: str
    words_per_minute: int
    pitch: int
    pitch_range: int
    gain_db: float
    snr_db: float
    seed: int


def load_corpus_settings(path: Path = CONFIG_PATH) -> CorpusSettings:
    """Read ``config.yaml``."""
    return parse_settings(OmegaConf.load(path), CorpusSettings, key="", file=path)


def plan_split(settings: CorpusSettings, split: str, size: int, seed: int) -> list[Utterance]:
    """Draw the utterances of a split; all its voices occur equally often.

    Example:
        >>> [u.text for u in plan_split(load_corpus_settings(), "test", 2, seed=1)]
        ['one zero eight nine', 'zero nine nine']
    """
    return [_draw_utterance(settings, split, index, seed) for index in range(size)]


def _draw_utterance(settings: CorpusSettings, split: str, index: int, seed: int) -> Utterance:
    # Each utterance has a generator of its own, so it does not depend on the size of its split.
    # Seeding `random.Random` with text is stable over platforms and Python versions.
    rng = random.Random(f"{seed}/{split}/{index}")
    voices = settings.voices[split]
    variant = voices[index % len(voices)]
    words = rng.choices(settings.words, k=rng.randint(*settings.words_per_utterance))
    return Utterance(
        utt_id=f"{variant.replace(' ', '_')}-{split}-{index:05d}",
        text=" ".join(words),
        voice=f"{rng.choice(settings.accents)}+{variant}",
        words_per_minute=rng.randint(*settings.words_per_minute),
        pitch=rng.randint(*settings.pitch),
        pitch_range=rng.randint(*settings.pitch_range),
        gain_db=round(rng.uniform(*settings.gain_db), 3),
        snr_db=round(rng.uniform(*settings.snr_db), 3),
        seed=rng.randint(1, 2**31 - 1),
    )
