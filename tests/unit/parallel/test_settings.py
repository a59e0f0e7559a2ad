from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from espnet3.parallel.settings import ParallelSettings
from espnet3.utils.key_accounting import check_config


def test_an_unknown_back_end_is_found_before_anything_runs():
    config = OmegaConf.create({"parallel": {"env": "slurmm"}})
    [finding] = check_config(config, "inference")
    assert finding.is_fatal
    assert finding.error.key == "parallel.env"
    assert 'did you mean "slurm"' in str(finding.error)


@pytest.mark.parametrize("env", ["${where}", "local", None])
def test_a_back_end_that_is_not_known_yet_or_is_known_is_fine(env):
    assert check_config(OmegaConf.create({"parallel": {"env": env}}), "inference") == []


def test_null_means_this_process():
    assert ParallelSettings(env=None).is_in_process
