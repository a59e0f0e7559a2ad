from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.errors import ScpError
from espnet3.utils.scp_utils import (
    check_id,
    format_line,
    get_class_path,
    join_lines,
    load_scp_paths,
    read_scp,
    write_scp,
)

ids = st.text(min_size=1, max_size=8).filter(lambda t: not any(c.isspace() for c in t))


def is_encodable(text):
    return not any(0xD800 <= ord(c) <= 0xDFFF for c in text)


class Local:
    pass


def test_the_class_path_is_module_and_plain_name():
    assert get_class_path(Local()) == f"{__name__}.Local"


def test_lines_are_split_at_the_first_whitespace_and_blank_lines_are_skipped(tmp_path):
    path = tmp_path / "hyp.scp"
    path.write_text("a one  two \n\n  b\ttab\nc\nd last", encoding="utf-8")
    assert list(read_scp(path)) == [("a", "one  two"), ("b", "tab"), ("c", ""), ("d", "last")]


@given(
    rows=st.dictionaries(ids.filter(is_encodable), st.text(max_size=12).filter(is_encodable)).map(
        lambda d: {k: join_lines(v).strip() for k, v in d.items()}
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("scp") / "x.scp"
    write_scp(path, rows.items())
    assert dict(read_scp(path)) == rows
    assert len(path.read_text(encoding="utf-8").splitlines()) == len(rows)


@given(text=st.text())
def test_joined_text_is_one_line(text):
    assert len(join_lines(text).splitlines()) <= 1


def test_a_file_in_another_encoding_is_named(tmp_path):
    (tmp_path / "hyp.scp").write_bytes("a größe\n".encode("latin-1"))
    with pytest.raises(ScpError, match=r"hyp\.scp is not UTF-8"):
        list(read_scp(tmp_path / "hyp.scp"))


def test_a_run_of_line_breaks_becomes_one_space():
    assert join_lines("a\r\n\u2028b\x85c") == "a b c"
    assert format_line("id", "") == "id \n"


@pytest.mark.parametrize("bad", ["", "a b", "a\nb", "a\u3000b"])
def test_ids_that_no_line_can_hold_are_refused(bad):
    with pytest.raises(ScpError, match="sample id"):
        check_id(bad, set())


def test_a_repeated_id_is_refused_and_nothing_is_written(tmp_path):
    path = tmp_path / "x.scp"
    with pytest.raises(ScpError, match="'a' occurs twice"):
        write_scp(path, [("a", "1"), ("a", "2")])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def inference_dir(tmp_path):
    (tmp_path / "clean").mkdir()
    for name in ("hyp.scp", "ref.scp", "hyp.txt"):
        (tmp_path / "clean" / name).touch()
    return tmp_path


def test_a_list_of_names_and_a_mapping_of_aliases_name_files(inference_dir):
    folder = inference_dir / "clean"
    assert load_scp_paths(inference_dir, "clean", ["ref", "hyp"]) == {
        "ref": folder / "ref.scp",
        "hyp": folder / "hyp.scp",
    }
    assert load_scp_paths(inference_dir, "clean", {"h": "hyp"}, ".txt") == {"h": folder / "hyp.txt"}


def test_a_missing_file_is_named_with_those_that_exist(inference_dir):
    with pytest.raises(AssertionError, match=r"hypo\.scp.*\n.*hyp\.scp, ref\.scp.*did you mean"):
        load_scp_paths(inference_dir, "clean", ["hypo"])


def test_a_missing_test_set_is_named(inference_dir):
    with pytest.raises(AssertionError, match="other"):
        load_scp_paths(inference_dir, "other", ["hyp"])
