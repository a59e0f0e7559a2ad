from __future__ import annotations

import pytest
import torch

from espnet3.errors import BundleError
from espnet3.publication.loaded_weights import check_loaded
from espnet3.utils.weights_utils import export_safetensors


class Wrapper:
    def __init__(self, module):
        self.asr_model = module


def net(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


@pytest.fixture(params=["w.safetensors", "w.pth"])
def check(request, tmp_path):
    """Store a state and compare a model with it."""

    def run(state, model):
        path = tmp_path / request.param
        if path.suffix == ".pth":
            torch.save(state, path)
        else:
            export_safetensors(state, path)
        check_loaded(model, tmp_path, {"files": {"m": path.name}, "weights": {"m": {}}})

    return run


def prefixed(state, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize("file_prefix", ["", "model.", "a.b."])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loaded_weights_are_recognised_under_other_prefixes_and_types(check, file_prefix, dtype):
    check(prefixed(net().state_dict(), file_prefix), Wrapper(net().to(dtype)))
    outer = torch.nn.ModuleDict({"model": net()})
    check(net().state_dict(), outer)


def test_weights_that_were_not_loaded_are_noticed(check):
    with pytest.raises(BundleError, match="other values"):
        check(prefixed(net().state_dict(), "model."), Wrapper(net(seed=1)))


def test_weights_of_another_model_are_noticed(check):
    with pytest.raises(BundleError, match="none of its 7 tensors"):
        check(prefixed(net().state_dict(), "x"), Wrapper(torch.nn.Linear(5, 5)))


def test_back_ends_without_torch_are_not_judged(check):
    check(net().state_dict(), lambda speech: speech)
    check(net().state_dict(), Wrapper(None))


def test_a_weight_file_outside_of_the_bundle_is_refused(tmp_path):
    export_safetensors(net().state_dict(), tmp_path / "w.safetensors")
    root = tmp_path / "bundle"
    root.mkdir()
    with pytest.raises(BundleError, match="inside the bundle"):
        check_loaded(net(), root, {"files": {"m": "../w.safetensors"}, "weights": {"m": {}}})
