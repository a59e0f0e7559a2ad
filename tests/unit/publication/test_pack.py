from __future__ import annotations

import filecmp
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError

from espnet3.errors import BundleError, ConfigError, MissingConfigError, UnknownKeyError
from espnet3.publication import pack
from espnet3.utils import publish_utils
from espnet3.utils.weights_utils import export_safetensors, read_state_dict
from tests.conftest import REPO_ROOT
from tests.unit.publication.conftest import write


def files_of(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def read(path: Path):
    return yaml.safe_load(path.read_text())


def test_a_minimal_experiment_is_packed_without_a_recipe(tmp_path):
    exp = tmp_path / "exp" / "debug"
    write(exp / "weights.bin", "w")
    write(exp / "decode" / "scores.json", '{"wer": 0.1}')
    write(exp / "decode" / "hyp.scp", "a b")
    system = SimpleNamespace(
        training_config=OmegaConf.create({"exp_dir": str(exp)}),
        publication_config=OmegaConf.create({"pack_model": {"decode_dir": str(exp)}}),
    )
    out = publish_utils.pack_model(system)
    assert out == exp / "model_pack"
    assert (out / "exp" / "weights.bin").read_text() == "w"
    assert not (out / "exp" / "decode").exists()
    assert json.loads((out / "scores.json").read_text()) == {"wer": 0.1}
    assert {"files", "yaml_files", "timestamp"} <= set(read(out / "meta.yaml"))


def test_recipe_assets_configs_and_weights_are_packed(recipe):
    out = recipe.pack()
    meta = read(out / "meta.yaml")
    assert {"run.py", "pixi.toml", "src/inference.py", "README.md", "manifest.json"} <= files_of(
        out
    )
    assert meta["yaml_files"]["inference_config"] == "conf/inference.yaml"
    assert meta["yaml_files"]["training_config"] == "conf/training.yaml"
    assert meta["user_code_paths"] == ["src"]
    assert meta["files"] == {"model_file": "exp/debug/valid.loss.ave.safetensors"}
    assert meta["weights"]["model_file"] == {
        "format": "safetensors",
        "tensor_only": True,
        "params": 3,
        "dtypes": ["float32"],
    }
    assert meta["espnet"] is None
    assert meta["timestamp"] == 1750000000.0


def test_configs_name_places_in_the_bundle(recipe):
    out = recipe.pack()
    inference = read(out / "conf" / "inference.yaml")
    assert inference["recipe_dir"] == "."
    assert inference["exp_dir"] == "${recipe_dir}/exp/debug"
    assert inference["model"]["train_config"] == "${exp_dir}/training.yaml"
    weights = "${recipe_dir}/exp/debug/valid.loss.ave.safetensors"
    assert inference["model"]["model_file"] == weights
    for packed in (out / "conf" / "training.yaml", out / "exp" / "debug" / "training.yaml"):
        training = read(packed)
        assert training["model"]["token_list"] == "${recipe_dir}/data/tokenizer/tokens.txt"
        assert training["corpus"] == "external://digits"
        assert training["wandb_api_key"] == "***"


def test_no_text_file_names_this_machine(recipe, tmp_path):
    write(recipe.exp_dir / "facts.json", json.dumps({"cwd": str(recipe.root)}))
    write(recipe.exp_dir / "notes.md", f"see {Path.home()}/notes\n")
    out = recipe.pack()
    for path in out.rglob("*"):
        if path.is_file() and path.suffix in {".yaml", ".json", ".md", ".txt", ".py"}:
            assert str(tmp_path) not in path.read_text()
            assert f"{Path.home()}/" not in path.read_text()
    assert json.loads((out / "exp/debug/facts.json").read_text()) == {"cwd": "."}


def test_checkpoints_are_replaced_by_their_weights(recipe):
    out = recipe.pack()
    packed = files_of(out)
    assert not {name for name in packed if name.endswith((".ckpt", ".pth"))}
    state = read_state_dict(out / "exp" / "debug" / "valid.loss.ave.safetensors")
    assert torch.equal(state["weight"], torch.full((3,), 0.17))


def test_a_link_to_a_trainer_checkpoint_keeps_its_name_and_loses_its_prefix(recipe):
    recipe.inference["model"]["model_file"] = str(recipe.exp_dir / "last.ckpt")
    out = recipe.pack()
    assert "step1" not in (out / "conf" / "inference.yaml").read_text()
    state = read_state_dict(out / "exp" / "debug" / "last.safetensors")
    assert list(state) == ["weight"]


def test_a_file_that_is_no_checkpoint_is_packed_as_it_is(recipe, caplog):
    (recipe.exp_dir / "last.ckpt").unlink()
    write(recipe.exp_dir / "last.ckpt", "no checkpoint")
    recipe.inference["model"]["model_file"] = str(recipe.exp_dir / "last.ckpt")
    out = recipe.pack()
    assert (out / "exp" / "debug" / "last.ckpt").read_text() == "no checkpoint"
    assert read(out / "conf/inference.yaml")["model"]["model_file"].endswith("/last.ckpt")
    assert "packed as it is" in caplog.text


def test_a_damaged_checkpoint_is_refused_and_the_old_bundle_stays(recipe):
    out = recipe.pack()
    path = recipe.exp_dir / "valid.loss.ave.pth"
    path.write_bytes(path.read_bytes()[:200])
    before = (out / "manifest.json").read_text()
    with pytest.raises(BundleError, match=r"ave\.pth is damaged.*\n.*inference_config\.model"):
        recipe.pack()
    assert (out / "manifest.json").read_text() == before


def test_a_pickle_checkpoint_is_packed_when_it_is_asked_for(recipe):
    recipe.pack_model["extra"] = [str(recipe.exp_dir / "last.ckpt")]
    out = recipe.pack()
    assert filecmp.cmp(out / "exp/debug/last.ckpt", recipe.exp_dir / "step1.ckpt", shallow=False)


def test_an_espnet2_reader_gets_a_flat_torch_file_of_the_same_name(recipe):
    recipe.inference["model"] = {
        "_target_": "espnet2.bin.asr_inference.Speech2Text",
        "asr_model_file": str(recipe.exp_dir / "last.ckpt"),
    }
    recipe.pack_model["espnet2"] = {"task": "asr"}
    out = recipe.pack()
    packed = torch.load(out / "exp/debug/last.ckpt", weights_only=True)
    assert list(packed) == ["weight"]
    assert read(out / "meta.yaml")["files"]["asr_model_file"] == "exp/debug/last.ckpt"


@pytest.mark.parametrize("has_averaged", [True, False])
def test_without_an_inference_config_the_best_weights_are_packed(recipe, has_averaged):
    recipe.inference = None
    if not has_averaged:
        (recipe.exp_dir / "valid.loss.ave.pth").unlink()
    out = recipe.pack()
    name = "valid.loss.ave" if has_averaged else "last"
    assert read(out / "meta.yaml")["files"] == {"model_file": f"exp/debug/{name}.safetensors"}


def test_files_that_configs_refer_to_are_packed_but_the_data_are_not(recipe):
    out = recipe.pack()
    assert {"data/tokenizer/tokens.txt", "exp/debug/stats/train/feats_stats.npz"} <= files_of(out)
    assert not (out / "data" / "manifest").exists()


def test_the_data_folder_is_packed_on_request(recipe):
    recipe.pack_model["include_data_dir"] = True
    assert "data/manifest/train.tsv" in files_of(recipe.pack())


def test_referenced_files_from_elsewhere_move_into_the_bundle(recipe, tmp_path):
    recipe.training["model"]["token_list"] = str(write(tmp_path / "far" / "words.txt", "a b"))
    out = recipe.pack()
    assert (out / "files" / "words.txt").is_file()
    assert read(out / "conf/training.yaml")["model"]["token_list"] == (
        "${recipe_dir}/files/words.txt"
    )


def test_an_experiment_outside_the_recipe_becomes_exp(recipe, tmp_path):
    scratch = tmp_path / "scratch" / "run7"
    scratch.parent.mkdir()
    recipe.exp_dir.rename(scratch)
    recipe.training["exp_dir"] = str(scratch)
    recipe.training["model"].pop("stats_file")
    recipe.inference["exp_dir"] = str(scratch)
    recipe.pack_model = {"exclude": "*.log"}
    out = recipe.pack()
    assert out == scratch / "model_pack"
    inference = read(out / "conf" / "inference.yaml")
    assert inference["exp_dir"] == "${recipe_dir}/exp"
    assert inference["model"]["model_file"] == "${recipe_dir}/exp/valid.loss.ave.safetensors"


def test_yaml_that_nothing_refers_to_is_left_out(recipe):
    write(recipe.root / "conf" / "settings.yaml", {"exp_tag": "debug"})
    write(recipe.root / "conf" / "tuning" / "unused.yaml", {"a": 1})
    write(recipe.exp_dir / "unused.yaml", {"a": 1})
    write(recipe.exp_dir / "config.yaml", {"a": 1})
    write(recipe.root / "src" / "table.yaml", {"a": 1})
    write(recipe.exp_dir / "keep" / "listed.yaml", {"a": 1})
    recipe.inference["exp_tag"] = "${load_yaml:settings.yaml,exp_tag}"
    recipe.inference["model"]["asr_train_config"] = str(recipe.exp_dir / "config.yaml")
    recipe.pack_model["extra"] = str(recipe.exp_dir / "keep")
    out = recipe.pack()
    packed = files_of(out)
    kept = {
        "conf/settings.yaml",
        "conf/inference.yaml",
        "exp/debug/config.yaml",
        "exp/debug/training.yaml",
        "src/table.yaml",
        "exp/debug/keep/listed.yaml",
    }
    assert kept <= packed
    assert not {"conf/tuning/unused.yaml", "exp/debug/unused.yaml"} & packed
    assert not (out / "conf" / "tuning").exists()


def test_a_config_that_was_not_loaded_comes_from_the_recipe(recipe):
    write(recipe.root / "conf" / "metrics.yaml", {"recipe_dir": ".", "late": "${nowhere}"})
    assert read(recipe.pack() / "conf" / "metrics.yaml")["late"] == "${nowhere}"


def test_an_unknown_resolver_does_not_break_packing(recipe):
    recipe.inference["stamp"] = "${not_registered:1}"
    assert read(recipe.pack() / "conf/inference.yaml")["stamp"] == "${not_registered:1}"


def test_exclude_include_and_extra(recipe):
    write(recipe.root / "src" / "decode_utils.py", "x = 1\n")
    write(recipe.exp_dir / "foo" / "a.txt", "a")
    write(recipe.exp_dir / "decode_test" / "out.txt", "a")
    write(recipe.root / "assets" / "a.png", b"png")
    recipe.pack_model["exclude"] = ["exp/debug/foo/**", "**/*.log"]
    recipe.pack_model["include"] = "assets/**/*.png"
    packed = files_of(recipe.pack(extra=[recipe.root / "data" / "manifest"]))
    assert {"src/decode_utils.py", "assets/a.png", "data/manifest/train.tsv"} <= packed
    assert not {"exp/debug/foo/a.txt", "exp/debug/decode_test/out.txt"} & packed
    assert not {name for name in packed if name.startswith("exp/debug/inference")}
    assert not {name for name in packed if name.endswith(".log")}


def test_include_replaces_the_experiment(recipe):
    recipe.inference = None
    packed = files_of(recipe.pack(include=[recipe.root / "data" / "manifest"]))
    assert "data/manifest/train.tsv" in packed
    assert not {name for name in packed if name.startswith("exp/debug/training")}


def test_a_missing_extra_is_a_warning(recipe, caplog):
    listed = ["not/there", "data/**/*.tvs"]
    recipe.pack_model |= {"include": "data/tokeniser", "extra": listed}
    recipe.pack()
    warned = [r.getMessage() for r in caplog.records if "nothing is there" in r.getMessage()]
    assert [line.replace("nothing is there, so nothing is packed: ", "") for line in warned] == [
        f"publication_config.pack_model.include: {recipe.root}/data/tokeniser"
        ' (did you mean "tokenizer"?)',
        f"publication_config.pack_model.extra: {recipe.root}/not/there",
        f"publication_config.pack_model.extra: {recipe.root}/data/**/*.tvs"
        ' (did you mean "*.tsv" or "*.txt"?)',
    ]


def test_a_pattern_that_leaves_nothing_out_is_reported_with_what_it_may_stand_for(recipe, caplog):
    caplog.set_level("INFO")
    write(recipe.exp_dir / "foo" / "a.txt", "a")
    recipe.pack_model["exclude"] = ["exp/debug/fo/**", "*.lgo", "zzz", "**/foo/**", "a.txt"]
    recipe.pack()
    said = [r for r in caplog.records if "leaves nothing out" in r.getMessage()]
    key = "publication_config.pack_model.exclude"
    assert [(r.levelname, r.getMessage()) for r in said] == [
        ("WARNING", f"{key}: '*.lgo' leaves nothing out\n  did you mean \"*.log\"?"),
        # Its folder is left out by another pattern.
        ("INFO", f"{key}: 'a.txt' leaves nothing out"),
        ("WARNING", f"{key}: 'exp/debug/fo/**' leaves nothing out\n"
                    '  did you mean "exp/debug/foo" or "exp/debug/stats"?'),
        ("INFO", f"{key}: 'zzz' leaves nothing out"),
    ]  # fmt: skip


def test_registered_artifacts_are_copied_and_never_excluded(recipe, tmp_path):
    recipe.pack_model["files"] = {"notes": str(write(tmp_path / "v1.0.notes.log", "n"))}
    recipe.pack_model["yaml_files"] = {"extra_config": str(write(tmp_path / "e.yaml", {"a": 1}))}
    out = recipe.pack()
    meta = read(out / "meta.yaml")
    assert meta["files"]["notes"] == "files/notes.log"
    assert meta["yaml_files"]["extra_config"] == "yaml_files/extra_config.yaml"
    assert (out / "files" / "notes.log").read_text() == "n"


def test_two_files_for_one_place_are_an_error(recipe, tmp_path):
    first, second = (write(tmp_path / name / "same.txt", name) for name in "ab")
    recipe.pack_model["extra"] = [str(first), str(second)]
    with pytest.raises(BundleError, match="both be packed as same.txt"):
        recipe.pack()


@pytest.mark.parametrize("section", ["files", "yaml_files"])
def test_a_missing_artifact_names_its_key(recipe, section):
    recipe.pack_model[section] = {"gone": "/not/there"}
    with pytest.raises(RuntimeError, match=rf"pack_model\.{section}\.gone: /not/there"):
        recipe.pack()


def test_a_model_file_that_does_not_exist_names_its_key(recipe):
    recipe.inference["model"]["model_file"] = str(recipe.exp_dir / "gone.pth")
    with pytest.raises(BundleError, match="model.model_file"):
        recipe.pack()
    recipe.inference["model"]["model_file"] = "/elsewhere/gone.pth"
    with pytest.raises(BundleError, match=r"pack_model\.files or extra"):
        recipe.pack()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"training_config": None}, RuntimeError, "pack_model requires training_config"),
        ({"publication_config": None}, RuntimeError, "pack_model requires publication_config"),
        ({"publication_config": {}}, RuntimeError, r"publication_config\.pack_model"),
        ({"publication_config": {"pack_model": None}}, RuntimeError, r"publication_config\.pack_m"),
        ({"publication_config": {"pack_model": {"strategi": 1}}}, UnknownKeyError, "strategy"),
        (
            {"publication_config": {"pack_model": {"strategy": "x"}}},
            ValueError,
            "auto, espnet2, espnet3",
        ),
    ],
)
def test_wrong_configs_are_refused(recipe, change, error, text):
    system = recipe.system()
    vars(system).update(change)
    with pytest.raises(error, match=text):
        publish_utils.pack_model(system)


