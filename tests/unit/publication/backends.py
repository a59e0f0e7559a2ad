"""Back ends that the tests pack and load; for the loader they are the host program's own code."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml

from espnet3.utils.config_utils import instantiate_config
from espnet3.utils.weights_utils import load_weights


class TinyModel(torch.nn.Module):
    """Scales the sum of a waveform, and knows one word per token."""

    def __init__(self, token_list, stats_file=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.tokens = Path(token_list).read_text().split()
        self.stats = Path(stats_file).read_bytes() if stats_file else b""

    def forward(self, speech):
        return (torch.as_tensor(speech).sum() * self.weight.sum()).item()


class TinyRecognizer:
    """Builds the model of a packed training config, like the native recogniser."""

    def __init__(self, train_config, model_file, device="cpu", shout=False):
        from omegaconf import OmegaConf

        config = OmegaConf.create(yaml.safe_load(Path(train_config).read_text()))
        self.model = instantiate_config(config.model, key="model")
        load_weights(self.model, model_file)
        self.device = device
        self.shout = shout

    def __call__(self, speech):
        if isinstance(speech, list):
            raise TypeError("one at a time")
        word = self.model.tokens[int(self.model(speech)) % len(self.model.tokens)]
        return [(word.upper() if self.shout else word, [], [], 0.0)]


class Echo:
    """Returns what it was called with."""

    def __init__(self, device="cpu", **options):
        self.device = device
        self.options = options

    def __call__(self, **inputs):
        return inputs


def first_text(data, model_output, idx):
    return {"hyp": model_output[0][0], "idx": idx, "utt_id": data.get("utt_id")}
