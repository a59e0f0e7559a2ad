from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from omegaconf import OmegaConf

from espnet3.parallel import parallel
from espnet3.parallel.parallel import get_parallel_config, set_parallel
from espnet3.systems.base import inference
from espnet3.systems.base.inference import infer
from tests.unit.systems.base import toy_inference as toy


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(parallel, "_registered", None)
    toy.builds.clear()
    toy.seen.clear()


@pytest.fixture
def run(tmp_path):
    """Run the stage with changes to the toy configuration; return the output folder."""

    def run(**changes):
        infer(OmegaConf.create(toy.toy_config(tmp_path / "out", **changes)))
        return tmp_path / "out"

    return run


def test_sets(*sets, **fields):
    return {"_target_": f"{toy.HERE}.ToyOrganizer", "test": list(sets), **fields}


test_sets.__test__ = False


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def scps(folder):
    return sorted(p.name for p in folder.glob("*.scp"))


def output_fn(name):
    return f"{toy.HERE}.{name}"


def test_two_test_sets_are_written_line_by_line(run):
    out = run(
        dataset=test_sets({"name": "clean"}, {"name": "other", "ids": ["x"]}),
        idx_key="idx",
        output_keys=["hyp", "ref"],
    )
    assert lines(out / "clean" / "hyp.scp") == ["0 h0", "1 h1"]
    assert lines(out / "clean" / "ref.scp") == ["0 r0", "1 r1"]
    assert lines(out / "other" / "hyp.scp") == ["0 h0"]
    assert (out / "other" / "hyp.scp").read_text().endswith("\n")


def test_without_output_keys_the_first_record_says_what_is_written(run):
    out = run()
    assert scps(out / "clean") == ["hyp.scp", "idx.scp", "ref.scp"]
    assert lines(out / "clean" / "hyp.scp") == ["a h0", "b h1"]


def test_one_output_key_may_be_a_plain_name(run):
    assert scps(run(output_keys="ref") / "clean") == ["ref.scp"]


def test_without_output_function_the_model_returns_the_record(run, monkeypatch):
    record = {"utt_id": "a", "hyp": "hi"}
    monkeypatch.setattr(toy.ToyModel, "__call__", lambda self, speech: record)
    out = run(output_fn=None, dataset=test_sets({"name": "clean", "ids": ["a"]}))
    assert lines(out / "clean" / "hyp.scp") == ["a hi"]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_batches_give_the_same_files_as_single_samples(run, batch_size):
    ids = ["a", "b", "c", "d", "e"]
    out = run(dataset=test_sets({"name": "clean", "ids": ids}), batch_size=batch_size)
    assert lines(out / "clean" / "hyp.scp") == [f"{n} h{i}" for i, n in enumerate(ids)]
    assert isinstance(toy.seen[0], list)
    assert len(toy.seen[0]) == min(batch_size, 5)


def test_values_that_no_line_holds_become_files(run):
    out = run(
        output_fn=output_fn("build_many_types"),
        output_artifacts={"wave": {"type": "wav", "sample_rate": 8000}},
    )
    clean = out / "clean"
    assert lines(clean / "score.scp") == ["a 1.5", "b 1.5"]
    assert lines(clean / "flag.scp")[0] == "a True"
    assert lines(clean / "wave.scp")[0] == f"a {clean.as_posix()}/wave/a.wav"
    assert soundfile.info(clean / "wave" / "a.wav").samplerate == 8000
    assert np.load(clean / "posterior" / "b.npy").shape == (2, 3)
    assert json.loads((clean / "info" / "a.json").read_text()) == {"größe": [1, 2]}


def test_a_custom_writer_gets_its_option_and_its_path_is_in_the_scp(run):
    writer = {"_target_": f"{toy.HERE}.write_lines", "ending": ".keys"}
    out = run(
        output_fn=output_fn("build_many_types"),
        output_keys="info",
        output_artifacts={"info": {"writer": writer}},
    )
    path = out / "clean" / "info" / "a.keys"
    assert lines(out / "clean" / "info.scp")[0] == f"a {path.as_posix()}"
    assert path.read_text() == "größe"


def test_a_tensor_on_a_device_is_rejected_with_the_advice_to_move_it(run):
    with pytest.raises(ValueError, match=r"on meta cannot be written. Move the tensor to CPU"):
        run(output_fn=output_fn("build_elsewhere"))


