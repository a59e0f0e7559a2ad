from __future__ import annotations

import pytest
import torch

from espnet3.components.inference.loaded_weights import find_unloaded
from espnet3.utils.weights_utils import export_safetensors


class Wrapper:
    def __init__(self, module):
        self.asr_model = module


def net(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


@pytest.fixture(params=["w.safetensors", "w.pth"])
def check(request, tmp_path):
    """Store a state and compare a model with it; return what was found."""

    def run(state, model):
        path = tmp_path / request.param
        if path.suffix == ".pth":
            torch.save(state, path)
        else:
            export_safetensors(state, path)
        return find_unloaded(model, path)

    return run


def prefixed(state, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize("file_prefix", ["", "model.", "a.b."])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loaded_weights_are_recognised_under_other_prefixes_and_types(check, file_prefix, dtype):
    assert check(prefixed(net().state_dict(), file_prefix), Wrapper(net().to(dtype))) is None
    outer = torch.nn.ModuleDict({"model": net()})
    assert check(net().state_dict(), outer) is None


def test_weights_that_were_not_loaded_are_noticed(check):
    found = check(prefixed(net().state_dict(), "model."), Wrapper(net(seed=1)))
    assert "other values" in found


def test_statistics_that_come_from_elsewhere_do_not_hide_that(check):
    model, other = net(), net(seed=1)
    for module in (model, other):
        module[1].running_mean[:] = torch.tensor([0.5, -1.5])
    assert "other values" in check(model.state_dict(), Wrapper(other))


def test_weights_of_another_model_are_noticed(check):
    found = check(prefixed(net().state_dict(), "x"), Wrapper(torch.nn.Linear(5, 5)))
    assert "none of its 7 tensors" in found


def test_back_ends_without_torch_are_not_judged(check):
    assert check(net().state_dict(), lambda speech: speech) is None
    assert check(net().state_dict(), Wrapper(None)) is None
