"""What a stage would do if it ran now, as the stage itself declares it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

State = Literal["up to date", "would run", "unknown", "would fail"]
Planner = Callable[[Any], "StagePlan"]
_Method = TypeVar("_Method", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """The declaration of one stage, made without torch and without writing anything.

    Example:
        >>> StagePlan(outputs=(Path("exp/debug"),)).state
        'would run'
    """

    state: State = "would run"
    """``unknown`` when only the running stage can tell."""
    is_final: bool = False
    """Whether ``would fail`` holds whatever earlier stages do."""
    why: str = "always runs"
    """The reason, in a few words."""
    inputs: tuple[Path, ...] = ()
    """Files and folders that the stage reads."""
    outputs: tuple[Path, ...] = ()
    """Files and folders that the stage writes."""
    decides_by: tuple[Path, ...] = ()
    """Those inputs whose content the state depends on: an earlier stage that writes one of them
    may change it."""
    notes: tuple[str, ...] = ()
    """Further facts, one line each."""
    uploads: tuple[tuple[str, int], ...] = ()
    """What would be published: path in the repository and size in bytes."""


def planned_by(planner: Planner) -> Callable[[_Method], _Method]:
    """Declare what a stage reads and writes, and how it decides that it is done.

    Stands on the method of the stage, so a subclass that overrides the stage does not inherit the
    declaration. A stage without one counts as always running.

    Args:
        planner: Function that gets the system and returns the plan; it must not import torch or
            write anything.

    Example:
        >>> class Recipe:
        ...     @planned_by(lambda system: StagePlan(outputs=(Path("debug"),)))
        ...     def export_debug(self): ...
        >>> find_planner(Recipe(), "export_debug")(Recipe()).outputs[0].name
        'debug'
    """

    def declare(method: _Method) -> _Method:
        vars(method)["planner"] = planner
        return method

    return declare


def find_planner(system: Any, stage: str) -> Planner | None:
    """Return what :func:`planned_by` declared for a stage of a system, if anything."""
    planner: Planner | None = getattr(getattr(system, stage, None), "planner", None)
    return planner