def test_the_default_out_dir_needs_an_experiment(recipe):
    recipe.pack_model = {"strategy": "auto"}
    del recipe.training["exp_dir"]
    with pytest.raises(MissingConfigError, match=r"training_config\.exp_dir"):
        recipe.pack()


@pytest.mark.parametrize(
    "place", ["exp_dir", "root", "root.parent", "cwd", "home", "source", "data"]
)
def test_folders_that_hold_something_else_are_never_replaced(recipe, place, monkeypatch, tmp_path):
    source = write(tmp_path / "listed" / "inner" / "a.txt", "a")
    recipe.pack_model["extra"] = [str(source)]
    monkeypatch.chdir(tmp_path)
    places = {
        "exp_dir": recipe.exp_dir,
        "root": recipe.root,
        "root.parent": recipe.root.parent,
        "cwd": tmp_path,
        "home": Path.home(),
        "source": tmp_path / "listed",
        "data": recipe.root / "data",
    }
    recipe.pack_model["out_dir"] = str(places[place])
    before = files_of(tmp_path)
    with pytest.raises(RuntimeError, match="will not replace"):
        recipe.pack()
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("content", ["a.txt", ".git/config", None])
def test_a_folder_that_is_no_bundle_is_not_replaced(recipe, tmp_path, content):
    out = tmp_path / "out"
    write(out / content if content else out, "precious")
    recipe.pack_model["out_dir"] = str(out)
    with pytest.raises(BundleError, match="will not replace"):
        recipe.pack()
    assert (out / content if content else out).read_text() == "precious"


