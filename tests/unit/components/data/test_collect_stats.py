from __future__ import annotations

import copy
import json
import logging
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from espnet3.components.data import stats_provider as module
from espnet3.components.data.collate import CommonCollateFn
from espnet3.components.data.collect_stats import (
    CollectStatsInferenceProvider,
    CollectStatsRunner,
    collect_stats,
    collect_stats_batch,
)
from espnet3.components.data.data_organizer import DataOrganizer
from espnet3.components.data.dataloader import read_checked_lengths
from espnet3.components.data.fileio import read_shape
from espnet3.components.data.preprocessor import AbsPreprocessor

HERE = __name__
LENGTHS = [3, 5, 2, 4, 1]


class Speech:
    """Utterances of known lengths; the first value is the number of the utterance."""

    def __init__(self, lengths=tuple(LENGTHS), with_length=True):
        self.lengths = lengths
        if with_length:
            self.get_length = lambda index: self.lengths[index]

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, i):
        speech = np.arange(self.lengths[i], dtype=np.float32) + 10 * i
        return {"speech": speech, "text": "a word", "utt_id": f"utt/{i}"}


class Model(torch.nn.Module):
    def __init__(self, dims=2, frontend=None, layers=1):
        super().__init__()
        self.dims = dims
        self.is_train_mode = None

    def collect_feats(self, speech, speech_lengths, **_):
        assert not self.training
        feats = torch.stack([speech, speech * 2], dim=-1)[..., : self.dims]
        return {"feats": feats, "feats_lengths": speech_lengths}


class WithoutFeats(torch.nn.Module):
    pass


class Shift(AbsPreprocessor):
    def __call__(self, uid, data, rng):
        noise = rng.random() if self.train else 0
        return {"speech": data["speech"] + np.float32(noise)}


class OnlyTrain:
    """An organizer of another make, with plain samples."""

    def __init__(self):
        self.train = [{"speech": np.ones(3, np.float32)}]


MODEL = {"_target_": f"{HERE}.Model"}


def data_config(**kwargs):
    return {
        "_target_": "espnet3.components.data.data_organizer.DataOrganizer",
        "train": [{"dataset": {"_target_": f"{HERE}.Speech"}}],
        "valid": [{"dataset": {"_target_": f"{HERE}.Speech", "lengths": [2]}}],
        **kwargs,
    }


def run(tmp_path, mode="train", model=None, data=None, loaders=None, **kwargs):
    kwargs = {"batch_size": 2, **kwargs}
    collect_stats(model or MODEL, data or data_config(), loaders or {}, mode, tmp_path, **kwargs)
    return tmp_path / mode


def test_files_hold_shapes_and_sums_of_all_frames(tmp_path):
    folder = run(tmp_path)
    assert (folder / "feats_shape").read_text() == "0 3,2\n1 5,2\n2 2,2\n3 4,2\n4 1,2\n"
    assert (folder / "feats_lengths_shape").read_text() == "".join(f"{i} 1\n" for i in range(5))
    assert (folder / "stats_keys").read_text() == "feats\nfeats_lengths\n"
    frames = np.concatenate([Speech()[i]["speech"] for i in range(5)]).astype(np.float64)
    feats = np.stack([frames, frames * 2], axis=1)
    with np.load(folder / "feats_stats.npz") as stats:
        assert stats["count"] == sum(LENGTHS)
        assert stats["sum"].dtype == np.float64
        np.testing.assert_allclose(stats["sum"], feats.sum(0))
        np.testing.assert_allclose(stats["sum_square"], (feats**2).sum(0))
    with np.load(folder / "feats_lengths_stats.npz") as stats:
        assert (stats["count"], stats["sum"]) == (5, sum(LENGTHS))


def test_metadata_describes_the_lengths(tmp_path):
    meta = json.loads((run(tmp_path) / "stats_meta.json").read_text())
    assert (meta["mode"], meta["num_utterances"]) == ("train", 5)
    summary = meta["lengths"]["feats"]
    assert (summary["min"], summary["max"], summary["mean"], summary["total"]) == (1, 5, 3.0, 15)
    assert sum(summary["histogram"]["counts"]) == 5


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_results_do_not_depend_on_the_batch_size(tmp_path, batch_size):
    one = run(tmp_path / "one")
    other = run(tmp_path / "other", batch_size=batch_size)
    assert (one / "feats_shape").read_bytes() == (other / "feats_shape").read_bytes()
    with np.load(one / "feats_stats.npz") as a, np.load(other / "feats_stats.npz") as b:
        np.testing.assert_allclose(a["sum_square"], b["sum_square"])


def test_no_configuration_is_changed(tmp_path):
    preprocessor = {"_target_": f"{HERE}.Shift", "train": True}
    configs = [MODEL, data_config(preprocessor=preprocessor), {"collate_fn": None, "train": {}}]
    before = copy.deepcopy(configs)
    collect_stats(*configs, "train", tmp_path, augment=False)
    with pytest.raises(AttributeError):
        collect_stats({"_target_": f"{HERE}.WithoutFeats"}, *configs[1:], "valid", tmp_path)
    assert configs == before


