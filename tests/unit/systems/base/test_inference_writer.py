from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet3.errors import DataError
from espnet3.systems.base.inference_journal import Journal
from espnet3.systems.base.inference_writer import RecordWriter, safe_file_name
from espnet3.utils.scp_utils import read_scp

ID_CHARS = st.characters(codec="utf-8", exclude_categories=["Zs", "Zl", "Zp", "Cc"])
ids = st.lists(st.text(ID_CHARS, min_size=1, max_size=200), min_size=1, max_size=8, unique=True)


def write(folder, records, **options):
    writer = RecordWriter(folder, idx_key="utt_id", **options)
    with Journal(folder, num_samples=len(records), parts={}) as journal:
        for index, record in enumerate(records):
            sample = writer.write(index, [record])
            journal.set_fields(writer.fields, set(writer.artifact_fields))
            journal.add(sample)
        journal.write_scps()


@pytest.mark.parametrize("name", ["spk1.001", "a-b_c", "größe", "1_theo_0", "a+b=c@d,e"])
def test_ordinary_ids_are_file_names(name):
    assert safe_file_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/root", "a/b", "a\\b", ".hidden", "..", "a\0b", "a%2Fb", "x" * 300],
)
def test_other_ids_become_names_that_stay_in_the_folder(name):
    safe = safe_file_name(name)
    assert not {"/", "\\", "\0"} & set(safe)
    assert not safe.startswith(".")
    assert len(safe.encode()) <= 200
    assert "%" in safe


@settings(max_examples=30)
@given(names=ids)
def test_different_ids_never_share_a_file(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("out") / "clean"
    records = [{"utt_id": n, "x": np.array([i])} for i, n in enumerate(names)]
    write(folder, records)
    rows = list(read_scp(folder / "x.scp"))
    assert [sample_id for sample_id, _ in rows] == names
    assert [int(np.load(path)[0]) for _, path in rows] == list(range(len(names)))
    assert len({path for _, path in rows}) == len(names)
    assert {p.parent for p in folder.rglob("*.npy")} == {folder / "x"}


@pytest.mark.parametrize("names", [["a", "a.npy"], ["a.npy", "a"], ["s.001", "s.002"]])
def test_ids_that_a_suffix_would_merge_are_kept_apart(tmp_path, names):
    write(tmp_path, [{"utt_id": n, "x": np.array([i])} for i, n in enumerate(names)])
    rows = list(read_scp(tmp_path / "x.scp"))
    assert [int(np.load(path)[0]) for _, path in rows] == [0, 1]
    assert len({path for _, path in rows}) == 2


@pytest.mark.parametrize("field", ["../up", "a/b", ".hidden", ""])
def test_a_field_that_cannot_be_a_file_name_is_refused(tmp_path, field):
    with pytest.raises(ValueError, match=r"output_fn: .*cannot be a file name"):
        write(tmp_path, [{"utt_id": "a", field: "x"}])


@pytest.mark.parametrize("fields", [[], ["hyp"]])
def test_a_first_sample_that_lacks_a_field_of_others_is_noticed(tmp_path, caplog, fields):
    first, second = {"utt_id": "a", "hyp": "x"}, {"utt_id": "b", "hyp": "y", "ref": "z"}
    write(tmp_path, [first, second, {**second, "utt_id": "c"}], fields=fields)
    text = "Sample b has ref, which the first sample lacks"
    assert caplog.text.count("which the first sample lacks") == caplog.text.count(text)
    assert caplog.text.count(text) == (0 if fields else 1)


def test_records_must_be_dicts(tmp_path):
    with pytest.raises(TypeError, match="Expected dict output"):
        write(tmp_path, ["a"])


@pytest.mark.parametrize(
    "record", [{"utt_id": "a", "x": "h\ud800"}, {"utt_id": "\udcff", "x": "h"}]
)
def test_half_a_character_is_refused_with_the_sample(tmp_path, record):
    with pytest.raises(DataError, match=r"sample '.*' holds '\\ud.*half of a character"):
        write(tmp_path, [record])
    write(tmp_path, [{"utt_id": "a", "x": "größe 😀"}])
    assert list(read_scp(tmp_path / "x.scp")) == [("a", "größe 😀")]
