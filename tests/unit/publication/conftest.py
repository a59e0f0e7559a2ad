from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from espnet3.publication import code_scope
from espnet3.utils import publish_utils
from tests.unit.publication import backends
from tests.unit.publication.hub_server import OWNER_TOKEN, HubServer

# Imported, not only named: what the running program has imported is its own code.
BACKENDS = backends.__name__


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    else:
        path.write_text(yaml.safe_dump(content))
    return path


@dataclass
class Recipe:
    """A trained experiment in a recipe folder."""

    root: Path
    training: dict = field(default_factory=dict)
    inference: dict | None = None
    metrics: dict | None = None
    pack_model: dict = field(default_factory=dict)
    upload_model: dict | None = None

    @property
    def exp_dir(self) -> Path:
        return self.root / "exp" / "debug"

    @property
    def out_dir(self) -> Path:
        return self.exp_dir / "model_pack"

    def system(self) -> SimpleNamespace:
        def create(config):
            return None if config is None else OmegaConf.create(config)

        publication = {"pack_model": self.pack_model, "upload_model": self.upload_model}
        return SimpleNamespace(
            training_config=create(self.training),
            inference_config=create(self.inference),
            metrics_config=create(self.metrics),
            publication_config=create(publication),
        )

    def pack(self, **arguments) -> Path:
        return publish_utils.pack_model(self.system(), **arguments)


@pytest.fixture(autouse=True)
def _known_provenance(monkeypatch):
    """Keep git and the Hub out of the tests."""
    monkeypatch.setattr(publish_utils, "_git_info", lambda: {"head": "abc123", "dirty": "clean"})
    monkeypatch.setattr(publish_utils, "_hf_username", lambda: "ada")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")


@pytest.fixture(autouse=True)
def _fresh_imports(monkeypatch):
    """Undo what activated user code leaves in the interpreter."""
    import sys

    path, modules = list(sys.path), set(sys.modules)
    monkeypatch.setattr(code_scope, "_activated", set())
    monkeypatch.setattr(code_scope, "_scopes", {})
    monkeypatch.setattr(code_scope.CodeScope, "_current", None)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in {"src", "custom_code", "inference", "helper"}:
            del sys.modules[name]


@pytest.fixture
def publish(monkeypatch):
    """Pack and upload a recipe's model to a hub of this machine; return the commit."""
    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)

    def run(recipe: Recipe, hub: HubServer, name: str, **settings) -> str:
        new = lambda: huggingface_hub.HfApi(endpoint=hub.url, token=OWNER_TOKEN)  # noqa: E731
        monkeypatch.setattr(publish_utils, "HfApi", new)
        recipe.upload_model = {"hf_repo": name, **settings}
        recipe.pack()
        publish_utils.upload_model(recipe.system())
        return hub.repositories[name].heads["main"]

    return run


@pytest.fixture
def recipe(tmp_path) -> Recipe:
    """Recipe with a trained model, tokenizer, statistics and scores."""
    root = tmp_path / "work" / "egs3" / "digits" / "asr"
    made = Recipe(root)
    exp = made.exp_dir
    write(root / "run.py", "print('run')\n")
    write(root / "pixi.toml", "[project]\n")
    write(root / "src" / "__init__.py", "")
    write(root / "src" / "inference.py", "def build(data, model_output, idx):\n    return idx\n")
    write(root / "conf" / "training.yaml", {"note": "replaced by the config in memory"})
    write(root / "data" / "tokenizer" / "tokens.txt", "one two three\n")
    write(root / "data" / "manifest" / "train.tsv", "utt\tpath\ttext\n")
    write(exp / "stats" / "train" / "feats_stats.npz", b"PK\x05\x06" + bytes(18))
    state = {f"model.{name}": value for name, value in {"weight": torch.ones(3) * 0.5}.items()}
    torch.save({"state_dict": state, "optimizer_states": [{"lr": 1.0}]}, exp / "step1.ckpt")
    (exp / "last.ckpt").symlink_to("step1.ckpt")
    torch.save({"weight": torch.full((3,), 0.17)}, exp / "valid.loss.ave.pth")
    write(exp / "train.log", f"at {root}\n")
    write(
        exp / "inference" / "metrics.json",
        '{"espnet3.WER": {"test": {"WER": 2.5}, "dev": {"WER": 1.0, "CER": 0.5}}}',
    )
    made.training = {
        "recipe_dir": str(root),
        "exp_dir": str(exp),
        "data_dir": str(root / "data"),
        "tokenizer": {
            "save_path": str(root / "data" / "tokenizer"),
            "text_builder": {"manifest_path": str(root / "data" / "manifest" / "train.tsv")},
        },
        "model": {
            "_target_": f"{BACKENDS}.TinyModel",
            "token_list": str(root / "data" / "tokenizer" / "tokens.txt"),
            "stats_file": str(exp / "stats" / "train" / "feats_stats.npz"),
        },
        "corpus": "/corpora/digits",
        "wandb_api_key": "k" * 20,
    }
    write(exp / "training.yaml", made.training)
    made.inference = {
        "recipe_dir": str(root),
        "exp_dir": "${recipe_dir}/exp/debug",
        "inference_dir": "${exp_dir}/inference",
        "model": {
            "_target_": f"{BACKENDS}.TinyRecognizer",
            "train_config": "${exp_dir}/training.yaml",
            "model_file": "${exp_dir}/valid.loss.ave.pth",
        },
        "input_key": "speech",
        "output_fn": f"{BACKENDS}.first_text",
    }
    made.pack_model = {
        "out_dir": str(made.out_dir),
        "decode_dir": str(exp / "inference"),
        "exclude": ["**/*.log"],
        # Each takes an interpreter of its own; test_golden.py turns them on.
        "golden_samples": False,
    }
    return made
