from __future__ import annotations

import gc
import re
import shutil
from pathlib import Path

import gradio
import numpy as np
import pytest
import soundfile
from omegaconf import OmegaConf

from espnet3.demo.app_builder import _normalize_ui_spec, build_demo_app
from espnet3.demo.resolve import load_demo_config
from espnet3.demo.ui import UiSpec
from espnet3.errors import ConfigError
from tests.unit.demo.conftest import tone
from tests.unit.publication.conftest import write

# Gradio makes event loops for its pages and leaves them to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def _collect_garbage():
    yield
    gc.collect()


INFERENCE = {
    "provider_class": "tests.unit.demo.backends.Provider",
    "runner_class": "tests.unit.demo.backends.Runner",
}


def make_demo(folder: Path, **config) -> Path:
    model = {"_target_": "tests.unit.demo.backends.Length"}
    write(folder / "infer.yaml", {"model": model, "input_key": "speech"})
    given = {
        "infer_config": "infer.yaml",
        "inference": INFERENCE,
        "output_keys": {"text": "hyp"},
    }
    write(folder / "demo.yaml", {**given, **config})
    return folder


def component(app, kind) -> list:
    return [block for block in app.blocks.values() if type(block) is getattr(gradio, kind)]


def respond(app, *values):
    (function,) = [f for f in app.fns.values() if f.api_name == "run"]
    return function.fn(*values)


PAGE = {
    "inputs": [{"name": "speech", "type": "audio"}],
    "outputs": [{"name": "text", "type": "textbox"}],
}


def test_an_app_with_classes_of_ones_own(tmp_path):
    app = build_demo_app(make_demo(tmp_path, ui={**PAGE, "title": "Mine", "details": False}))
    assert isinstance(app, gradio.Blocks) and app.title == "Mine"
    assert respond(app, (8000, tone(rate=8000))) == "8000 float32"
    assert component(app, "Image") == []


def test_without_a_page_the_system_has_one(tmp_path):
    app = build_demo_app(make_demo(tmp_path, system="asr"))
    assert app.title == "ASR Demo"
    assert [audio.label for audio in component(app, "Audio")] == ["speech"]
    (button,) = component(app, "Button")
    assert button.value == "Run"


def test_a_page_must_come_from_somewhere(tmp_path):
    with pytest.raises(ValueError, match="ui"):
        build_demo_app(make_demo(tmp_path))
    with pytest.raises(FileNotFoundError):
        build_demo_app(tmp_path / "nowhere")


def test_confidence_time_and_spectrogram_are_shown_beside_the_outputs(demo_dir):
    app = build_demo_app(demo_dir)
    text, facts, picture = respond(app, (16000, tone()))
    assert isinstance(text, str)
    assert re.fullmatch(r"\*\*Confidence \d+%\*\* · \d+\.\d\d s for 1\.0 s of audio", facts), facts
    assert picture.ndim == 3 and picture.shape[2] == 3
    (function,) = [f for f in app.fns.values() if f.api_name == "run"]
    assert function.concurrency_limit == 1


def test_the_picture_of_a_recording_with_channels(tmp_path):
    audio = {"name": "speech", "type": "audio", "channels": "keep"}
    app = build_demo_app(make_demo(tmp_path, ui={**PAGE, "inputs": [audio]}))
    text, _, picture = respond(app, (8000, np.stack([tone(rate=8000)] * 2, axis=1)))
    assert text == "8000 float32" and picture.ndim == 3


def test_mistakes_of_the_user_are_told_and_others_get_a_number(tmp_path, caplog):
    app = build_demo_app(make_demo(tmp_path, system="asr"))
    with pytest.raises(gradio.Error, match="There is no audio"):
        respond(app, None)
    assert caplog.records == []
    with pytest.raises(gradio.Error, match=r"Error ([0-9a-f]{8}) in the log") as caught:
        respond(app, "not audio at all")
    number = re.search(r"[0-9a-f]{8}", str(caught.value))[0]
    assert f"request {number} failed" in caplog.text and "Traceback" in caplog.text
    assert "not audio" not in str(caught.value)


