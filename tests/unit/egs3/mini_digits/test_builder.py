from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from egs3.mini_digits.asr.dataset import Dataset, DatasetBuilder, workers
from espnet3.errors import ConfigError, DataError, MissingDependencyError

ARGS: dict[str, Any] = {
    "sizes": {"train": 8, "valid": 3, "test": 4},
    "seed": 5,
    "part_size": 4,
    "num_processes": 2,
}


def build(folder: Path, **changes: Any) -> dict[str, Any]:
    args = {**ARGS, "data_dir": str(folder), **changes}
    DatasetBuilder().build(**args)
    return args


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("mini_digits")
    build(folder)
    yield folder


def test_build_gives_speech_and_transcripts(built: Path) -> None:
    for split, size in ARGS["sizes"].items():
        dataset = Dataset(split, str(built))
        assert len(dataset) == size
        sample = dataset[0]
        assert sample["speech"].dtype == "float32"
        assert 0.2 * 16000 < len(sample["speech"]) < 6 * 16000
        assert 0.01 < abs(sample["speech"]).max() <= 1.0
        assert sample["text"].split()
        assert sample["utt_id"] == dataset.keys()[0]


def test_bytes_are_the_same_again_and_with_another_number_of_processes(
    built: Path, tmp_path: Path
) -> None:
    build(tmp_path / "one", num_processes=1)
    build(tmp_path / "three", num_processes=3)
    assert digest(tmp_path / "one") == digest(tmp_path / "three") == digest(built)


def test_another_seed_gives_other_audio(built: Path, tmp_path: Path) -> None:
    build(tmp_path, seed=6)
    assert digest(tmp_path).values() != digest(built).values()


def test_killed_build_is_not_built_and_continues_with_the_parts_it_has(
    built: Path, tmp_path: Path
) -> None:
    expected = digest(built)
    shutil.copytree(built, tmp_path / "data")
    # What a kill leaves: no manifests, one part missing, one part under its temporary name.
    shutil.rmtree(tmp_path / "data" / "manifest")
    part = tmp_path / "data" / "wav" / "train" / "001"
    part.rename(part.with_name(".001.partial-x"))
    kept = tmp_path / "data" / "wav" / "train" / "000"
    inode = next(kept.iterdir()).stat().st_ino
    args = {**ARGS, "data_dir": str(tmp_path / "data")}
    assert not DatasetBuilder().is_built(**args)
    DatasetBuilder().build(**args)
    assert DatasetBuilder().is_built(**args)
    assert digest(tmp_path / "data") == expected
    assert next(kept.iterdir()).stat().st_ino == inode


def test_other_settings_replace_the_data(built: Path, tmp_path: Path) -> None:
    args = {**ARGS, "data_dir": str(built)}
    assert DatasetBuilder().is_built(**args)
    assert not DatasetBuilder().is_built(**{**args, "seed": 6})
    folder = tmp_path / "data"
    shutil.copytree(built, folder)
    build(folder, sizes={"train": 2, "valid": 1, "test": 1})
    assert len(list(folder.rglob("*.wav"))) == 4


def test_failing_synthesiser_is_named_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    located = workers.locate_synthesizer()
    monkeypatch.setattr(
        workers, "locate_synthesizer", lambda: {**located, "library": "/nonexistent.so"}
    )
    with pytest.raises(DataError, match=r"wav/train/000: the synthesiser failed: .*nonexistent"):
        build(tmp_path)
    assert not DatasetBuilder().is_built(**ARGS, data_dir=str(tmp_path))
    assert not list(tmp_path.glob("wav/*/*"))


def test_missing_synthesiser_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    builder = DatasetBuilder()
    args = {**ARGS, "data_dir": str(tmp_path)}
    assert not builder.is_source_prepared(**args)
    with pytest.raises(MissingDependencyError, match=r"espnet3\[digits\]"):
        builder.prepare_source(**args)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": {"train": 1, "dev": 1, "test": 1}}, "create_dataset: sizes.*train, valid, test"),
        ({"sizes": {"train": 1, "valid": 0, "test": 1}}, "create_dataset: sizes.*at least 1"),
        ({"num_processes": 0}, "create_dataset: .*num_processes.*at least 1"),
        ({"num_proceses": 3}, "create_dataset.num_proceses: .*\n.*num_processes"),
    ],
)
def test_wrong_argument_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(tmp_path, **changes)


def test_unknown_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split 'dev'"):
        Dataset("dev", str(tmp_path))


def test_reading_before_building_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="create_dataset"):
        Dataset("train", str(tmp_path))
