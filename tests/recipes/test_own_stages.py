"""The three ways of adding a stage."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from egs3.TEMPLATE.asr.run import DEFAULT_STAGES, build_parser, main, parse_cli_and_stage_args
from espnet3.systems.asr.system import ASRSystem
from espnet3.systems.base.system import BaseSystem

pytestmark = pytest.mark.usefixtures("in_process")

STAGES = [*DEFAULT_STAGES, "export"]
TRAINING = ("--training_config", "conf/training.yaml")
EXPORT = ("--export_config", "conf/export.yaml")


@pytest.fixture(autouse=True)
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    Path("conf").mkdir()
    Path("conf/training.yaml").write_text("seed: 1\n")
    Path("conf/export.yaml").write_text("opset: 17\n")
    ran.clear()


ran: list[object] = []


class Overriding(ASRSystem):
    def train(self):
        ran.append(self.training_config.seed)


class Adding(ASRSystem):
    def export(self):
        ran.append(self.exp_dir)


class Declaring(ASRSystem):
    def __init__(self, *, export_config=None, **kwargs):
        super().__init__(**kwargs)
        self.export_config = export_config

    def export(self):
        ran.append(self.export_config.opset)


class Relying(ASRSystem):
    def export(self):
        ran.append(self.export_config.opset)


def run(monkeypatch: pytest.MonkeyPatch, system: type[BaseSystem], *words: str, **options) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    parser = build_parser(STAGES)
    parser.add_argument("--export_config", type=Path, default=None)
    args, _ = parse_cli_and_stage_args(parser, STAGES)
    main(args=args, system_cls=system, stages=STAGES, **options)


def test_a_stage_with_other_internals_is_an_overridden_method(monkeypatch) -> None:
    run(monkeypatch, Overriding, "--stages", "train", *TRAINING)
    assert ran == [1]


def test_a_stage_on_an_existing_slot_is_a_method_and_a_name_in_the_list(monkeypatch) -> None:
    run(monkeypatch, Adding, "--stages", "export", *TRAINING)
    assert ran == [Path("exp/training")]
    assert Path("exp/training/export.log").is_file()


@pytest.mark.parametrize("system", [Declaring, Relying])
@pytest.mark.parametrize("options", [{}, {"extra_configs": {"export_config": None}}])
def test_a_stage_with_its_own_config_is_a_flag(monkeypatch, system, options) -> None:
    needs = {"required_configs": {"export": "export_config"}}
    run(monkeypatch, system, "--stages", "export", *EXPORT, **needs, **options)
    assert ran == [17]
    with pytest.raises(ValueError, match=r"stage\(s\): export\. Use --export_config\.\n"):
        run(monkeypatch, system, "--stages", "export", *TRAINING, **needs, **options)


def test_a_flag_that_the_system_takes_no_slot_for_is_refused(monkeypatch) -> None:
    class Narrow(Adding):
        def __init__(self, training_config=None):
            super().__init__(training_config=training_config)

    with pytest.raises(ValueError, match="--export_config was given, but Narrow takes no"):
        run(monkeypatch, Narrow, "--stages", "export", *TRAINING, *EXPORT)
