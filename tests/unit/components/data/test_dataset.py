from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from espnet3.components.data.dataset import CombinedDataset, DatasetWithTransform, do_nothing
from espnet3.components.data.dataset_module import instantiate_dataset_reference
from espnet3.components.data.preprocessor import AbsPreprocessor


class Ints:
    """An int-addressed data set that counts its reads."""

    def __init__(self, *values):
        self.values, self.reads = values, 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, i):
        self.reads += 1
        if not isinstance(i, int):
            raise TypeError(i)
        return {"x": self.values[i], "utt_id": f"u{self.values[i]}"}

    def get_text(self, i):
        return f"text {self.values[i]}"


class Listed(Ints):
    def keys(self):
        return [f"u{v}" for v in self.values]


def combine(*datasets, **kwargs):
    return CombinedDataset(datasets, [(None, None)] * len(datasets), **kwargs)


def test_do_nothing_returns_one_or_all():
    assert (do_nothing(1), do_nothing(1, 2)) == (1, (1, 2))


def test_members_follow_each_other_with_their_transforms():
    data = CombinedDataset(
        [Ints(0, 1), Ints(2, 3)],
        [(lambda s: {"x": s["x"]}, None), (lambda s: {"x": s["x"] * 10}, lambda s: {**s, "p": 1})],
    )
    assert len(data) == 4
    assert data[3] == {"x": 30, "p": 1}
    assert data[-4] == {"x": 0}
    assert data[np.int64(1)] == data[torch.tensor(1)] == data["1"] == {"x": 1}
    assert data.cumulative_lengths == [2, 4]


def test_the_uid_is_the_global_position():
    data = combine(Ints(0), Ints(1))
    data.use_espnet_collator = True
    assert data[1][0] == "1"
    assert data.uid(1) == "1"


def test_index_errors():
    data = combine(Ints(0))
    for index in (1, -2, "7"):
        with pytest.raises(IndexError):
            data[index]
    with pytest.raises(TypeError):
        data[1.5]
    with pytest.raises(ValueError, match="Utterance ID 'x'"):
        data["x"]


def test_a_failing_read_names_the_member_and_keeps_the_cause():
    class Broken(Ints):
        def __getitem__(self, i):
            if i == 1:
                raise OSError("gone")
            return super().__getitem__(i)

    data = combine(Ints(0), Broken(1, 2))
    with pytest.raises(RuntimeError, match=r"index 1 of dataset 1 \(Broken\).*gone") as caught:
        data[2]
    assert isinstance(caught.value.__cause__, OSError)


def test_string_keyed_members_are_reached_by_position_and_uid():
    data = combine({"a": {"x": 1}, "b": {"x": 2}}, [{"x": 3}])
    data.use_espnet_collator = True
    assert [data[i][0] for i in range(3)] == ["a", "b", "2"]
    assert data["b"] == ("b", {"x": 2})
    assert data["2"] == ("2", {"x": 3})
    with pytest.raises(ValueError, match="Utterance ID 'c'"):
        data["c"]


def test_string_keys_can_be_found_by_iteration():
    class Iterated:
        def __len__(self):
            return 2

        def __iter__(self):
            return iter(["a", "b"])

        def __getitem__(self, key):
            return {"x": {"a": 1, "b": 2}[key]}

    assert combine(Iterated())[1] == {"x": 2}


def test_bad_string_keys():
    with pytest.raises(ValueError, match="Duplicate utterance ID 'a'"):
        combine({"a": {"x": 1}}, {"a": {"x": 1}})
    with pytest.raises(TypeError, match="string keys are required"):
        combine({5: {"x": 1}})

    class Nothing:
        def __len__(self):
            return 1

        def __getitem__(self, i):
            raise TypeError("no")

    with pytest.raises(TypeError, match="neither an integer nor iteration"):
        combine(Nothing())


def test_an_empty_or_unreadable_member_does_not_switch_the_index_mode():
    data = combine({}, Ints(4))
    assert data[0]["x"] == 4

    class Corrupt(Listed):
        def __getitem__(self, i):
            raise ValueError("not audio")

    with pytest.raises(ValueError, match="not audio") as caught:
        combine(Ints(0), Corrupt(1))
    assert "dataset 1 (Corrupt)" in caught.value.__notes__[0]


