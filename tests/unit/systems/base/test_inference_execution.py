"""Each key of the ``execution`` section has the effect that it promises."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from espnet3.components.inference import capacity, model_mode
from espnet3.errors import InferenceError
from espnet3.parallel.status import find_progress
from espnet3.systems.base import inference_job
from espnet3.systems.base.inference_state import FinishedRun
from espnet3.utils.stop_signals import received_signal
from tests.unit.systems.base import toy_inference as toy
from tests.unit.systems.base.toy_inference import IDS, execution, hyps, report


class TestPartOfATestSet:
    def test_limit_decodes_the_first_samples_and_says_that_more_exist(self, run, caplog):
        folder = run(**execution(limit=3))
        assert hyps(folder) == ["u00 h0", "u01 h1", "u02 h2"]
        assert FinishedRun.load(folder).num_samples == 12
        assert "Only 3 of 12" in caplog.text
        assert len(hyps(run())) == 12

    def test_the_whole_set_after_a_limit_decodes_only_the_rest(self, run, caplog):
        whole = hyps(run("undisturbed"))
        folder = run(**execution(limit=5))
        assert str(next(find_progress(folder))) == (
            "clean  5/12   41 %  done up to execution.limit, 7 left"
        )
        for settings, decoded in [({}, 7), ({"limit": 3}, 0), ({}, 0)]:
            toy.seen.clear()
            assert hyps(run(**execution(**settings))) == whole
            assert len(toy.seen) == decoded
        assert str(next(find_progress(folder))) == "clean  12/12  100 %  done"

    def test_a_limit_after_an_interrupted_run_takes_what_is_there(self, run):
        keys = {"model": "PickyModel", "arguments": {"bad": [11]}}
        with pytest.raises(ArithmeticError):
            run(**keys)
        folder = run(**keys, **execution(limit=2))
        assert hyps(folder) == ["u00 h0", "u01 h1"]
        assert report(folder)["num_resumed"] == 2

    def test_a_limit_beyond_the_end_is_the_end(self, run):
        assert len(hyps(run(**execution(limit=99)))) == 12

    @pytest.mark.parametrize("batch_size", [None, 4])
    def test_a_dry_run_shows_a_record_and_writes_nothing(self, run, tmp_path, caplog, batch_size):
        with caplog.at_level(logging.INFO):
            run(batch_size=batch_size, **execution(dry_run=True))
        assert toy.seen
        assert "device=cpu" in caplog.text
        assert "speech: float32 (4,)" in caplog.text
        assert "record: {utt_id: 'u00', hyp: 'h0'" in caplog.text
        assert not list(tmp_path.rglob("*.scp"))
        assert not list(tmp_path.rglob("*.jsonl"))

    def test_a_dry_run_raises_what_decoding_would(self, run):
        with pytest.raises(ArithmeticError, match="too hard"):
            run(model="FailingModel", **execution(dry_run=True))


class TestVerify:
    def test_a_result_that_depends_on_the_batch_is_found(self, run, caplog):
        folder = run(model="SocialModel", batch_size=4, **execution(verify=5))
        found = report(folder)["verified"]
        assert found["samples"] == 5
        assert len(found["differences"]) == 5
        first = found["differences"][0]
        assert (first["field"], first["first"].split(" of ")[1]) == ("hyp", "4")
        assert first["alone"].endswith(" of 1")
        assert "5 of 5 values differ" in caplog.text

    def test_arrays_of_a_correct_model_are_the_same(self, run):
        folder = run(
            batch_size=None,
            output_fn=f"{toy.HERE}.build_with_array",
            output_keys=["hyp", "vector"],
            **execution(verify=99),
        )
        assert report(folder)["verified"] == {"samples": 12, "differences": []}
        assert not (folder / ".infer" / "verify").exists()
        assert len(list((folder / "vector").iterdir())) == 12


def test_an_output_of_none_is_an_error_unless_it_is_allowed(run):
    changes = {"output_fn": f"{toy.HERE}.build_maybe"}
    with pytest.raises(ValueError, match=r"'u01' is None.*allow_none"):
        run(**changes)
    folder = run(**changes, **execution(allow_none=True))
    assert hyps(folder)[:3] == ["u00 h0", "u01 ", "u02 h2"]


def test_the_sample_rate_gives_the_real_time_factor(run):
    assert report(run())["rtf"] is None
    folder = run("rated", **execution(sample_rate=8000))
    assert report(folder)["audio_seconds"] == pytest.approx(12 * 4 / 8000)
    assert report(folder)["rtf"] > 0


class TestProgress:
    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch):
        monkeypatch.setattr("espnet3.systems.base.inference_progress._LOG_EVERY", 0.0)
        monkeypatch.delenv("ESPNET3_PROGRESS", raising=False)

    @pytest.mark.parametrize(
        ("style", "variable", "has_lines", "has_bar"),
        [
            ("auto", None, True, False),
            ("log", None, True, False),
            ("none", None, False, False),
            ("bar", None, False, True),
            ("bar", "none", False, False),
            ("none", "log", True, False),
        ],
    )
    def test_progress_is_shown_as_asked(
        self, run, caplog, capsys, monkeypatch, style, variable, has_lines, has_bar
    ):
        if variable:
            monkeypatch.setenv("ESPNET3_PROGRESS", variable)
        with caplog.at_level(logging.INFO):
            run(**execution(progress=style, sample_rate=8000))
        assert ("12/12 100% |" in caplog.text) == has_lines
        assert ("ETA 0:00:00" in caplog.text) == has_lines
        assert ("clean" in capsys.readouterr().err) == has_bar

    def test_a_wrong_variable_is_named(self, run, monkeypatch):
        monkeypatch.setenv("ESPNET3_PROGRESS", "loud")
        with pytest.raises(ValueError, match=r"ESPNET3_PROGRESS.*auto, bar, log, none"):
            run()


class TestModelMode:
    @pytest.mark.parametrize(
        ("settings", "state"),
        [
            ({}, "True False"),
            ({"inference_mode": False}, "False False"),
            ({"precision": "bf16"}, "True True"),
        ],
    )
    def test_the_model_is_called_in_the_asked_mode(self, run, settings, state):
        assert hyps(run(model="StateModel", **execution(**settings)))[0] == f"u00 {state}"

    def test_a_device_that_cannot_compute_in_bf16_is_refused_at_the_start(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
        with pytest.raises(ValueError, match=r"execution\.precision"):
            model_mode._autocast_dtype("bf16", "cuda")

    def test_the_device_is_that_of_the_model_or_of_its_weights(self):
        assert model_mode.find_device(toy.BigModel("cuda:1")) == "cuda"
        assert model_mode.find_device(torch.nn.Linear(1, 1, device="meta")) == "meta"
        assert model_mode.find_device(len) == "cpu"

    def test_modules_of_the_model_are_compiled(self, run):
        graphs = []

        def backend(graph, inputs):
            graphs.append(graph)
            return graph.forward

        torch._dynamo.reset()
        torch._dynamo.register_backend(backend, name="counts_graphs")
        folder = run(model="Compiled", **execution(compile={"backend": "counts_graphs"}))
        assert len(graphs) == 1
        assert len(hyps(folder)) == 12

    def test_a_model_that_cannot_be_compiled_runs_uncompiled_with_one_warning(self, run, caplog):
        def backend(graph, inputs):
            raise ArithmeticError("no such thing")

        torch._dynamo.reset()
        torch._dynamo.register_backend(backend, name="always_fails")
        folder = run(model="Compiled", **execution(compile={"backend": "always_fails"}))
        assert len(hyps(folder)) == 12
        assert caplog.text.count("runs uncompiled") == 1

    def test_a_model_without_modules_cannot_be_compiled(self, run, caplog):
        assert len(hyps(run(**execution(compile=True)))) == 12
        assert "no torch module" in caplog.text


class TestMemory:
    def test_without_backoff_all_samples_of_the_batch_fail(self, run):
        folder = run(
            model="PickyModel",
            arguments={"bad": [], "max_batch": 4},
            batch_size=8,
            **execution(oom={"backoff": False}, on_error="record", max_failures=12),
        )
        assert hyps(folder) == [f"u{i:02d} h{i}" for i in range(8, 12)]
        assert {f["kind"] for f in report(folder)["failures"]} == {"oom"}

    def test_what_does_not_fit_alone_is_decoded_on_the_cpu_by_a_second_model(self, run):
        settings = {"oom": {"cpu_fallback": True}}
        folder = run(model="BigModel", device="gpu", batch_size=4, **execution(**settings))
        assert hyps(folder) == [f"{n} h{i}" for i, n in enumerate(IDS)]
        assert toy.builds["model"] == 2
        assert report(folder)["batches_out_of_memory"] >= 3

    def test_without_the_fallback_it_fails_as_out_of_memory(self, run):
        changes = execution(on_error="record", max_failures=3)
        folder = run(model="BigModel", device="gpu", **changes)
        failures = report(folder)["failures"]
        assert [(f["index"], f["kind"], f["device"]) for f in failures] == [
            (9, "oom", "gpu"),
            (10, "oom", "gpu"),
            (11, "oom", "gpu"),
        ]

    def test_pinned_memory_needs_cuda(self, run):
        with pytest.raises(ValueError, match=r"prefetch\.pin_memory.*only CUDA"):
            run(**execution(prefetch={"pin_memory": True}))


class Trap:
    """Leaves a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def spread_lengths(monkeypatch, length_of):
    """Give samples as many tokens as asked; return the list of the indices that are read."""
    reads = []
    original = toy.ToyDataset.__getitem__

    def read(dataset, index):
        reads.append(index)
        return {**original(dataset, index), "tokens": list(range(length_of(index)))}

    monkeypatch.setattr(toy.ToyDataset, "__getitem__", read)
    return reads


