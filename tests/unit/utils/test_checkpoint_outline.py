from __future__ import annotations

import enum
import sys
from collections import OrderedDict, defaultdict
from pathlib import Path

import pytest
import torch

from espnet3.errors import WeightsError
from espnet3.utils.checkpoint_outline import read_outline


class Loud:
    """Notices when somebody builds it."""

    def __reduce__(self):
        return (sys.exit, ("built",))


class Colour(enum.Enum):
    RED = 1


def test_plain_values_are_read_and_tensors_are_not(tmp_path):
    path = tmp_path / "a.ckpt"
    content = {"global_step": 7, "loops": {"a": [1, None]}, "state": OrderedDict(w=torch.ones(3))}
    torch.save(content, path)
    outline = read_outline(path)
    assert (outline["global_step"], outline["loops"]) == (7, {"a": [1, None]})
    assert not isinstance(outline["state"]["w"], torch.Tensor)


def test_no_code_of_the_file_runs(tmp_path):
    path = tmp_path / "a.ckpt"
    things = {"loud": Loud(), "path": Path("x"), "enum": Colour.RED, "d": defaultdict(list, a=[1])}
    torch.save({**things, "set": {1}, "step": 3}, path)
    assert read_outline(path)["step"] == 3


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"a\.ckpt"):
        read_outline(path)


def test_a_truncated_checkpoint_is_an_error(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save({"w": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError):
        read_outline(path)
