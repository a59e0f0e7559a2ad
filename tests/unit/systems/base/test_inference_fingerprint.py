from __future__ import annotations

import pytest

from espnet3.systems.base.inference_fingerprint import fingerprint_parts
from tests.unit.systems.base.toy_inference import execution, hyps, report

PLAIN = {"model": {"_target_": "x"}, "runner": {"_target_": "y"}}


def parts(**changes):
    return fingerprint_parts({**PLAIN, **changes}, num_samples=3)


@pytest.mark.parametrize(
    "settings",
    [
        None,
        {},
        {"progress": "none", "limit": 2, "on_error": "record", "max_failures": 3},
        {"prefetch": {"num_workers": 4}, "retries": 2, "batch_timeout": 9.0, "verify": 2},
        {"seed": 0, "batching": {"mode": None, "max_batch_size": 256}, "batch_timeout": None},
        {"batching": None, "oom": {}},
    ],
)
def test_what_changes_no_output_is_the_same_as_its_absence(settings):
    assert parts(execution=settings) == parts()


@pytest.mark.parametrize(
    "settings", [{"seed": 1}, {"seed": None}, {"batching": {"max_batch_size": 8}}]
)
def test_what_changes_outputs_counts(settings):
    assert parts(execution=settings)["config.execution"]
    assert "config.execution" not in parts()


def test_empty_sections_and_the_resume_key_of_the_runner_do_not_count():
    changed = parts(runner={"_target_": "y", "resume": True}, output_artifacts={}, output_fn=None)
    assert changed == parts()
    assert "config.runner" not in parts(runner={"resume": False})


def test_finished_work_stays_when_a_section_comes_and_goes(run):
    keys = {"model": "PickyModel", "arguments": {"bad": [11]}}
    with pytest.raises(ArithmeticError):
        run(**keys)
    folder = run(**keys, **execution(on_error="record", max_failures=1))
    assert report(folder)["num_resumed"] == len(hyps(folder)) == 11
    for changes in ({}, execution(progress="none"), {}):
        with pytest.raises(ArithmeticError):
            run(**keys, **changes)
        assert report(folder)["num_resumed"] == 11