class TestLengths:
    @pytest.fixture(autouse=True)
    def samples_of_different_length(self, monkeypatch):
        self.reads = spread_lengths(monkeypatch, lambda index: 1 + index % 4)

    def sizes(self):
        return [len(batch) for batch in toy.seen if isinstance(batch, list)]

    def test_the_length_key_says_which_field_counts(self, run):
        batching = {"mode": "dynamic", "max_cost": 4, "length_key": "tokens"}
        run(**execution(batching=batching))
        assert sorted(self.sizes()) == [1] * 6 + [2] * 3

    def test_lengths_are_read_once_and_kept_for_the_next_run(self, run, caplog):
        batching = {"mode": "dynamic", "max_cost": 8}
        folder = run(**execution(batching=batching))
        assert len(self.reads) == 12
        assert (folder / ".infer" / "lengths.npy").is_file()
        self.reads.clear()
        run(**execution(batching={**batching, "max_cost": 12}))
        assert len(self.reads) == 12
        self.reads.clear()
        run(**execution(batching={**batching, "length_key": "tokens"}))
        assert len(self.reads) == 12

    def test_a_sample_without_readable_length_fails_alone(self, run, monkeypatch, caplog):
        original = toy.ToyDataset.__getitem__

        def read(dataset, index):
            if index == 4:
                raise OSError("broken file")
            return original(dataset, index)

        monkeypatch.setattr(toy.ToyDataset, "__getitem__", read)
        batching = {"mode": "dynamic", "max_cost": 12, "length_key": "tokens"}
        with caplog.at_level(logging.WARNING):
            folder = run(**execution(batching=batching, on_error="record", max_failures=1))
        assert len(hyps(folder)) == 11
        assert [f["index"] for f in report(folder)["failures"]] == [4]
        assert "1 samples have no readable length" in caplog.text
        assert np.load(folder / ".infer" / "lengths.npy")[4] == 4

    def test_a_length_key_that_no_sample_has_is_named(self, run):
        batching = {"mode": "dynamic", "length_key": "tokns"}
        with pytest.raises(KeyError, match="tokns") as caught:
            run(**execution(batching=batching))
        assert "execution.batching.length_key" in "".join(caught.value.__notes__)

    def test_kept_lengths_that_hold_objects_are_never_unpickled(self, run, tmp_path):
        batching = {"mode": "dynamic", "max_cost": 8, "length_key": "tokens"}
        folder = run(**execution(batching=batching))
        trap = np.array([Trap(tmp_path / "sprung")] * 12, dtype=object)
        np.save(folder / ".infer" / "lengths.npy", trap, allow_pickle=True)
        run(
            runner={**toy.toy_config("")["runner"], "resume": False}, **execution(batching=batching)
        )
        assert not (tmp_path / "sprung").exists()
        assert len(hyps(folder)) == 12

    def test_an_attribute_with_lengths_is_enough(self, run, monkeypatch):
        monkeypatch.setattr(toy.ToyDataset, "lengths", [9.0] + [1.0] * 11, raising=False)
        run(**execution(batching={"mode": "dynamic", "max_cost": 11}))
        assert self.sizes() == [1, 11]
        assert len(self.reads) == 12