def test_packing_again_replaces_the_bundle(recipe):
    out = recipe.pack()
    write(out / "stale.txt", "old")
    first = files_of(out) - {"stale.txt"}
    assert files_of(recipe.pack()) == first
    recipe.pack_model["allow_overwrite"] = False
    with pytest.raises(RuntimeError, match="allow_overwrite: true"):
        recipe.pack()


@pytest.mark.parametrize("step", ["plan", "export_weights", "render_card", "check_bundle"])
def test_a_failing_pack_leaves_the_old_bundle(recipe, step, monkeypatch):
    def fail(*args, **kwargs):
        raise BundleError("no space left")

    out = recipe.pack()
    before = {name: (out / name).read_bytes() for name in files_of(out)}
    write(recipe.exp_dir / "more.txt", "more")
    if step == "plan":
        recipe.inference["model"]["model_file"] = "/gone.pth"
    else:
        monkeypatch.setattr(f"espnet3.publication.pack.{step}", fail)
    with pytest.raises(BundleError):
        recipe.pack()
    assert {name: (out / name).read_bytes() for name in files_of(out)} == before
    assert not list(out.parent.glob(".model_pack.*-*"))


def test_leftovers_of_a_killed_pack_are_neither_packed_nor_kept(recipe):
    write(recipe.exp_dir / ".model_pack.partial-1" / "half.txt", "half")
    write(recipe.exp_dir / ".model_pack.retired-1" / "meta.yaml", "files: {}")
    assert not {name for name in files_of(recipe.pack()) if ".model_pack" in name}
    assert not list(recipe.exp_dir.glob(".model_pack.*-*"))


