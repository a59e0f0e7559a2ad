from __future__ import annotations

import dataclasses
import io
import os
import shutil
import tarfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from egs3.fsdd.asr.dataset import Dataset, DatasetBuilder
from egs3.fsdd.asr.dataset import builder as builder_module
from egs3.fsdd.asr.dataset.plan import CorpusSettings, choose_takes, load_corpus_settings
from egs3.fsdd.asr.dataset.recordings import Take, digest_recordings, read_recordings
from espnet3.errors import ConfigError, DataError, MissingConfigError

SETTINGS = dataclasses.replace(
    load_corpus_settings(), speakers=("george", "theo"), recordings_per_digit=9
)
ARGS: dict[str, Any] = {"sizes": {"train": 6, "valid": 4, "test": 4}, "seed": 5, "verify": False}


def make_recording(take: Take) -> np.ndarray:
    """A tone whose frequency is the digit's and whose length is the recording's."""
    time = np.arange(1000 + 10 * take.index) / 8000
    return (3000 * np.sin(2 * np.pi * (300 + 100 * take.digit) * time)).astype(np.int16)


def wav_bytes(samples: np.ndarray, rate: int = 8000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(rate)
        stream.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def make_archive(path: Path, replace: dict[str, bytes | None] | None = None) -> Path:
    """Write an archive of the settings; ``replace`` gives other content, or None to leave out."""
    replace = replace or {}
    with tarfile.open(path, "w:gz") as tar:
        for take in SETTINGS.takes():
            name = f"{take.digit}_{take.speaker}_{take.index}.wav"
            content = replace.get(name, wav_bytes(make_recording(take)))
            if content is not None:
                member = tarfile.TarInfo(f"fsdd-1.0.10/recordings/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(autouse=True)
def _small_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder_module, "load_corpus_settings", lambda: SETTINGS)


@pytest.fixture
def args(tmp_path: Path) -> dict[str, Any]:
    archive = make_archive(tmp_path / "fsdd.tar.gz")
    folders = {"data_dir": str(tmp_path / "data"), "download_dir": str(tmp_path / "downloads")}
    return {**ARGS, **folders, "archive_path": str(archive)}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}


def test_build_joins_recordings_of_one_speaker(args: dict[str, Any]) -> None:
    builder = DatasetBuilder()
    assert builder.is_source_prepared(**args)
    assert not builder.is_built(**args)
    builder.build(**args)
    assert builder.is_built(**args)
    for split, size in ARGS["sizes"].items():
        dataset = Dataset(split, args["data_dir"])
        assert len(dataset) == size
        for sample in dataset:
            words = sample["text"].split()
            assert sample["utt_id"].startswith(("george", "theo"))
            assert len(sample["speech"]) >= 1000 * len(words)
            assert len(sample["speech"]) <= (1090 + 0.6 * 8000) * (len(words) + 1)


def test_the_words_are_what_is_heard(args: dict[str, Any]) -> None:
    DatasetBuilder().build(**{**args, "sizes": {**ARGS["sizes"], "test": 12}})
    sample = next(s for s in Dataset("test", args["data_dir"]) if len(s["text"].split()) == 1)
    spectrum = np.abs(np.fft.rfft(sample["speech"]))
    frequency = spectrum.argmax() * 8000 / len(sample["speech"])
    assert frequency == pytest.approx(300 + 100 * SETTINGS.words.index(sample["text"]), abs=20)


def test_build_is_deterministic_and_follows_its_seed(args: dict[str, Any], tmp_path: Path) -> None:
    results = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        DatasetBuilder().build(**{**args, "data_dir": str(tmp_path / name), "seed": seed})
        results.append(contents(tmp_path / name))
    assert results[0] == results[1]
    assert results[0]["manifest/train.tsv"] != results[2]["manifest/train.tsv"]


def test_killed_build_continues(args: dict[str, Any]) -> None:
    builder, data = DatasetBuilder(), Path(args["data_dir"])
    builder.build(**args)
    expected = contents(data)
    (data / "manifest" / "test.tsv").unlink()
    shutil.move(data / "wav" / "test" / "000", data / "wav" / "test" / ".000.partial-x")
    assert not builder.is_built(**args)
    builder.build(**args)
    assert contents(data) == expected


def test_splits_share_no_recording(args: dict[str, Any]) -> None:
    takes = {
        split: {t for pool in choose_takes(SETTINGS, split, None).values() for t in pool}
        for split in ("train", "valid", "test")
    }
    assert {take.index for take in takes["test"]} == {0, 1, 2, 3, 4}
    assert {take.index for take in takes["valid"]} == {5, 6, 7}
    assert takes["train"].isdisjoint(takes["test"] | takes["valid"])


