from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet3.errors import UnsafeCheckpointError, WeightsError
from espnet3.utils.weights_utils import (
    export_safetensors,
    fit_prefix,
    load_weights,
    read_state_dict,
)


class Tiny(torch.nn.Module):
    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.encoder = torch.nn.Linear(2, size)
        self.head = torch.nn.Linear(size, 2)
        self.norm = torch.nn.BatchNorm1d(2)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def save_variant(model: torch.nn.Module, path: Path, variant: str) -> Path:
    state = model.state_dict()
    prefixed = {f"model.{k}": v for k, v in state.items()}
    if variant == "safetensors":
        export_safetensors(state, path.with_suffix(".safetensors"))
        return path.with_suffix(".safetensors")
    content = {
        "flat": state,
        "flat_prefixed": prefixed,
        "lightning": {"epoch": 1, "state_dict": state, "loops": {}},
        "lightning_prefixed": {"state_dict": {**prefixed, "criterion.weight": torch.ones(1)}},
        "deepspeed": {"module": state, "state_dict": {}},
    }[variant]
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "variant",
    ["flat", "flat_prefixed", "lightning", "lightning_prefixed", "deepspeed", "safetensors"],
)
def test_every_layout_fills_the_model_completely(tmp_path, variant):
    source, target = Tiny(), Tiny()
    report = load_weights(target, save_variant(source, tmp_path / "w.pth", variant))
    assert same(source, target)
    assert report.is_complete
    assert len(report.loaded) == len(source.state_dict())


def test_a_model_with_a_child_called_model_keeps_its_names(tmp_path):
    source = torch.nn.Module()
    source.model = torch.nn.Linear(2, 2)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    target = torch.nn.Module()
    target.model = torch.nn.Linear(2, 2)
    assert load_weights(target, tmp_path / "w.pth").loaded == ("model.weight", "model.bias")


@pytest.mark.parametrize("strict", [True, False])
def test_zero_matching_tensors_are_an_error_even_when_not_strict(tmp_path, strict):
    torch.save({"other.weight": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="0 of 9 tensors"):
        load_weights(Tiny(), tmp_path / "w.pth", strict=strict)


def test_strict_reports_missing_unexpected_and_mismatched_names(tmp_path):
    state = Tiny(size=4).state_dict()
    del state["norm.weight"]
    state["extra"] = torch.ones(1)
    torch.save(state, tmp_path / "w.pth")
    model = Tiny(size=3)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_weights(model, tmp_path / "w.pth")
    text = str(caught.value)
    assert "norm.weight" in text
    assert "extra" in text
    assert "encoder.weight (model (3, 2), file (4, 2))" in text
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_not_strict_loads_what_fits_and_warns(tmp_path, caplog):
    source = Tiny(size=4)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    target = Tiny(size=3)
    report = load_weights(target, tmp_path / "w.pth", strict=False)
    assert "head.bias" in report.loaded
    assert torch.equal(target.head.bias, source.head.bias)
    assert len(report.mismatched) == 3
    assert "only in part" in caplog.text


def test_include_and_exclude_select_on_dot_boundaries(tmp_path):
    source, target = Tiny(), Tiny()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    report = load_weights(target, tmp_path / "w.pth", include=["encoder"], exclude=["bias"])
    assert report.loaded == ("encoder.weight",)
    assert not torch.equal(target.head.weight, source.head.weight)


def test_rename_maps_beginnings_of_names(tmp_path):
    source, target = Tiny(), Tiny()
    torch.save(
        {k.replace("encoder", "enc"): v for k, v in source.state_dict().items()},
        tmp_path / "w.pth",
    )
    load_weights(target, tmp_path / "w.pth", rename={"enc": "encoder"})
    assert same(source, target)


def test_tied_tensors_are_stored_once_and_come_back_under_all_names(tmp_path):
    weight = torch.randn(50, 4)
    export_safetensors({"a": weight, "b": weight, "c": weight[:3]}, tmp_path / "w.safetensors")
    state = read_state_dict(tmp_path / "w.safetensors")
    assert torch.equal(state["a"], weight)
    assert torch.equal(state["b"], weight)
    assert torch.equal(state["c"], weight[:3])
    assert (tmp_path / "w.safetensors").stat().st_size < 1.6 * weight.numel() * 4


def test_files_that_want_to_run_code_are_refused(tmp_path):
    torch.save({"state_dict": {"w": torch.ones(1)}, "path": Path("x")}, tmp_path / "w.ckpt")
    with pytest.raises(UnsafeCheckpointError, match="w.ckpt"):
        read_state_dict(tmp_path / "w.ckpt")
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Path("x"), protocol=2))
    with pytest.raises((UnsafeCheckpointError, WeightsError)):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a weight file"])
def test_damaged_files_are_named(tmp_path, suffix, content):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        read_state_dict(path)


def test_truncated_checkpoint_is_named(tmp_path):
    path = tmp_path / "w.ckpt"
    torch.save({"state_dict": Tiny().state_dict()}, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(WeightsError, match="damaged"):
        read_state_dict(path)


def test_empty_missing_and_folder_are_clear_errors(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "w.ckpt")
    with pytest.raises(WeightsError, match="no tensors"):
        read_state_dict(tmp_path / "w.ckpt")
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        read_state_dict(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match=r"folder.*\n.*w\.ckpt"):
        read_state_dict(tmp_path)
    with pytest.raises(WeightsError, match="no weights"):
        export_safetensors({}, tmp_path / "e.safetensors")


names = st.from_regex(r"[a-z]{1,3}(\.[a-z]{1,3}){0,2}", fullmatch=True)


@given(st.sets(names, min_size=1, max_size=6))
@settings(max_examples=50)
def test_fit_prefix_undoes_exactly_one_prefix(found):
    bare = dict.fromkeys(found, 0)
    assert fit_prefix({f"model.{k}": 0 for k in found}, found) == bare
    assert fit_prefix(bare, found) == bare
