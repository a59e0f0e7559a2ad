from __future__ import annotations

import argparse
import copy
import sys

import pytest
import torch
import yaml

from espnet3.errors import MissingDependencyError
from espnet3.utils.task_utils import get_espnet_model, get_task_class, save_espnet_config
from tests.espnet2.conftest import SMALL
from tests.espnet2.corpus import TOKENS

TASK = "espnet2.tasks.asr.ASRTask"


def own_model(options: dict) -> torch.nn.Module:
    """Build a model as ESPnet2's command does: through the parser of its task."""
    from espnet2.tasks.asr import ASRTask

    arguments = ASRTask.get_parser().parse_args([])
    return ASRTask.build_model(argparse.Namespace(**{**vars(arguments), **copy.deepcopy(options)}))


def test_options_that_are_not_given_have_the_defaults_of_the_task():
    options = {"token_list": TOKENS, "encoder": "conformer", "decoder": "transformer"}
    torch.manual_seed(0)
    ours = get_espnet_model(TASK, options)
    torch.manual_seed(0)
    theirs = own_model(options)
    assert repr(ours) == repr(theirs)
    assert all(torch.equal(a, theirs.state_dict()[n]) for n, a in ours.state_dict().items())


def test_the_arguments_of_this_program_are_not_those_of_the_task(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "--stages", "train", "--encoder", "nothing"])
    options = {"token_list": TOKENS, **SMALL}
    before = copy.deepcopy(options)
    get_espnet_model(TASK, options)
    assert options == before
    assert sys.argv[1] == "--stages"


def test_the_written_configuration_builds_the_same_model_in_espnet2(tmp_path, corpus):
    from espnet2.tasks.asr import ASRTask

    config = {
        "task": TASK,
        "exp_dir": "exp",
        "model": {"token_list": str(corpus / "tokens.txt"), **SMALL, "specaug_conf": None},
        "dataset": {
            "_target_": "x.Organizer",
            "train": [{"data_src": "y"}],
            "preprocessor": {"_target_": "x.Preprocessor", "train": True, "token_type": "char"},
        },
    }
    before = copy.deepcopy(config)
    save_espnet_config(TASK, config, tmp_path / "exp")
    assert config == before
    text = (tmp_path / "exp" / "config.yaml").read_text()
    written = yaml.safe_load(text)
    assert written["token_list"] == TOKENS
    assert written["token_type"] == "char"
    assert written["specaug_conf"] == {}
    assert written["dataset"] == {"_target_": "x.Organizer", "train": [{"data_src": "y"}]}
    assert "&id" not in text
    model, arguments = ASRTask.build_model_from_file(tmp_path / "exp" / "config.yaml")
    assert repr(model) == repr(get_espnet_model(TASK, config["model"]))
    assert arguments.task == TASK


def test_a_file_name_is_taken_as_it_is(tmp_path):
    save_espnet_config(TASK, {"model": {"token_list": TOKENS}}, tmp_path / "a" / "b.yaml")
    assert (tmp_path / "a" / "b.yaml").is_file()


@pytest.mark.parametrize("path", ["espnet2.tasks.asr.Task", "espnet2.tasks.nothing.ASRTask"])
def test_a_task_that_does_not_exist_is_named(path):
    with pytest.raises(RuntimeError, match=path):
        get_task_class(path)


def test_a_broken_torchaudio_is_named(monkeypatch):
    from espnet3.utils import espnet2_bridge

    def fail(name):
        raise OSError("torchaudio/lib/libtorchaudio.so: undefined symbol")

    monkeypatch.setattr(espnet2_bridge.importlib, "import_module", fail)
    with pytest.raises(MissingDependencyError, match="does not fit the installed torch"):
        espnet2_bridge.require_espnet2("task")
