from __future__ import annotations

import logging
import traceback

import pytest

from tests.unit.systems.base import toy_inference as toy
from tests.unit.systems.base.toy_inference import IDS, execution, hyps, report


class TestFailures:
    def test_a_failing_sample_of_a_batch_ends_the_stage_with_its_name(self, run, tmp_path):
        with pytest.raises(RuntimeError, match="too hard") as caught:
            run(model="PickyModel", arguments={"bad": [5]}, batch_size=4)
        assert isinstance(caught.value.__cause__, ArithmeticError)
        assert "sample 'u05', item 5" in "\n".join(caught.value.__notes__)
        found = report(tmp_path / "out" / "clean")
        assert [(f["id"], f["kind"]) for f in found["failures"]] == [("u05", "exception")]
        assert "ArithmeticError" in found["failures"][0]["traceback"]

    def test_what_was_done_before_a_failure_is_not_done_again(self, run):
        with pytest.raises(ArithmeticError):
            run(model="PickyModel", arguments={"bad": [9]})
        toy.seen.clear()
        with pytest.raises(ArithmeticError):
            run(model="PickyModel", arguments={"bad": [9]})
        assert toy.seen == []

    @pytest.mark.parametrize("batch_size", [None, 5])
    def test_recorded_failures_leave_the_others_alone(self, run, batch_size):
        folder = run(
            model="PickyModel",
            arguments={"bad": [3, 7]},
            batch_size=batch_size,
            **execution(on_error="record", max_failures=2),
        )
        assert hyps(folder) == [f"{n} h{i}" for i, n in enumerate(IDS) if i not in (3, 7)]
        assert [f["index"] for f in report(folder)["failures"]] == [3, 7]
        assert report(folder)["num_done"] == 10

    @pytest.mark.parametrize("on_error", ["record", "raise"])
    def test_a_sample_that_cannot_be_read_costs_its_batch_no_further_calls(
        self, run, tmp_path, monkeypatch, on_error
    ):
        def read(self, index):
            if index in (2, 5):
                raise OSError("no such recording")
            return original(self, index)

        original = toy.ToyDataset.__getitem__
        monkeypatch.setattr(toy.ToyDataset, "__getitem__", read)
        most = {"max_failures": 2} if on_error == "record" else {}
        keys = {"batch_size": 12, **execution(on_error=on_error, **most)}
        if on_error == "record":
            folder = run(**keys)
            assert len(hyps(folder)) == 10
        else:
            with pytest.raises(OSError, match="no such recording"):
                run(**keys)
            folder = tmp_path / "out" / "clean"
        assert [len(speech) for speech in toy.seen if isinstance(speech, list)] == [10]
        found = report(folder)
        assert [f["index"] for f in found["failures"]] == [2, 5][: 2 if on_error == "record" else 1]
        assert found["num_done"] == 10

    def test_too_many_recorded_failures_end_the_stage(self, run):
        with pytest.raises(RuntimeError, match=r"1 of 12 samples failed.*max_failures"):
            run(model="PickyModel", arguments={"bad": [3]}, **execution(on_error="record"))

    def test_failed_samples_alone_are_tried_again(self, run, monkeypatch):
        changes = execution(on_error="record", max_failures=0.5)
        run(model="PickyModel", arguments={"bad": [3]}, **changes)
        toy.seen.clear()
        original = toy.PickyModel.__init__
        monkeypatch.setattr(
            toy.PickyModel, "__init__", lambda self, device, bad: original(self, device, [])
        )
        folder = run(model="PickyModel", arguments={"bad": [3]}, **changes)
        assert [int(speech[0]) for speech in toy.seen] == [3]
        assert len(hyps(folder)) == 12
        assert report(folder)["num_resumed"] == 11

    def test_a_batch_too_large_for_the_memory_is_split(self, run):
        folder = run(model="PickyModel", arguments={"bad": [], "max_batch": 3}, batch_size=8)
        assert len(hyps(folder)) == 12
        assert report(folder)["batches_out_of_memory"] >= 2
        assert max(len(batch) for batch in toy.seen if isinstance(batch, list)) == 2

    def test_a_sample_that_cannot_be_read_fails_alone(self, run, monkeypatch):
        original = toy.ToyDataset.__getitem__

        def read(self, index):
            if index == 4:
                raise OSError("broken file")
            return original(self, index)

        monkeypatch.setattr(toy.ToyDataset, "__getitem__", read)
        folder = run(batch_size=4, **execution(on_error="record", max_failures=1))
        assert len(hyps(folder)) == 11
        assert "broken file" in report(folder)["failures"][0]["error"]

    def test_a_full_disk_stops_the_stage_and_keeps_what_is_done(self, run, monkeypatch):
        from espnet3.systems.base import inference_writer

        original, calls = inference_writer.write_artifact, []

        def write(*args, **kwargs):
            calls.append(args)
            if len(calls) == 6:
                raise OSError(28, "No space left on device", "x.npy")
            return original(*args, **kwargs)

        monkeypatch.setattr(inference_writer, "write_artifact", write)
        changes = {
            "output_fn": f"{toy.HERE}.build_with_array",
            "output_keys": ["hyp", "vector"],
            **execution(on_error="record", max_failures=12),
        }
        with pytest.raises(OSError, match="No space left"):
            run(**changes)
        toy.seen.clear()
        folder = run(**changes)
        assert len(toy.seen) == 7
        assert len(hyps(folder)) == 12


