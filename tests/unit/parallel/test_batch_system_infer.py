"""The stock ``infer`` stage on workers of a batch system."""

from __future__ import annotations

from omegaconf import OmegaConf

from espnet3.systems.base.inference import infer
from tests.unit.parallel.test_batch_system import batch_system, block, pytestmark
from tests.unit.systems.base.toy_inference import HERE, toy_config

__all__ = ["batch_system", "pytestmark"]


def decode(folder, **changes):
    """Run the stage; return the content of every output file."""
    ids = [f"utt{i}" for i in range(12)]
    data = {"_target_": f"{HERE}.ToyOrganizer", "test": [{"name": "clean", "ids": ids}]}
    config = toy_config(folder, dataset=data, output_keys=["hyp", "vector"], **changes)
    infer(OmegaConf.create({**config, "output_fn": f"{HERE}.build_with_array"}))
    found = (path.relative_to(folder / "clean") for path in (folder / "clean").rglob("*"))
    names = [path for path in found if path.suffix in (".scp", ".npy")]
    contents = {path.as_posix(): (folder / "clean" / path).read_bytes() for path in names}
    return {name: content.replace(bytes(folder), b"<folder>") for name, content in contents.items()}


def test_slurm_workers_write_the_files_of_this_process(batch_system, tmp_path):
    batch_system("slurm")
    here = decode(tmp_path / "here")
    there = decode(tmp_path / "there", parallel=OmegaConf.to_container(block(2, tmp_path)))
    assert len(here) == 2 + 12
    assert there == here
    assert len((tmp_path / "submitted").read_text().splitlines()) == 2