def test_augmentation_is_off_unless_wanted_and_repeatable(tmp_path):
    data = data_config(preprocessor={"_target_": f"{HERE}.Shift", "train": True})
    sums = []
    for name, augment in (("off", False), ("on", True), ("again", True), ("left", None)):
        with np.load(run(tmp_path / name, data=data, augment=augment) / "feats_stats.npz") as stats:
            sums.append(stats["sum"].tolist())
    with np.load(run(tmp_path / "off", "valid", data=data, augment=True) / "feats_stats.npz") as s:
        assert s["sum"].tolist() == [1, 2]
    plain = np.concatenate([Speech()[i]["speech"] for i in range(5)]).sum()
    assert sums[0][0] == plain != sums[1][0]
    assert sums[1] == sums[2] == sums[3]


def test_uid_key_names_the_utterances_and_fits_the_loader(tmp_path):
    data = data_config(uid_key="utt_id")
    folder = run(tmp_path, data=data)
    assert list(read_shape(folder / "feats_shape")) == [f"utt/{i}" for i in range(5)]
    train = DataOrganizer([{"dataset": Speech()}], [{"dataset": Speech()}], uid_key="utt_id").train
    assert read_checked_lengths(folder / "feats_shape", train).tolist() == LENGTHS


def test_features_are_stored_under_escaped_names(tmp_path):
    folder = run(tmp_path, data=data_config(uid_key="utt_id"), write_collected_feats=True)
    lines = (folder / "collect_feats" / "feats.scp").read_text().splitlines()
    uid, path = lines[1].split(" ")
    assert (uid, Path(path).name) == ("utt/1", "utt%2F1.npy")
    np.testing.assert_array_equal(np.load(path)[:, 0], Speech()[1]["speech"])
    assert len(lines) == 5
    assert (folder / "collect_feats" / "feats_lengths.scp").exists()


def count_builds(monkeypatch):
    built = []
    original = module._build_model
    monkeypatch.setattr(module, "_build_model", lambda cfg: built.append(1) or original(cfg))
    return built


def test_an_equal_run_is_skipped_and_a_different_one_is_not(tmp_path, monkeypatch, caplog):
    built = count_builds(monkeypatch)
    folder = run(tmp_path)
    stamp = (folder / "feats_shape").stat().st_mtime_ns
    with caplog.at_level(logging.INFO):
        run(tmp_path)
    assert "is up to date" in caplog.text
    assert (len(built), (folder / "feats_shape").stat().st_mtime_ns) == (1, stamp)
    run(tmp_path, resume=False)
    run(tmp_path, model={**MODEL, "dims": 1})
    entry = {"dataset": {"_target_": f"{HERE}.Speech", "lengths": [1, 2]}}
    run(tmp_path, data=data_config(train=[entry]))
    assert len(built) == 4
    assert len(read_shape(folder / "feats_shape")) == 2


def test_what_is_behind_the_front_end_does_not_matter(tmp_path, monkeypatch):
    built = count_builds(monkeypatch)
    for model in ({"frontend": 1, "layers": 2}, {"frontend": 1, "layers": 3}, {"frontend": 2}):
        run(tmp_path, model={**MODEL, **model})
    assert len(built) == 2


def test_keys_can_be_chosen(tmp_path):
    folder = run(tmp_path, keys=["feats"])
    assert (folder / "feats_stats.npz").exists()
    with pytest.raises(ValueError, match=r"fbank.*\n.*feats, feats_lengths"):
        run(tmp_path / "other", keys=["fbank"])


def test_lengths_only_builds_no_model(tmp_path):
    folder = run(tmp_path, model={"_target_": "not.there"}, lengths_only=True)
    assert (folder / "speech_shape").read_text() == "0 3\n1 5\n2 2\n3 4\n4 1\n"
    assert not list(folder.glob("*.npz"))
    entry = {"dataset": {"_target_": f"{HERE}.Speech", "with_length": False}}
    with pytest.raises(RuntimeError, match="implement get_length"):
        run(tmp_path, data=data_config(train=[entry]), lengths_only=True)


def test_valid_works_while_train_is_empty(tmp_path, caplog):
    data = data_config(train=[])
    assert (run(tmp_path, "valid", data=data) / "feats_stats.npz").exists()
    folder = run(tmp_path, data=data)
    assert (folder / "stats_keys").read_text() == ""
    assert not list(folder.glob("*.npz"))
    assert "the split is empty" in caplog.text


def test_other_organizers_with_plain_samples_work(tmp_path):
    data = {"_target_": f"{HERE}.OnlyTrain"}
    assert (run(tmp_path, data=data) / "feats_shape").read_text() == "0 3,2\n"
    with pytest.raises(ValueError, match="does not provide split 'valid'"):
        run(tmp_path, "valid", data=data)


