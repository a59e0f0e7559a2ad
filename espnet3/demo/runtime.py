"""The model of a demo, built once, and the way to ask it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from espnet3.demo.answer import DemoRuntime, SingleItemDataset, answer, inside
from espnet3.demo.packed_model import SessionRunner, open_session
from espnet3.demo.resolve import (
    load_infer_config,
    read_settings,
    resolve_absolute_path,
    resolve_extra_kwargs,
    resolve_infer_kwargs,
    resolve_infer_path,
    resolve_output_keys,
    resolve_provider_class,
    resolve_runner_class,
)
from espnet3.errors import MissingConfigError
from espnet3.publication.code_scope import CodeScope, activate
from espnet3.publication.user_code import DEFAULT_ROOTS, find_references
from espnet3.utils.config_utils import to_plain
from espnet3.utils.types import PathLike

__all__ = ["DemoRuntime", "SingleItemDataset", "build_runtime", "run_inference"]


def build_runtime(demo_cfg: DictConfig | Mapping[str, Any], demo_dir: PathLike) -> DemoRuntime:
    """Build the model of a demo, once.

    Args:
        demo_cfg: Demo configuration.
        demo_dir: Folder of the demo, where its paths start.

    Raises:
        MissingConfigError: If there is neither a packed model nor an inference configuration, or
            nothing says how to build the model; a ``RuntimeError``.
        UntrustedCodeError: If a packed model wants what was not allowed.
    """
    folder = Path(demo_dir).resolve()
    settings = read_settings(demo_cfg)
    is_packed = bool(settings.model.dir_or_tag)
    infer_cfg = None if is_packed else _load_infer_config(settings.infer_config, folder)
    scope = _open_scope(folder, {"demo": demo_cfg, "infer": infer_cfg})
    with inside(scope):
        if infer_cfg is None:
            runner: Any = SessionRunner
            model: Any = open_session(settings.model, folder, resolve_extra_kwargs(demo_cfg))
        else:
            runner = resolve_runner_class(demo_cfg, infer_cfg)
            model = _find_provider(demo_cfg, infer_cfg).build_model(infer_cfg)
    return DemoRuntime(
        infer_config=infer_cfg,
        model=model,
        runner_cls=runner,
        output_keys=resolve_output_keys(demo_cfg),
        extra_kwargs={**resolve_infer_kwargs(infer_cfg), **resolve_extra_kwargs(demo_cfg)},
        scope=scope,
    )


def run_inference(
    runtime: DemoRuntime,
    *,
    ui_names: Sequence[str],
    ui_values: Sequence[Any],
    output_names: Sequence[str],
) -> list[Any]:
    """Answer one request.

    Args:
        runtime: Model and settings.
        ui_names: Names of the inputs.
        ui_values: What they hold; audio as ``(rate, samples)``.
        output_names: Names of the outputs.

    Returns:
        What the outputs show, in their order.

    Raises:
        ConfigError: If the outputs do not match ``output_keys`` or the result; a ``ValueError``.
        DataError: If nothing was recorded, or too much; a ``ValueError``.
        InferenceError: If the model cannot be called; a ``RuntimeError``.
    """
    request = {"ui_names": ui_names, "ui_values": ui_values, "output_names": output_names}
    return answer(runtime, **request).values


def _open_scope(demo_dir: Path, configs: Mapping[str, Any]) -> CodeScope | None:
    """Return the modules of a demo's own ``src``, if a configuration names one of them.

    Otherwise they must not be found: one could have the name of a library.
    """
    plain = {name: to_plain(config) for name, config in configs.items()}
    return activate(demo_dir, DEFAULT_ROOTS) if find_references(plain, DEFAULT_ROOTS) else None


def _load_infer_config(configured: Path | None, folder: Path) -> DictConfig:
    path = resolve_infer_path(configured, folder / "demo.yaml")
    if path is None:
        raise MissingConfigError(
            "infer_config is required", hint="or model.dir_or_tag, for a packed model"
        )
    config = load_infer_config(path)
    root = resolve_absolute_path(config.get("recipe_dir") or ".", base=folder)
    return OmegaConf.merge(config, {"recipe_dir": str(root)})  # type: ignore[return-value]


def _find_provider(demo_cfg: DictConfig | Mapping[str, Any], infer_cfg: DictConfig) -> Any:
    provider = resolve_provider_class(demo_cfg, infer_cfg)
    if provider is None:
        raise MissingConfigError(
            "nothing says how the model is built", hint="set system, or inference.provider_class"
        )
    return provider
