from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egs3.mini_digits.asr.dataset.plan import SPLITS, load_corpus_settings, plan_split
from espnet3.errors import ConfigError

SETTINGS = load_corpus_settings()


def test_no_voice_is_in_two_splits() -> None:
    assert [len(SETTINGS.voices[split]) for split in SPLITS] == [48, 6, 12]
    with pytest.raises(ConfigError, match="more than one split"):
        dataclasses.replace(SETTINGS, voices={"train": ("f1", "m1"), "test": ("m1",)})


def test_test_voices_come_from_families_without_a_member_in_training() -> None:
    families = ("Gene", "antonio", "aunty", "belinda", "iven", "steph")
    assert all(voice.startswith(families) for voice in SETTINGS.voices["test"])
    assert not any(voice.startswith(families) for voice in SETTINGS.voices["train"])


@given(split=st.sampled_from(SPLITS), size=st.integers(1, 60), seed=st.integers(0, 2**31))
def test_plan_is_deterministic_and_a_prefix_of_a_longer_one(
    split: str, size: int, seed: int
) -> None:
    plan = plan_split(SETTINGS, split, size, seed)
    assert plan == plan_split(SETTINGS, split, size + 7, seed)[:size]
    assert len({utterance.utt_id for utterance in plan}) == size
    for utterance in plan:
        assert 1 <= len(utterance.text.split()) <= 7
        assert utterance.voice.partition("+")[2] in SETTINGS.voices[split]


def test_another_seed_gives_other_texts() -> None:
    texts = [[u.text for u in plan_split(SETTINGS, "test", 20, seed)] for seed in (1, 2)]
    assert texts[0] != texts[1]


def test_voices_occur_equally_often() -> None:
    plan = plan_split(SETTINGS, "test", 24, 1)
    voices = [utterance.voice.partition("+")[2] for utterance in plan]
    assert {voices.count(voice) for voice in SETTINGS.voices["test"]} == {2}