def test_uid_key_is_the_id_everywhere():
    data = combine(Ints(3), Listed(4), uid_key="utt_id")
    data.use_espnet_collator = True
    assert [data[i][0] for i in range(2)] == ["u3", "u4"]
    assert data["u4"][1]["x"] == 4
    assert [data.uid(i) for i in range(2)] == ["u3", "u4"]
    with pytest.raises(ValueError, match=r"Utterance ID 'u3'.*keys\(\)"):
        data["u3"]
    with pytest.raises(ValueError, match="uid_key = 'id'"):
        combine(Ints(1), uid_key="id")[0]


def test_listed_ids_are_given_without_reading():
    data = combine(Listed(1, 2), uid_key="utt_id")
    before = data.datasets[0].reads
    assert data.uid(1) == "u2"
    assert data.datasets[0].reads == before


def test_construction_reads_each_first_sample_once_or_not_at_all():
    checked, unchecked = Ints(1, 2), Ints(1, 2)
    combine(checked)
    combine(unchecked, validate=False)
    assert (checked.reads, unchecked.reads) == (1, 0)


def test_construction_checks():
    with pytest.raises(AssertionError, match=r"dataset 1 .*'y'.*dataset 0 .*'utt_id', 'x'"):
        CombinedDataset([Ints(1), Ints(1)], [(None, None), (lambda s: {"y": 1}, None)])
    with pytest.raises(AssertionError, match="callable"):
        CombinedDataset([Ints(1)], [(3, None)])

    def fail(sample):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        CombinedDataset([Ints(1)], [(fail, None)])


def test_the_check_does_not_change_samples():
    samples = [{"x": [1]}]
    CombinedDataset([samples], [(lambda s: s["x"].append(2) or s, None)])
    assert samples == [{"x": [1]}]


def test_empty_combination():
    assert len(combine()) == 0
    assert "len=0" in repr(combine())


def test_text_and_repr_read_no_samples():
    member = Ints(7)
    data = combine(member)
    reads = member.reads
    assert data.get_text(0) == "text 7"
    assert "Ints(len=1" in repr(data)
    assert member.reads == reads
    with pytest.raises(RuntimeError, match="implement get_text"):
        combine([{"x": 1}]).get_text(0)


class Jitter(AbsPreprocessor):
    def __call__(self, uid, data, rng):
        return {**data, "noise": rng.random(), "uid": uid}


def test_rng_depends_on_seed_epoch_and_uid_only():
    def build(*datasets):
        return CombinedDataset(datasets, [(None, Jitter(True))] * len(datasets), True)

    one = build(Ints(1, 2))
    assert one.read(1, (0, 3)) == one.read(1, (0, 3))
    draws = {one.read(i, key)["noise"] for i in (0, 1) for key in ((0, 0), (0, 1), (1, 0))}
    assert len(draws) == 6
    assert build(Ints(1), Ints(2)).read(1, (0, 3)) == one.read(1, (0, 3))


def test_rng_outside_the_native_loader_follows_torch():
    data = CombinedDataset([Ints(1)], [(None, Jitter(True))], True)
    torch.manual_seed(1)
    first, second = data[0], data[0]
    torch.manual_seed(1)
    assert data[0] == first != second


def test_wrapper_of_one_data_set():
    data = DatasetWithTransform(Ints(1, 2), lambda s: {"x": s["x"]}, Jitter(False), True)
    assert (len(data), data[0]["uid"], data(1)["x"]) == (2, "0", 2)
    assert DatasetWithTransform(Ints(1), None, None)[0]["x"] == 1
    assert "Ints(len=2" in repr(data)
    with pytest.raises(AssertionError):
        DatasetWithTransform(Ints(1), None, 3)
    assert (
        DatasetWithTransform(Ints(5), None, Jitter(False), True, uid_key="utt_id")[0]["uid"] == "u5"
    )


def test_wrappers_carry_the_local_modules_of_their_members(tmp_path):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "__init__.py").write_text(
        "class Dataset(list):\n    def __init__(self):\n        super().__init__([{'x': 41}])\n"
    )
    member = instantiate_dataset_reference({}, recipe_dir=tmp_path)
    for data in (combine(member), DatasetWithTransform(member, None, None)):
        pickled = pickle.dumps(data)
        assert b"_LocalModules" in pickled
        assert pickle.loads(pickled)[0] == {"x": 41}