def test_line_breaks_in_a_value_become_one_space(run, caplog):
    out = run(output_fn=output_fn("build_lines"))
    assert lines(out / "clean" / "hyp.scp") == ["a one two three", "b one two three"]
    assert "2 values had line breaks" in caplog.text


def test_a_list_of_records_for_one_sample_is_spread(run):
    out = run(output_fn=output_fn("build_two"))
    assert lines(out / "clean" / "hyp.scp") == ["a-0 0", "a-1 1", "b-0 0", "b-1 1"]


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("build_list", TypeError, "Top-level list outputs are not supported.*'hyp'.*'a'"),
        ("build_none", ValueError, "'hyp' of sample 'a' is None"),
        ("build_without_id", ValueError, "sample identifier key"),
        ("build_only_id", RuntimeError, "nothing but its id"),
    ],
)
def test_records_that_cannot_be_written_stop_the_stage(run, tmp_path, name, error, text):
    with pytest.raises(error, match=text):
        run(output_fn=output_fn(name))
    assert scps(tmp_path / "out" / "clean") == []


def test_fields_that_are_not_selected_may_be_anything(run):
    out = run(output_fn=output_fn("build_list"), output_keys="ref")
    assert lines(out / "clean" / "ref.scp") == ["a b", "b b"]


def test_a_selected_field_that_is_missing_is_named(run):
    with pytest.raises(ValueError, match="sample 'a' lacks score"):
        run(output_keys=["hyp", "score"])


@pytest.mark.parametrize("ids", [["a", "a"], ["a b"], [""]])
def test_ids_that_would_spoil_the_files_are_refused(run, tmp_path, ids):
    with pytest.raises(ValueError, match="sample id"):
        run(dataset=test_sets({"name": "clean", "ids": ids}))
    assert scps(tmp_path / "out" / "clean") == []


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"input_key": None}, RuntimeError, r"inference_config\.input_key"),
        ({"input_key": []}, RuntimeError, "must not be empty"),
        ({"output_keys": []}, RuntimeError, "must not be empty"),
        ({"provider": None}, RuntimeError, r"inference_config\.provider must be set"),
        ({"runner": None}, RuntimeError, r"inference_config\.runner must be set"),
        ({"dataset": None}, AssertionError, "at least one test set"),
        ({"dataset": test_sets({"ids": []})}, RuntimeError, r"\[0\].*must define non-empty `name`"),
        ({"dataset": test_sets({"name": "a"}, {"name": "a"})}, AssertionError, "share a name: a"),
        ({"dataset": test_sets({"name": "../a"})}, ValueError, "folder"),
        ({"output_fn": "toys.build"}, ValueError, "output_fn"),
        ({"output_fn": output_fn("ToyModel")}, ValueError, "keywords data, model_output, idx"),
        (
            {"model": {"weights": "exp/none/last.pth"}},
            RuntimeError,
            r"model\.weights.*no such file",
        ),
        ({"contract": {"inputs": {}}}, ValueError, "contract.*later version.*with `output_fn`"),
        ({"contract": {}, "output_fn": None}, ValueError, "contract.*is reserved"),
        ({"runner": {"_target_": "x", "resume": "never"}}, ValueError, "auto, true or false"),
        ({"output_artifacts": {"x": {"writer": {"_target_": "toys.x"}}}}, ValueError, "x.writer"),
    ],
)
def test_mistakes_are_found_before_anything_is_built(run, tmp_path, changes, error, text):
    with pytest.raises(error, match=text):
        run(**changes)
    assert not toy.builds
    assert not (tmp_path / "out").exists()


def test_params_that_the_provider_builds_itself_cannot_be_given(run):
    provider = {**toy.toy_config("")["provider"], "params": {"model": 1}}
    with pytest.raises(ValueError, match=r"provider\.params.*'model'"):
        run(provider=provider)


def test_an_empty_test_set_is_named(run):
    with pytest.raises(RuntimeError, match="'clean' is empty"):
        run(dataset=test_sets({"name": "clean", "ids": []}))
    assert toy.builds["model"] == 0


def test_a_runner_without_the_attributes_is_refused(run):
    with pytest.raises(TypeError, match="must provide inference runner attributes"):
        run(runner={"_target_": f"{toy.HERE}.NoRunner"})


