from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.parallel.status import find_progress
from espnet3.systems.base import inference_lines
from espnet3.systems.base.inference_journal import Journal
from espnet3.systems.base.inference_writer import RecordWriter

PARTS = {"config": "x"}


def fill(folder, indices, *, num_samples=10, parts=PARTS, commit=False, **options):
    writer = RecordWriter(folder, idx_key="id", fields=["hyp"])
    with Journal(folder, num_samples=num_samples, parts=parts, **options) as journal:
        for index in indices:
            sample = writer.write(index, [{"id": f"u{index}", "hyp": f"h{index}"}])
            journal.set_fields(writer.fields, set())
            journal.add(sample)
        if commit:
            journal.write_scps()
    return journal


@given(order=st.permutations(range(10)), cut=st.integers(0, 10))
def test_scps_are_in_the_order_of_the_data_set_whatever_the_order_of_work(
    tmp_path_factory, order, cut
):
    folder = tmp_path_factory.mktemp("set")
    fill(folder, order[:cut])
    # What a dead worker had is done again: some samples come twice.
    fill(folder, order[max(0, cut - 2) :], commit=True)
    expected = "".join(f"u{i} h{i}\n" for i in range(10))
    assert (folder / "hyp.scp").read_text() == expected


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_line_that_was_cut_short_is_dropped(tmp_path, cut):
    fill(tmp_path, range(4))
    path = tmp_path / ".infer" / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    complete = path.read_bytes().count(b"\n") - 2
    journal = fill(tmp_path, [])
    assert journal.count == complete
    assert fill(tmp_path, range(10), commit=True).num_records == 10
    assert len((tmp_path / "hyp.scp").read_text().splitlines()) == 10


def test_a_journal_of_other_inputs_is_not_continued(tmp_path):
    fill(tmp_path, range(4))
    assert fill(tmp_path, [], parts={"config": "y"}).count == 0


def test_a_journal_is_not_continued_on_request(tmp_path):
    fill(tmp_path, range(4))
    assert fill(tmp_path, [], keeps_earlier=False).count == 0


def test_garbage_is_not_continued(tmp_path):
    (tmp_path / ".infer").mkdir()
    (tmp_path / ".infer" / "journal.jsonl").write_text("not json\n[1, 2\n")
    assert fill(tmp_path, [1]).count == 1


def records(*ids):
    return [{"id": name, "hyp": "x"} for name in ids]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_of_samples_with_the_same_id_none_counts(tmp_path, order):
    samples = [["a"], ["b"], ["a"], ["c", "a"]]
    writer = RecordWriter(tmp_path, idx_key="id", fields=["hyp"])
    with Journal(tmp_path, num_samples=4, parts={}) as journal:
        for index in order:
            journal.add(writer.write(index, records(*samples[index])))
        found = journal.take_clashes()
        assert journal.take_clashes() == []
        assert [journal.is_done(i) for i in range(4)] == [False, True, False, False]
        assert (journal.count, journal.num_records) == (1, 1)
    assert sorted(failure.index for failure in found) == [0, 2, 3]
    assert {failure.sample_id for failure in found} == {"a"}
    assert {failure.kind for failure in found} == {"duplicate_id"}
    assert "occurs twice (item " in found[0].message
    # Ids that were corrected: the next run takes all.
    with Journal(tmp_path, num_samples=4, parts={}) as journal:
        assert journal.count == 1
        assert journal.add_all(writer.write(i, records(f"n{i}")) for i in (0, 2, 3)) == 3
        assert journal.take_clashes() == []
    (line,) = map(str, find_progress(tmp_path))
    assert "4/4" in line


def test_one_sample_whose_records_share_an_id_does_not_count(tmp_path):
    writer = RecordWriter(tmp_path, idx_key="id", fields=["hyp"])
    with Journal(tmp_path, num_samples=1, parts={}) as journal:
        assert journal.add_all([writer.write(0, records("a", "a"))]) == 0
        assert [failure.index for failure in journal.take_clashes()] == [0]


def test_nothing_is_visible_before_all_is_done(tmp_path):
    fill(tmp_path, range(10))
    assert not list(tmp_path.rglob("*.scp"))


def test_files_that_a_killed_process_left_half_written_are_removed(tmp_path):
    (tmp_path / "x").mkdir()
    for name in (".u1.0ab_cd12.npy", "u1.npy"):
        (tmp_path / "x" / name).touch()
    writer = RecordWriter(tmp_path, idx_key="id", fields=["x"])
    with Journal(tmp_path, num_samples=1, parts={}) as journal:
        sample = writer.write(0, [{"id": "u0", "x": {"a": 1}}])
        journal.set_fields(writer.fields, set(writer.artifact_fields))
        journal.add(sample)
        journal.write_scps()
    assert sorted(p.name for p in (tmp_path / "x").iterdir()) == ["u0.json", "u1.npy"]


def test_many_finished_samples_are_put_on_the_disk_a_thousand_at_a_time(tmp_path, monkeypatch):
    counts = []
    fsync = os.fsync

    def note(handle):
        fsync(handle)
        path = tmp_path / ".infer" / "journal.jsonl"
        counts.append(path.read_bytes().count(b"\n"))

    monkeypatch.setattr(inference_lines.os, "fsync", note)
    monkeypatch.setattr(inference_lines.LineFile, "_watch", lambda self: None)
    writer = RecordWriter(tmp_path, idx_key="id", fields=["hyp"])
    samples = [writer.write(i, [{"id": f"u{i}", "hyp": "a"}]) for i in range(2500)]
    with Journal(tmp_path, num_samples=2500, parts=PARTS) as journal:
        for start in range(0, 2500, 100):
            journal.add_all(samples[start : start + 100])
        # A line for the fields that nobody told, and one for what the outputs depend on, may be in.
        assert [count // 1000 for count in counts] == [1, 2]
