"""What the keys of a demo configuration say together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from espnet3.errors import ConfigError, did_you_mean
from espnet3.utils.key_accounting import Finding
from espnet3.utils.run_checks import RunRequest
from espnet3.utils.settings import parse_settings, unknown_key

_FORWARD_ARGUMENTS = ("input_key", "output_fn_path", "model_kwargs")
_SESSION_ARGUMENTS = ("input_key", "output_fn_path")


def check_demo(run: RunRequest) -> Iterator[Finding]:
    """Report a page without a description, and outputs and arguments that nothing knows."""
    if "demo" not in run.configs:
        return
    # Every run passes here; those without a demo need not load it.
    from espnet3.demo.settings import DemoSettings

    section = run.section("demo")
    try:
        parse_settings({"system": section.get("system")}, DemoSettings, key="")
    except ConfigError as error:
        yield run.finding("demo.system", error)
        return
    yield from run.findings("demo", _check_outputs(section))
    yield from run.findings("demo", _check_arguments(section))


def _check_outputs(section: Mapping[str, Any]) -> Iterator[ConfigError]:
    from espnet3.demo.resolve import resolve_output_keys, system_hook

    ui = section.get("ui") or {}
    if ui.get("builder"):
        return
    default = system_hook(section, "build_ui_default")
    outputs = ui.get("outputs") or (default() if default else {}).get("outputs")
    if outputs is None:
        yield ConfigError("must be set, because the system has no page of its own", key="ui")
        return
    shown = [str(output.get("name")) for output in outputs]
    keys = resolve_output_keys(section)
    for name in keys:
        if name not in shown:
            hint = did_you_mean(name, shown) or f"outputs: {', '.join(shown)}"
            yield ConfigError("is no output of the page", key=f"output_keys.{name}", hint=hint)
    for name in shown:
        if name not in keys:
            yield ConfigError(f"lacks the output {name!r}", key="output_keys",
                              hint="say which field of the result it shows")  # fmt: skip


def _check_arguments(section: Mapping[str, Any]) -> Iterator[ConfigError]:
    has_own_runner = bool((section.get("inference") or {}).get("runner_class"))
    is_packed = bool((section.get("model") or {}).get("dir_or_tag"))
    if has_own_runner and not is_packed:
        return
    known = _SESSION_ARGUMENTS if is_packed else _FORWARD_ARGUMENTS
    for name in section.get("extra_kwargs") or {}:
        if name not in known:
            yield unknown_key(f"extra_kwargs.{name}", known)
