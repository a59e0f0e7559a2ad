from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from espnet3.demo.run_checks import check_demo
from espnet3.utils.run_checks import RunRequest

BUNDLE = {"dir_or_tag": "exp/model_pack"}


def keys(**config) -> list[str]:
    run = RunRequest(configs={"demo": OmegaConf.create(config)}, stages=[])
    return [str(finding.error.key) for finding in check_demo(run)]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"system": "asr"}, []),
        ({"system": "asr", "output_keys": {"text": "hyp"}}, []),
        ({"system": "asr", "output_keys": {"txt": "hyp"}}, ["output_keys.txt", "output_keys"]),
        ({"system": "nothing"}, ["ui"]),
        ({"system": "../x"}, ["system"]),
        ({"ui": {"builder": "src.page.build"}}, []),
        ({"ui": {"outputs": [{"name": "a", "type": "text"}]}}, ["output_keys"]),
        (
            {"system": "asr", "ui": {"inputs": [{"name": "speech", "type": "audi"}]}},
            ["ui.inputs[0].type"],
        ),
        (
            {
                "system": "asr",
                "inference": {"provider_class": "src.colors.Provider"},
                "ui": {"inputs": [{"name": "speech", "type": "color"}]},
            },
            [],
        ),
        ({"system": "asr", "extra_kwargs": {"output_fn_pth": "x"}}, ["extra_kwargs.output_fn_pth"]),
        ({"system": "asr", "extra_kwargs": {"model_kwargs": {"a": 1}}}, []),
        (
            {"system": "asr", "extra_kwargs": {"model_kwargs": {"a": 1}}, "model": BUNDLE},
            ["extra_kwargs.model_kwargs"],
        ),
        (
            {
                "system": "asr",
                "extra_kwargs": {"anything": 1},
                "inference": {"runner_class": "tests.unit.demo.backends.Runner"},
            },
            [],
        ),
    ],
)
def test_keys_of_a_demo_fit_together(config, expected):
    assert keys(**config) == expected


def test_a_run_without_a_demo_has_nothing_to_check():
    assert list(check_demo(RunRequest(configs={}, stages=[]))) == []