def upload(app, path: Path):
    """Press the button with a file in the audio component, as Gradio hands it over."""
    (audio,) = [a for a in component(app, "Audio") if a.label == "speech"]
    return respond(app, audio.preprocess(gradio.FileData(path=str(path))))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("programs", ["", None], ids=["no ffmpeg", "all programs"])
def test_recordings_of_every_format_need_no_other_program(tmp_path, suffix, programs, monkeypatch):
    if programs is not None:
        monkeypatch.setenv("PATH", programs)
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone(rate=8000), 8000)
    app = build_demo_app(make_demo(tmp_path / "demo", ui={**PAGE, "details": False}))
    assert upload(app, path) == "8000 float32"


def test_a_page_from_code_takes_recordings_of_every_format_too(tmp_path):
    write(tmp_path / "src" / "page.py", CODE.replace("gr.Audio(", "gr.Audio(label='speech', "))
    ui = {"builder": "src.page.build", "title": "Coded", "details": False}
    app = build_demo_app(make_demo(tmp_path, ui=ui))
    soundfile.write(tmp_path / "tone.flac", tone(rate=8000), 8000)
    assert upload(app, tmp_path / "tone.flac") == "8000 float32"


def test_an_upload_that_is_no_audio_is_told_to_the_user(tmp_path, caplog):
    app = build_demo_app(make_demo(tmp_path / "demo", ui=PAGE))
    write(tmp_path / "notes.mp3", "not audio at all")
    with pytest.raises(gradio.Error) as caught:
        upload(app, tmp_path / "notes.mp3")
    assert str(caught.value).strip("'") == (
        "notes.mp3 cannot be read as audio. The page takes WAV, FLAC, Ogg and MP3."
    )
    soundfile.write(tmp_path / "cut.wav", tone(), 16000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:2000])
    with pytest.raises(gradio.Error, match=r"cut\.wav is cut short, .*\. The page takes WAV"):
        upload(app, tmp_path / "cut.wav")
    assert caplog.records == []


def test_a_model_that_wants_a_path_gets_it(tmp_path):
    audio = {"name": "speech", "type": "audio", "audio_type": "filepath"}
    runner = {"runner_class": "tests.unit.demo.backends.Echo"}
    ui = {**PAGE, "inputs": [audio], "details": False}
    app = build_demo_app(make_demo(tmp_path, ui=ui, inference={**INFERENCE, **runner}))
    soundfile.write(tmp_path / "tone.flac", tone(rate=8000), 8000)
    assert upload(app, tmp_path / "tone.flac") == str(tmp_path / "tone.flac")


def test_the_endpoint_has_the_names_of_the_configuration(tmp_path):
    inputs = [*PAGE["inputs"], {"name": "beam size", "type": "number"}]
    inputs += [{"name": name, "type": "text"} for name in ("class", "beam_size")]
    app = build_demo_app(make_demo(tmp_path, ui={**PAGE, "inputs": inputs}))
    endpoint = app.get_api_info()["named_endpoints"]["/run"]
    names = [parameter["parameter_name"] for parameter in endpoint["parameters"]]
    assert names == ["speech", "beam_size", "_class", "_beam_size"]
    labels = [output["label"] for output in endpoint["returns"]]
    assert labels == ["text", "details", "Spectrogram"]


def test_the_article_is_a_file_of_the_demo_without_its_front_matter(tmp_path):
    ui = {**PAGE, "article": "short", "article_path": "README.md"}
    folder = make_demo(tmp_path / "demo", ui=ui)
    texts = [block.value for block in component(build_demo_app(folder), "Markdown")]
    assert "short" in texts
    write(folder / "README.md", "---\ntitle: x\n---\n# Long\n")
    texts = [block.value for block in component(build_demo_app(folder), "Markdown")]
    assert "# Long" in texts and "short" not in texts
    (folder / "README.md").write_bytes("# Übersicht".encode("latin-1"))
    with pytest.raises(
        ConfigError, match=r"README\.md: ui\.article_path: is not UTF-8(.|\n)*save it"
    ):
        build_demo_app(folder)
    write(tmp_path / "secret.txt", "secret")
    with pytest.raises(ConfigError, match="lies outside of the demo"):
        build_demo_app(make_demo(folder, ui={**ui, "article_path": "../secret.txt"}))


