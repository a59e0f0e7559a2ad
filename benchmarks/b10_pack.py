"""B10: packing an experiment against copying and hashing the same bytes; packing it again."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

from timing import interleave, machine_load, median_ratio, pin_threads, seconds

pin_threads()

COPY_LIMIT = 1.2
UNCHANGED_LIMIT = 0.5


def make_experiment(folder: Path, megabytes: int) -> SimpleNamespace:
    """Write an experiment, a fifth of it weights, and return a system that packs it."""
    import torch
    from omegaconf import OmegaConf

    exp = folder / "exp" / "debug"
    exp.mkdir(parents=True)
    block = torch.randint(0, 256, (2**20,), dtype=torch.uint8).numpy().tobytes()
    torch.save({"w": torch.rand(megabytes // 5, 2**18)}, exp / "valid.loss.ave.pth")
    for index in range(8):
        with (exp / f"data{index}.bin").open("wb") as stream:
            for _ in range(megabytes // 10):
                stream.write(block)
    publication = {"pack_model": {"out_dir": str(exp / "model_pack"), "golden_samples": False}}
    return SimpleNamespace(
        training_config=OmegaConf.create({"recipe_dir": str(folder), "exp_dir": str(exp)}),
        publication_config=OmegaConf.create(publication),
    )


def copy_and_hash(source: Path, target: Path) -> None:
    """Copy a tree and hash what was written, as a bundle's manifest needs it."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*model_pack*"))
    for path in target.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                hashlib.file_digest(stream, "sha256")


def main() -> int:
    """Print seconds and ratios; the status says whether the limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    from espnet3.utils import publish_utils

    publish_utils._hf_username = lambda: ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        system = make_experiment(folder / "recipe", args.megabytes)
        exp = folder / "recipe" / "exp" / "debug"

        def pack_anew() -> float:
            shutil.rmtree(exp / "model_pack", ignore_errors=True)
            return seconds(lambda: publish_utils.pack_model(system))

        runs = {
            "copy": lambda: seconds(lambda: copy_and_hash(exp, folder / "copy")),
            "pack": pack_anew,
            "again": lambda: seconds(lambda: publish_utils.pack_model(system)),
        }
        results = interleave(runs, args.repeats)
    ratio, again = median_ratio(results, "pack", "copy"), min(results["again"])
    speed = args.megabytes / min(results["pack"])
    print(f"{args.megabytes} MB, {machine_load()}")
    print(f"pack  {min(results['pack']):.2f} s, {speed:.0f} MB/s, {ratio:.2f} x copy and hash"
          f" (limit {COPY_LIMIT})")  # fmt: skip
    print(f"again {again:.3f} s (limit {UNCHANGED_LIMIT})")
    return int(ratio > COPY_LIMIT or again > UNCHANGED_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