def test_a_runner_that_returns_none_is_refused(run):
    with pytest.raises(RuntimeError, match="Async inference is not supported"):
        run(runner={"_target_": f"{toy.HERE}.ReturnsNothing"})


def test_a_runner_that_leaves_samples_out_is_reported_and_recorded(run, caplog):
    out = run(runner={"_target_": f"{toy.HERE}.ReturnsHalf"})
    assert "Only 1 of 2 samples" in caplog.text
    done = json.loads((out / "clean" / ".infer" / "done.json").read_text())
    assert (done["num_samples"], done["num_records"]) == (2, 1)


def test_provider_params_reach_forward(run):
    config = toy.toy_config("")
    out = run(
        provider={**config["provider"], "params": {"flip": True}},
        runner={"_target_": f"{toy.HERE}.FlippingRunner"},
    )
    assert lines(out / "clean" / "hyp.scp") == ["a 0h", "b 1h"]


def test_params_are_those_of_the_config_and_what_forward_needs(run, monkeypatch):
    caught = {}
    original = toy.InferenceProvider.__init__

    def spy(self, inference_config=None, params=None):
        caught.update(config=inference_config, params=params)
        original(self, inference_config=inference_config, params=params)

    monkeypatch.setattr(toy.InferenceProvider, "__init__", spy)
    config = toy.toy_config("")
    run(provider={**config["provider"], "params": {"beam": 3}})
    assert caught["params"] == {
        "beam": 3,
        "input_key": "speech",
        "output_fn_path": output_fn("build_output"),
    }
    assert caught["config"].test_set == "clean"


def test_build_methods_may_be_ordinary_methods(run):
    out = run(
        provider={"_target_": f"{toy.HERE}.InstanceProvider", "params": {"prefix": "p"}},
    )
    assert lines(out / "clean" / "hyp.scp") == ["a p0", "b p1"]


def test_data_set_and_model_are_built_once_per_test_set(run):
    run()
    assert toy.builds == {"dataset": 1, "model": 1}


def test_the_configured_parallel_block_is_registered_and_the_previous_one_restored(
    run, monkeypatch
):
    set_parallel(OmegaConf.create({"env": "slurm", "n_workers": 4}))
    registered = []
    monkeypatch.setattr(
        inference, "set_parallel", lambda block: (registered.append(block), set_parallel(block))
    )
    run(parallel={"env": "local", "n_workers": 1})
    assert registered == [{"env": "local", "n_workers": 1}]
    assert get_parallel_config().env == "slurm"


def test_the_callers_config_is_unchanged(tmp_path):
    config = OmegaConf.create(toy.toy_config(tmp_path))
    OmegaConf.set_readonly(config, True)
    before = config.copy()
    infer(config)
    assert config == before


def test_an_error_of_the_model_keeps_its_type_and_says_where(run):
    with pytest.raises(ArithmeticError, match="too hard") as caught:
        run(model={"_target_": f"{toy.HERE}.FailingModel"})
    notes = "\n".join(caught.value.__notes__)
    assert "item 0" in notes
    assert "'clean'" in notes


def test_a_missing_input_names_what_the_sample_has(run):
    with pytest.raises(KeyError, match="Input key 'audio'.*speech"):
        run(input_key="audio")


@pytest.mark.parametrize("place", ["sample", "data set"])
def test_speed_is_logged_with_the_real_time_factor_where_the_rate_is_known(
    run, caplog, place, monkeypatch
):
    fields = {"sample_rate": 8} if place == "sample" else {}
    if place == "data set":
        monkeypatch.setattr(toy.ToyDataset, "fs", 8, raising=False)
    with caplog.at_level(logging.INFO):
        run(dataset=test_sets({"name": "clean"}, **fields))
    assert "samples=2" in caplog.text
    assert "audio_seconds=1.0 RTF=" in caplog.text