class TestWindows:
    """Lengths that only reading tells; five samples at a time."""

    batching: ClassVar = {"mode": "dynamic", "max_cost": 9, "length_key": "tokens", "window": 5}

    @pytest.fixture(autouse=True)
    def samples_of_different_length(self, monkeypatch):
        self.reads = spread_lengths(monkeypatch, lambda index: 1 + index * 7 % 5)

    def batches(self):
        lists = [batch for batch in toy.seen if isinstance(batch, list)]
        toy.seen.clear()
        return [[int(speech[0]) for speech in batch] for batch in lists]

    @pytest.mark.parametrize("prefetch", [{}, {"num_workers": 0}, {"num_workers": 3}])
    def test_samples_are_sorted_within_a_window_and_read_once(self, run, caplog, prefetch):
        with caplog.at_level(logging.INFO):
            folder = run(**execution(batching=self.batching, prefetch=prefetch))
        batches = self.batches()
        assert batches == [[2], [4, 1], [3, 0], [7], [9, 6], [8, 5], [11, 10]]
        assert sorted(self.reads) == list(range(12))
        assert hyps(folder) == [f"{n} h{i}" for i, n in enumerate(IDS)]
        assert "Lengths: from reading the samples, 5 at a time" in caplog.text
        assert report(folder)["padding_waste"] > 0

    def test_what_follows_an_interruption_has_the_batches_of_an_undisturbed_run(
        self, run, monkeypatch
    ):
        settings = {"model": "SocialModel", **execution(batching=self.batching)}
        whole = hyps(run("undisturbed", **settings))
        original = toy.SocialModel.__call__

        def call(model, speech):
            if 8 in (item[0] for item in speech):
                raise ArithmeticError("for a while")
            return original(model, speech)

        with monkeypatch.context() as patch, pytest.raises(InferenceError, match="for a while"):
            patch.setattr(toy.SocialModel, "__call__", call)
            run(**settings)
        self.reads.clear()
        assert hyps(run(**settings)) == whole
        assert sorted(self.reads) == list(range(5, 12)), "the first window is done"

    def test_the_next_run_has_the_same_batches_and_needs_no_reading_ahead(self, run, caplog):
        settings = execution(batching=self.batching)
        folder = run(**settings)
        first = self.batches()
        np.testing.assert_array_equal(
            np.load(folder / ".infer" / "lengths.npy"), [1 + i * 7 % 5 for i in range(12)]
        )
        resume = {**toy.toy_config("")["runner"], "resume": False}
        with caplog.at_level(logging.INFO):
            run(runner=resume, **settings)
        assert self.batches() == first
        assert "lengths.npy (reading the samples)" in caplog.text

    def test_a_window_of_no_samples_is_refused(self, run):
        with pytest.raises(ValueError, match="window"):
            run(**execution(batching={"mode": "dynamic", "window": 0}))

    def test_workers_get_the_batches_of_one_process(self, run, workers):
        settings = execution(batching={**self.batching, "length_key": "text"})
        one = hyps(run("one", model="SocialModel", **settings))
        assert hyps(run("two", model="SocialModel", **settings, **workers)) == one
        assert any(line.endswith("of 4") for line in one)


