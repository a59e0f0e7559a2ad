"""What a demo of somebody else may not do before its user has said so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from espnet3.demo.resolve import (
    find_demo_file,
    load_demo_config,
    read_settings,
    resolve_extra_kwargs,
)
from espnet3.demo.settings import ComponentSettings, DemoSettings, UiSettings
from espnet3.errors import UntrustedCodeError
from espnet3.publication.limited_yaml import read_yaml
from espnet3.publication.security import bundle_policy
from espnet3.publication.user_code import DEFAULT_ROOTS, find_references
from espnet3.publication.yaml_links import iter_strings
from espnet3.utils.config_utils import to_plain
from espnet3.utils.import_utils import import_object, use_target_policy
from espnet3.utils.types import PathLike

_FILES = ("file", "image", "video", "markdown", "plot", "dataframe", "label", "json")
"""Components whose value may be a path."""


def check_demo(demo_dir: PathLike) -> None:
    """Raise unless a demo runs nothing of its own: neither its code, nor what its configs name.

    That leaves packed models, which are loaded under the rules for bundles that nobody vouches for.

    Raises:
        UntrustedCodeError: If it wants more; a ``ValueError``.
    """
    folder = Path(demo_dir).resolve()
    _check_plain(find_demo_file(folder))
    config = load_demo_config(folder)
    named = find_references({"demo": to_plain(config)}, DEFAULT_ROOTS)
    reasons = [*_reasons(read_settings(config)), *((key, f"runs {path}") for key, path in named)]
    for key, reason in reasons:
        raise _refusal(folder, key, reason)
    path = resolve_extra_kwargs(config).get("output_fn_path")
    if path:
        with use_target_policy(bundle_policy(folder)):
            import_object(path, key="extra_kwargs.output_fn_path")


def _check_plain(path: Path) -> None:
    """Raise unless a demo configuration says all itself.

    An interpolation may read files and the environment, and an image in a text of the page would
    carry what it found to another host.
    """
    content = read_yaml(path)
    if isinstance(content, Mapping) and "defaults" in content:
        raise _refusal(path.parent, "defaults", "reads other files")
    for key, text in iter_strings(content):
        if "${" in text:
            raise _refusal(path.parent, key, f"reads more than {path.name}: {text}")


def _refusal(folder: Path, key: str, reason: str) -> UntrustedCodeError:
    return UntrustedCodeError(
        f"{folder}: {key} {reason}\n  read the folder first; then allow it with --trust_user_code"
    )


def _reasons(settings: DemoSettings) -> Iterator[tuple[str, str]]:
    if not settings.model.dir_or_tag:
        yield "infer_config", "builds whatever it names, because there is no packed model"
    if settings.model.trust_user_code:
        yield "model.trust_user_code", "lets the packed model run code"
    for key, text in iter_strings(settings.model.call_args or {}, "model.call_args"):
        if "/" in text or Path(text).suffix:
            yield key, f"may open a file outside of the packed model: {text}"
    if settings.ui is not None and settings.ui.builder:
        yield "ui.builder", f"runs {settings.ui.builder}"
    for component in _components(settings):
        if component.gradio_kwargs or (component.value is not None and component.kind in _FILES):
            yield f"the component {component.name!r}", "may open files of this machine"


def _components(settings: DemoSettings) -> Iterator[ComponentSettings]:
    ui = settings.ui or UiSettings()
    yield from (*(ui.inputs or ()), *(ui.outputs or ()))