def test_examples_fill_the_inputs(tmp_path):
    inputs = [*PAGE["inputs"], {"name": "note", "type": "text"}]
    folder = make_demo(tmp_path / "demo", ui={**PAGE, "inputs": inputs,
                                              "examples": [["a.wav", "hello"]]})  # fmt: skip
    soundfile.write(folder / "a.wav", tone(), 16000)
    app = build_demo_app(folder)
    (table,) = component(app, "Dataset")
    assert table.samples[0][1] == "hello"
    (load,) = [f for f in app.fns.values() if f.api_name == "load_example"]
    audio, note = load.fn((0, table.raw_samples[0]))
    assert note["value"] == "hello"
    assert Path(str(audio["value"]["path"])).read_bytes() == (folder / "a.wav").read_bytes()
    assert "/load_example" not in app.get_api_info()["named_endpoints"]


@pytest.mark.parametrize("row", [["../a.wav"], ["/etc/hostname"], ["none.wav"], ["a.wav", 1]])
def test_an_example_is_a_file_of_the_demo(tmp_path, row):
    for place in (tmp_path, tmp_path / "demo"):
        write(place / "a.wav", "x")
    with pytest.raises(ConfigError, match=r"ui\.examples\[0\]"):
        build_demo_app(make_demo(tmp_path / "demo", ui={**PAGE, "examples": [row]}))


def test_markdown_cannot_bring_html_of_its_own(tmp_path):
    app = build_demo_app(make_demo(tmp_path, ui={**PAGE, "description": "<script>x</script>"}))
    assert all(block.sanitize_html for block in component(app, "Markdown"))


CODE = """
import gradio as gr
from espnet3.demo.ui import UiSpec

def build(config):
    return UiSpec(inputs=[gr.Audio(render=False)], outputs=[gr.Label(render=False)],
                  input_names=["speech"], output_names=["text"], title=config.ui.title)

def describe(config):
    return {"title": "From code", "inputs": [{"name": "speech", "type": "audio"}],
            "outputs": [{"name": "text", "type": "markdown"}]}

def wrong(config):
    return 3
"""


def test_a_page_from_code_of_the_demo(tmp_path):
    write(tmp_path / "src" / "page.py", CODE)
    app = build_demo_app(make_demo(tmp_path, ui={"builder": "src.page.build", "title": "Coded"}))
    assert app.title == "Coded" and len(component(app, "Label")) == 1
    assert respond(app, (8000, tone(rate=8000)))[0] == "8000 float32"
    app = build_demo_app(make_demo(tmp_path, ui={"builder": "src.page.describe"}))
    assert app.title == "From code"
    with pytest.raises(ConfigError, match="must return a UiSpec or a mapping, got int"):
        build_demo_app(make_demo(tmp_path, ui={"builder": "src.page.wrong"}))


def test_the_page_of_a_packed_demo_is_that_of_its_configuration(demo_dir, tmp_path):
    folder = shutil.copytree(demo_dir, tmp_path / "demo")
    ui = {"ui": {"button": {"label": "Go"}, "concurrency": 2}}
    OmegaConf.save(OmegaConf.merge(load_demo_config(folder), ui), folder / "demo.yaml")
    app = build_demo_app(folder)
    assert component(app, "Button")[0].value == "Go"
    (function,) = [f for f in app.fns.values() if f.api_name == "run"]
    assert function.concurrency_limit == 2


@pytest.mark.parametrize("wrap", [dict, OmegaConf.create])
def test_pages_are_accepted_in_every_form(wrap):
    spec = _normalize_ui_spec(wrap(PAGE))
    assert isinstance(spec, UiSpec) and _normalize_ui_spec(spec) is spec
