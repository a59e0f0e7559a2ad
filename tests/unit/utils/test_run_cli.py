from __future__ import annotations

import sys
from pathlib import Path

import pytest

from espnet3.errors import ConfigError
from espnet3.utils.instantiate import building
from espnet3.utils.run_cli import build_parser, parse_cli_and_stage_args, show_error

STAGES = ["train", "infer", "upload_model"]


@pytest.fixture
def parse(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def run(*words, stages=STAGES):
        monkeypatch.setattr(sys, "argv", ["run.py", *words])
        return parse_cli_and_stage_args(build_parser(stages), stages)

    return run


def test_without_flags_everything_but_publishing_runs(parse):
    args, stages = parse()
    assert stages == ["train", "infer"]
    assert args.training_config is None
    assert args.set == []
    assert (args.dry_run, args.write_requirements) == (False, False)


def test_stages_come_in_list_order_and_the_raw_request_is_kept(parse):
    args, stages = parse("--stages", "infer", "train")
    assert stages == ["train", "infer"]
    assert args.stages == ["infer", "train"]
    assert args.stage_list == STAGES


def test_all_slots_have_a_flag(parse):
    words = [f"--{slot}_config={slot}.yaml" for slot in ("training", "inference", "metrics")]
    words += ["--publication_config", "publication.yaml", "--demo_config", "demo.yaml"]
    args, _ = parse(*words, "--set", "training.a=1", "--set", "metrics.b=2", "--dry_run")
    assert args.training_config == Path("training.yaml")
    assert args.demo_config == Path("demo.yaml")
    assert args.set == ["training.a=1", "metrics.b=2"]
    assert args.dry_run


def test_an_unknown_stage_is_a_usage_error_with_the_choices(parse, capsys):
    with pytest.raises(SystemExit) as caught:
        parse("--stages", "trian")
    assert caught.value.code == 2
    assert "'train', 'infer', 'upload_model', 'all'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--train_config", "--training_config"),
        ("--infer_config", "--inference_config"),
        ("--metric_config", "--metrics_config"),
        ("--publish_config", "--publication_config"),
    ],
)
def test_old_flags_name_their_successor(parse, capsys, old, new):
    with pytest.raises(SystemExit) as caught:
        parse(old, "x.yaml")
    assert caught.value.code == 2
    assert f"{old} is now called {new}" in capsys.readouterr().err


def test_flags_are_not_abbreviated(parse):
    with pytest.raises(SystemExit):
        parse("--training", "x.yaml")


def test_a_recipe_can_add_flags(monkeypatch):
    parser = build_parser(STAGES)
    parser.add_argument("--training_easy_config", type=Path, default=None)
    args = parser.parse_args(["--training_easy_config", "e.yaml"])
    assert args.training_easy_config == Path("e.yaml")
    assert args.stage_list == STAGES


def test_the_command_line_explains_errors_without_traceback(parse, capsys):
    parse()
    error = ConfigError("is wrong", key="a.b", hint="do this")
    error.add_note("traceback in x.log")
    assert sys.excepthook is show_error
    sys.excepthook(type(error), error, None)
    assert capsys.readouterr().err == "error: a.b: is wrong\n  do this\ntraceback in x.log\n"


def test_unexpected_errors_keep_their_traceback(capsys):
    try:
        {}["x"]
    except KeyError as error:
        show_error(type(error), error, error.__traceback__)
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_one_word(capsys):
    show_error(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == "interrupted\n"


def fail_in(path: Path) -> TypeError:
    """Raise and catch an error in a file while something is built from configuration."""
    source = compile("raise TypeError('bad lr')", str(path), "exec")
    try:
        with building("optimizer"):
            exec(source)
    except TypeError as error:
        return error


def test_what_a_library_refuses_is_named_without_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path.parent / "torch.py", tmp_path / "venv" / "site-packages" / "x.py"):
        error = fail_in(place)
        show_error(type(error), error, error.__traceback__)
        assert capsys.readouterr().err == "error: TypeError: bad lr\nwhile building optimizer\n"


def test_an_error_in_code_of_the_recipe_keeps_its_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    error = fail_in(tmp_path / "src" / "model.py")
    show_error(type(error), error, error.__traceback__)
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "while building optimizer" in text