def test_a_killed_pack_leaves_the_old_bundle_and_can_be_repeated(recipe, tmp_path):
    out = recipe.pack()
    before = files_of(out)
    script = f"""
        import os, signal
        from omegaconf import OmegaConf
        from types import SimpleNamespace
        from espnet3.publication import pack
        from espnet3.utils import publish_utils
        pack.export_weights = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        publish_utils.pack_model(SimpleNamespace(
            training_config=OmegaConf.create({recipe.training!r}),
            inference_config=OmegaConf.create({recipe.inference!r}),
            publication_config=OmegaConf.create({{"pack_model": {recipe.pack_model!r}}}),
        ))
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=REPO_ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert files_of(out) == before
    assert list(recipe.exp_dir.glob(".model_pack.partial-*"))
    assert files_of(recipe.pack()) == before
    assert not list(recipe.exp_dir.glob(".model_pack.partial-*"))


def test_an_interpolation_that_cannot_be_resolved_is_named(recipe):
    recipe.pack_model["out_dir"] = "${nowhere}/model_pack"
    with pytest.raises(InterpolationKeyError, match="nowhere"):
        recipe.pack()


def test_equal_inputs_give_equal_bytes(recipe, tmp_path):
    recipe.pack_model["archive"] = "zip"
    contents = []
    for _ in range(2):
        out = recipe.pack()
        found = {name: (out / name).read_bytes() for name in files_of(out)}
        contents.append({**found, "archive": out.with_name("model_pack.zip").read_bytes()})
        # Otherwise the second run would leave the first bundle alone.
        out.rename(tmp_path / "first")
        for beside in recipe.exp_dir.glob("*model_pack*"):
            beside.unlink()
        if len(contents) == 1:
            (tmp_path / "first").rename(tmp_path / "kept")
    assert contents[0] == contents[1]


def test_the_system_and_its_configs_are_not_changed(recipe):
    system = recipe.system()
    before = {k: OmegaConf.to_yaml(v) for k, v in vars(system).items() if v is not None}
    publish_utils.pack_model(system)
    assert {k: OmegaConf.to_yaml(v) for k, v in vars(system).items() if v is not None} == before


def test_several_score_files_are_an_error(recipe):
    for name in ("a", "b"):
        write(recipe.exp_dir / "inference" / name / "scores.json", "{}")
    with pytest.raises(RuntimeError, match=r"publication_config\.pack_model\.decode_dir"):
        recipe.pack()


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("src/a.py", "KEY = 'hf_" + "a" * 30 + "'", "Hugging Face token"),
        ("run.py", "\nURL = 'https://me:pass@host/x'", "password in a URL"),
    ],
)
def test_secrets_in_copied_files_stop_packing(recipe, caplog, name, text, kind):
    write(recipe.root / name, text)
    with pytest.raises(BundleError, match=kind) as caught:
        recipe.pack()
    assert f"{name}:" in str(caught.value)
    assert text.split("'")[1] not in str(caught.value)
    recipe.pack_model["secret_scan"] = "warn"
    with caplog.at_level(logging.WARNING):
        recipe.pack()
    assert kind in caplog.text


def test_logs_of_stages_are_not_packed_whatever_is_excluded(recipe):
    recipe.pack_model |= {"exclude": "*.csv", "include_data_dir": True}
    write(recipe.exp_dir / "pack_model1.log", f"[host] at {recipe.root}\n")
    write(recipe.root / "data" / "create_dataset.log", f"[host] at {recipe.root}\n")
    write(recipe.root / "data" / "create_dataset.run.json", "{}")
    assert not list(recipe.pack().rglob("*.log"))


def test_a_log_of_another_kind_is_packed_unless_it_names_this_machine(recipe):
    recipe.pack_model |= {"exclude": [], "include": "notes"}
    log = write(recipe.root / "notes" / "sox.log", "rate 8000\n")
    assert (recipe.pack() / "notes" / "sox.log").read_text() == "rate 8000\n"
    write(log, f"wrote {recipe.root}/x.wav\n")
    with pytest.raises(BundleError, match=r"notes/sox.log:1: path of this machine"):
        recipe.pack()


def test_lists_of_audio_files_lose_the_paths_of_this_machine(recipe):
    recipe.pack_model["include"] = "lists"
    write(recipe.root / "lists" / "wav.scp", f"a {recipe.root}/data/a.wav\n")
    assert (recipe.pack() / "lists" / "wav.scp").read_text() == "a ./data/a.wav\n"


def test_a_path_of_this_machine_for_the_card_is_named_by_its_key(recipe):
    recipe.pack_model["readme_context"] = {"own": ["fine", f"trained in {recipe.root}"]}
    with pytest.raises(ConfigError, match=r"pack_model\.readme_context\.own\[1\]"):
        recipe.pack()
    assert not recipe.out_dir.exists()
    recipe.pack_model["secret_scan"] = "warn"
    recipe.pack()


def test_leaks_are_found_before_the_model_is_loaded(recipe, monkeypatch):
    monkeypatch.setattr(pack, "add_golden_samples", lambda *_: pytest.fail("the model was loaded"))
    write(recipe.root / "src" / "a.py", f"PATH = '{recipe.root}'\n")
    with pytest.raises(BundleError, match=r"src/a.py:1: path of this machine"):
        recipe.pack()


def test_leaks_of_the_card_are_found(recipe):
    recipe.pack_model["readme_template"] = str(write(recipe.root / "t.md", f"in {recipe.root}\n"))
    with pytest.raises(BundleError, match=r"README.md:1: path of this machine"):
        recipe.pack()


def test_an_unwritable_place_is_named_with_its_key(recipe):
    recipe.pack_model["out_dir"] = "/proc/model_pack"
    with pytest.raises(BundleError, match="/proc/model_pack cannot be written") as caught:
        recipe.pack()
    assert "publication_config.pack_model.out_dir" in str(caught.value)


def test_paths_of_this_machine_in_code_stop_packing(recipe):
    write(recipe.root / "src" / "a.py", f"DATA = '{recipe.root}/data'\n")
    with pytest.raises(BundleError, match=r"src/a.py:1: path of this machine"):
        recipe.pack()


def test_relative_paths_start_at_the_recipe(recipe, monkeypatch):
    monkeypatch.chdir(recipe.root)
    recipe.training |= {"recipe_dir": ".", "exp_dir": "./exp/debug", "data_dir": "./data"}
    recipe.training["tokenizer"]["save_path"] = "./data/tokenizer"
    recipe.inference["recipe_dir"] = "."
    recipe.pack_model |= {"out_dir": "./exp/debug/model_pack", "decode_dir": "exp/debug/inference"}
    out = recipe.pack()
    assert out == recipe.out_dir
    assert read(out / "conf/training.yaml")["exp_dir"] == "${recipe_dir}/exp/debug"
    assert read(out / "conf/training.yaml")["data_dir"] == "${recipe_dir}/data"


def test_link_cycles_and_broken_links_are_reported(recipe, caplog):
    (recipe.exp_dir / "loop").symlink_to(recipe.exp_dir)
    (recipe.exp_dir / "dangling").symlink_to("nowhere")
    recipe.pack()
    assert "cycle of links" in caplog.text
    assert "broken link" in caplog.text


PIPES = {
    "run.py": {},
    "src/pipe": {},
    "exp/debug/pipe": {},
    "data/pipe": {"include_data_dir": True},
    "listed": {"extra": "listed"},
    "folder/pipe": {"include": ["folder"]},
    "file": {"files": {"part": "file"}},
    "parts/pipe": {"files": {"parts": "parts"}},
    "some.yaml": {"yaml_files": {"some": "some.yaml"}},
    "exp/debug/inference/scores.json": {},
    "option": {"strategy": "espnet2", "espnet2": {"task": "asr", "option": ["option"]}},
}


@pytest.mark.parametrize(("place", "settings"), PIPES.items(), ids=PIPES)
def test_what_could_be_read_for_ever_is_refused(recipe, place, settings):
    path = recipe.root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    recipe.pack_model |= settings
    with pytest.raises(BundleError, match=f"{path} is neither file nor folder"):
        recipe.pack()
    assert not recipe.out_dir.exists()


@pytest.mark.parametrize("kind", ["socket", "device"])
def test_sockets_and_devices_are_refused_unless_they_are_excluded(recipe, kind, monkeypatch):
    path = recipe.root / "src" / "odd"
    if kind == "device":
        path.symlink_to("/dev/zero")
    else:
        monkeypatch.chdir(path.parent)
        server = socket.socket(socket.AF_UNIX)
        server.bind(path.name)
        server.close()
    with pytest.raises(BundleError, match="remove it, or keep it out with `exclude`"):
        recipe.pack()
    recipe.pack_model["exclude"] = ["odd"]
    assert not (recipe.pack() / "src" / "odd").exists()


def test_git_facts_come_from_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    facts = publish_utils._git_info()
    assert facts == {"head": "", "dirty": ""}


def test_an_artifact_that_is_in_the_bundle_already_is_stored_once(recipe):
    recipe.pack_model["files"] = {"tokens": "data/tokenizer/tokens.txt"}
    out = recipe.pack()
    first, second = out / "data/tokenizer/tokens.txt", out / "files/tokens.txt"
    assert first.samefile(second)
    inference = read(out / "conf/training.yaml")["model"]["token_list"]
    assert inference == "${recipe_dir}/data/tokenizer/tokens.txt"


def test_a_folder_can_be_an_artifact(recipe):
    recipe.pack_model["files"] = {"tokenizer": "data/tokenizer"}
    out = recipe.pack()
    assert read(out / "meta.yaml")["files"]["tokenizer"] == "files/tokenizer"
    assert (out / "files" / "tokenizer" / "tokens.txt").is_file()


def test_the_training_config_of_an_espnet2_experiment_is_registered(recipe):
    write(recipe.exp_dir / "config.yaml", {"token_list": ["a"]})
    recipe.pack_model["espnet2"] = {"task": "asr"}
    meta = read(recipe.pack() / "meta.yaml")
    assert meta["yaml_files"]["asr_train_config"] == "exp/debug/config.yaml"
    assert meta["files"]["asr_model_file"] == "exp/debug/valid.loss.ave.safetensors"


def test_weights_from_elsewhere_move_into_the_bundle(recipe, tmp_path):
    far = tmp_path / "far" / "model.pth"
    far.parent.mkdir()
    (recipe.exp_dir / "valid.loss.ave.pth").rename(far)
    recipe.inference["model"]["model_file"] = str(far)
    out = recipe.pack()
    assert (out / "files" / "model.safetensors").is_file()
    assert read(out / "conf/inference.yaml")["model"]["model_file"] == (
        "${recipe_dir}/files/model.safetensors"
    )


def test_safetensors_are_packed_as_they_are(recipe):
    source = recipe.exp_dir / "m.safetensors"
    export_safetensors({"weight": torch.ones(3)}, source)
    recipe.inference["model"]["model_file"] = str(source)
    out = recipe.pack()
    assert filecmp.cmp(out / "exp/debug/m.safetensors", source, shallow=False)
