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
    yield from run.findings("demo", check_page(section))
    yield from run.findings("demo", _check_arguments(section))


def check_page(section: Mapping[str, Any]) -> Iterator[ConfigError]:
    """Yield what is wrong with the components of a page, and with what they show.

    Args:
        section: A demo configuration as plain containers.
    """
    ui = section.get("ui") or {}
    if not ui.get("builder"):
        yield from _check_components(section, ui)
        yield from _check_outputs(section)


def _check_components(section: Mapping[str, Any], ui: Mapping[str, Any]) -> Iterator[ConfigError]:
    from espnet3.demo.settings import UiSettings
    from espnet3.demo.ui import read_ui
    from espnet3.publication.user_code import DEFAULT_ROOTS, find_references

    if any(find_references({"demo": section}, DEFAULT_ROOTS)):
        # The recipe's own code may register further types.
        return
    sides = {side: ui.get(side) for side in ("inputs", "outputs")}
    try:
        parse_settings(sides, UiSettings, key="ui")
    except ConfigError:
        # Wrong keys and values are reported with those of all sections.
        return
    try:
        read_ui(sides)
    except ConfigError as error:
        yield error


def _check_outputs(section: Mapping[str, Any]) -> Iterator[ConfigError]:
    from espnet3.demo.resolve import read_page_side, resolve_output_keys

    outputs = read_page_side(section, "outputs")
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