def test_mistakes_leave_no_trace(tmp_path):
    with pytest.raises(AttributeError, match="missing required callable 'collect_feats'"):
        run(tmp_path, model={"_target_": f"{HERE}.WithoutFeats"})
    for size in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="batch_size must be a positive integer"):
            run(tmp_path, batch_size=size)
    for value in (True, False):
        with pytest.raises(RuntimeError, match="multiple_iterator"):
            run(tmp_path, loaders={"train": {"multiple_iterator": value}})
    with pytest.raises(ValueError, match=r"some\.Task"):
        run(tmp_path, task="some.Task")
    assert [path.name for path in tmp_path.iterdir()] == [".train.lock"]


def test_foreign_files_are_not_deleted(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"thesis\.tex"):
        run(tmp_path)
    assert (tmp_path / "train" / "thesis.tex").exists()


class Deadly(Model):
    def collect_feats(self, speech, **batch):
        if speech[0, 0] >= 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().collect_feats(speech, **batch)


def run_and_die(folder):
    module._build_model = lambda cfg: Deadly()
    run(folder)


def test_a_killed_run_leaves_nothing_and_is_redone(tmp_path):
    victim = multiprocessing.get_context("spawn").Process(target=run_and_die, args=(tmp_path,))
    victim.start()
    victim.join(60)
    assert victim.exitcode == -signal.SIGKILL
    assert not (tmp_path / "train").exists()
    folder = run(tmp_path)
    assert len(read_shape(folder / "feats_shape")) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == [".train.lock", "train"]


def batch_of(dataset, **kwargs):
    options = {"model": Model().eval(), "collate_fn": CommonCollateFn(), **kwargs}
    return collect_stats_batch(range(len(dataset)), dataset=dataset, **options)


def test_a_batch_of_pairs_or_plain_samples():
    pairs = [("a", {"speech": np.ones(2, np.float32)}), ("b", {"speech": np.ones(3, np.float32)})]
    stats, shapes = batch_of(pairs)
    assert shapes["feats"] == {"a": "2,2", "b": "3,2"}
    assert stats["feats"]["count"] == 5
    stats, shapes, feats = batch_of([sample for _, sample in pairs], write_collected_feats=True)
    assert list(shapes["feats"]) == ["0", "1"]
    assert feats["feats"].shape == (2, 3, 2)


def test_a_batch_that_cannot_be_used():
    data = [{"speech": np.ones(2, np.float32)}]
    with pytest.raises(RuntimeError, match=r"return \(uids, batch_dict\)"):
        batch_of(data, collate_fn=lambda pairs: 3)
    with pytest.raises(RuntimeError, match="return a mapping for batch tensors"):
        batch_of(data, collate_fn=lambda pairs: (["0"], 3))
    with pytest.raises(ValueError, match="kwargs conflict with batch tensors: speech"):
        batch_of(data, collect_stats_kwargs={"speech": 1})

    class Short(Model):
        def collect_feats(self, speech, **_):
            return {"feats": torch.zeros(3, 2)}

    with pytest.raises(TypeError, match="'feats' of shape"):
        batch_of(data, model=Short())


def test_a_collate_of_samples_may_return_a_bare_batch():
    class Stack:
        expects_uid = False

        def __call__(self, samples):
            speech = torch.stack([torch.from_numpy(s["speech"]) for s in samples])
            return {"speech": speech, "speech_lengths": torch.tensor([2])}

    assert batch_of([{"speech": np.ones(2, np.float32)}], collate_fn=Stack())[1]["feats"] == {
        "0": "2,2"
    }


def test_features_without_lengths_count_once_per_utterance():
    class Ints(Model):
        def collect_feats(self, speech, **_):
            return {"emb": torch.full((len(speech), 3), 2**20, dtype=torch.int32)}

    stats, shapes = batch_of([{"speech": np.ones(1)}] * 2, model=Ints())
    assert shapes["emb"] == {"0": "1,3", "1": "1,3"}
    assert (stats["emb"]["count"], stats["emb"]["sq"].tolist()) == (2, [2.0**41] * 3)


def test_provider_and_runner():
    provider = CollectStatsInferenceProvider(MODEL, data_config(), {}, "valid")
    env = provider.build_env_local()
    assert set(env) == {"dataset", "model", "collate_fn", "device"}
    assert not env["model"].training
    assert CollectStatsRunner.forward(0, **env)[1]["feats"] == {"0": "2,2"}
    assert len(provider.build_worker_setup_fn()()["dataset"]) == 1
    with pytest.raises(RuntimeError, match=r"no shard\(\)|without shard"):
        CollectStatsInferenceProvider(
            MODEL, data_config(), {}, "valid", shard_idx=0
        ).build_env_local()
