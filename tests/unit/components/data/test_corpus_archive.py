from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from espnet3.components.data.corpus_archive import provide_archive
from espnet3.errors import DataError, MissingFileError
from espnet3.utils import download_utils


def test_the_users_archive_wins_and_nothing_is_downloaded(tmp_path: Path) -> None:
    own = tmp_path / "own.tar.gz"
    own.write_bytes(b"x")
    assert provide_archive(own, tmp_path / "default", "https://nowhere.invalid/x") == own
    assert provide_archive(None, own, "https://nowhere.invalid/x") == own


def test_an_absent_archive_of_the_user_is_not_replaced_by_a_download(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    with pytest.raises(MissingFileError, match=r"create_dataset\.archive_path.*own\.tar\.gz"):
        provide_archive(tmp_path / "own.tar.gz", tmp_path / "default", source.as_uri())
    with pytest.raises(FileNotFoundError, match="default"):
        provide_archive(None, tmp_path / "default", None)


def test_a_download_is_compared_with_its_checksum(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "default"
    source.write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    with pytest.raises(DataError):
        provide_archive(None, target, source.as_uri(), sha256="0" * 64)
    assert not target.exists()
    assert provide_archive(None, target, source.as_uri(), sha256=digest).read_bytes() == b"x"


def test_a_failed_download_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_utils, "_pause", lambda _: None)
    with pytest.raises(download_utils.DownloadError) as caught:
        provide_archive(None, tmp_path / "default", (tmp_path / "gone").as_uri())
    assert "create_dataset.archive_path" in "".join(caught.value.__notes__)
