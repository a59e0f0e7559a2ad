"""A tiny data set, model and output functions that the tests of the stage name by dotted path."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from espnet3.systems.base.inference_provider import InferenceProvider
from espnet3.systems.base.inference_runner import InferenceRunner

HERE = __name__
builds: Counter[str] = Counter()
seen: list[object] = []
IDS = [f"u{i:02d}" for i in range(12)]


def hyps(folder):
    """Return the lines of ``hyp.scp``."""
    return (folder / "hyp.scp").read_text(encoding="utf-8").splitlines()


def report(folder):
    """Return the report of a test set."""
    return json.loads((folder / "inference_report.json").read_text())


def execution(**settings):
    """Return the section of a configuration."""
    return {"execution": settings}


class ToyDataset:
    def __init__(self, ids, **fields):
        builds["dataset"] += 1
        self.ids = list(ids)
        self.fields = fields

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, idx):
        return {
            "utt_id": self.ids[idx],
            "speech": np.full(4, float(idx), np.float32),
            "text": f"r{idx}",
            **self.fields,
        }


class ToyOrganizer:
    def __init__(self, test, **fields):
        self.test = {
            entry["name"]: ToyDataset(entry.get("ids", ["a", "b"]), **fields) for entry in test
        }


class ToyModel:
    """Returns ``h<index>`` for a waveform, and a list of such texts for a list."""

    def __init__(self, device, prefix="h"):
        builds["model"] += 1
        self.prefix = prefix

    def __call__(self, speech, **kwargs):
        seen.append(speech)
        if isinstance(speech, list):
            return [self(item) for item in speech]
        return f"{self.prefix}{int(speech[0])}"


class DyingModel(ToyModel):
    """Is killed on the second sample, as by the kernel's out-of-memory killer."""

    def __call__(self, speech, **kwargs):
        if speech[0] == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(speech)


class SlowModel(ToyModel):
    """Takes a while, so that there is time to kill it."""

    def __call__(self, speech, **kwargs):
        time.sleep(0.02)
        return super().__call__(speech)


class PickyModel(ToyModel):
    """Cannot decode the samples whose number is in ``bad``; in a batch, nor any beside them."""

    def __init__(self, device, bad, kind="exception", max_batch=1000):
        super().__init__(device)
        self.bad = set(bad)
        self.kind = kind
        self.max_batch = max_batch

    def __call__(self, speech, **kwargs):
        batch = speech if isinstance(speech, list) else [speech]
        if len(batch) > self.max_batch:
            raise RuntimeError("CUDA out of memory. Tried to allocate 1 EiB")
        if self.bad & {int(item[0]) for item in batch}:
            if self.kind == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ArithmeticError("too hard")
        return super().__call__(speech)


class RandomModel(ToyModel):
    """Draws random numbers of every kind."""

    def __call__(self, speech, **kwargs):
        return f"{random.random()} {np.random.rand()} {torch.rand(()).item()}"


class StateModel(ToyModel):
    """Tells the state of torch in which it is called."""

    def __call__(self, speech, **kwargs):
        return f"{torch.is_inference_mode_enabled()} {torch.is_autocast_enabled('cpu')}"


class SocialModel(ToyModel):
    """Wrongly lets the result of a sample depend on who shares its batch."""

    def __call__(self, speech, **kwargs):
        return [f"{int(item[0])} of {len(speech)}" for item in speech]


class HangingModel(ToyModel):
    """Never comes back from the sample with number 4."""

    def __call__(self, speech, **kwargs):
        if speech[0] == 4:
            time.sleep(600)
        return super().__call__(speech)


class BigModel(ToyModel):
    """Needs more memory for samples with a number from 9 on than its device has, unless a CPU."""

    def __init__(self, device):
        super().__init__(device)
        self.device = device

    def __call__(self, speech, **kwargs):
        batch = speech if isinstance(speech, list) else [speech]
        if self.device != "cpu" and max(item[0] for item in batch) >= 9:
            raise RuntimeError("CUDA out of memory. Tried to allocate 1 EiB")
        return super().__call__(speech)


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 1)

    def forward(self, speech):
        return self.linear(speech).relu()


class Compiled(ToyModel):
    """Has a torch module."""

    def __init__(self, device):
        super().__init__(device)
        self.module = Network()

    def __call__(self, speech, **kwargs):
        self.module(torch.from_numpy(speech))
        return super().__call__(speech)


