"""The components of the page, from a description in YAML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from espnet3.demo.settings import ComponentSettings, UiSettings
from espnet3.errors import ConfigError, did_you_mean
from espnet3.utils.config_utils import to_plain
from espnet3.utils.import_utils import require_package
from espnet3.utils.settings import parse_settings

_SOURCES = {"mic": "microphone", "microphone": "microphone", "file": "upload", "upload": "upload"}

_COMMON_KEYS = ("name", "type", "label", "gradio_kwargs")

Builder = Callable[[ComponentSettings, bool], dict[str, Any]]
"""Gets a component and whether it is an input; returns the arguments of its Gradio class."""


class ComponentType(NamedTuple):
    """What a value of ``type`` stands for."""

    class_name: str
    """Class in the module ``gradio``."""
    builder: Builder
    """Makes its arguments."""
    keys: tuple[str, ...] | None = None
    """Keys that count, besides those that every component has; ``None`` for any."""


@dataclass(frozen=True)
class UiSpec:
    """The page of a demo: Gradio components, their names, and the texts around them.

    Args:
        inputs: Components that the user fills.
        outputs: Components that show the result.
        input_names: Field of the sample, for each input.
        output_names: Name in ``output_keys``, for each output.
        title: Heading.
        description: Markdown below it.
        article: Markdown at the end.
        button_label: Text on the button.
    """

    inputs: Sequence[Any]
    outputs: Sequence[Any]
    input_names: Sequence[str]
    output_names: Sequence[str]
    title: str | None = None
    description: str | None = None
    article: str | None = None
    button_label: str | None = None


def require_gradio() -> Any:
    """Return the module ``gradio``.

    Raises:
        MissingDependencyError: If it is not installed; an ``ImportError``.
    """
    return require_package("gradio", extra="demo", feature="the demo")


def build_ui_from_config(ui_cfg: Mapping[str, Any]) -> UiSpec:
    """Build the components that a ``ui`` section describes.

    Args:
        ui_cfg: ``inputs``, ``outputs``, and optionally ``title``, ``description``, ``article``,
            ``button.label``.

    Raises:
        ConfigError: If a component has no name or an unknown type, or two share a name.
        MissingDependencyError: If Gradio is not installed.
    """
    settings = read_ui(ui_cfg)
    inputs, outputs = settings.inputs or (), settings.outputs or ()
    return UiSpec(
        inputs=[_build(component, is_input=True) for component in inputs],
        outputs=[_build(component, is_input=False) for component in outputs],
        input_names=[str(component.name) for component in inputs],
        output_names=[str(component.name) for component in outputs],
        title=settings.title,
        description=settings.description,
        article=settings.article,
        button_label=settings.button.label,
    )


def read_ui(ui_cfg: Mapping[str, Any]) -> UiSettings:
    """Check a ``ui`` section; Gradio is not needed.

    Raises:
        ConfigError: As :func:`build_ui_from_config`.
    """
    settings = parse_settings(to_plain(ui_cfg), UiSettings, key="ui")
    for side in ("inputs", "outputs"):
        _check_components(getattr(settings, side) or (), f"ui.{side}")
    return settings


def register_component(kind: str, class_name: str, builder: Builder) -> None:
    """Add a component type, or replace one.

    Args:
        kind: Value of ``type``.
        class_name: Class in the module ``gradio``.
        builder: Makes its arguments.
    """
    BUILDERS[kind] = ComponentType(class_name, builder)


def _check_components(components: Sequence[ComponentSettings], path: str) -> None:
    seen: set[str] = set()
    for index, component in enumerate(components):
        key = f"{path}[{index}]"
        if not (component.name or "").strip():
            raise ConfigError("must include a non-empty 'name'", key=key)
        kind = component.kind
        if kind not in BUILDERS:
            raise ConfigError(
                f"Unsupported UI component type: {component.type}",
                key=f"{key}.type",
                hint=did_you_mean(kind, BUILDERS) or "known types: " + ", ".join(sorted(BUILDERS)),
            )
        if component.name in seen:
            raise ConfigError("occurs twice", key=f"{key}.name", value=component.name)
        seen.add(str(component.name))
        _check_keys(component, key)
        if kind == "audio":
            _sources(component, key)
            if path == "ui.inputs" and component.audio_type == "filepath":
                _check_file_input(component, key)


def _check_keys(component: ComponentSettings, key: str) -> None:
    """Raise for a key that counts only with another type."""
    known = BUILDERS[component.kind].keys
    default = ComponentSettings()
    for field in fields(ComponentSettings):
        name, value = field.name, getattr(component, field.name)
        if known is None or name in (*_COMMON_KEYS, *known) or value == getattr(default, name):
            continue
        owners = [kind for kind, found in BUILDERS.items() if name in (found.keys or ())]
        raise ConfigError(
            f"has no effect with type: {component.kind}",
            key=f"{key}.{name}",
            value=value,
            hint=f"it belongs to {', '.join(owners)}; "
            "gradio_kwargs takes any argument of the Gradio component",
        )


def _check_file_input(component: ComponentSettings, key: str) -> None:
    """Raise for what only samples can be changed by; the model reads the file itself."""
    names = {name: getattr(component, name) for name in ("sample_rate", "max_seconds")}
    names["channels"] = component.channels if component.channels != "mono" else None
    for name, value in names.items():
        if value is not None:
            raise ConfigError(
                "has no effect with audio_type: filepath", key=f"{key}.{name}", value=value
            )


def _build(component: ComponentSettings, *, is_input: bool) -> Any:
    class_name, builder, _ = BUILDERS[component.kind]
    arguments = {
        "label": component.label or component.name,
        **builder(component, is_input),
        **(component.gradio_kwargs or {}),
    }
    return getattr(require_gradio(), class_name)(render=False, **arguments)


def _given(component: ComponentSettings, **names: str) -> dict[str, Any]:
    """Return those settings that are set, under the names that Gradio gives them."""
    values = {to: getattr(component, name) for name, to in names.items()}
    return {name: value for name, value in values.items() if value is not None}


def _sources(component: ComponentSettings, key: str) -> list[str]:
    names = component.sources or ("microphone", "upload")
    unknown = [name for name in names if name.lower() not in _SOURCES]
    if unknown:
        raise ConfigError(
            "must hold microphone (mic) or upload (file)", key=f"{key}.sources", value=unknown[0]
        )
    return list(dict.fromkeys(_SOURCES[name.lower()] for name in names))


def _audio(component: ComponentSettings, is_input: bool) -> dict[str, Any]:
    # No button that shares a recording with others.
    arguments = {"type": component.audio_type or "numpy", "buttons": ["download"]}
    return {**arguments, "sources": _sources(component, "ui")} if is_input else arguments


def _textbox(component: ComponentSettings, is_input: bool) -> dict[str, Any]:
    arguments = _given(component, placeholder="placeholder", value="value")
    buttons = {} if is_input else {"buttons": ["copy"]}
    return {"lines": component.lines or 1, **arguments, **buttons}


def _dropdown(component: ComponentSettings, is_input: bool) -> dict[str, Any]:
    return {"choices": list(component.choices or ()), **_given(component, value="value")}


def _slider(component: ComponentSettings, is_input: bool) -> dict[str, Any]:
    given = _given(component, min="minimum", max="maximum", step="step", value="value")
    return {"minimum": 0, "maximum": 1, "step": 1, **given}


def _checkbox(component: ComponentSettings, is_input: bool) -> dict[str, Any]:
    return {"value": bool(component.value)}


def _with_value(component: ComponentSettings, is_input: bool) -> dict[str, Any]:
    return _given(component, value="value")


_AUDIO_KEYS = ("sources", "audio_type", "sample_rate", "channels", "max_seconds")
_TEXT_KEYS = ("lines", "placeholder", "value")
_SLIDER_KEYS = ("min", "max", "step", "value")
BUILDERS: dict[str, ComponentType] = {
    "audio": ComponentType("Audio", _audio, _AUDIO_KEYS),
    "checkbox": ComponentType("Checkbox", _checkbox, ("value",)),
    "dataframe": ComponentType("Dataframe", _with_value, ("value",)),
    "dropdown": ComponentType("Dropdown", _dropdown, ("choices", "value")),
    "file": ComponentType("File", _with_value, ("value",)),
    "image": ComponentType("Image", _with_value, ("value",)),
    "json": ComponentType("JSON", _with_value, ("value",)),
    "label": ComponentType("Label", _with_value, ("value",)),
    "markdown": ComponentType("Markdown", _with_value, ("value",)),
    "number": ComponentType("Number", _with_value, ("value",)),
    "plot": ComponentType("Plot", _with_value, ("value",)),
    "slider": ComponentType("Slider", _slider, _SLIDER_KEYS),
    "text": ComponentType("Textbox", _textbox, _TEXT_KEYS),
    "textbox": ComponentType("Textbox", _textbox, _TEXT_KEYS),
    "video": ComponentType("Video", _with_value, ("value",)),
}
"""The known component types, by the value of ``type``."""
