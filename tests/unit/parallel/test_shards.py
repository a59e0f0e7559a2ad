from __future__ import annotations

import json
import os
import signal
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from espnet3.errors import ConfigError
from espnet3.parallel.base_runner import BaseRunner, concatenate_shard_files
from espnet3.parallel.parallel import set_parallel
from espnet3.parallel.shards import cut_shards


class Provider:
    """Gives the entries of `env`, to this process and to workers."""

    def __init__(self, config=None, **env):
        self.config = config
        self.env = env

    def build_env_local(self):
        return dict(self.env)

    def build_worker_setup_fn(self):
        env = dict(self.env)
        return lambda: env


class Doubler(BaseRunner):
    @staticmethod
    def forward(idx, dataset, fail_at=None, **env):
        if idx == fail_at:
            raise ArithmeticError("no")
        return 2 * dataset[idx]


class TextWriter(Doubler):
    """Hooks that use the state, an entry of the environment, and neither."""

    @classmethod
    def open_writers(cls, shard_dir, mark):
        return {"text": (shard_dir / "text").open("w"), "mark": mark}

    @staticmethod
    def write_record(writers, result, state, **env):
        state["sum"] = state.get("sum", 0) + result
        writers["text"].write(f"{result}{writers['mark']}\n")

    @staticmethod
    def close_writers(writers, state):
        writers["text"].close()
        return {"sum": state["sum"]}

    def merge(self, shard_dirs):
        found = concatenate_shard_files(shard_dirs, "text", self.output_dir / "text")
        sums = [json.loads((folder / "done").read_text())["sum"] for folder in shard_dirs]
        return found, sums


class StatelessWriter(Doubler):
    @staticmethod
    def write_record(writers, result):
        writers["results"].write(f"{result + 1}\n")

    @staticmethod
    def close_writers(writers):
        writers["results"].close()


class Mortal(Doubler):
    """Kills its worker once, in the middle of a shard."""

    @staticmethod
    def forward(idx, dataset, folder, **env):
        if idx == 4 and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return dataset[idx]


def test_results_come_back_through_files_of_the_shard(tmp_path):
    runner = Doubler(Provider(dataset=[1, 2, "ä"]), output_dir=tmp_path, shard_subdir="test")
    assert runner([0, 1, 2]) == [2, 4, "ää"]
    assert (tmp_path / "test/split.0/done").is_file()
    manifest = json.loads((tmp_path / "test/manifest.json").read_text())
    assert manifest["shards"] == ["split.0"]
    assert {"version", "output_dir", "shard_subdir"} <= set(manifest)
    assert runner([]) == []


def test_hooks_take_state_and_env_and_merge_decides_the_value(tmp_path):
    runner = TextWriter(Provider(dataset=[1, 2, 3], mark="!"), output_dir=tmp_path)
    assert runner(range(3)) == (True, [12])
    assert (tmp_path / "text").read_text() == "2!\n4!\n6!\n"


def test_hooks_may_do_without_state(tmp_path):
    assert StatelessWriter(Provider(dataset=[1, 2]), output_dir=tmp_path)(range(2)) == [3, 5]


@pytest.mark.parametrize("name", ["open_writers", "write_record", "close_writers"])
def test_a_hook_that_needs_an_instance_is_refused(tmp_path, name):
    cls = type("Bad", (Doubler,), {name: lambda self, *args: None})
    with pytest.raises(TypeError, match=f"Bad.{name} must be a static method"):
        cls(Provider(dataset=[1]), output_dir=tmp_path)([0])


def test_a_forward_that_needs_an_instance_is_refused_with_the_remedy():
    cls = type("Bad", (Doubler,), {"forward": lambda self, idx, dataset: 1})
    with pytest.raises(TypeError, match=r"Bad.forward must be a static.*\n.*@staticmethod"):
        cls(Provider(dataset=[1]))


@pytest.mark.parametrize("subdir", ["../out", "a/../../out", "/out"])
def test_shards_stay_below_the_folder_of_the_output(tmp_path, subdir):
    with pytest.raises(ConfigError, match=f"shard_subdir = '{subdir}': leads out of output_dir"):
        Doubler(Provider(dataset=[1]), output_dir=tmp_path / "in", shard_subdir=subdir)
    Doubler(Provider(dataset=[1]), output_dir=tmp_path, shard_subdir="a/../b")([0])
    assert (tmp_path / "b/split.0/done").is_file()