class TestSecondRun:
    def test_an_equal_finished_run_is_left_alone_without_loading_the_model(self, run, caplog):
        out = run()
        before = (out / "clean" / "hyp.scp").stat().st_mtime_ns
        toy.builds.clear()
        with caplog.at_level(logging.INFO):
            run()
        assert toy.builds["model"] == 0
        assert (out / "clean" / "hyp.scp").stat().st_mtime_ns == before
        assert "up to date" in caplog.text

    def test_where_it_runs_makes_no_difference(self, run):
        run()
        toy.builds.clear()
        run(parallel=None, device="", local_rank=0)
        assert toy.builds["model"] == 0

    def test_resume_false_decodes_again(self, run):
        run()
        toy.builds.clear()
        run(runner={**toy.toy_config("")["runner"], "resume": False})
        assert toy.builds["model"] == 1
        run()
        assert toy.builds["model"] == 1

    @pytest.mark.parametrize(
        ("changes", "part"),
        [
            ({"model": {"_target_": f"{toy.HERE}.ToyModel", "prefix": "x"}}, "config.model"),
            ({"batch_size": 2}, "config.batch_size"),
            ({"dataset": test_sets({"name": "clean", "ids": ["a"]})}, "data.length"),
        ],
    )
    def test_another_setting_decodes_again_and_is_named(self, run, caplog, changes, part):
        run()
        toy.builds.clear()
        with caplog.at_level(logging.INFO):
            run(**changes)
        assert toy.builds["model"] == 1
        assert part in caplog.text

    def test_other_weights_or_data_decode_again(self, run, tmp_path, caplog):
        weights, manifest = tmp_path / "w.pth", tmp_path / "data" / "manifest" / "test.tsv"
        manifest.parent.mkdir(parents=True)
        changes = {
            "model": {"_target_": f"{toy.HERE}.ToyModel", "prefix": str(weights)},
            "data_dir": str(tmp_path / "data"),
        }
        for path in (weights, manifest):
            path.write_text("old")
        run(**changes)
        for path in (weights, manifest):
            path.write_text("newer")
            toy.builds.clear()
            caplog.clear()
            with caplog.at_level(logging.INFO):
                run(**changes)
            assert toy.builds["model"] == 1
            assert path.name in caplog.text

    @pytest.mark.parametrize("damage", [Path.unlink, lambda p: p.write_text("a x\n")])
    def test_outputs_that_are_gone_or_edited_are_made_again(self, run, damage):
        out = run()
        damage(out / "clean" / "hyp.scp")
        run()
        assert lines(out / "clean" / "hyp.scp") == ["a h0", "b h1"]

    def test_files_that_are_gone_are_made_again(self, run):
        changes = {"output_fn": output_fn("build_many_types")}
        out = run(**changes)
        (out / "clean" / "info" / "b.json").unlink()
        run(**changes)
        assert (out / "clean" / "info" / "b.json").is_file()

    def test_stale_files_of_ours_are_removed_and_foreign_ones_kept(self, run):
        out = run()
        (out / "clean" / "human.scp").write_text("a x\n")
        run(output_keys=["hyp"])
        assert scps(out / "clean") == ["human.scp", "hyp.scp"]

    def test_a_failed_run_keeps_the_old_files_but_not_their_validity(self, run):
        out = run()
        with pytest.raises(ArithmeticError):
            run(model={"_target_": f"{toy.HERE}.FailingModel"})
        assert lines(out / "clean" / "hyp.scp") == ["a h0", "b h1"]
        assert not (out / "clean" / ".infer" / "done.json").exists()
        assert not (out / "clean" / ".infer" / "partial").exists()


def test_a_killed_run_leaves_no_half_files_and_the_next_one_is_clean(run, tmp_path):
    config = toy.toy_config(tmp_path / "out", model={"_target_": f"{toy.HERE}.DyingModel"})
    code = (
        "import sys, json; from omegaconf import OmegaConf;"
        "from espnet3.systems.base.inference import infer;"
        "infer(OmegaConf.create(json.loads(sys.argv[1])))"
    )
    root = Path(__file__).parents[4]
    process = subprocess.run(
        [sys.executable, "-c", code, json.dumps(config)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    clean = tmp_path / "out" / "clean"
    assert scps(clean) == []
    run()
    assert lines(clean / "hyp.scp") == ["a h0", "b h1"]
    state = sorted(p.name for p in (clean / ".infer").iterdir())
    assert state == ["done.json", "lock", "owned.json"]


def test_the_stage_module_imports_nothing_heavy():
    code = (
        "import sys, espnet3.systems.base.inference, espnet3.systems.base.metric;"
        "heavy = {'torch', 'numpy', 'hydra', 'lightning', 'dask', 'soundfile', 'rapidfuzz'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    root = Path(__file__).parents[4]
    process = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