def test_heldout_speaker_is_in_the_test_set_only(args: dict[str, Any]) -> None:
    DatasetBuilder().build(**args, heldout_speaker="theo")

    def ids(split: str) -> list[str]:
        return Dataset(split, args["data_dir"]).keys()

    for split, speaker in (("train", "george"), ("valid", "george"), ("test", "theo")):
        assert all(uid.startswith(speaker) for uid in ids(split))


def test_speed_changes_training_strings_only(args: dict[str, Any], tmp_path: Path) -> None:
    DatasetBuilder().build(**args)
    slow = {**args, "data_dir": str(tmp_path / "slow"), "speed": [0.5, 0.5]}
    DatasetBuilder().build(**slow)
    plain, half = (
        [len(s["speech"]) for s in Dataset("train", a["data_dir"])] for a in (args, slow)
    )
    assert half == pytest.approx([2 * length for length in plain], abs=4)
    name = "wav/test/000/george-test-00000.wav"
    assert contents(Path(args["data_dir"]))[name] == contents(tmp_path / "slow")[name]


def test_missing_local_archive_names_key_and_file(tmp_path: Path) -> None:
    folders = {"data_dir": str(tmp_path / "data"), "download_dir": str(tmp_path)}
    args = {**ARGS, **folders, "archive_path": str(tmp_path / "none.tar.gz")}
    assert not DatasetBuilder().is_source_prepared(**args)
    with pytest.raises(MissingConfigError, match=r"create_dataset.archive_path = .*none.tar.gz"):
        DatasetBuilder().prepare_source(**args)


def test_download_puts_the_archive_where_build_reads_it(
    args: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = Path(args["archive_path"]).as_uri()
    settings = dataclasses.replace(SETTINGS, url=url)
    monkeypatch.setattr(builder_module, "load_corpus_settings", lambda: settings)
    args = {**args, "archive_path": None}
    builder = DatasetBuilder()
    assert not builder.is_source_prepared(**args)
    builder.prepare_source(**args)
    assert builder.is_source_prepared(**args)
    builder.build(**args)
    assert builder.is_built(**args)


def test_a_failed_download_says_how_to_give_a_local_archive(
    args: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = (tmp_path / "gone.tar.gz").as_uri()
    settings = dataclasses.replace(SETTINGS, url=url)
    monkeypatch.setattr(builder_module, "load_corpus_settings", lambda: settings)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(OSError, match=r"gone\.tar\.gz cannot be downloaded") as caught:
        DatasetBuilder().prepare_source(**{**args, "archive_path": None})
    assert "create_dataset.archive_path=<file>" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"archive_pat": "x"}, r"create_dataset.archive_pat: .*\n.*archive_path"),
        ({"sizes": {"train": 1, "test": 1}}, "create_dataset: sizes.*train, valid, test"),
        ({"speed": [1.2, 0.8]}, "create_dataset: speed.*range"),
        ({"verify": "no"}, "create_dataset.verify = 'no': expected bool"),
    ],
)
def test_wrong_argument_is_named(
    args: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        DatasetBuilder().is_source_prepared(**{**args, **changes})


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_cut_archive_is_named_and_nothing_is_written(args: dict[str, Any], keep: int) -> None:
    os.truncate(args["archive_path"], keep)
    with pytest.raises(DataError, match=r"fsdd.tar.gz: not a readable .tar.gz archive"):
        DatasetBuilder().build(**args)
    assert not Path(args["data_dir"]).exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"noise", "3_theo_4.wav: not a readable WAV"),
        (wav_bytes(np.ones(800, np.int16))[:100], "3_theo_4.wav: is empty or cut short"),
        (wav_bytes(np.ones(800, np.int16), rate=16000), "3_theo_4.wav: .*16000.*not.*8000"),
        (None, "1 of 180 recordings are missing, the first is 3_theo_4.wav"),
    ],
)
def test_damaged_recording_is_named(
    args: dict[str, Any], tmp_path: Path, content: bytes | None, message: str
) -> None:
    make_archive(tmp_path / "fsdd.tar.gz", {"3_theo_4.wav": content})
    with pytest.raises(DataError, match=message):
        DatasetBuilder().build(**args)
    assert not Path(args["data_dir"]).exists()


def test_other_recordings_are_refused_unless_accepted(args: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="recordings_sha256"):
        DatasetBuilder().build(**{**args, "verify": True})


def test_unknown_speaker_is_named(args: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"heldout_speaker = 'teo'.*\n.*theo"):
        DatasetBuilder().build(**args, heldout_speaker="teo")


def test_real_archive_has_the_recorded_checksum(shared_data: Path) -> None:
    settings: CorpusSettings = load_corpus_settings()
    archive = shared_data / "free-spoken-digit-dataset.tar.gz"
    recordings = read_recordings(archive, settings.sample_rate)
    assert set(recordings) == set(settings.takes())
    assert digest_recordings(recordings) == settings.recordings_sha256
