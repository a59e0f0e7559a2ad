"""A recipe with a tiny native recogniser, as ours are written."""

from __future__ import annotations

from pathlib import Path

import torch

from espnet3.systems.asr.models import ASRModel
from tests.unit.publication.conftest import Recipe, write

TOKENS = "<blank>\n<unk>\none\ntwo\nthree\n<sos/eos>\n"


def make_recipe(root: Path) -> Recipe:
    """Write the recipe with random weights; its paths start at the working directory, ``root``."""
    recipe = Recipe(root)
    write(recipe.root / "data" / "tokenizer" / "tokens.txt", TOKENS)
    write(recipe.root / "src" / "tokenizer.py", "def gather(): ...\n")
    parts = {
        "frontend": {"type": "log_mel", "n_mels": 8},
        "normalize": {"type": "utterance_mvn"},
        "encoder": {
            "type": "conformer",
            "output_size": 8,
            "num_blocks": 1,
            "attention_heads": 2,
            "linear_units": 8,
            "cnn_kernel": 3,
            "subsampling_channels": 4,
        },
    }
    recipe.training = {
        "recipe_dir": ".",
        "exp_dir": "./exp/debug",
        "data_dir": "./data",
        "tokenizer": {"model_type": "word", "vocab_size": 6, "save_path": "./data/tokenizer"},
        "model": {
            "_target_": "espnet3.systems.asr.models.ASRModel",
            "token_list": "./data/tokenizer/tokens.txt",
            **parts,
        },
    }
    torch.manual_seed(0)
    model = ASRModel(token_list=str(root / "data/tokenizer/tokens.txt"), **parts)
    recipe.exp_dir.mkdir(parents=True)
    torch.save(model.state_dict(), recipe.exp_dir / "valid.loss.ave.pth")
    write(recipe.exp_dir / "training.yaml", recipe.training)
    recipe.inference = {
        "recipe_dir": ".",
        "exp_dir": "./exp/debug",
        "model": {
            "_target_": "espnet3.systems.asr.recognizer.SpeechRecognizer",
            "train_config": "./exp/debug/training.yaml",
            "model_file": "./exp/debug/valid.loss.ave.pth",
        },
        "input_key": "speech",
        "output_fn": "espnet3.systems.asr.outputs.build_output",
        "provider": {
            "_target_": "espnet3.systems.base.inference_provider.InferenceProvider",
        },
    }
    recipe.pack_model = {"out_dir": "./exp/debug/model_pack", "golden_samples": False}
    return recipe
