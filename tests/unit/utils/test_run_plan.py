from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from espnet3.errors import ConfigError
from espnet3.utils import run_plan
from espnet3.utils.run_plan import (
    consider_order,
    describe_path,
    format_plans,
    format_size,
    log_run_plan,
    plan_stage,
)
from espnet3.utils.stage_plan import StagePlan, planned_by

DATA = Path("data/manifest/train.tsv")
DONE = StagePlan(state="up to date", why="same data", decides_by=(DATA,))


def refuse(system):
    raise ConfigError("must be larger", key="trainer.max_steps", value=3)


class System:
    training_config = None

    @planned_by(refuse)
    def export(self): ...

    @planned_by(lambda system: DONE)
    def train(self): ...

    def undeclared(self): ...


def test_a_stage_without_declaration_always_runs():
    plan = plan_stage(System(), "undeclared")
    assert plan.state == "would run"
    assert "always runs" in plan.why


def test_an_error_of_its_settings_is_what_a_stage_would_fail_with():
    plan = plan_stage(System(), "export")
    assert plan.state == "would fail"
    assert plan.why == "trainer.max_steps = 3: must be larger"


def test_the_lines_of_an_error_stay_lines():
    plan = StagePlan(state="would fail", why="hf_repo = 'x': lacks the owner\n  write <user>/x")
    first, second = format_plans({"upload": plan}).splitlines()
    assert first.endswith("lacks the owner")
    assert second.strip() == "write <user>/x"


def test_a_stage_without_its_slot_would_fail():
    plan = plan_stage(System(), "train")
    assert (plan.state, plan.why) == ("would fail", "needs training_config")


def test_a_stage_that_surely_writes_an_input_makes_the_state_unknown():
    writer = StagePlan(outputs=(Path("data"),))
    plans = consider_order({"create": writer, "collect": DONE})
    assert plans["collect"].state == "unknown"
    assert plans["collect"].why == f"create runs before it and writes {DATA}"


def test_a_stage_that_perhaps_writes_an_input_leaves_a_note():
    perhaps = StagePlan(state="unknown", outputs=(Path("data"),))
    plans = consider_order({"create": perhaps, "collect": DONE})
    assert plans["collect"].state == "up to date"
    assert plans["collect"].notes == (f"unless create changes {DATA}",)


@pytest.mark.parametrize(
    "other",
    [
        StagePlan(outputs=(Path("exp"),)),
        StagePlan(state="up to date", outputs=(Path("data"),)),
    ],
)
def test_a_stage_that_leaves_the_inputs_alone_changes_nothing(other):
    assert consider_order({"create": other, "collect": DONE})["collect"] == DONE
    assert consider_order({"collect": DONE, "create": StagePlan(outputs=(DATA,))})["collect"] == (
        DONE
    )


def test_what_fails_now_may_work_after_an_earlier_stage():
    failing = StagePlan(state="would fail", why="no weights")
    assert consider_order({"pack": failing})["pack"] == failing
    plan = consider_order({"train": StagePlan(), "pack": failing})["pack"]
    assert plan.state == "unknown"
    assert plan.why == "it would fail as things are, before train: no weights"
    final = StagePlan(state="would fail", is_final=True)
    assert consider_order({"train": StagePlan(), "pack": final})["pack"] == final


def test_the_table_names_paths_sizes_uploads_and_notes(tmp_path):
    there = tmp_path / "weights.ckpt"
    there.write_bytes(b"x" * 1500)
    plan = StagePlan(
        inputs=(there,),
        outputs=(tmp_path / "bundle",),
        uploads=(("README.md", 12),),
        notes=("to go on: raise it",),
    )
    lines = format_plans({"pack": plan, "up": DONE}).splitlines()
    assert lines == [
        "  pack  would run   always runs",
        f"      reads   {there}  1.5 kB",
        f"      writes  {tmp_path / 'bundle'}  absent",
        "      uploads README.md  12 B",
        "      note    to go on: raise it",
        "  up    up to date  same data",
    ]


def test_a_folder_is_counted_up_to_a_limit(tmp_path, monkeypatch):
    for number in range(3):
        (tmp_path / f"{number}.wav").write_bytes(b"ab")
    (tmp_path / "broken").symlink_to("nowhere")
    monkeypatch.setattr(run_plan, "_MAX_FILES", 4)
    assert describe_path(tmp_path) == f"4 files, {6 + len('nowhere')} B"
    monkeypatch.setattr(run_plan, "_MAX_FILES", 2)
    assert describe_path(tmp_path).startswith("more than 2 files, more than ")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2.5e9, "2.5 GB"), (7e15, "7000.0 TB")],
)
def test_sizes_are_for_people(size, text):
    assert format_size(size) == text


def test_the_plan_is_logged(caplog):
    with caplog.at_level("INFO"):
        log_run_plan(SimpleNamespace(), ["export"], logging.getLogger("espnet3.test"))
    assert "run plan:\n  export  would run" in caplog.text
