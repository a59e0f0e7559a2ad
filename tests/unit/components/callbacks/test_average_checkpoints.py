from __future__ import annotations

import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet3.components.callbacks.average_checkpoints import (
    AverageCheckpointsCallback,
    average_checkpoints,
)

TRAINER = types.SimpleNamespace(is_global_zero=True)
STAND_IN = types.SimpleNamespace()


def best(monitor, *paths):
    return types.SimpleNamespace(
        monitor=monitor, best_k_models={str(path): torch.tensor(1.0) for path in paths}
    )


def save(path, state, entry="state_dict"):
    torch.save({entry: state} if entry else state, path)
    return path


def run(tmp_path, *callbacks, module=STAND_IN, trainer=TRAINER):
    callback = AverageCheckpointsCallback(tmp_path / "out", list(callbacks))
    callback.on_validation_end(trainer, module)
    return callback


def load(tmp_path, name):
    return torch.load(tmp_path / "out" / name, weights_only=True)


def test_floats_are_averaged_integers_summed_and_booleans_taken_from_the_newest(tmp_path):
    one = save(
        tmp_path / "1.ckpt",
        {
            "w": torch.tensor([1.0, 3.0]),
            "half": torch.tensor([1.0], dtype=torch.float16),
            "n": torch.tensor(10),
            "b": torch.tensor(True),
            "c": torch.tensor([1 + 1j]),
        },
    )
    two = save(
        tmp_path / "2.ckpt",
        {
            "w": torch.tensor([3.0, 5.0]),
            "half": torch.tensor([2.0], dtype=torch.float16),
            "n": torch.tensor(30),
            "b": torch.tensor(False),
            "c": torch.tensor([3 + 1j]),
        },
    )
    run(tmp_path, best("valid/loss", one, two))
    state = load(tmp_path, "valid.loss.ave_2best.pth")
    assert state["w"].tolist() == [2.0, 4.0]
    assert (state["half"].dtype, state["half"].item()) == (torch.float16, 1.5)
    assert (state["n"].dtype, state["n"].item()) == (torch.int64, 40)
    assert state["b"].item() is False
    assert state["c"].item() == 2 + 1j
    assert load(tmp_path, "valid.loss.ave.pth").keys() == state.keys()


def test_half_precision_is_accumulated_wide(tmp_path):
    paths = [
        save(tmp_path / f"{i}.ckpt", {"w": torch.tensor([40000.0], dtype=torch.float16)})
        for i in range(4)
    ]
    assert average_checkpoints(paths)[0]["w"].item() == 40000.0


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize("entry", ["state_dict", "module", None])
def test_result_fits_the_bare_model(tmp_path, prefix, entry):
    model = torch.nn.Linear(2, 1)
    state = {f"{prefix}{k}": v for k, v in model.state_dict().items()}
    if prefix:
        state["criterion.weight"] = torch.zeros(1)
    path = save(tmp_path / "1.ckpt", state, entry)
    run(tmp_path, best("valid/acc", path), module=types.SimpleNamespace(model=model))
    torch.nn.Linear(2, 1).load_state_dict(load(tmp_path, "valid.acc.ave_1best.pth"))


def test_stand_in_module_decides_by_the_prefix_alone(tmp_path):
    path = save(tmp_path / "1.ckpt", {"model.w": torch.ones(1), "other.w": torch.ones(1)})
    run(tmp_path, best("m", path))
    assert set(load(tmp_path, "m.ave_1best.pth")) == {"w"}


def test_different_keys_name_the_file_and_the_difference(tmp_path):
    one = save(tmp_path / "1.ckpt", {"w": torch.ones(1)})
    two = save(tmp_path / "2.ckpt", {"w": torch.ones(1), "extra": torch.ones(1)})
    with pytest.raises(KeyError, match=r"2\.ckpt.*extra"):
        run(tmp_path, best("m", one, two))
    assert not (tmp_path / "out").exists()


def test_result_is_never_empty(tmp_path):
    path = save(tmp_path / "1.ckpt", {"other": torch.ones(1)})
    module = types.SimpleNamespace(model=torch.nn.Linear(2, 1))
    with pytest.raises(RuntimeError, match="does not contain the model"):
        run(tmp_path, best("m", path), module=module)


def test_incomplete_checkpoint_is_refused(tmp_path):
    path = save(tmp_path / "1.ckpt", {"weight": torch.ones(1, 2)})
    module = types.SimpleNamespace(model=torch.nn.Linear(2, 1))
    with pytest.raises(KeyError, match="lacks parameters: bias"):
        run(tmp_path, best("m", path), module=module)


@pytest.mark.parametrize(
    "trainer",
    [
        types.SimpleNamespace(is_global_zero=False),
        types.SimpleNamespace(is_global_zero=True, sanity_checking=True),
    ],
)
def test_other_ranks_and_the_sanity_check_write_nothing(tmp_path, trainer):
    run(tmp_path, best("m", save(tmp_path / "1.ckpt", {"w": torch.ones(1)})), trainer=trainer)
    assert not (tmp_path / "out").exists()


def test_no_checkpoints_write_nothing_and_several_monitors_one_file_each(tmp_path):
    path = save(tmp_path / "1.ckpt", {"w": torch.ones(1)})
    run(tmp_path, best("a"), best("b/c", path), best("d", path))
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "b.c.ave_1best.pth",
        "b.c.ave.pth",
        "d.ave_1best.pth",
        "d.ave.pth",
    }


def test_only_a_changed_set_is_averaged_and_superseded_files_go(tmp_path, monkeypatch):
    one = save(tmp_path / "1.ckpt", {"w": torch.ones(1)})
    two = save(tmp_path / "2.ckpt", {"w": torch.zeros(1)})
    source = best("m", one)
    callback = run(tmp_path, source)
    foreign = tmp_path / "out" / "m.ave_7best.pth"
    foreign.write_bytes(b"not ours")
    left_by_a_killed_run = tmp_path / "out" / ".average" / "m.ave_3best.pth"
    left_by_a_killed_run.parent.mkdir()
    left_by_a_killed_run.write_bytes(b"half")
    saved = []
    real = torch.save
    monkeypatch.setattr(torch, "save", lambda s, p: (saved.append(p.name), real(s, p)))
    callback.on_validation_end(TRAINER, STAND_IN)
    assert saved == []
    source.best_k_models[str(two)] = torch.tensor(0.5)
    resumed = AverageCheckpointsCallback(tmp_path / "out", [source])
    resumed.load_state_dict(callback.state_dict())
    resumed.on_validation_end(TRAINER, STAND_IN)
    assert saved == ["m.ave_2best.pth"]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "m.ave_2best.pth",
        "m.ave.pth",
        foreign.name,
    }
    assert load(tmp_path, "m.ave.pth")["w"].item() == 0.5


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=1, max_size=5))
@settings(max_examples=25)
def test_average_is_the_mean(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("mean")
    paths = [
        save(folder / f"{i}.ckpt", {"w": torch.tensor(row, dtype=torch.float64)})
        for i, row in enumerate(rows)
    ]
    expected = torch.tensor(rows, dtype=torch.float64).mean(0)
    torch.testing.assert_close(average_checkpoints(paths)[0]["w"], expected)
