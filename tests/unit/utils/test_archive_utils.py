from __future__ import annotations

import io
import json
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.utils.archive_utils import (
    ArchiveError,
    ArchiveLimits,
    _check_inside,
    extract_archive,
    safe_extract,
)


def make_tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        for member, content in members:
            if isinstance(member, str):
                member = tarfile.TarInfo(member)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def special(name, kind, link=""):
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = link
    return member


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_archives_of_all_compressions_are_unpacked(tmp_path, mode):
    archive = make_tar(tmp_path / "a.tar", [("d/a.txt", b"A"), ("b.txt", b"B")], mode)
    assert safe_extract(archive, tmp_path / "out") == 2
    assert (tmp_path / "out" / "d" / "a.txt").read_bytes() == b"A"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["b.txt", "d"]


def test_zip_archives_are_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("d/a.txt", "A")
    safe_extract(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out" / "d" / "a.txt").read_text() == "A"


def test_links_inside_the_archive_survive(tmp_path):
    members = [("d/a", b"A"), (special("d/link", tarfile.SYMTYPE, "a"), b"")]
    safe_extract(make_tar(tmp_path / "a.tgz", members), tmp_path / "out")
    assert (tmp_path / "out" / "d" / "link").read_bytes() == b"A"
    assert (tmp_path / "out" / "d" / "link").is_symlink()


@pytest.mark.parametrize(
    "member",
    [
        "/etc/x",
        "../x",
        "d/../../x",
        "C:x",
        "\\x",
        special("link", tarfile.SYMTYPE, "/etc"),
        special("d/link", tarfile.SYMTYPE, "../../x"),
        special("link", tarfile.LNKTYPE, "../x"),
        special("pipe", tarfile.FIFOTYPE),
        special("device", tarfile.CHRTYPE),
    ],
    ids=lambda member: getattr(member, "name", member),
)
def test_members_that_lead_elsewhere_are_refused_before_anything_is_written(tmp_path, member):
    archive = make_tar(tmp_path / "a.tgz", [("good", b"g"), (member, b"")])
    with pytest.raises(ArchiveError):
        safe_extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", ["path", "linkpath"])
def test_a_name_with_a_nul_is_refused(tmp_path, key):
    # Only the records of pax can hold one.
    member = special("link", tarfile.SYMTYPE, "a")
    member.pax_headers = {key: "a\0b"}
    archive = make_tar(tmp_path / "a.tar", [(member, b"")], "w")
    with pytest.raises(ArchiveError, match=r"the absolute place 'a\\x00b'"):
        safe_extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_that_collide_without_case_are_refused(tmp_path):
    archive = make_tar(tmp_path / "a.tgz", [("Read", b"1"), ("read", b"2")])
    with pytest.raises(ArchiveError, match="one file on some systems"):
        safe_extract(archive, tmp_path / "out")


def test_a_zip_with_a_link_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        member = zipfile.ZipInfo("link")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(ArchiveError, match="neither file nor folder"):
        safe_extract(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize(
    "limits", [ArchiveLimits(members=1), ArchiveLimits(total_bytes=10), ArchiveLimits(ratio=1)]
)
def test_archives_beyond_the_limits_are_refused(tmp_path, limits):
    archive = make_tar(tmp_path / "a.tgz", [("a", b"0" * 5000), ("b", b"")])
    with pytest.raises(ArchiveError, match="allowed are"):
        safe_extract(archive, tmp_path / "out", limits=limits)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x1f\x8b\x08\x00garbage"])
def test_a_damaged_archive_is_named(tmp_path, content):
    (tmp_path / "a.tgz").write_bytes(content)
    with pytest.raises(tarfile.TarError, match=r"a\.tgz cannot be unpacked"):
        safe_extract(tmp_path / "a.tgz", tmp_path / "out")


def test_a_truncated_archive_leaves_nothing(tmp_path):
    import random

    noise = random.Random(0).randbytes(50_000)
    archive = make_tar(tmp_path / "a.tgz", [("a", noise), ("b", noise)])
    archive.write_bytes(archive.read_bytes()[:60_000])
    with pytest.raises(ArchiveError):
        safe_extract(archive, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_a_missing_archive_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        safe_extract(tmp_path / "none.tgz", tmp_path / "out")


def test_permissions_become_ordinary(tmp_path):
    member = tarfile.TarInfo("run")
    member.mode = 0o6777
    safe_extract(make_tar(tmp_path / "a.tgz", [(member, b"x")]), tmp_path / "out")
    assert (tmp_path / "out" / "run").stat().st_mode & 0o7777 == 0o644


def test_other_files_stay_and_equal_names_are_replaced(tmp_path):
    out = tmp_path / "out" / "d"
    out.mkdir(parents=True)
    (out / "mine").write_text("mine")
    (out / "a").write_text("old")
    safe_extract(make_tar(tmp_path / "a.tgz", [("d/a", b"new")]), tmp_path / "out")
    assert (out / "mine").read_text() == "mine"
    assert (out / "a").read_text() == "new"


def test_remains_of_a_killed_run_are_removed(tmp_path):
    remains = tmp_path / "out" / ".unpacking-a.tgz"
    remains.mkdir(parents=True)
    (remains / "half").write_text("x")
    safe_extract(make_tar(tmp_path / "a.tgz", [("a", b"A")]), tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a"]


def test_a_marker_makes_the_second_extraction_a_no_op_until_the_archive_changes(tmp_path):
    archive = make_tar(tmp_path / "a.tgz", [("a", b"1")])
    extract_archive(archive, tmp_path / "out")
    (tmp_path / "out" / "a").write_text("edited")
    extract_archive(archive, tmp_path / "out")
    assert (tmp_path / "out" / "a").read_text() == "edited"
    marker = json.loads((tmp_path / "out" / ".a.tgz.extracted.json").read_text())
    assert marker["members"] == 1
    make_tar(archive, [("a", b"2")])
    extract_archive(archive, tmp_path / "out")
    assert (tmp_path / "out" / "a").read_text() == "2"


@given(st.lists(st.sampled_from(["..", "a", "b", "."]), min_size=1))
def test_exactly_the_names_that_stay_inside_are_accepted(parts):
    from pathlib import Path

    depth, inside = 0, True
    for part in parts:
        depth += {"..": -1, ".": 0}.get(part, 1)
        inside = inside and depth >= 0
    if inside:
        _check_inside(Path("x"), "n", "/".join(parts))
    else:
        with pytest.raises(ArchiveError):
            _check_inside(Path("x"), "n", "/".join(parts))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([special("a", tarfile.SYMTYPE, "."), special("a/b", tarfile.SYMTYPE, "..")], "a link"),
        ([special("a", tarfile.SYMTYPE, "b"), special("c", tarfile.SYMTYPE, "a/../d")], "a link"),
        (["x", "x"], "twice"),
    ],
)
def test_members_behind_links_and_files_given_twice_are_refused(tmp_path, members, message):
    archive = make_tar(tmp_path / "a.tar", [(member, b"") for member in members], "w")
    with pytest.raises(ArchiveError, match=message):
        safe_extract(archive, tmp_path / "out")


def test_a_folder_may_be_listed_twice(tmp_path):
    members = [(special("x", tarfile.DIRTYPE), b"")] * 2
    assert safe_extract(make_tar(tmp_path / "a.tar", members, "w"), tmp_path / "out") == 2
