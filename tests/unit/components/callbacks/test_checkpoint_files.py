from __future__ import annotations

import os

from espnet3.components.callbacks.checkpoint_files import full_checkpoints


def test_only_full_checkpoints_are_found_the_newest_first(tmp_path):
    for age, name in enumerate(("step9.ckpt", "step10.ckpt", "step8.ckpt")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, ns=(0, 100 - age // 2))
    for name in ("last.ckpt", "step1.ckpt.partial", "stepx.ckpt", "epoch0_step2_valid.loss.ckpt"):
        (tmp_path / name).touch()
    names = [path.name for path in full_checkpoints(tmp_path)]
    assert names == ["step10.ckpt", "step9.ckpt", "step8.ckpt"]
