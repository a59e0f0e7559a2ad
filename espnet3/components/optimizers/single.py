"""One optimizer and its schedule, built from configuration."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from espnet3.components.optimizers.settings import OptimizationSettings
from espnet3.errors import SettingError
from espnet3.utils.config_utils import instantiate_config
from espnet3.utils.import_utils import import_object
from espnet3.utils.parameter_selector import select

NamedParameters = list[tuple[str, nn.Parameter]]


def build_optimizer(model: nn.Module, section: Mapping[str, Any]) -> Optimizer:
    """Build an optimizer over the trainable parameters of a model.

    Besides the arguments of its ``_target_`` the section may have

    - ``param_groups``: list of mappings; ``params`` holds one selector or several (dotted fragments
      of parameter names), the other keys are options of the group;
    - ``no_decay``: list of selectors whose parameters get ``weight_decay: 0``; ``norm`` means all
      normalisation layers.

    Parameters that no group selects form the default group. On CUDA the fused implementation is
    chosen where the class has one and the section does not say otherwise.

    Raises:
        SettingError: If nothing is trainable, a selector matches nothing, or two groups claim
            the same parameter.
    """
    arguments = dict(section)
    groups = arguments.pop("param_groups", None) or []
    no_decay = arguments.pop("no_decay", None) or []
    parameters = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    if not parameters:
        raise SettingError("the model has no trainable parameters", key="optimizer")
    if all(p.is_cuda for _, p in parameters) and _may_fuse(arguments):
        arguments["fused"] = True
    if not groups and not no_decay:
        positional: list[Any] = [p for _, p in parameters]
    else:
        exempt = _no_decay_names(model, parameters, no_decay)
        positional = _split_groups(parameters, groups, exempt)
    optimizer: Optimizer = instantiate_config(arguments, positional, key="optimizer")
    return optimizer


def build_scheduler(optimizer: Optimizer, settings: OptimizationSettings) -> dict[str, Any] | None:
    """Build the schedule in the form that Lightning expects; ``None`` for a constant rate.

    Raises:
        SettingError: If the schedule needs a metric and ``scheduler_monitor`` is not set.
    """
    if settings.scheduler is None:
        return None
    scheduler = instantiate_config(settings.scheduler, key="scheduler", optimizer=optimizer)
    if isinstance(scheduler, ReduceLROnPlateau) and settings.monitor is None:
        raise SettingError(
            "this schedule follows a metric; name it, for example valid/loss",
            key="scheduler_monitor",
            value=None,
        )
    entry: dict[str, Any] = {"scheduler": scheduler, "interval": settings.interval}
    if settings.monitor is not None:
        entry["monitor"] = settings.monitor
    return entry


def _may_fuse(arguments: Mapping[str, Any]) -> bool:
    if any(key in arguments for key in ("fused", "foreach", "differentiable")):
        return False
    target = import_object(arguments["_target_"], key="optimizer._target_")
    return "fused" in inspect.signature(target).parameters


def _no_decay_names(
    model: nn.Module, parameters: NamedParameters, selectors: Sequence[str]
) -> set[str]:
    names = [name for name, _ in parameters]
    plain = [selector for selector in selectors if selector != "norm"]
    exempt = set(select(names, plain, key="optimizer.no_decay")) if plain else set()
    if "norm" in selectors:
        for module_name, module in model.named_modules():
            if "Norm" in type(module).__name__:
                exempt.update(
                    f"{module_name}.{name}" if module_name else name
                    for name, _ in module.named_parameters(recurse=False)
                )
    return exempt.intersection(names)


def _split_groups(
    parameters: NamedParameters, groups: Sequence[Mapping[str, Any]], exempt: set[str]
) -> list[dict[str, Any]]:
    names = [name for name, _ in parameters]
    owner: dict[str, int] = {}
    options: list[dict[str, Any]] = [{}]
    for index, group in enumerate(groups):
        key = f"optimizer.param_groups[{index}]"
        if "params" not in group:
            raise SettingError("needs `params`, a fragment of parameter names", key=key)
        selectors = [group["params"]] if isinstance(group["params"], str) else group["params"]
        for name in select(names, selectors, key=f"{key}.params"):
            if name in owner:
                raise SettingError(f"{name} is assigned to multiple groups", key=key)
            owner[name] = index + 1
        options.append({k: v for k, v in group.items() if k != "params"})
    split: list[dict[str, Any]] = []
    for index, group_options in enumerate(options):
        own = [(n, p) for n, p in parameters if owner.get(n, 0) == index]
        decayed = [p for n, p in own if n not in exempt]
        undecayed = [p for n, p in own if n in exempt]
        if decayed:
            split.append({"params": decayed, **group_options})
        if undecayed:
            split.append({"params": undecayed, **group_options, "weight_decay": 0.0})
    return split
