from __future__ import annotations

import tarfile

import numpy as np
import pytest

from espnet3.components.data import audio


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "tone.wav"
    tone = np.sin(np.arange(8000) * 2 * np.pi * 200 / 8000) * 0.5
    audio.write(path, tone, 8000)
    return path


def test_read_back_what_was_written(wav):
    samples, rate = audio.load(wav)
    assert (samples.shape, samples.dtype, rate) == ((8000,), np.float32, 8000)
    assert abs(samples).max() == pytest.approx(0.5, abs=1e-3)
    assert audio.info(wav) == (8000, 8000, 1)


def test_a_range_and_bytes(wav):
    whole, _ = audio.load(wav.read_bytes())
    part, _ = audio.load(wav, start=100, stop=250)
    np.testing.assert_array_equal(part, whole[100:250])


def test_resampling_keeps_the_duration(wav):
    samples, rate = audio.load(wav, target_sr=16000)
    assert (rate, samples.dtype) == (16000, np.float32)
    assert len(samples) == 16000


def test_channels(tmp_path):
    path = tmp_path / "two.flac"
    audio.write(path, np.stack([np.zeros(10), np.full(10, 0.5)], axis=1), 8000)
    assert audio.load(path)[0].shape == (10, 2)
    assert audio.load(path, channel=1)[0].tolist() == [0.5] * 10
    with pytest.raises(ValueError, match=r"two\.flac: has no channel 2, it has 2"):
        audio.load(path, channel=2)


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"not audio at all")
    for read in (audio.load, audio.info):
        with pytest.raises(audio.AudioError, match=r"bad\.wav: cannot be read") as raised:
            read(tmp_path / "bad.wav")
        assert str(raised.value).count("bad.wav") == 1
        with pytest.raises(FileNotFoundError, match=r"none\.wav"):
            read(tmp_path / "none.wav")


def test_files_that_are_cut_short_are_refused(tmp_path):
    for name in ("a.wav", "a.flac"):
        path = tmp_path / name
        audio.write(path, np.random.default_rng(0).normal(size=8000) / 9, 16000)
        path.write_bytes(path.read_bytes()[:5000])
        with pytest.raises(audio.AudioError, match=rf"{name}: (is cut short|cannot be read)") as e:
            audio.load(path)
        assert str(e.value).count(name) == 1
    for content in (tmp_path / "a.wav", (tmp_path / "a.wav").read_bytes()):
        with pytest.raises(ValueError, match="cut short, it has 4956 of 16000 bytes"):
            audio.info(content)


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF - 36])
def test_a_file_from_a_pipe_does_not_know_its_length(wav, length):
    content = wav.read_bytes()
    place = content.index(b"data") + 4
    piped = content[:place] + length.to_bytes(4, "little") + content[place + 4 :]
    assert audio.info(piped).num_samples == audio.info(wav).num_samples
    assert len(audio.load(piped)[0]) == len(audio.load(wav)[0])


def test_sphere_files_of_an4_are_read(shared_data):
    with tarfile.open(shared_data / "mini_an4.tar.gz") as archive:
        member = next(m for m in archive if m.name.endswith(".sph"))
        content = archive.extractfile(member).read()
    samples, rate = audio.load(content)
    assert rate == 16000
    assert len(samples) == audio.info(content).num_samples > 8000
    assert 0.01 < abs(samples).max() <= 1
