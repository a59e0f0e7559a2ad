from __future__ import annotations

from espnet3.systems.asr.demo import build_inference_default, build_ui, build_ui_default


def test_defaults_of_a_recogniser():
    assert build_ui_default() == {
        "title": "ASR Demo",
        "inputs": [{"name": "speech", "type": "audio", "sources": ["mic", "upload"]}],
        "outputs": [{"name": "text", "type": "textbox"}],
    }
    assert build_inference_default() == {"output_keys": {"text": "hyp"}, "extra_kwargs": {}}


def test_the_title_is_that_of_the_configuration():
    assert build_ui({}) == build_ui_default()
    assert build_ui({"ui": {"title": "Mine"}}) == build_ui_default() | {"title": "Mine"}
