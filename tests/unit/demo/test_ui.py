from __future__ import annotations

import sys

import gradio
import pytest
from omegaconf import OmegaConf

from espnet3.demo import ui
from espnet3.errors import ConfigError, MissingDependencyError


def build(kind, side="inputs", **keys):
    component = {"name": "x", "type": kind, **keys}
    return getattr(ui.build_ui_from_config({side: [component]}), side)[0]


def test_a_page_with_audio_and_text():
    config = {
        "title": "T",
        "description": "D",
        "article": "A",
        "button": {"label": "Go"},
        "inputs": [{"name": "speech", "type": "audio", "sources": ["MIC", "file"]}],
        "outputs": [{"name": "text", "type": "textbox", "label": "Words"}],
    }
    spec = ui.build_ui_from_config(OmegaConf.create(config))
    assert (spec.input_names, spec.output_names) == (["speech"], ["text"])
    assert isinstance(spec.inputs[0], gradio.Audio) and isinstance(spec.outputs[0], gradio.Textbox)
    assert (spec.inputs[0].sources, spec.inputs[0].type) == (["microphone", "upload"], "numpy")
    assert (spec.inputs[0].label, spec.outputs[0].label) == ("speech", "Words")
    assert (spec.title, spec.description, spec.article, spec.button_label) == ("T", "D", "A", "Go")


@pytest.mark.parametrize("kind", sorted(ui.BUILDERS))
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_every_type_becomes_its_gradio_class(kind, side):
    assert type(build(kind, side)) is getattr(gradio, ui.BUILDERS[kind][0])


def test_settings_reach_the_components():
    slider = build("slider", min=2, max=5, step=0.5, value=3)
    assert (slider.minimum, slider.maximum, slider.step, slider.value) == (2, 5, 0.5, 3)
    slider = build("slider")
    assert (slider.minimum, slider.maximum, slider.step) == (0, 1, 1)
    box = build("textbox", lines=3, placeholder="here")
    assert (box.lines, box.placeholder) == (3, "here")
    choice = build("dropdown", choices=["a", "b"], value="b")
    assert ([c[0] for c in choice.choices], choice.value) == (["a", "b"], "b")
    assert build("checkbox", value=True).value is True
    assert build("checkbox").value is False
    assert build("number", value=4).value == 4
    assert build("textbox", gradio_kwargs={"info": "help"}).info == "help"
    assert build("audio", audio_type="filepath").type == "filepath"


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ({"type": "audio"}, "must include a non-empty 'name'"),
        ({"name": " ", "type": "audio"}, "must include a non-empty 'name'"),
        ({"name": "x", "type": "hologram"}, "Unsupported UI component type: hologram"),
        ({"name": "x"}, "Unsupported UI component type: None"),
        ({"name": "x", "type": "audio", "sources": ["line-in"]}, "microphone"),
        ({"name": "x", "type": "audio", "sauces": ["mic"]}, "sauces"),
        ({"name": "x", "type": "audio", "audio_type": "mp3"}, "audio_type"),
        ({"name": "x", "type": "audio", "channels": "left"}, "channels"),
        (
            {"name": "x", "type": "textbox", "choices": ["a"]},
            r"choices = (.|\n)*belongs to dropdown",
        ),
        ({"name": "x", "type": "Number", "min": 1}, r"min = 1.0: has no effect with type: number"),
        ({"name": "x", "type": "dropdown", "lines": 2}, "it belongs to text, textbox"),
        ({"name": "x", "type": "audio", "value": "a.wav"}, "value = 'a.wav': has no effect"),
        ({"name": "x", "type": "image", "sources": ["upload"]}, "it belongs to audio"),
        *(
            ({"name": "x", "type": "audio", "audio_type": "filepath", **keys}, "has no effect")
            for keys in ({"max_seconds": 3}, {"sample_rate": 8000}, {"channels": "keep"})
        ),
    ],
)
def test_a_wrong_component_is_found_without_gradio(component, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ConfigError, match=message):
        ui.build_ui_from_config({"inputs": [component]})


def test_a_near_miss_of_a_type_is_suggested():
    with pytest.raises(ConfigError, match='did you mean "textbox"'):
        ui.build_ui_from_config({"outputs": [{"name": "x", "type": "textbx"}]})


def test_two_components_of_one_name_are_refused():
    twice = [{"name": "x", "type": "text"}, {"name": "x", "type": "number"}]
    with pytest.raises(ValueError, match="occurs twice"):
        ui.build_ui_from_config({"outputs": twice})


def test_without_gradio_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(MissingDependencyError, match=r"espnet3\[demo\]"):
        ui.build_ui_from_config({"inputs": [{"name": "x", "type": "audio"}]})


def test_a_type_of_ones_own(monkeypatch):
    monkeypatch.setattr(ui, "BUILDERS", dict(ui.BUILDERS))
    ui.register_component("color", "ColorPicker", lambda component, is_input: {})
    assert isinstance(build("color"), gradio.ColorPicker)
    # Which keys it reads is its own affair.
    assert isinstance(build("color", choices=["red"]), gradio.ColorPicker)
