from __future__ import annotations

import logging

import pytest
from omegaconf import OmegaConf

from espnet3.components.data import DataOrganizer, data_organizer
from espnet3.components.data.data_organizer import DatasetConfig
from espnet3.components.data.preprocessor import AbsPreprocessor
from espnet3.utils.config_utils import instantiate_config


class Samples(list):
    def __init__(self, *values):
        super().__init__({"x": value} for value in values)


class Double:
    def __call__(self, sample):
        return {"x": sample["x"] * 2}


class AddOne:
    def __call__(self, sample):
        return {"x": sample["x"] + 1}


class WithUid(AbsPreprocessor):
    def __call__(self, uid, data):
        return {**data, "uid": uid}


def entry(*values, **kwargs):
    return {"dataset": Samples(*values), **kwargs}


def test_all_splits_from_direct_objects():
    data = DataOrganizer(
        train=[entry(1, 2), entry(3)],
        valid=[entry(4)],
        test=[entry(5, name="clean"), entry(6, name="noisy")],
    )
    assert (len(data.train), len(data.valid)) == (3, 1)
    assert data.test["noisy"][0] == {"x": 6}
    assert data.test is data.test_sets
    assert repr(data) == (
        "DataOrganizer(preprocessor=do_nothing, train=3, valid=1, test={clean=1, noisy=1})"
    )


def test_splits_may_be_absent_or_empty():
    assert DataOrganizer(train=[], valid=[]).test == {}
    assert len(DataOrganizer(train=[], valid=[]).train) == 0
    only_test = DataOrganizer(test=[entry(1)])
    assert (only_test.train, only_test.valid, list(only_test.test)) == (None, None, ["local"])
    assert DataOrganizer().test == {}


@pytest.mark.parametrize("given", ["train", "valid"])
def test_train_and_valid_come_together(given):
    with pytest.raises(RuntimeError, match="must be given together"):
        DataOrganizer(**{given: [entry(1)]})
    assert DataOrganizer(train=[entry(1)], allow_missing_valid=True).valid is None


def test_transform_runs_before_the_preprocessor():
    double, add = f"{__name__}.Double", f"{__name__}.AddOne"
    data = DataOrganizer(
        train=[entry(3, transform={"_target_": double})],
        valid=[entry(3)],
        test=[entry(3, transform=Double())],
        preprocessor={"_target_": add},
    )
    assert (data.train[0], data.valid[0], data.test["local"][0]) == ({"x": 7}, {"x": 4}, {"x": 7})


def test_espnet_style_preprocessors_get_the_uid():
    data = DataOrganizer([entry(1, 2)], [entry(1)], [entry(9)], preprocessor=WithUid(True))
    assert data.train[1] == {"x": 2, "uid": "1"}
    assert data.test["local"][0] == {"x": 9, "uid": "0"}


def test_whole_section_from_yaml():
    config = OmegaConf.create(
        {
            "value": 5,
            "dataset": {
                "_target_": "espnet3.components.data.data_organizer.DataOrganizer",
                "train": [{"dataset": {"_target_": f"{__name__}.Samples", "_args_": ["${value}"]}}],
                "valid": [{"dataset": {"_target_": f"{__name__}.Samples", "_args_": [2]}}],
                "preprocessor": {"_target_": f"{__name__}.AddOne"},
            },
        }
    )
    assert instantiate_config(config.dataset).train[0] == {"x": 6}


def test_entries_reach_the_seam_unchanged(monkeypatch):
    seen = []

    def build(config, recipe_dir=None):
        seen.append((config, recipe_dir))
        return Samples(1)

    monkeypatch.setattr(data_organizer, "instantiate_dataset_reference", build)
    raw = {"name": "n", "data_src": None, "data_src_args": {"split": "a"}, "split": "z"}
    data = DataOrganizer(test=[OmegaConf.create(raw), {"data_src": "mini/asr"}], recipe_dir="here")
    assert seen == [(raw, "here"), ({"data_src": "mini/asr"}, "here")]
    assert list(data.test) == ["n", "mini/asr"]
    DataOrganizer(test=[DatasetConfig(data_src="x.y")])
    assert seen[-1] == ({"data_src": "x.y"}, None)


def test_the_last_of_equal_test_names_wins_unless_refused(caplog):
    entries = [entry(1, name="a"), entry(2, name="a")]
    with caplog.at_level(logging.WARNING):
        assert DataOrganizer(test=entries).test["a"][0] == {"x": 2}
    assert "'a' is named twice" in caplog.text
    with pytest.raises(AssertionError, match="two test sets"):
        DataOrganizer(test=entries, allow_duplicates=False)


def test_mistakes_in_entries():
    with pytest.raises(ValueError, match=r'train\[0\]\.data_src_arg.*\n.*"data_src_args"'):
        DataOrganizer(train=[{"data_src_arg": {}}], valid=[])
    for wrong in (3, "train", {"split": "train"}):
        with pytest.raises(ValueError, match=r"dataset.test = .*: must be a list of entries"):
            DataOrganizer(test=wrong)
    with pytest.raises(ValueError, match="not both"):
        DataOrganizer(test=[entry(1, data_src="a/b")])
    with pytest.raises(AssertionError, match="preprocessor"):
        DataOrganizer(preprocessor=3)


def test_summary_names_everything_and_reads_nothing(caplog):
    class Untouchable(Samples):
        def __getitem__(self, i):
            raise AssertionError("read")

    data = DataOrganizer(
        [{"dataset": Untouchable(1)}], [entry(1)], [entry(2, name="t")], validate=False
    )
    with caplog.at_level(logging.INFO):
        data.log_summary()
    assert "Untouchable(len=1, transform=do_nothing" in caplog.text
    assert "test[t]" in caplog.text
