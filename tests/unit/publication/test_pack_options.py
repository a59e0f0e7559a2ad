from __future__ import annotations

import filecmp
import logging
import os
import shutil
import zipfile
from types import SimpleNamespace

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from espnet3.errors import BundleError, ConfigError, UnsafeCheckpointError
from espnet3.publication import InferenceSession, bundle, self_check
from espnet3.utils import publish_utils
from espnet3.utils.weights_utils import read_state_dict
from tests.unit.publication import backends  # noqa: F401 - the host program's own classes
from tests.unit.publication.conftest import BACKENDS, write

WEIGHTS = "exp/debug/valid.loss.ave"


def read(path):
    return yaml.safe_load(path.read_text())


def files_of(root):
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def hyp(out):
    return InferenceSession.from_pretrained(str(out))(torch.ones(2))["hyp"]


@pytest.fixture
def last(recipe):
    """The recipe, decoding with a trainer checkpoint."""
    recipe.inference["model"]["model_file"] = str(recipe.exp_dir / "last.ckpt")
    return recipe


def test_weights_can_be_flat_torch_files(last):
    last.pack_model["weights_format"] = "torch"
    out = last.pack()
    assert read(out / "conf/inference.yaml")["model"]["model_file"].endswith("/last.ckpt")
    assert list(torch.load(out / "exp/debug/last.ckpt", weights_only=True)) == ["weight"]
    facts = read(out / "meta.yaml")["weights"]["model_file"]
    assert (facts["format"], facts["tensor_only"]) == ("torch", True)
    assert hyp(out)


def test_the_training_state_is_kept_on_request_beside_what_others_read(last):
    last.pack_model["weights"] = "full"
    out = last.pack()
    content = torch.load(out / "exp/debug/last.ckpt", weights_only=True)
    assert content["optimizer_states"] == [{"lr": 1.0}]
    assert list(content["module"]) == ["weight"]
    assert torch.equal(content["module"]["weight"], content["state_dict"]["model.weight"])
    assert not read(out / "meta.yaml")["weights"]["model_file"]["tensor_only"]
    assert hyp(out)


def test_a_checkpoint_can_be_kept_byte_for_byte(last):
    last.pack_model["weights"] = "keep"
    out = last.pack()
    assert filecmp.cmp(out / "exp/debug/last.ckpt", last.exp_dir / "step1.ckpt", shallow=False)
    assert "step1" not in "".join(files_of(out))
    assert hyp(out)


@pytest.mark.parametrize("mode", ["full", "keep"])
def test_flat_weights_stay_as_they_are_in_both_modes(recipe, mode):
    recipe.pack_model["weights"] = mode
    out = recipe.pack()
    assert filecmp.cmp(out / f"{WEIGHTS}.pth", recipe.root / f"{WEIGHTS}.pth", shallow=False)
    assert read(out / "meta.yaml")["weights"]["model_file"]["tensor_only"]


def test_a_trainer_checkpoint_for_espnet2_is_a_warning(last, caplog):
    last.inference["model"] = {"_target_": "espnet2.bin.asr_inference.Speech2Text",
                               "asr_model_file": str(last.exp_dir / "last.ckpt")}  # fmt: skip
    last.pack_model["weights"] = "keep"
    last.pack()
    assert "ESPnet2 cannot read" in caplog.text
    last.pack_model |= {"weights": "inference", "weights_format": "safetensors"}
    with pytest.raises(ConfigError, match=r"weights_format(.|\n)*ESPnet2"):
        last.pack()


def test_a_form_of_weights_that_are_not_exported_is_refused(recipe):
    recipe.pack_model |= {"weights": "keep", "weights_format": "torch"}
    with pytest.raises(ConfigError, match=r"weights_format(.|\n)*weights: inference"):
        recipe.pack()


class Espnet2Style(torch.nn.Module):
    """Loads as ESPnet2 does: a flat file, names that do not match are left out."""

    def __init__(self, model_file):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.report = self.load_state_dict(torch.load(model_file, weights_only=True), strict=False)


