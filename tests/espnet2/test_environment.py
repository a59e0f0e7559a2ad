"""The environment of these tests is the one that constraints-espnet2.txt describes."""

from __future__ import annotations

import importlib.metadata

import torch
from packaging.requirements import Requirement

from espnet3.utils.package_requirements import read_requirements
from tests.conftest import REPO_ROOT

PINNED = dict(
    line.split("==")
    for line in (REPO_ROOT / "constraints-espnet2.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
)
# torch asks for a newer one.
OVERRIDDEN = {"setuptools"}


def test_every_package_has_the_pinned_version() -> None:
    installed = {name: importlib.metadata.version(name).partition("+")[0] for name in PINNED}
    assert installed == PINNED


def test_espnet2_has_what_it_asks_for() -> None:
    for text in importlib.metadata.requires("espnet") or ():
        requirement = Requirement(text)
        if requirement.marker is None and requirement.name not in OVERRIDDEN:
            version = importlib.metadata.version(requirement.name).partition("+")[0]
            assert requirement.specifier.contains(version), text


def test_the_core_has_what_it_asks_for() -> None:
    for requirement in read_requirements().values():
        if requirement.extra in (None, "espnet2"):
            version = importlib.metadata.version(requirement.distribution).partition("+")[0]
            assert requirement.admits(version), requirement


def test_torchaudio_works_as_pure_python() -> None:
    import torchaudio.compliance.kaldi as kaldi

    feats = kaldi.fbank(torch.sin(torch.arange(1600) / 9.0)[None], num_mel_bins=20)
    assert feats.shape == (8, 20)
    assert torch.isfinite(feats).all()


def test_the_tasks_and_the_downloader_can_be_imported() -> None:
    from espnet2.tasks.asr import ASRTask
    from espnet2.tasks.asr_transducer import ASRTransducerTask
    from espnet_model_zoo.downloader import ModelDownloader

    assert all(callable(c) for c in (ASRTask.main, ASRTransducerTask.main, ModelDownloader))
