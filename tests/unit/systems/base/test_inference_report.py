from __future__ import annotations

import json
import platform

import pytest
import torch

import espnet3
from espnet3.components.inference import usage
from espnet3.components.inference.usage import ProcessState
from espnet3.systems.base import inference_failures
from espnet3.systems.base.inference_outcome import Outcome
from espnet3.systems.base.inference_report import InferenceReport, find_versions
from tests.unit.systems.base import toy_inference as toy
from tests.unit.systems.base.toy_inference import execution, report

FIELDS = {
    "test_set", "num_samples", "num_done", "num_resumed", "num_failed", "num_retried",
    "seconds", "compute_seconds", "audio_seconds", "rtf", "rtfx", "padding_waste", "batching",
    "max_cost", "split_batches", "num_workers", "workers", "worker_deaths", "batches_out_of_memory",
    "oom_events", "verified", "versions", "parts", "fingerprint", "failures",
}  # fmt: skip


def lines(folder):
    """Return the entries of the list of failures."""
    path = folder / ".infer" / "failures.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_report_has_the_documented_fields(run):
    found = report(run(**execution(sample_rate=4)))
    assert found.keys() == FIELDS
    assert found["num_samples"] == found["num_done"] == 12
    assert found["audio_seconds"] == 12
    assert found["rtf"] == pytest.approx(1 / found["rtfx"])
    assert 0 < found["compute_seconds"] <= found["seconds"]
    assert (found["num_retried"], found["oom_events"]) == (0, [])
    assert found["batching"] == {"mode": "single", "max_batch_size": 1}
    assert len(found["fingerprint"]) == 64


def test_versions_are_those_in_use():
    found = find_versions()
    assert found["espnet3"] == espnet3.__version__
    assert found["python"] == platform.python_version()
    assert found["torch"] == torch.__version__
    assert found["dask"]


def test_the_process_of_the_stage_is_the_only_worker(run):
    (worker,) = report(run())["workers"].items()
    name, found = worker
    assert name == "driver"
    assert (found["samples"], found["failed"], found["device"]) == (12, 0, "cpu")
    assert found["device_name"] == usage.device_name("cpu")
    assert found["peak_memory_bytes"] > 1 << 20
    assert found["peak_device_memory_bytes"] is None
    assert found["max_cost"] is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"batch_size": 5}, {"mode": "fixed", "max_batch_size": 5}),
        (
            execution(batching={"mode": "dynamic", "max_batch_size": 3}),
            {"mode": "dynamic", "max_batch_size": 3},
        ),
    ],
)
def test_limits_of_batches_are_told(run, changes, expected):
    assert report(run(**changes))["batching"] == expected


def test_batches_beyond_the_memory_are_events_and_leave_a_limit(run):
    found = report(run(model="PickyModel", arguments={"bad": [], "max_batch": 3}, batch_size=12))
    assert found["oom_events"][0] == {"worker": "driver", "samples": 12, "cost": 12.0}
    assert found["batches_out_of_memory"] == len(found["oom_events"]) == 3
    assert found["workers"]["driver"]["batches_out_of_memory"] == 3
    assert found["workers"]["driver"]["max_cost"] == pytest.approx(0.8 * 0.8 * 6)
    assert found["num_retried"] == 12


def test_samples_that_shared_a_batch_with_a_culprit_were_retried(run):
    found = report(
        run(
            model="PickyModel",
            arguments={"bad": [5]},
            batch_size=4,
            **execution(on_error="record", max_failures=1),
        )
    )
    assert (found["num_failed"], found["num_retried"]) == (1, 4)
    assert found["workers"]["driver"]["failed"] == 1


def test_a_worker_and_its_successor_are_counted_together():
    counts = InferenceReport(test_set="clean", num_samples=3)
    for peak, device_peak, cost in ((5, 7, None), (4, 9, 3.0)):
        state = ProcessState(
            device="cuda:0",
            device_name="X",
            peak_memory=peak,
            peak_device_memory=device_peak,
            max_cost=cost,
        )
        outcome = Outcome(process=state, worker="0", compute_seconds=0.5, retried={1})
        counts.add(outcome, 1)
    content = counts.content()
    assert content["workers"]["0"] == {
        "samples": 2,
        "failed": 0,
        "compute_seconds": 1.0,
        "batches_out_of_memory": 0,
        "device": "cuda:0",
        "device_name": "X",
        "peak_memory_bytes": 5,
        "peak_device_memory_bytes": 9,
        "max_cost": 3.0,
    }
    assert (content["compute_seconds"], content["num_retried"]) == (1.0, 1)


def test_a_runner_that_takes_all_indices_has_its_time_counted(run):
    folder = run(runner={"_target_": f"{toy.HERE}.ReturnsHalf"})
    assert report(folder)["compute_seconds"] >= 0
    assert report(folder)["workers"]["driver"]["samples"] == 1


class TestFailures:
    @pytest.mark.parametrize("batch_size", [None, 5])
    def test_the_list_is_that_of_the_report(self, run, batch_size):
        folder = run(
            model="PickyModel",
            arguments={"bad": [4, 7]},
            batch_size=batch_size,
            **execution(on_error="record", max_failures=2),
        )
        assert lines(folder) == report(folder)["failures"]
        assert [entry["id"] for entry in lines(folder)] == ["u04", "u07"]

    def test_it_is_on_the_disk_when_the_next_result_comes(self, run, monkeypatch):
        seen = []
        add = inference_failures.FailureList.add

        def look(self, failures):
            add(self, failures)
            seen.append(self.path.is_file() and len(self.path.read_text().splitlines()))

        monkeypatch.setattr(inference_failures.FailureList, "add", look)
        run(
            model="PickyModel",
            arguments={"bad": [0, 7]},
            **execution(on_error="record", max_failures=2),
        )
        assert seen[0] == 1
        assert seen[-1] == 2

    def test_a_run_that_ends_with_its_first_failure_lists_it(self, run, tmp_path):
        with pytest.raises(ArithmeticError):
            run(model="PickyModel", arguments={"bad": [4]})
        folder = tmp_path / "out" / "clean"
        assert lines(folder) == report(folder)["failures"]
        assert len(lines(folder)) == 1

    def test_a_run_without_failures_leaves_no_list(self, run, tmp_path):
        with pytest.raises(ArithmeticError):
            run(model="PickyModel", arguments={"bad": [4]})
        folder = run()
        assert not (folder / ".infer" / "failures.jsonl").exists()
        assert report(folder)["failures"] == []

    def test_neither_list_nor_report_holds_a_secret(self, run, monkeypatch, tmp_path):
        def call(self, speech):
            raise ConnectionError("https://me:pw@example.org?api_token=Abcdef0123456789 refused")

        monkeypatch.setattr(toy.ToyModel, "__call__", call)
        with pytest.raises(ConnectionError):
            run()
        folder = tmp_path / "out" / "clean"
        for path in (folder / ".infer" / "failures.jsonl", folder / "inference_report.json"):
            text = path.read_text()
            assert "https://example.org?api_token=*** refused" in text
            assert "pw@" not in text
            assert "Abcdef" not in text