class StoredModel(ToyModel):
    """Reads its prefix from a file."""

    def __init__(self, device, path):
        prefix = Path(path).read_text()
        if prefix == "damaged":
            raise OSError(f"{path} is damaged")
        super().__init__(device, prefix)


class FailingModel(ToyModel):
    def __call__(self, speech, **kwargs):
        raise ArithmeticError("too hard")


def build_output(data, model_output, idx):
    if isinstance(idx, list):
        rows = zip(data, model_output, idx, strict=True)
        return [build_output(*row) for row in rows]
    return {"utt_id": data["utt_id"], "hyp": model_output, "ref": data["text"], "idx": idx}


def build_pid(data, model_output, idx):
    if isinstance(idx, list):
        return [build_pid(*row) for row in zip(data, model_output, idx, strict=True)]
    return {"utt_id": data["utt_id"], "hyp": data["pid"]}


def build_all_but_first(data, model_output, idx):
    if idx == 0:
        raise LookupError("no result")
    return build_output(data, model_output, idx)


def build_many_types(data, model_output, idx):
    return {
        "utt_id": data["utt_id"],
        "text": model_output,
        "score": np.float32(1.5),
        "flag": torch.tensor(True),
        "wave": torch.tensor(data["speech"]) / 10,
        "posterior": torch.ones(2, 3),
        "info": {"größe": [1, 2]},
    }


def build_lines(data, model_output, idx):
    return {"utt_id": data["utt_id"], "hyp": "one\ntwo\u2028three"}


def build_list(data, model_output, idx):
    return {"utt_id": data["utt_id"], "hyp": ["a"], "ref": "b"}


def build_none(data, model_output, idx):
    return {"utt_id": data["utt_id"], "hyp": None}


def build_with_array(data, model_output, idx):
    return {
        "utt_id": data["utt_id"],
        "hyp": model_output,
        "vector": np.arange(idx % 5, dtype=np.float32),
    }


def build_two(data, model_output, idx):
    return [{"utt_id": f"{data['utt_id']}-{i}", "hyp": i} for i in range(2)]


def build_only_id(data, model_output, idx):
    return {"utt_id": data["utt_id"]}


def build_without_id(data, model_output, idx):
    return {"hyp": model_output}


class InstanceProvider(InferenceProvider):
    """Overrides a build method as an ordinary method."""

    def build_model(self, config):
        return ToyModel(device="cpu", prefix=self.config.prefix)


class FlippingRunner(InferenceRunner):
    @staticmethod
    def forward(idx, *, dataset, model, flip=False, **kw):
        record = InferenceRunner.forward(idx, dataset=dataset, model=model, **kw)
        return {**record, "hyp": record["hyp"][::-1]} if flip else record


class ReturnsNothing(InferenceRunner):
    def __call__(self, indices):
        return None


class ReturnsHalf(InferenceRunner):
    def __call__(self, indices):
        return super().__call__(list(indices)[:1])


def build_maybe(data, model_output, idx):
    return {"utt_id": data["utt_id"], "hyp": None if idx % 2 else model_output}


class NoRunner:
    def __init__(self, **kwargs):
        pass


def toy_config(inference_dir, **changes):
    """Return the plain content of an inference.yaml."""
    config = {
        "recipe_dir": ".",
        "inference_dir": str(inference_dir),
        "dataset": {"_target_": f"{HERE}.ToyOrganizer", "test": [{"name": "clean"}]},
        "model": {"_target_": f"{HERE}.ToyModel"},
        "input_key": "speech",
        "output_fn": f"{HERE}.build_output",
        "parallel": {"env": "local", "n_workers": 1},
        "provider": {"_target_": "espnet3.systems.base.inference_provider.InferenceProvider"},
        "runner": {"_target_": "espnet3.systems.base.inference_runner.InferenceRunner"},
        "device": "cpu",
    }
    config.update(changes)
    return config


def write_lines(value, output_path, ending):
    """Write a dict in a format of its own."""
    path = output_path.with_name(output_path.name + ending)
    path.write_text("\n".join(value))
    return path


def build_elsewhere(data, model_output, idx):
    return {"utt_id": data["utt_id"], "wave": torch.ones(3, device="meta")}
