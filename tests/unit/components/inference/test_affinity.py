from __future__ import annotations

import os
import sys
import types

import pytest
import torch

from espnet3.components.inference import affinity


@pytest.mark.parametrize(
    ("text", "cores"), [("0-2,8\n", {0, 1, 2, 8}), ("5", {5}), ("\n", set()), (None, set())]
)
def test_the_cores_near_a_device_are_read(tmp_path, text, cores):
    if text is not None:
        (tmp_path / "local_cpulist").write_text(text)
    assert affinity.near_cores(tmp_path) == cores


def test_a_process_is_pinned_to_the_cores_near_its_gpu(tmp_path, monkeypatch):
    core = min(os.sched_getaffinity(0))
    folder = tmp_path / "0001:3b:00.0"
    folder.mkdir()
    (folder / "local_cpulist").write_text(f"{core},100000")
    gpu = types.SimpleNamespace(pci_domain_id=1, pci_bus_id=0x3B, pci_device_id=0)
    pinned = []
    monkeypatch.setattr(affinity, "_PCI_DEVICES", tmp_path)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: gpu)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: pinned.append(cores))
    affinity.pin_to_device(types.SimpleNamespace(device="cuda:0"))
    assert pinned == [{core}]
    affinity.pin_to_device(types.SimpleNamespace(device="cpu"))
    monkeypatch.delitem(sys.modules, "torch")
    affinity.pin_to_device(types.SimpleNamespace(device="cuda:0"))
    assert pinned == [{core}]
