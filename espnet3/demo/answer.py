"""One request to a demo: what the page holds goes in, what it shows comes out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from espnet3.demo.audio import read_audio, read_model_rate, write_audio
from espnet3.demo.settings import ComponentSettings
from espnet3.errors import ConfigError, InferenceError
from espnet3.publication.code_scope import CodeScope
from espnet3.utils.types import Seconds


class SingleItemDataset:
    """A data set of one sample.

    Args:
        item: The sample.
    """

    def __init__(self, item: Any) -> None:
        self._item = item

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        if index != 0:
            raise IndexError(index)
        return self._item


@dataclass
class DemoRuntime:
    """A model and how the page calls it.

    Args:
        infer_config: Its inference configuration; ``None`` for a packed model.
        model: The model, or a session.
        runner_cls: Class whose ``forward`` calls it; ``None`` to call the model itself.
        output_keys: Output of the page → field of the result.
        extra_kwargs: Constant arguments of ``forward``.
        inputs: Settings of the inputs, by name.
        outputs: Settings of the outputs, by name.
        scope: The modules of the demo's own ``src``.
    """

    infer_config: DictConfig | None
    model: Any
    runner_cls: Any
    output_keys: dict[str, str]
    extra_kwargs: dict[str, Any]
    inputs: Mapping[str, ComponentSettings] = field(default_factory=dict)
    outputs: Mapping[str, ComponentSettings] = field(default_factory=dict)
    scope: CodeScope | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one request."""

    values: list[Any]
    """What the outputs show."""
    result: Any
    """What the model gave."""
    item: Mapping[str, Any]
    """What the model got."""
    recordings: Mapping[str, tuple[int, Any]]
    """The audio among it, by input: samples per second, and samples."""
    elapsed: Seconds
    """Time that the model took."""


def answer(
    runtime: DemoRuntime,
    *,
    ui_names: Sequence[str],
    ui_values: Sequence[Any],
    output_names: Sequence[str],
) -> Answer:
    """Answer a request as :func:`~espnet3.demo.runtime.run_inference` does, and say more of it."""
    _check_output_names(runtime.output_keys, output_names)
    rate = read_model_rate(runtime.model)
    item: dict[str, Any] = {}
    recordings: dict[str, tuple[int, Any]] = {}
    for name, value in zip(ui_names, ui_values, strict=True):
        settings = runtime.inputs.get(name) or ComponentSettings(name=name)
        recording = read_audio(value, settings, settings.sample_rate or rate)
        item[name] = value if recording is None else recording[1]
        if recording is not None:
            recordings[name] = recording
    start = time.perf_counter()
    with inside(runtime.scope):
        result = _call(runtime, item)
    elapsed = time.perf_counter() - start
    return Answer(
        values=[_show(runtime, result, name) for name in output_names],
        result=result,
        item=item,
        recordings=recordings,
        elapsed=elapsed,
    )


@contextlib.contextmanager
def inside(scope: CodeScope | None) -> Iterator[None]:
    """Let imports find the modules of a demo, if it has any."""
    with contextlib.nullcontext() if scope is None else scope.active():
        yield


def _call(runtime: DemoRuntime, item: Mapping[str, Any]) -> Any:
    if runtime.runner_cls is not None:
        forward: Callable[..., Any] = runtime.runner_cls.forward
        dataset = SingleItemDataset(item)
        return forward(0, dataset=dataset, model=runtime.model, **runtime.extra_kwargs)
    if not callable(runtime.model):
        raise InferenceError(f"{type(runtime.model).__name__} is no model: it cannot be called")
    if len(item) != 1:
        raise ConfigError(
            f"a model without a runner takes one input, not {len(item)}", key="ui.inputs"
        )
    return runtime.model(*item.values())


def _check_output_names(output_keys: Mapping[str, str], names: Sequence[str]) -> None:
    if names and not output_keys:
        raise ConfigError("output_keys is required: which field does each output show?")
    missing, extra = sorted(set(names) - set(output_keys)), sorted(set(output_keys) - set(names))
    if missing or extra:
        raise ConfigError(
            f"does not match the outputs of the page: missing {missing}, extra {extra}",
            key="output_keys",
        )


def _show(runtime: DemoRuntime, result: Any, name: str) -> Any:
    settings = runtime.outputs.get(name)
    rate = settings.sample_rate if settings else None
    value = result
    if isinstance(result, Mapping):
        key = runtime.output_keys[name]
        if key not in result:
            raise ConfigError(
                "is no field of the result",
                key=f"output_keys.{name}",
                value=key,
                hint="it has: " + ", ".join(map(str, result)),
            )
        value = result[key]
        rate = rate or result.get("sample_rate")
    if settings is None or settings.kind != "audio":
        return value
    return write_audio(value, rate or read_model_rate(runtime.model))
