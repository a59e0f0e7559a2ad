from __future__ import annotations

from pathlib import Path

from espnet3.utils.stage_plan import StagePlan, find_planner, planned_by

PLAN = StagePlan(outputs=(Path("debug"),))


class System:
    @planned_by(lambda system: PLAN)
    def export(self): ...

    def other(self): ...


class Overriding(System):
    def export(self): ...


def test_a_declaration_belongs_to_the_method():
    planner = find_planner(System(), "export")
    assert planner is not None
    assert planner(System()) is PLAN


def test_a_stage_that_is_overridden_or_absent_declares_nothing():
    assert find_planner(Overriding(), "export") is None
    assert find_planner(System(), "other") is None
    assert find_planner(System(), "absent") is None


def test_without_more_words_a_stage_always_runs():
    assert (StagePlan().state, StagePlan().why) == ("would run", "always runs")
