"""Bundles that try to do harm: each must be refused before its payload runs."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from espnet3.errors import (
    BundleError,
    ConfigError,
    UnsafeCheckpointError,
    UntrustedCodeError,
    UntrustedTargetError,
)
from espnet3.publication import InferenceSession, security
from espnet3.publication.bundle_scan import scan_bundle
from espnet3.publication.security import allow_targets, bundle_policy
from espnet3.utils.import_utils import import_object, trusted_target, use_target_policy
from tests.unit.publication.backends import Echo
from tests.unit.publication.conftest import BACKENDS, write

ECHO = {"_target_": f"{BACKENDS}.Echo"}


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


class OwnMeta(type):
    pass


def own_function(**arguments):
    return arguments


@trusted_target
class TrustedBuilder:
    """Builds what the config beside it says, like our recogniser."""

    def __init__(self, train_config, device="cpu"):
        from espnet3.utils.config_utils import instantiate_config

        self.model = instantiate_config(yaml.safe_load(Path(train_config).read_text())["model"])


@trusted_target
class TorchReader:
    """Insists on unpickling, like old third-party code."""

    def __init__(self, model_file, device="cpu"):
        self.content = torch.load(model_file, weights_only=False)


class LateBuilder:
    """Looks up what it needs when it is called."""

    def __init__(self, device="cpu"):
        self.device = device

    def __call__(self, speech):
        return LATE()


def late_output(data, model_output, idx):
    return LATE()


def LATE():  # noqa: N802
    return None


def import_late():
    return import_object("os.system")


def load(root: Path, config, **arguments):
    write(root / "meta.yaml", {"files": {}, "yaml_files": {}, "schema_version": 1})
    content = config if isinstance(config, str) else yaml.safe_dump(config)
    path = write(root / "conf" / "inference.yaml", content)
    return InferenceSession.from_artifacts({"inference_config": str(path)}, **arguments)


@pytest.fixture
def trace(tmp_path) -> Path:
    """File that a payload would create."""
    return tmp_path / "trace"


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "bundle"


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "builtins.type",
        "pathlib.Path.touch",
        "functools.partial",
        "torch.load",
        "torch.hub.load",
        "torch.nn.utils.rnn.torch.os.system",
        "torch.nn.init.zeros_",
        "torch.nn.Module.register_forward_hook",
        "torch.utils.data.DataLoader",
        "numpy.load",
        "yaml.unsafe_load",
        "espnet3.utils.import_utils.import_object",
        "espnet3.utils.config_utils.instantiate_config",
        "espnet3.publication.hub.BundleDownloader",
        "espnet3.publication.InferenceSession.from_pretrained",
        "espnet3.utils.env_report.os.system",
        "espnet3.__main__.main",
        "espnet3.systems.base.inference_runner.InferenceRunner",
        "espnet3.systems.base.inference_provider.InferenceProvider",
        "espnet3.utils.writer_utils.write_artifact",
        "espnet3.utils.path_utils.write_text",
        "espnet3.utils.weights_utils.export_safetensors",
        "egs3.TEMPLATE.asr.run.main",
        f"{BACKENDS}.torch.hub.load",
        f"{BACKENDS}.Path",
        f"{__name__}.own_function",
        f"{__name__}.OwnMeta",
        f"{__name__}.os.system",
        "not_installed_anywhere.Model",
        "src.model.MyModel",
    ],
)
def test_targets_off_the_allow_list_are_refused(root, trace, target):
    argument = {"path": str(trace)}
    with pytest.raises(UntrustedCodeError) as caught:
        load(root, {"model": {"_target_": target, "command": f"touch {trace}"}})
    assert target in str(caught.value)
    assert "trust_user_code=True" in str(caught.value)
    assert not trace.exists(), argument


@pytest.mark.parametrize(
    "place", ["nested", "list", "arguments", "unresolved", "provider", "output_fn"]
)
def test_targets_are_refused_wherever_they_stand(root, trace, place):
    evil = {"_target_": "os.system", "command": f"touch {trace}"}
    config = {
        "nested": {"model": {**ECHO, "inner": evil}},
        "list": {"model": {**ECHO, "inner": [{"deep": evil}]}},
        "arguments": {"model": {**ECHO, "_recursive_": False, "_args_": [evil]}},
        "unresolved": {"model": {**ECHO, "inner": {**evil, "_target_": "${name}"}}},
        "provider": {"model": ECHO, "provider": evil},
        "output_fn": {"model": ECHO, "output_fn": "os.system"},
    }[place]
    config["name"] = "os.system"
    with pytest.raises(UntrustedTargetError, match=r"os\.system"):
        load(root, config)
    assert not trace.exists()


def test_construction_cannot_be_put_off_until_nobody_checks(root, trace):
    write(root / "train.yaml", {"model": {"_target_": "os.system", "command": f"touch {trace}"}})
    builder = {"_target_": f"{__name__}.TrustedBuilder", "_partial_": True}
    for model in (builder, {**ECHO, "inner": [builder]}):
        with pytest.raises(UntrustedCodeError, match="_partial_"):
            load(root, {"model": model, "input_key": "train_config"})


@pytest.mark.parametrize("place", ["model", "output_fn"])
def test_the_rules_hold_while_the_model_is_called(root, place, monkeypatch):
    monkeypatch.setitem(globals(), "LATE", import_late)
    config = {"model": ECHO, "output_fn": f"{__name__}.late_output"}
    if place == "model":
        config = {"model": {"_target_": f"{__name__}.LateBuilder"}}
    session = load(root, config)
    with pytest.raises(UntrustedTargetError, match=r"os\.system"):
        session("speech")
    with pytest.raises(UntrustedTargetError, match=r"os\.system"):
        session.forward_batch(["speech"])
    assert import_object("os.system") is os.system


def test_modules_of_the_program_that_it_has_not_imported_stay_unimported(
    root, trace, tmp_path, monkeypatch
):
    write(tmp_path / "lib" / "hostpackage" / "__init__.py", "class Own:\n    pass\n")
    payload = f"import pathlib; pathlib.Path({str(trace)!r}).touch()"
    write(tmp_path / "lib" / "hostpackage" / "cleanup.py", payload)
    write(tmp_path / "lib" / "hostpackage" / "__main__.py", payload)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    import hostpackage

    assert isinstance(load(root, {"model": {"_target_": "hostpackage.Own"}}).model, hostpackage.Own)
    monkeypatch.setenv("ESPNET3_ALLOWED_TARGETS", "elsewhere.*")
    for target in ("cleanup", "cleanup.Own", "__main__", "__main__.Own"):
        with pytest.raises(UntrustedTargetError):
            load(root, {"model": {"_target_": f"hostpackage.{target}"}})
    monkeypatch.setenv("ESPNET3_ALLOWED_TARGETS", "hostpackage.*")
    with pytest.raises(UntrustedTargetError):
        load(root, {"model": {"_target_": "hostpackage.__main__"}})
    assert not trace.exists()
    del sys.modules["hostpackage"]


def test_the_code_of_a_trusted_bundle_serves_no_other_bundle(root, tmp_path):
    trusted = tmp_path / "trusted"
    code = "class Net:\n    def __init__(self, **options):\n        pass\n"
    write(trusted / "src" / "custom_code.py", code)
    load(trusted, {"model": {"_target_": "src.custom_code.Net"}}, trust_user_code=True)
    load(
        trusted,
        {"model": {"_target_": "custom_code.Net"}},
        trust_user_code=True,
        enable_user_code=True,
    )
    for target in ("src.custom_code.Net", "custom_code.Net"):
        write(root / "train.yaml", {"model": {"_target_": target}})
        model = {
            "_target_": f"{__name__}.TrustedBuilder",
            "train_config": "${recipe_dir}/train.yaml",
        }
        with pytest.raises(UntrustedCodeError, match="custom_code"):
            load(root, {"recipe_dir": ".", "model": model})


def test_nothing_is_imported_to_find_out(root, monkeypatch, tmp_path, trace):
    write(tmp_path / "lib" / "payload.py", f"import pathlib; pathlib.Path({str(trace)!r}).touch()")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    with pytest.raises(UntrustedTargetError):
        load(root, {"model": {"_target_": "payload.Model"}})
    assert not trace.exists()


def test_the_model_of_a_packed_training_config_is_gated_too(root, trace):
    write(root / "train.yaml", {"model": {"_target_": "os.system", "command": f"touch {trace}"}})
    model = {"_target_": f"{__name__}.TrustedBuilder", "train_config": "${recipe_dir}/train.yaml"}
    with pytest.raises(UntrustedTargetError, match=r"os\.system"):
        load(root, {"model": model})
    assert not trace.exists()


def test_registered_objects_and_torch_layers_are_allowed(root):
    model = {**ECHO, "layer": {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 2}}
    session = load(root, {"model": model, "output_fn": f"{BACKENDS}.first_text"})
    assert isinstance(session.model.options["layer"], torch.nn.Linear)


def test_classes_of_the_calling_program_are_allowed_unless_it_is_strict(root, monkeypatch):
    assert isinstance(load(root, {"model": {**ECHO, "beam": 3}}).model, Echo)
    monkeypatch.setenv("ESPNET3_STRICT_TARGETS", "1")
    with pytest.raises(UntrustedTargetError):
        load(root, {"model": ECHO})


class Linear(torch.nn.Module):
    """Says that it is a layer of torch."""


@pytest.mark.parametrize("claims", ["torch.nn.modules.linear", "espnet3.nowhere"])
def test_what_a_class_says_of_itself_does_not_count(root, claims, monkeypatch):
    monkeypatch.setattr(Linear, "__module__", claims)
    with pytest.raises(UntrustedTargetError, match="not the object that it calls itself"):
        bundle_policy(root).check_object(Linear, f"{__name__}.Linear", key="model._target_")


@pytest.mark.parametrize("way", ["torch.nn.utils.rnn.torch", f"{__name__}.torch"])
def test_no_way_leads_through_a_module_that_it_does_not_name(root, way):
    model = {"_target_": f"{way}.nn.Linear", "in_features": 1, "out_features": 1}
    with pytest.raises(UntrustedTargetError, match="goes through 'torch', which is not a class"):
        load(root, {"model": model})


def test_the_user_can_allow_targets(root, monkeypatch):
    config = {"model": {"_target_": "fractions.Fraction", "numerator": 1}}
    with pytest.raises(UntrustedTargetError):
        load(root, config)
    from fractions import Fraction

    with allow_targets(Fraction):
        assert load(root, config).model == 1
    with pytest.raises(UntrustedTargetError):
        load(root, config)
    for entry in ("x:fractions.Fraction", "fractions.*"):
        monkeypatch.setenv("ESPNET3_ALLOWED_TARGETS", entry)
        assert load(root, config).model == 1
    monkeypatch.setenv("ESPNET3_ALLOWED_TARGETS", "fractions.Fractio*:fraction.*")
    with pytest.raises(UntrustedTargetError):
        load(root, config)


def test_allow_targets_as_a_function_holds_from_then_on(root, monkeypatch):
    monkeypatch.setattr(security, "_allowed_always", set())
    allow_targets("fractions.Fraction")
    assert load(root, {"model": {"_target_": "fractions.Fraction"}}).model == 0


def test_a_glob_allows_no_functions_and_no_deeper_names(monkeypatch, tmp_path):
    monkeypatch.setenv("ESPNET3_ALLOWED_TARGETS", "os.*")
    with use_target_policy(bundle_policy(tmp_path)):
        for path in ("os.getcwd", "os.path.join"):
            with pytest.raises(UntrustedTargetError):
                import_object(path)


def test_trust_allows_everything(root):
    session = load(root, {"model": {"_target_": "fractions.Fraction"}}, trust_user_code=True)
    assert session.model == 0


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:HOME}",
        "x${oc.env:HOME,none}",
        "${oc.create:{a: 1}}",
        "${oc.deprecated:model}",
        "${${name}:HOME}",
        "\\${oc.env:HOME}",
        "${oc.decode:'${oc.env:HOME}'}",
        "${load_line:/etc/passwd}",
        "${load_line:../../secret.txt}",
        "${load_line:'../../secret.txt'}",
        "${load_yaml:${recipe_dir}/../secret.yaml,key}",
        "${load_yaml:${oc.env:HOME}/secret.yaml,key}",
        "${unclosed",
    ],
)
def test_configs_read_neither_the_environment_nor_other_files(root, value):
    config = {"recipe_dir": ".", "name": "oc.env", "model": {**ECHO, "note": value}}
    with pytest.raises((UntrustedCodeError, ConfigError)) as caught:
        load(root, config)
    assert os.environ["HOME"] not in str(caught.value).replace(str(root), "")


def test_included_and_loaded_files_are_inspected_too(root, tmp_path):
    write(root / "conf" / "evil.yaml", {"note": "${oc.env:HOME}"})
    for config in (
        {"defaults": ["evil"], "model": ECHO},
        {"model": {**ECHO, "note": "${load_yaml:evil.yaml,note}"}},
        {"model": {**ECHO, "train_config": "${recipe_dir}/conf/evil.yaml"}, "recipe_dir": "."},
    ):
        with pytest.raises(UntrustedCodeError, match=r"oc\.env"):
            load(root, config)
    write(tmp_path / "outside.yaml", {"model": ECHO})
    with pytest.raises(UntrustedCodeError, match="outside of the bundle"):
        load(root, {"defaults": ["../../outside"]})
    with pytest.raises(UntrustedCodeError, match="outside of the bundle"):
        load(root, {"defaults": [str(tmp_path / "outside")]})


def test_harmless_resolvers_and_files_of_the_bundle_are_allowed(root):
    write(root / "conf" / "settings.yaml", {"beam": 7})
    write(root / "tokens.txt", "a\nb\n")
    config = {
        "recipe_dir": ".",
        "name": "x",
        "model": {
            **ECHO,
            "beam": "${load_yaml:settings.yaml,beam}",
            "tokens": "${load_line:${recipe_dir}/tokens.txt}",
            "label": "${oc.select:name}",
        },
    }
    options = load(root, config).model.options
    assert (options["beam"], list(options["tokens"]), options["label"]) == (7, ["a", "b"], "x")


@pytest.mark.parametrize(
    "value",
    [
        "/etc/hostname",
        "~/.netrc",
        "${recipe_dir}/../secret.txt",
        "../secret.txt",
        "/dev/zero",
        "https://host/model.pth",
        "file:///etc/hostname",
        "here.txt",
        "sub/here.txt",
        "/etc/" + "./" * 3000 + "hostname",
        "external:///../../secret.txt",
    ],
)
def test_arguments_of_the_model_stay_in_the_bundle(root, value, tmp_path, monkeypatch):
    write(tmp_path / "secret.txt", "s")
    write(tmp_path / "here.txt", "s")
    write(tmp_path / "sub" / "here.txt", "s")
    monkeypatch.chdir(tmp_path)
    for arguments in (
        {"model_file": value},
        {"other": value},
        {"_args_": [value]},
        {"token_list": [{**ECHO, "model_file": value}]},
    ):
        with pytest.raises(UntrustedCodeError, match="outside of the bundle"):
            load(root, {"recipe_dir": ".", "model": {**ECHO, **arguments}})


def test_symbols_and_words_are_no_paths(root, tmp_path, monkeypatch):
    (tmp_path / "speech").mkdir()
    monkeypatch.chdir(tmp_path)
    arguments = {"token_list": ["/", "..", "~", "/etc/passwd"], "key": "speech"}
    assert load(root, {"model": {**ECHO, **arguments}}).model.options == arguments


def test_a_link_that_leaves_the_bundle_is_refused(root, tmp_path):
    write(tmp_path / "secret.txt", "s")
    root.mkdir()
    (root / "weights.pth").symlink_to(tmp_path / "secret.txt")
    model = {**ECHO, "model_file": "${recipe_dir}/weights.pth"}
    with pytest.raises(UntrustedCodeError, match="leaves the bundle|outside of the bundle"):
        load(root, {"recipe_dir": ".", "model": model})


@pytest.mark.parametrize("place", ["deep/er/link/../../secret.txt", "deep/er/link/../settings.txt"])
def test_what_is_checked_is_what_is_read_behind_a_link(root, tmp_path, place):
    (root / "deep" / "er").mkdir(parents=True)
    (root / "flat").mkdir()
    (root / "deep" / "er" / "link").symlink_to(root / "flat")
    for path in (tmp_path / "secret.txt", root / "deep" / "secret.txt",
                 root / "settings.txt", root / "deep" / "er" / "settings.txt"):  # fmt: skip
        write(path, "s")
    for value in (place, f"${{recipe_dir}}/{place}"):
        with pytest.raises(UntrustedCodeError, match="outside of the bundle"):
            load(root, {"recipe_dir": ".", "model": {**ECHO, "model_file": value}})


def test_a_link_to_itself_is_refused_and_found_by_a_scan(root):
    (root / "data").mkdir(parents=True)
    (root / "data" / "loop").symlink_to("loop")
    with pytest.raises(UntrustedCodeError, match="holds a link that leaves the bundle"):
        load(root, {"recipe_dir": ".", "model": {**ECHO, "data_dir": "${recipe_dir}/data"}})
    assert {"link", "config"} <= {finding.kind for finding in scan_bundle(root)}


def test_a_name_may_go_up_and_down_inside_of_the_bundle(root):
    write(root / "a" / "x.txt", "x")
    model = {**ECHO, "model_file": "${recipe_dir}/a/../a/x.txt"}
    load(root, {"recipe_dir": ".", "model": model})


def test_paths_in_a_packed_training_config_stay_in_the_bundle(root):
    write(root / "train.yaml", {"model": {**ECHO, "token_list": "/etc/passwd"}})
    model = {"_target_": f"{__name__}.TrustedBuilder", "train_config": "${recipe_dir}/train.yaml"}
    with pytest.raises(UntrustedCodeError, match="outside of the bundle"):
        load(root, {"recipe_dir": ".", "model": model})


RECOGNIZER = {
    "_target_": "espnet3.systems.asr.recognizer.SpeechRecognizer",
    "train_config": "${recipe_dir}/train.yaml",
    "model_file": "${recipe_dir}/m.pth",
}


@pytest.mark.parametrize(
    ("model", "place", "training"),
    [
        (RECOGNIZER, "train.yaml", {"recipe_dir": "{outside}"}),
        ({**RECOGNIZER, "train_config": "${recipe_dir}/t.txt"}, "t.txt",
         {"recipe_dir": "{outside}"}),
        ({"_target_": RECOGNIZER["_target_"], "_args_": ["t.yaml", "m.pth"]}, "t.yaml",
         {"recipe_dir": "{outside}"}),
        (RECOGNIZER, "train.yaml", {"symbols": "external:///../../tokens.txt"}),
        (RECOGNIZER, "train.yaml", {"symbols": "${recipe_dir}/../tokens.txt"}),
    ],
)  # fmt: skip
def test_a_recogniser_reads_nothing_outside_of_its_bundle(root, tmp_path, model, place, training):
    write(tmp_path / "tokens.txt", "<blank>\nsecret\n")
    write(root / "external:" / "x", "")
    write(root / "m.pth", "")
    asr = "espnet3.systems.asr.models.ASRModel"
    content = {
        "recipe_dir": training.get("recipe_dir", ".").format(outside=tmp_path),
        "model": {"_target_": asr, "token_list": training.get("symbols", "tokens.txt")},
    }
    write(root / place, content)
    with pytest.raises(
        (UntrustedCodeError, ConfigError), match=r"outside of the bundle|must be a \.yaml"
    ):
        load(root, {"recipe_dir": ".", "model": model})


def test_a_training_config_cannot_move_its_root_above_the_bundle(root, tmp_path):
    from espnet3.systems.base.train_config import load_train_config

    write(root / "tokens.txt", "<blank>\n")
    content = {"exp_dir": "conf", "model": {"token_list": "tokens.txt"}}
    path = write(root / "conf" / "train.yaml", content)
    expected = {"model": {"token_list": str(root / "tokens.txt")}}
    assert load_train_config(path) == expected
    with use_target_policy(bundle_policy(root / "conf")):
        assert load_train_config(path) == {"model": {"token_list": "tokens.txt"}}


def test_relative_files_start_where_they_are_read_from(root, tmp_path):
    write(tmp_path / "secret.yaml", {"note": "secret"})
    write(root / "secret.yaml", {"note": "harmless"})
    model = {**ECHO, "note": "${load_yaml:../secret.yaml,note}"}
    write(root / "real.yaml", {"model": model})
    write(root / "meta.yaml", {"files": {}, "yaml_files": {}, "schema_version": 1})
    link = root / "conf" / "inference.yaml"
    link.parent.mkdir()
    link.symlink_to(root / "real.yaml")
    with pytest.raises(UntrustedCodeError, match="outside of the bundle"):
        InferenceSession.from_artifacts({"inference_config": str(link)})


def test_an_include_is_read_under_the_name_that_was_checked(root):
    write(root / "conf" / "a.yml", {"note": "fine"})
    write(root / "conf" / "a.yml.yaml", {"note": "${oc.env:HOME}"})
    with pytest.raises(UntrustedCodeError, match=r"oc\.env"):
        load(root, {"defaults": ["a.yml"], "model": ECHO})


@pytest.mark.parametrize("value", ["/etc/passwd", "../x.txt", "a/../../x.txt"])
def test_registered_artifacts_stay_in_the_bundle(root, value, tmp_path):
    write(tmp_path / "x.txt", "x")
    write(root / "meta.yaml", {"files": {"model_file": value}, "yaml_files": {}})
    with pytest.raises(BundleError, match="inside the bundle"):
        InferenceSession.from_pretrained(str(root))


def test_an_inference_config_outside_of_the_bundle_is_refused(root, tmp_path):
    write(root / "meta.yaml", {"files": {}, "yaml_files": {}, "schema_version": 1})
    outside = write(tmp_path / "inference.yaml", {"model": ECHO})
    artifacts = {"meta": str(root / "meta.yaml"), "inference_config": str(outside)}
    with pytest.raises(BundleError, match="outside of the bundle"):
        InferenceSession.from_artifacts(artifacts)


def test_a_pickle_is_no_safetensors_file(root, trace):
    write(
        root / "t.yaml",
        {"model": {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}},
    )
    torch.save({"state_dict": Bomb(str(trace))}, root / "m.safetensors")
    (root / "n.safetensors").write_bytes(pickle.dumps(Bomb(str(trace))))
    from espnet3.errors import WeightsError
    from espnet3.utils.weights_utils import read_state_dict

    for name in ("m.safetensors", "n.safetensors"):
        with pytest.raises(WeightsError, match="safetensors"):
            read_state_dict(root / name)
    assert not trace.exists()


def test_an_error_in_its_own_chain_does_not_hang_the_loader(root):
    model = {**ECHO, "layer": {"_target_": "torch.nn.Linear", "in_features": "x"}}
    with pytest.raises(TypeError):
        load(root, {"model": model})


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_checkpoints_are_never_unpickled(root, trace, suffix, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    root.mkdir()
    torch.save({"state_dict": Bomb(str(trace))}, root / f"m{suffix}")
    model = {"_target_": f"{__name__}.TorchReader", "model_file": f"${{recipe_dir}}/m{suffix}"}
    with pytest.raises(UnsafeCheckpointError, match="trust_user_code=True"):
        load(root, {"recipe_dir": ".", "model": model})
    assert not trace.exists()
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1"
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize("name", ["m.pkl", "m.joblib", "m.npy", "m.npz", "fake.npy"])
def test_files_that_only_pickle_can_read_are_refused(root, trace, name):
    root.mkdir()
    bomb = np.array([Bomb(str(trace))], dtype=object)
    if name == "m.npy":
        np.save(root / name, bomb)
    elif name == "m.npz":
        np.savez(root / name, good=np.ones(2), bad=bomb)
    else:
        (root / name).write_bytes(pickle.dumps(Bomb(str(trace))))
    config = {"recipe_dir": ".", "model": {**ECHO, "stats_file": f"${{recipe_dir}}/{name}"}}
    with pytest.raises(UnsafeCheckpointError, match="unpickling"):
        load(root, config)
    assert not trace.exists()


def test_plain_arrays_are_fine(root):
    root.mkdir()
    np.savez(root / "stats.npz", mean=np.ones(2))
    config = {"recipe_dir": ".", "model": {**ECHO, "stats_file": "${recipe_dir}/stats.npz"}}
    assert load(root, config).model.options["stats_file"] == str(root / "stats.npz")


def nested_aliases(levels):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for n in range(1, levels):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("model: !!python/object/apply:os.system ['touch trace']", "has the tag"),
        ("model: !!python/name:os.system", "has the tag"),
        ("model: {model_file: !!binary L2V0Yy9wYXNzd2Q=}", "has the tag"),
        (
            "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 999))]),
            "more than 64 levels",
        ),
        (nested_aliases(9), "more than 2000000 nodes"),
        ("a: &a [1]\nb: [" + ", ".join(["*a"] * 1001) + "]", "more than 1000 aliases"),
        ("a: " + "[" * 70 + "]" * 70, "deeper than 64 levels"),
        ("a: &a [*a]", "more than 2000000 nodes"),
        ("model: {unclosed", "not plain YAML"),
        ("a: '" + "x" * (11 * 2**20) + "'", "larger than 10485760 bytes"),
    ],
    ids=[
        "apply",
        "name",
        "bytes",
        "chain",
        "expansion",
        "aliases",
        "depth",
        "cycle",
        "syntax",
        "size",
    ],
)
def test_yaml_beyond_the_limits_is_refused(root, text, limit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=limit):
        load(root, text)
    assert not (tmp_path / "trace").exists()


def test_a_changed_file_is_noticed(recipe):
    out = recipe.pack()
    path = out / "data" / "tokenizer" / "tokens.txt"
    path.write_text(path.read_text().replace("one", "two"))
    with pytest.raises(BundleError, match="manifest.json"):
        InferenceSession.from_pretrained(str(out))


@pytest.mark.parametrize("change", ["absent", "climbs", "damaged"])
def test_a_bad_manifest_is_refused(recipe, change):
    out = recipe.pack()
    text = {"absent": "gone.txt", "climbs": "../../../secret", "damaged": None}[change]
    entry = f'[{{"path": "{text}", "size": 1, "sha256": "0"}}]' if text else "{"
    (out / "manifest.json").write_text(entry)
    with pytest.raises(BundleError, match="manifest"):
        InferenceSession.from_pretrained(str(out))


def test_modules_imported_on_behalf_of_a_bundle_are_not_the_hosts(root, tmp_path, monkeypatch):
    write(tmp_path / "lib" / "late.py", "class Late:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    policy = bundle_policy(root)
    import late

    assert late.Late is not None
    with use_target_policy(policy), pytest.raises(UntrustedTargetError):
        import_object("late.Late")
    del sys.modules["late"]


def test_the_output_function_may_be_the_hosts_own_but_a_model_may_not(root):
    with pytest.raises(UntrustedTargetError):
        load(root, {"model": {"_target_": f"{BACKENDS}.first_text"}})


def test_a_script_can_use_its_own_classes(root, tmp_path):
    write(root / "meta.yaml", {"files": {}, "yaml_files": {}, "schema_version": 1})
    write(
        root / "conf" / "inference.yaml", {"model": {"_target_": "__main__.Mine"}, "device": "cpu"}
    )
    script = f"""
        from espnet3.publication import InferenceSession
        class Mine:
            def __call__(self, speech):
                return speech + 1
        print(InferenceSession.from_pretrained({str(root)!r})(1))
    """
    path = write(tmp_path / "script.py", textwrap.dedent(script))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "2"