class TestBatching:
    def test_samples_of_similar_length_share_a_batch_and_lines_keep_their_order(
        self, run, monkeypatch
    ):
        lengths = [3, 9, 1, 7, 5, 2, 8, 4, 6, 10, 12, 11]
        monkeypatch.setattr(toy.ToyDataset, "get_length", lambda self, i: lengths[i], raising=False)
        folder = run(**execution(batching={"mode": "dynamic", "max_cost": 24}))
        sizes = [len(batch) for batch in toy.seen if isinstance(batch, list)]
        assert sizes[0] == 2
        assert hyps(folder) == [f"{n} h{i}" for i, n in enumerate(IDS)]
        assert 0 < report(folder)["padding_waste"] < 0.3

    def test_a_data_set_without_lengths_is_read_once_for_them(self, run, caplog):
        with caplog.at_level(logging.INFO):
            folder = run(**execution(batching={"mode": "dynamic"}))
        assert "Lengths: from reading the samples, 4096 at a time" in caplog.text
        assert len(hyps(folder)) == 12

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            (execution(batching={"mode": "fixed"}), "needs `batch_size`"),
            ({"batch_size": 2, **execution(batching={"mode": "dynamic"})}, "batch_size"),
            (execution(batching={"mod": "dynamic"}), "mode"),
            (execution(prefetch={"depth": 0}), "depth"),
            (execution(on_error="ignore"), "on_error"),
        ],
    )
    def test_wrong_settings_are_found_before_anything_is_built(self, run, changes, text):
        with pytest.raises(ValueError, match=text):
            run(**changes)
        assert not toy.builds