class TestLoaderProcesses:
    keys: ClassVar = {
        "organizer": "tests.unit.systems.base.toy_pids.PidOrganizer",
        "output_fn": f"{toy.HERE}.build_pid",
    }
    settings: ClassVar = {"prefetch": {"mode": "process", "num_workers": 2}}

    def test_samples_are_read_in_other_processes_which_end_with_the_stage(self, run):
        batching = {"mode": "dynamic", "max_cost": 12, "window": 5}
        folder = run(**self.keys, **execution(batching=batching, **self.settings))
        pids = {int(line.split()[1]) for line in hyps(folder)}
        parents = {int(line.split()[2]) for line in hyps(folder)}
        assert (len(pids), parents) == (2, {os.getpid()})
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)

    def test_a_sample_that_fails_or_kills_its_loader_fails_alone(self, run):
        settings = execution(on_error="record", max_failures=2, **self.settings)
        folder = run(bad=[4], deadly=[7], batch_size=4, **self.keys, **settings)
        broken, deadly = report(folder)["failures"]
        assert (broken["index"], deadly["index"]) == (4, 7)
        assert "broken file 4" in broken["error"]
        assert "in a loader process" in broken["traceback"]
        assert "__getitem__" in broken["traceback"]
        assert "died while reading item 7, the last with SIGKILL" in deadly["error"]
        assert len(hyps(folder)) == 10

    def test_workers_have_loaders_of_their_own(self, run, workers):
        settings = execution(on_error="record", max_failures=1, **self.settings)
        folder = run(bad=[4], **self.keys, **workers, **settings)
        (failure,) = report(folder)["failures"]
        assert "in a loader process" in failure["traceback"]
        parents = {int(line.split()[2]) for line in hyps(folder)}
        assert 1 <= len(parents) <= 2
        assert os.getpid() not in parents


class FakeMemory:
    """Room for five samples."""

    def __init__(self):
        self.calls = 0

    def free(self):
        return 5000

    def peak(self, call):
        self.calls += 1
        before = len(toy.seen)
        call()
        return 800 * len(toy.seen[before])


