"""The web page of a demo."""

from __future__ import annotations

import functools
import inspect
import keyword
import logging
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from espnet3.demo.answer import DemoRuntime, answer, inside
from espnet3.demo.audio import load_upload
from espnet3.demo.details import DetailsPanel
from espnet3.demo.examples import read_examples
from espnet3.demo.resolve import load_demo_config, resolve_ui
from espnet3.demo.runtime import build_runtime
from espnet3.demo.settings import UiSettings
from espnet3.demo.ui import UiSpec, build_ui_from_config, read_ui, require_gradio
from espnet3.errors import ConfigError, DataError
from espnet3.publication.model_card import read_card
from espnet3.utils.config_utils import to_plain
from espnet3.utils.path_utils import is_inside
from espnet3.utils.types import PathLike

logger = logging.getLogger(__name__)

API_NAME = "run"

Reader = Callable[[Any], Any]
_TITLE = "ESPnet Demo"
_COLUMN_PIXELS = 320
_MAX_FILE_SIZE = "50mb"
_CSS = """
.gradio-container > .fillable {width: 100%; max-width: 1040px !important}
#spectrogram:not(:has(img)), .demo-details:not(:has(p)) {display: none}
#spectrogram :has(> img), #spectrogram img {width: 100%}
#spectrogram img {height: 100%; object-fit: fill}
.demo-details {padding: 0 var(--spacing-lg)}
footer .divider {display: none}
"""


def build_demo_app(demo_dir: PathLike) -> Any:
    """Build the page of a packed demo; ``launch()`` serves it.

    The folder is taken to be the caller's own: modules in its ``src`` are imported when its
    configurations name them. A packed model in it is loaded without trust unless ``demo.yaml``
    says otherwise. ``espnet3 demo`` asks first.

    Args:
        demo_dir: Folder with ``demo.yaml``.

    Returns:
        A ``gradio.Blocks``, with the endpoint ``/run``.

    Raises:
        MissingFileError: If there is no ``demo.yaml``; a ``FileNotFoundError``.
        ConfigError: If the demo is not described completely.
        MissingDependencyError: If Gradio is not installed; an ``ImportError``.
    """
    folder = Path(demo_dir).resolve()
    config = load_demo_config(folder)
    runtime = build_runtime(config, folder)
    with inside(runtime.scope):
        ui = resolve_ui(config)
        settings = _read_settings(ui, config)
        spec = _normalize_ui_spec(ui)
    runtime.inputs = {str(item.name): item for item in settings.inputs or ()}
    runtime.outputs = {str(item.name): item for item in settings.outputs or ()}
    article = _read_article(settings, folder) or spec.article
    examples = read_examples(settings, spec, folder)
    return _assemble(spec, settings, runtime, article, examples)


def _normalize_ui_spec(ui: UiSpec | Mapping[str, Any]) -> UiSpec:
    """Return the page as components."""
    return ui if isinstance(ui, UiSpec) else build_ui_from_config(ui)


def _read_settings(ui: Any, config: DictConfig) -> UiSettings:
    """Return the settings of the page; a finished one has those that stand beside its builder."""
    if isinstance(ui, UiSpec):
        return read_ui(to_plain(config.get("ui")) or {})
    if not isinstance(ui, Mapping):
        raise ConfigError(f"must return a UiSpec or a mapping, got {type(ui).__name__}", key="ui")
    return read_ui(ui)


def _read_article(settings: UiSettings, folder: Path) -> str | None:
    """Return the text of ``ui.article_path`` without its front matter, if it can be read."""
    if settings.article_path is None:
        return None
    path = folder / settings.article_path
    if not is_inside(path, folder):
        raise ConfigError("lies outside of the demo", key="ui.article_path", value=str(path))
    if not path.is_file():
        logger.warning("ui.article_path: %s does not exist", path)
        return None
    text = read_card(path, key="ui.article_path")
    return text[4:].partition("\n---")[2].lstrip("-\n") if text.startswith("---\n") else text