class TestWorkers:
    def test_workers_give_the_files_of_one_process(self, run, workers):
        changes = {
            "output_fn": f"{toy.HERE}.build_many_types",
            "output_artifacts": {"wave": {"type": "wav", "sample_rate": 8000}},
            "output_keys": None,
        }
        here, there = run("here", **changes), run("there", **changes, **workers)
        names = [
            path.relative_to(here)
            for path in here.rglob("*")
            if path.is_file() and ".infer" not in path.parts and path.suffix != ".json"
        ]
        assert len(names) == 2 * 12 + 6
        for name in names:
            expected = (here / name).read_bytes().replace(str(here).encode(), b"")
            assert (there / name).read_bytes().replace(str(there).encode(), b"") == expected
        assert toy.builds["model"] == 1
        assert report(there)["num_workers"] == 2

    def test_random_numbers_do_not_depend_on_who_decodes(self, run, workers):
        here = run("here", model="RandomModel")
        assert len({line.split(" ", 1)[1] for line in hyps(here)}) == 12
        assert hyps(run("there", model="RandomModel", **workers)) == hyps(here)

    def test_an_error_on_a_worker_keeps_its_type_and_brings_its_traceback(
        self, run, workers, tmp_path
    ):
        with pytest.raises(ArithmeticError, match="too hard") as caught:
            run(model="PickyModel", arguments={"bad": [5]}, **workers)
        notes = "\n".join(caught.value.__notes__)
        assert "sample 'u05', item 5 of the test set on worker" in notes
        assert "toy_inference.py" in "".join(traceback.format_exception(caught.value))
        done = report(tmp_path / "out" / "clean")["num_done"]
        with pytest.raises(ArithmeticError):
            run(model="PickyModel", arguments={"bad": [5]}, **workers)
        assert report(tmp_path / "out" / "clean")["num_resumed"] == done > 0

    def test_a_sample_that_kills_workers_is_found_and_named(self, run, workers):
        folder = run(
            model="PickyModel",
            arguments={"bad": [4], "kind": "die"},
            **workers,
            **execution(on_error="record", max_failures=1),
        )
        assert hyps(folder) == [f"{n} h{i}" for i, n in enumerate(IDS) if i != 4]
        (failure,) = report(folder)["failures"]
        assert (failure["index"], failure["kind"]) == (4, "worker_died")
        assert report(folder)["worker_deaths"] >= 4

    def test_a_model_that_cannot_be_built_fails_at_once_with_its_error(self, run, workers):
        with pytest.raises(TypeError, match="nonsense"):
            run(arguments={"nonsense": 1}, **workers)


def test_a_second_driver_is_refused_while_the_first_one_works(run, tmp_path):
    from espnet3.utils.lock_utils import file_lock

    folder = run()
    with (
        file_lock(folder / ".infer" / "lock"),
        pytest.raises(
            RuntimeError, match=r"lock is locked by process .*\n  another run decodes this"
        ),
    ):
        run(batch_size=2)


def test_the_random_numbers_of_the_process_are_left_alone(run):
    import random

    random.seed(3)
    expected = random.random()
    random.seed(3)
    run(model="RandomModel")
    assert random.random() == expected


def test_samples_with_the_same_id_fail_and_are_named(run, tmp_path):
    keys = {
        "ids": ["a", "b", "c", "b", "d"],
        "output_fn": f"{toy.HERE}.build_with_array",
        "output_keys": ["hyp", "vector"],
    }
    with pytest.raises(ValueError, match=r"'b' occurs twice \(item 1 and 3\)"):
        run(**keys)
    clean = tmp_path / "out" / "clean"
    assert not list(clean.glob("*.scp"))
    found = [(f["index"], f["id"], f["kind"]) for f in report(clean)["failures"]]
    assert found == [(1, "b", "duplicate_id"), (3, "b", "duplicate_id")]
    toy.seen.clear()
    run(**keys, **execution(on_error="record", max_failures=2))
    assert [int(speech[0]) for speech in toy.seen] == [1, 3]
    assert hyps(clean) == ["a h0", "c h2", "d h4"]
    assert len(report(clean)["failures"]) == 2


def test_an_id_with_whitespace_fails_alone(run):
    ids = ["a", "b c", "d"]
    folder = run(ids=ids, **execution(on_error="record", max_failures=1))
    assert hyps(folder) == ["a h0", "d h2"]
    (failure,) = report(folder)["failures"]
    assert (failure["index"], failure["id"]) == (1, "b c")
    assert "holds whitespace" in failure["error"]
    with pytest.raises(ValueError, match="holds whitespace"):
        run("other", ids=ids)


def test_a_sample_that_cannot_be_read_has_the_id_that_the_data_set_states(run, monkeypatch, caplog):
    def read(self, index):
        if index == 1:
            raise OSError("no such recording")
        return original(self, index)

    original = toy.ToyDataset.__getitem__
    monkeypatch.setattr(toy.ToyDataset, "__getitem__", read)
    keys = execution(on_error="record", max_failures=1)
    assert report(run("unnamed", **keys))["failures"][0]["id"] is None
    assert "Sample item 1 failed" in caplog.text
    monkeypatch.setattr(toy.ToyDataset, "keys", lambda self: self.ids, raising=False)
    assert report(run(**keys))["failures"][0]["id"] == "u01"
    assert "Sample u01 failed" in caplog.text