def test_without_a_limit_the_batch_size_is_what_fits_and_the_trial_is_made_once(run, monkeypatch):
    memory = FakeMemory()
    monkeypatch.setattr("espnet3.systems.base.inference_engine.memory_of", lambda device: memory)
    batching = {"mode": "dynamic"}
    folder = run(**execution(batching=batching))
    assert report(folder)["max_cost"] == 5 * 4
    assert len(hyps(folder)) == 12
    calls = memory.calls
    assert calls == 3
    run(runner={**toy.toy_config("")["runner"], "resume": False}, **execution(batching=batching))
    assert memory.calls == calls


def test_ctrl_c_before_the_trial_ends_the_stage_in_order(run, workers, monkeypatch):
    from espnet3.systems.base import inference_workers

    monkeypatch.setattr(
        inference_workers, "register_env", lambda *a: signal.raise_signal(signal.SIGINT)
    )
    with pytest.raises(KeyboardInterrupt):
        run(**workers, **execution(batching={"mode": "dynamic"}))
    assert not toy.builds["model"]
    monkeypatch.undo()
    assert received_signal() is None


@pytest.mark.parametrize(("settings", "times"), [({}, 0), ({"cpu_affinity": True}, 1)])
def test_a_process_is_pinned_to_cores_only_when_asked(run, monkeypatch, settings, times):
    pinned = []
    monkeypatch.setattr(inference_job, "pin_to_device", pinned.append)
    run(**execution(**settings))
    assert [type(model).__name__ for model in pinned] == ["ToyModel"] * times


def test_only_cuda_tells_its_memory():
    assert capacity.memory_of("cpu") is None
    assert isinstance(capacity.memory_of("cuda"), capacity.CudaMemory)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (execution(limt=1), "limit"),
        (execution(oom={"back_off": True}), "backoff"),
        (execution(prefetch={"pin_memry": True}), "pin_memory"),
        (execution(batching={"lenght_key": "text"}), "length_key"),
        (execution(limit=0), "must be positive"),
        (execution(batch_timeout=-1), "must be positive"),
        (execution(retries=-1), "must not be negative"),
        (execution(progress="loud"), "auto, bar, log, none"),
        (execution(workers_per_device=2), "needs `parallel.env: local_gpu`"),
        (execution(batch_timeout=5), "needs workers"),
    ],
)
def test_wrong_keys_and_values_are_found_before_anything_is_built(run, changes, text):
    with pytest.raises(ValueError, match=text):
        run(**changes)
    assert not toy.builds


HANGS = """
import sys, time
from pathlib import Path
from espnet3.components.inference.batching import Batch
from espnet3.components.inference.settings import ExecutionSettings
from espnet3.systems.base.inference_engine import DecodeEngine
from espnet3.systems.base.inference_writer import RecordWriter

def hang(place, idx):
    if place == sys.argv[1]:
        time.sleep(60 * idx)

class Dataset:
    def __getitem__(self, idx):
        hang("read", idx)

class Text(str):
    def __str__(self):
        hang("write", int(self))
        return "a"

def forward(idx, dataset, model):
    hang("call", idx)
    return {"id": idx, "hyp": Text(idx)}

engine = DecodeEngine(
    forward,
    {"dataset": Dataset(), "model": None},
    writer=RecordWriter(Path("."), idx_key="id"),
    settings=ExecutionSettings(batch_timeout=0.5),
)
for outcome in engine.run_into(Path("."), [], [Batch((i,), False) for i in (0, 1)]):
    print("done", outcome.samples[0].position, flush=True)
"""


@pytest.mark.parametrize("place", ["read", "call", "write"])
def test_a_batch_that_hangs_ends_its_process_and_shows_where(tmp_path, place):
    # To the pool this is a death like any other: the worker is replaced, the batch isolated.
    done = subprocess.run(
        [sys.executable, "-c", HANGS, place],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
        timeout=50,
    )
    assert (done.returncode, done.stdout) == (1, "done 0\n")
    assert "in hang" in done.stderr


class TestWorkers:
    def test_samples_are_verified_and_limits_tried_out_on_workers(self, run, workers):
        folder = run(
            model="SocialModel",
            **workers,
            **execution(verify=2, batching={"mode": "dynamic"}),
        )
        assert report(folder)["max_cost"] == 20 * 4
        done = report(folder)["workers"]
        assert done.keys() <= {"0", "1"}
        assert sum(worker["samples"] for worker in done.values()) == 12
        assert all(worker["device_name"] for worker in done.values())
        assert len(report(folder)["verified"]["differences"]) == 2