def test_a_result_that_is_no_json_is_named_with_its_item(tmp_path):
    runner = Doubler(Provider(dataset=[1, 1j]), output_dir=tmp_path)
    with pytest.raises(TypeError, match="`forward` returned .* it is of type complex") as caught:
        runner([0, 1])
    assert caught.value.__notes__ == ["while Doubler worked on item 1"]


def test_a_summary_that_is_no_json_names_the_hook(tmp_path):
    class Bad(Doubler):
        @staticmethod
        def close_writers(writers):
            writers["results"].close()
            return {"x": {1}}

    with pytest.raises(TypeError, match=r"Bad.close_writers returned .*\['x'\] is of type set"):
        Bad(Provider(dataset=[1]), output_dir=tmp_path)([0])


def test_workers_fill_shards_and_a_killed_one_is_made_again(tmp_path):
    set_parallel(OmegaConf.create({"env": "local", "n_workers": 2}))
    provider = Provider(dataset=list(range(7)), folder=tmp_path)
    assert Mortal(provider, output_dir=tmp_path / "out")(range(7)) == list(range(7))
    assert json.loads((tmp_path / "out/manifest.json").read_text())["items"] == [4, 3]


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """Three shards, the last of which failed; counts what is done from then on."""
    settings = SimpleNamespace(num_workers=3)
    monkeypatch.setattr("espnet3.parallel.base_runner.read_settings", lambda: settings)
    monkeypatch.setattr("espnet3.parallel.base_runner.get_parallel_config", lambda: None)

    def make(resume="auto", fail_at=None, **config):
        provider = Provider(OmegaConf.create(config), dataset=[1, 2, 3, 4], fail_at=fail_at)
        return Doubler(provider, output_dir=tmp_path, resume=resume)

    with pytest.raises(ArithmeticError) as caught:
        make(fail_at=3)(range(4))
    assert "item 3" in caught.value.__notes__[0]
    assert not (tmp_path / "split.2/done").exists()
    for folder in ("split.0", "split.1"):
        (tmp_path / folder / "mark").touch()
    return make


def marks(folder):
    return sorted(path.parent.name for path in folder.glob("*/mark"))


def test_complete_shards_of_an_interrupted_run_are_kept(tmp_path, interrupted):
    assert interrupted()(range(4)) == [2, 4, 6, 8]
    assert marks(tmp_path) == ["split.0", "split.1"]
    assert interrupted(resume=True)(range(4)) == [2, 4, 6, 8]
    assert marks(tmp_path) == ["split.0", "split.1"]
    assert interrupted()(range(4)) == [2, 4, 6, 8]
    assert marks(tmp_path) == []


def test_shards_without_their_manifest_are_made_again_and_that_is_said(
    tmp_path, interrupted, caplog
):
    (tmp_path / "manifest.json").unlink()
    assert interrupted()(range(4)) == [2, 4, 6, 8]
    assert marks(tmp_path) == []
    assert "manifest.json is gone" in caplog.text
    assert (tmp_path / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("changes", "items"), [({"resume": False}, 4), ({"seed": 1}, 4), ({"resume": True}, 3)]
)
def test_nothing_is_kept_of_another_run(tmp_path, interrupted, changes, items):
    (tmp_path / "split.train").mkdir()
    assert interrupted(**changes)(range(items)) == [2, 4, 6, 8][:items]
    assert marks(tmp_path) == []
    assert (tmp_path / "split.train").is_dir()


def test_a_shard_without_its_mark_is_named(tmp_path, interrupted, monkeypatch):
    runner = interrupted()
    monkeypatch.setattr(runner, "_run", lambda bind, items: [])
    with pytest.raises(FileNotFoundError, match=r"split\.2"):
        runner(range(4))


def test_detached_jobs_have_their_own_folder(tmp_path):
    with pytest.raises(ValueError, match="async_result_dir"):
        Doubler(Provider(), async_mode=True, output_dir=tmp_path)


def test_files_of_shards_are_joined_in_order(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder, text in zip(folders, ("1\n", None, "3\n"), strict=True):
        folder.mkdir()
        if text:
            (folder / "part").write_text(text)
    out = tmp_path / "new" / "whole"
    assert concatenate_shard_files(folders, "part", out)
    assert out.read_text() == "1\n3\n"
    assert not concatenate_shard_files(folders, "absent", out)
    assert not out.exists()


@given(items=st.lists(st.integers()), count=st.integers(1, 9))
def test_shards_are_contiguous_and_even(items, count):
    shards = cut_shards(items, count)
    assert [item for shard in shards for item in shard] == items
    sizes = [len(shard) for shard in shards]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == min(count, len(items))
    assert not sizes or (sizes[-1] >= 1 and sizes[0] - sizes[-1] <= 1)