def _assemble(
    spec: UiSpec,
    settings: UiSettings,
    runtime: DemoRuntime,
    article: str | None,
    examples: list[list[Any]],
) -> Any:
    gr = require_gradio()
    readers = [_choose_reader(component) for component in spec.inputs]
    details = DetailsPanel(has_audio=_takes_audio(spec)) if settings.details else None
    with gr.Blocks(title=spec.title or _TITLE, analytics_enabled=False) as app:
        gr.Markdown(f"# {spec.title or _TITLE}\n\n{spec.description or ''}")
        with gr.Row():
            with gr.Column(min_width=_COLUMN_PIXELS):
                for component in spec.inputs:
                    component.render()
                button = gr.Button(spec.button_label or "Run", variant="primary", elem_id="run")
            with gr.Column(min_width=_COLUMN_PIXELS):
                for component in spec.outputs:
                    component.render()
                more = details.render() if details else []
        if examples:
            rows = [[str(v) if isinstance(v, Path) else v for v in row] for row in examples]
            gr.Examples(rows, list(spec.inputs), api_visibility="private")
        if article:
            with gr.Accordion("About", open=False):
                gr.Markdown(article)
        button.click(
            _responder(spec, runtime, readers, details),
            inputs=list(spec.inputs),
            outputs=[*spec.outputs, *more],
            api_name=API_NAME,
            concurrency_limit=settings.concurrency,
        )
    app.queue(max_size=settings.queue_size)
    # Gradio takes these when it launches, and callers launch without arguments.
    app.launch = functools.partial(
        app.launch,
        theme=_theme(),
        css=_CSS,
        max_file_size=_MAX_FILE_SIZE,
        allowed_paths=[value for row in examples for value in row if isinstance(value, Path)],
        footer_links=["api"],
        ssr_mode=False,
    )
    return app


def _choose_reader(component: Any) -> Reader:
    """Return how the value of an input is read; audio comes as a file that we decode.

    Gradio's own decoding takes only WAV where ffmpeg is not installed, and tells nobody why.
    """
    if type(component).__name__ != "Audio" or component.type != "numpy":
        return _pass
    component.type = "filepath"
    return _read_upload


def _pass(value: Any) -> Any:
    return value


def _read_upload(value: Any) -> Any:
    return load_upload(value) if isinstance(value, str) else value


def _responder(
    spec: UiSpec, runtime: DemoRuntime, readers: Sequence[Reader], details: DetailsPanel | None
) -> Callable[..., Any]:
    """Return the function behind the button."""

    def respond(*values: Any) -> Any:
        try:
            found = answer(
                runtime,
                ui_names=spec.input_names,
                ui_values=[read(value) for read, value in zip(readers, values, strict=True)],
                output_names=spec.output_names,
            )
            shown = [*found.values, *(details.fill(found) if details else [])]
        except DataError as error:
            raise _page_error(str(error)) from error
        except Exception as error:
            # The page must not show what is inside; the log must.
            number = secrets.token_hex(4)
            logger.exception("request %s failed", number)
            raise _page_error(f"The model could not answer. Error {number} in the log.") from error
        return shown[0] if len(shown) == 1 else shown

    # The endpoint calls its arguments as the signature does.
    respond.__signature__ = _make_signature(spec.input_names)  # type: ignore[attr-defined]
    return respond


def _make_signature(names: Sequence[str]) -> inspect.Signature:
    """Return a signature with an argument for every input; odd names are made into identifiers."""
    kind, seen = inspect.Parameter.POSITIONAL_OR_KEYWORD, dict[str, inspect.Parameter]()
    for name in names:
        word = re.sub(r"\W", "_", name)
        while not word.isidentifier() or keyword.iskeyword(word) or word in seen:
            word = f"_{word}"
        seen[word] = inspect.Parameter(word, kind)
    return inspect.Signature(list(seen.values()))


def _page_error(message: str) -> Exception:
    error: Exception = require_gradio().Error(message, print_exception=False)
    return error


def _takes_audio(spec: UiSpec) -> bool:
    return any(type(component).__name__ == "Audio" for component in spec.inputs)


def _theme() -> Any:
    themes = require_gradio().themes
    # Fonts of the reader's own system: the page asks no other host for anything.
    return themes.Soft(
        primary_hue="indigo",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
