"""What the inference benchmarks decode: data sets, models, the stage and a bare loop over both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from espnet3.components.layers.conformer import ConformerEncoder
from espnet3.components.layers.frontend import LogMelFrontend
from espnet3.systems.base.inference import infer

HERE = "benchmarks.inference_cases"
SIZE = 4000


class Samples:
    """Ready-made samples, so that reading costs nothing."""

    def __init__(self, count: int) -> None:
        self.count = count
        generator = torch.Generator().manual_seed(0)
        self.speech = [torch.randn(SIZE, generator=generator) for _ in range(16)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"utt_id": f"utt{index:07d}", "speech": self.speech[index % 16]}


class Speech:
    """Noise whose lengths are spread as those of utterances are, and told without reading."""

    sample_rate = 16000

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(0)
        seconds = torch.randn(count, generator=generator).mul(0.6).add(1.5).exp().clamp(1, 15)
        self.lengths = [int(self.sample_rate * value) for value in seconds.tolist()]
        self.noise = torch.randn(16 * self.sample_rate, generator=generator) / 10

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        start = 97 * index % self.sample_rate
        speech = self.noise[start : start + self.lengths[index]]
        return {"utt_id": f"utt{index:07d}", "speech": speech}


class Organizer:
    """Test sets of any size."""

    def __init__(self, test: list[dict[str, Any]]) -> None:
        self.test = {entry["name"]: globals()[entry["data"]](entry["count"]) for entry in test}


class Trivial:
    """Does nothing."""

    def __call__(self, speech: Any) -> str:
        return "a few words of text"


class Network:
    """A few milliseconds of matrix products for each sample, in one thread."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        torch.set_num_threads(1)
        self.net = torch.nn.Sequential(
            torch.nn.Linear(80, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, 2048), torch.nn.ReLU()
        )

    def __call__(self, speech: Any) -> Any:
        is_list = isinstance(speech, list)
        samples = torch.stack(speech if is_list else [speech])
        with torch.no_grad():
            values = self.net(samples.view(len(samples), -1, 80)).mean((1, 2))
        texts = [f"{value:.3f}" for value in values.tolist()]
        return texts if is_list else texts[0]


class Recognizer:
    """Log-mel features, a small Conformer and greedy decoding; padding costs what speech does."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        torch.set_num_threads(1)
        sizes = {"output_size": 64, "num_blocks": 2, "linear_units": 128}
        self.frontend = LogMelFrontend(n_mels=40)
        self.encoder = ConformerEncoder(40, **sizes, subsampling_channels=32).eval()
        self.head = torch.nn.Linear(64, 30)

    def __call__(self, speech: list[Any]) -> list[str]:
        lengths = torch.tensor([len(item) for item in speech])
        padded = torch.nn.utils.rnn.pad_sequence(speech, batch_first=True)
        with torch.no_grad():
            hidden, lengths = self.encoder(*self.frontend(padded, lengths))
            best = self.head(hidden).argmax(-1)
        tokens = [
            row[:n].unique_consecutive().tolist() for row, n in zip(best, lengths, strict=True)
        ]
        return [" ".join(map(str, row)) for row in tokens]


def build_output(data: Any, model_output: Any, idx: Any) -> Any:
    if isinstance(idx, list):
        rows = zip(data, model_output, strict=True)
        return [{"utt_id": sample["utt_id"], "hyp": text} for sample, text in rows]
    return {"utt_id": data["utt_id"], "hyp": model_output}


def run_stage(
    folder: str, model: str, count: int, data: str = "Samples", warm: int = 0, **changes: Any
) -> dict[str, Any]:
    """Run the stage, over a small test set first if asked, and return the report of the other."""
    sets = [{"name": "warm", "count": warm, "data": data}] if warm else []
    config = {
        "recipe_dir": ".",
        "inference_dir": folder,
        "dataset": {
            "_target_": f"{HERE}.Organizer",
            "test": [*sets, {"name": "test", "count": count, "data": data}],
        },
        "model": {"_target_": f"{HERE}.{model}"},
        "input_key": "speech",
        "output_fn": f"{HERE}.build_output",
        "output_keys": ["hyp"],
        "provider": {"_target_": "espnet3.systems.base.inference_provider.InferenceProvider"},
        "runner": {
            "_target_": "espnet3.systems.base.inference_runner.InferenceRunner",
            "resume": False,
        },
        **changes,
    }
    infer(OmegaConf.create(config))
    return dict(json.loads((Path(folder) / "test" / "inference_report.json").read_text()))


def bare_loop(
    count: int,
    batch_size: int | None,
    folder: str,
    model_cls: type[Any] = Network,
    data_cls: type[Any] = Samples,
) -> None:
    """Decode in the order of the data set and write the texts to ``bare.scp``."""
    model, dataset = model_cls(), data_cls(count)
    with (Path(folder) / "bare.scp").open("w", encoding="utf-8") as stream:
        for start in range(0, count, batch_size or 1):
            data = [dataset[i] for i in range(start, min(start + (batch_size or 1), count))]
            speech = [sample["speech"] for sample in data]
            texts = model(speech=speech) if batch_size else [model(speech=speech[0])]
            for sample, text in zip(data, texts, strict=True):
                stream.write(f"{sample['utt_id']} {text}\n")
