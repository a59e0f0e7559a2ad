from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from espnet3.errors import MissingConfigError
from espnet3.systems.base.dataset_plan import plan_create_dataset


def training(tmp_path, **changes):
    entries = [{"data_src": None}, {"data_src": "other/asr"}]
    return OmegaConf.create(
        {
            "recipe_dir": str(tmp_path),
            "data_dir": str(tmp_path / "data"),
            "dataset": {"train": entries},
            "create_dataset": {"sizes": [3, 1], "archive_path": "a.tar.gz"},
            **changes,
        }
    )


def test_only_the_builder_knows_whether_there_is_work(tmp_path):
    (tmp_path / "a.tar.gz").touch()
    plan = plan_create_dataset(training(tmp_path))
    assert plan.state == "unknown"
    assert plan.inputs == (tmp_path / "dataset", tmp_path / "a.tar.gz")
    assert plan.outputs == (tmp_path / "data",)
    assert plan.notes == ("prepares other/asr",)


def test_what_contradicts_the_record_of_the_builder_is_named(tmp_path):
    record = tmp_path / "data" / "corpus.json"
    record.parent.mkdir()
    for content, noted in [
        ('{"sizes": [3, 1], "x": 1}', False),
        ('{"sizes": [9, 1]}', True),
        ("[]", False),
        ("{", False),
    ]:
        record.write_text(content)
        notes = plan_create_dataset(training(tmp_path)).notes
        assert (f"{record} was made with sizes=[9, 1], now it is [3, 1]" in notes) is noted


def test_without_a_dataset_the_stage_would_fail(tmp_path):
    with pytest.raises(MissingConfigError):
        plan_create_dataset(training(tmp_path, dataset=None))