def test_a_reader_that_minds_no_names_gets_all_weights(last):
    last.pack_model["weights_format"] = "torch"
    model = Espnet2Style(last.pack() / "exp/debug/last.ckpt")
    assert not model.report.missing_keys
    assert not model.report.unexpected_keys
    assert torch.equal(model.weight, torch.ones(3) * 0.5)
    plain = Espnet2Style.__new__(Espnet2Style)
    torch.nn.Module.__init__(plain)
    plain.weight = torch.nn.Parameter(torch.zeros(3))
    trained = torch.load(last.exp_dir / "step1.ckpt", weights_only=True)
    assert plain.load_state_dict(trained, strict=False).missing_keys == ["weight"]


def test_all_checkpoints_are_packed_on_request(recipe):
    assert "exp/debug/last.safetensors" not in files_of(recipe.pack())
    recipe.pack_model["checkpoints"] = "all"
    torch.save({"weight": torch.zeros(3)}, recipe.exp_dir / "epoch2.pth")
    out = recipe.pack()
    exported = {f"exp/debug/{name}.safetensors" for name in ("epoch2", "last", "step1")}
    assert {f"{WEIGHTS}.safetensors", *exported} <= files_of(out)
    assert read(out / "meta.yaml")["files"] == {"model_file": f"{WEIGHTS}.safetensors"}
    assert torch.equal(read_state_dict(out / "exp/debug/epoch2.safetensors")["weight"],
                       torch.zeros(3))  # fmt: skip
    assert hyp(out) == "two"


