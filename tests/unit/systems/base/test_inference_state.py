from __future__ import annotations

import pytest

from espnet3.systems.base.inference_state import is_unfinished
from tests.unit.systems.base import toy_inference as toy
from tests.unit.systems.base.toy_inference import hyps, report


@pytest.fixture
def decode(run, tmp_path, monkeypatch):
    """Run the stage with a model from a file; return the indices that it has decoded."""
    weights = tmp_path / "last.ckpt"
    original = toy.ToyDataset.__getitem__

    def decode(content, *, unreadable=None, **changes):
        def read(dataset, index):
            if index == unreadable:
                raise OSError("broken recording")
            return original(dataset, index)

        weights.write_text(content)
        toy.seen.clear()
        monkeypatch.setattr(toy.ToyDataset, "__getitem__", read)
        run(model="StoredModel", arguments={"path": str(weights)}, **changes)
        return [int(speech[0]) for speech in toy.seen]

    return decode


def fail_to_load(decode, **changes):
    for _ in range(2):
        with pytest.raises(OSError, match=r"last\.ckpt is damaged"):
            decode("damaged", **changes)


def test_a_model_that_cannot_be_read_for_a_while_costs_no_finished_test_set(decode, tmp_path):
    assert len(decode("h")) == 12
    fail_to_load(decode)
    assert is_unfinished(tmp_path / "out" / "clean")
    assert decode("h") == []
    assert decode("h") == []
    names = {path.name for path in (tmp_path / "out" / "clean" / ".infer").iterdir()}
    assert "done.json" in names
    assert "done.earlier.json" not in names


def test_nor_the_samples_of_an_interrupted_run(decode, tmp_path):
    with pytest.raises(OSError, match="broken recording"):
        decode("h", unreadable=9)
    fail_to_load(decode)
    assert decode("h") == [9, 10, 11]
    assert report(tmp_path / "out" / "clean")["num_resumed"] == 9
    assert hyps(tmp_path / "out" / "clean") == [f"u{i:02d} h{i}" for i in range(12)]


@pytest.mark.parametrize("unreadable", [None, 9])
def test_files_that_another_model_may_have_replaced_do_not_count(decode, unreadable):
    changes = {"output_fn": f"{toy.HERE}.build_with_array", "output_keys": ["hyp", "vector"]}
    if unreadable is None:
        decode("h", **changes)
    else:
        with pytest.raises(OSError, match="broken recording"):
            decode("h", unreadable=unreadable, **changes)
    fail_to_load(decode, **changes)
    assert len(decode("h", **changes)) == 12


def test_the_first_sample_of_another_model_ends_the_earlier_run(decode, tmp_path):
    decode("h")
    with pytest.raises(OSError, match="broken recording"):
        decode("x", unreadable=9)
    assert len(decode("h")) == 12
    assert hyps(tmp_path / "out" / "clean")[0] == "u00 h0"