def test_an_archive_holds_the_bundle_and_loads(recipe, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("ESPNET3_CACHE", str(tmp_path / "cache"))
    recipe.pack_model["archive"] = "zip"
    out = recipe.pack()
    archive = out.with_name("model_pack.zip")
    with zipfile.ZipFile(archive) as opened:
        assert set(opened.namelist()) == files_of(out)
    assert hyp(archive) == "two"
    before = archive.stat().st_mtime_ns
    recipe.pack()
    assert archive.stat().st_mtime_ns == before
    assert "up to date" in caplog.text
    archive.unlink()
    recipe.pack()
    assert archive.is_file()
    write(recipe.root / "src" / "new.py", "x = 1\n")
    assert not {name for name in files_of(recipe.pack()) if name.endswith(".zip")}


def test_a_file_that_is_no_archive_of_a_bundle_is_not_replaced(recipe):
    recipe.pack_model["archive"] = "zip"
    precious = write(recipe.exp_dir / "model_pack.zip", "precious")
    with pytest.raises(BundleError, match="will not replace"):
        recipe.pack()
    assert precious.read_text() == "precious"
    assert not recipe.out_dir.exists()


def test_the_card_sums_up_the_model(recipe):
    card = (recipe.pack() / "README.md").read_text()
    assert f"| `{BACKENDS}.TinyModel` | 3 | 0.0 MiB | float32 |" in card
    recipe.pack_model["include_model_summary"] = False
    assert "## Model" not in (recipe.pack() / "README.md").read_text()


def test_the_finished_bundle_is_checked(recipe, caplog):
    caplog.set_level(logging.INFO)
    recipe.inference["output_fn"] = "not_installed_anywhere.build"
    out = recipe.pack()
    assert "output_fn = not_installed_anywhere.build, which is not installed here" in caplog.text
    assert f"MiB  {WEIGHTS}.safetensors" in caplog.text
    trust = {"requires_user_code": True, "targets": ["not_installed_anywhere.build"]}
    assert read(out / "meta.yaml")["trust"] == trust
    caplog.clear()
    recipe.pack_model["self_check"] = False
    recipe.pack()
    assert "not installed here" not in caplog.text
    meta = read(out / "meta.yaml")
    torch.save({"weight": SimpleNamespace()}, out / "evil.pth")
    for change, error in (
        ({"files": {"model_file": "evil.pth"}}, UnsafeCheckpointError),
        ({"files": {"model_file": "gone.pth"}}, BundleError),
    ):
        write(out / "meta.yaml", {**meta, **change})
        with pytest.raises(error):
            self_check.check_bundle(out)


def test_a_package_may_lie_in_the_bundle(tmp_path):
    write(tmp_path / "meta.yaml", {"files": {}, "yaml_files": {}, "user_code_paths": ["src"]})
    write(tmp_path / "src" / "custom.py", "")
    for name in ("src.custom.X", "custom.X", "json.X"):
        assert self_check.is_importable(tmp_path, name)
    assert not self_check.is_importable(tmp_path, "nowhere.X")


def test_configs_can_be_given_by_themselves(recipe):
    system = recipe.system()
    configs = {name: getattr(system, f"{name}_config") for name in ("training", "publication")}
    out = publish_utils.pack_model(
        training_config=configs["training"],
        publication_config=configs["publication"],
        inference_config=system.inference_config,
    )
    assert hyp(out) == "two"
    with pytest.raises(ConfigError, match="either system or"):
        publish_utils.pack_model(system, training_config=configs["training"])
    with pytest.raises(RuntimeError, match="pack_model requires publication_config"):
        publish_utils.pack_model(training_config=configs["training"])


def test_a_listed_folder_is_packed_without_the_data_around_it(recipe):
    write(recipe.root / "data" / "bpe_30" / "tokens.txt", "a b\n")
    write(recipe.root / "data" / "bpe_30" / "bpe.model", b"model")
    write(recipe.root / "data" / "bpe_30" / "train.log", "log")
    recipe.pack_model |= {"include_data_dir": False, "extra": [str(recipe.root / "data/bpe_30")]}
    packed = files_of(recipe.pack())
    assert {"data/bpe_30/tokens.txt", "data/bpe_30/bpe.model"} <= packed
    assert not {n for n in packed if n.endswith(".log") or n.startswith("data/manifest")}


def test_every_asset_of_a_recipe_is_packed(recipe):
    for name in ("pixi.lock", ".python-version", "pyproject.toml", "uv.lock", "LICENSE.txt",
                 "dataset/builder.py"):  # fmt: skip
        write(recipe.root / name, "# text\n")
    packed = files_of(recipe.pack())
    assert {"pixi.toml", "pixi.lock", ".python-version", "pyproject.toml", "uv.lock",
            "LICENSE.txt", "dataset/builder.py"} <= packed  # fmt: skip


def test_the_strategy_can_be_forced_against_a_task(recipe):
    recipe.training["task"] = "espnet2.tasks.asr.ASRTask"
    recipe.pack_model["strategy"] = "espnet3"
    meta = read(recipe.pack() / "meta.yaml")
    assert meta["strategy"] == "espnet3"
    assert "exp/debug/training.yaml" in files_of(recipe.out_dir)
    assert "espnet3_yaml_files" not in meta


def test_nothing_is_written_before_everything_is_known_to_exist(recipe):
    recipe.pack_model["files"] = {"gone": "/not/there"}
    before = files_of(recipe.root)
    with pytest.raises(BundleError):
        recipe.pack()
    assert files_of(recipe.root) == before


def test_a_bundle_is_not_copied_when_a_disk_is_full(recipe, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(BundleError, match="0 MiB are free"):
        recipe.pack()
    assert not recipe.out_dir.exists()


def test_the_bundle_carries_the_umask_of_the_user(recipe):
    old = os.umask(0o027)
    try:
        out = recipe.pack()
    finally:
        os.umask(old)
    assert {p.stat().st_mode & 0o777 for p in out.rglob("*") if p.is_dir()} == {0o750}
    assert bundle.read_meta(out)


def test_the_configs_of_the_recipe_are_plain_values_too(recipe):
    system = recipe.system()
    plain = SimpleNamespace(
        training_config=OmegaConf.to_container(system.training_config),
        inference_config=recipe.inference,
        publication_config={"pack_model": recipe.pack_model},
    )
    assert hyp(publish_utils.pack_model(plain)) == "two"
