"""What the demo reads from ``conf/demo.yaml`` and from the ``demo.yaml`` of a packed demo."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from espnet3.errors import ConfigError, MissingConfigError
from espnet3.publication import scrub
from espnet3.publication.path_patterns import PathPatterns
from espnet3.publication.settings import UploadSettings

_SYSTEM = re.compile(r"[a-z_][a-z0-9_]*")
PLAIN_KINDS = frozenset({"checkbox", "dropdown", "number", "slider", "text", "textbox"})
"""Components whose value is no file."""


@dataclass(frozen=True, kw_only=True)
class ButtonSettings:
    """Section ``ui.button``."""

    label: str | None = None
    """Text on the button; default ``Run``."""


@dataclass(frozen=True, kw_only=True)
class ComponentSettings:
    """An item of ``ui.inputs`` or ``ui.outputs``; which keys count depends on its type."""

    name: str | None = None
    """Field of the sample, or of the result through ``output_keys``."""
    type: str | None = None
    """Kind of component, see :data:`espnet3.demo.ui.BUILDERS`."""
    label: str | None = None
    """What the page calls it; default is the name."""
    sources: tuple[str, ...] | None = None
    """Where audio comes from: ``microphone`` (``mic``), ``upload`` (``file``)."""
    audio_type: Literal["numpy", "filepath"] | None = None
    """What an audio component hands on: ``numpy`` or ``filepath``."""
    sample_rate: int | None = None
    """Samples per second that the model takes or makes; by default what the model declares."""
    channels: Literal["mono", "keep"] = "mono"
    """Whether the channels of a recording are averaged, or stay as samples of shape (S, C)."""
    max_seconds: float | None = None
    """Longest recording that is accepted."""
    lines: int | None = None
    """Height of a text box."""
    placeholder: str | None = None
    """Grey text in an empty text box."""
    choices: tuple[Any, ...] | None = None
    """Values of a drop-down list."""
    value: Any = None
    """First value."""
    min: float | None = None
    """Left end of a slider."""
    max: float | None = None
    """Right end of a slider."""
    step: float | None = None
    """Step of a slider."""
    gradio_kwargs: dict[str, Any] | None = field(default_factory=dict)
    """Further arguments of the Gradio component."""

    @property
    def kind(self) -> str:
        """The type in lower case, as it counts."""
        return (self.type or "").lower()


@dataclass(frozen=True, kw_only=True)
class UiSettings:
    """Section ``ui``."""

    builder: str | None = None
    """Dotted path of a function that gets the demo configuration and returns the interface."""
    title: str | None = None
    """Heading of the page."""
    description: str | None = None
    """Markdown below the heading."""
    article: str | None = None
    """Markdown at the end of the page."""
    article_path: Path | None = None
    """File in the demo folder that replaces ``article``."""
    button: ButtonSettings = field(default_factory=ButtonSettings)
    """The button."""
    inputs: tuple[ComponentSettings, ...] | None = None
    """What the user gives."""
    outputs: tuple[ComponentSettings, ...] | None = None
    """What the user sees."""
    examples: tuple[tuple[Any, ...], ...] | None = ()
    """Inputs to choose from: for each, a value per input; files lie in the demo folder."""
    details: bool = True
    """Also show time needed, confidence if the result has one, and the spectrogram of audio."""
    concurrency: int = 1
    """Requests that the model answers at the same time."""
    queue_size: int = 20
    """Requests that may wait; further ones are turned away."""

    def __post_init__(self) -> None:
        for name in ("concurrency", "queue_size"):
            if getattr(self, name) < 1:
                raise ConfigError("must be at least 1", key=name, value=getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class DemoInferenceSettings:
    """Section ``inference``."""

    provider_class: str | None = None
    """Class whose ``build_model`` builds the model."""
    runner_class: str | None = None
    """Class whose ``forward`` calls it."""


@dataclass(frozen=True, kw_only=True)
class DemoModelSettings:
    """Section ``model``: a packed model instead of an inference configuration."""

    dir_or_tag: str | None = None
    """Folder of a bundle, or its Hub id ``owner/name[@revision]``."""
    trust_user_code: bool = False
    """Run code of the bundle; read it first."""
    call_args: dict[str, Any] | None = field(default_factory=dict)
    """Arguments of its model to add or replace, such as ``beam_size``."""


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """An item of ``pack.files`` with a place of its own."""

    src: Path
    """File or folder to copy."""
    dst: Path | None = None
    """Where it goes in the demo folder."""


@dataclass(frozen=True, kw_only=True)
class PackDemoSettings:
    """Section ``pack``."""

    out_dir: Path | None = None
    """Folder of the packed demo; default ``<exp_dir>/demo``."""
    files: tuple[Path | FileEntry, ...] | None = ()
    """Further files and folders to copy."""
    examples: tuple[Any, ...] | None = ()
    """Inputs to choose from on the page: each a value, or a list with one for every input. Audio,
    images and other files are copied."""
    copy: bool = True
    """``false`` links to the files instead, for work on this machine."""
    exclude: tuple[str, ...] | None = ()
    """Patterns, as in a ``.gitignore``, of files that are not copied."""
    readme_template: Path | None = None
    """Template of the README; wins over the one outside of the section."""
    secret_scan: Literal["error", "warn", "off"] = "error"  # noqa: S105 - no password
    """What to do before an upload when a file holds a secret or a path of this machine."""

    def __post_init__(self) -> None:
        PathPatterns(self.exclude or ())


@dataclass(frozen=True, kw_only=True)
class CreateSettings:
    """Section ``upload_demo.create``: how the repository is made; wins over the keys beside it."""

    space_sdk: str | None = None
    """Kind of Space."""
    organization: str | None = None
    """Namespace of the repository, instead of the user's."""
    private: bool | None = None
    """Visibility."""
    yes: bool | None = None
    """``false`` refuses to create a repository."""
    hardware: str | None = None
    """Machine of the Space, for example ``cpu-basic``."""


@dataclass(frozen=True, kw_only=True)
class UploadDemoSettings(UploadSettings):
    """Section ``upload_demo``: the keys of ``upload_model``, and those of a Space."""

    hf_username: str | None = None
    """Namespace of the repository, where ``hf_repo`` is not set."""
    repo_name: str | None = None
    """Name of the repository, where ``hf_repo`` is not set."""
    organization: str | None = None
    """Namespace that replaces ``hf_username``."""
    repo_type: Literal["space", "model", "dataset"] = "space"
    """Kind of repository."""
    space_sdk: str = "gradio"
    """Kind of Space."""
    yes: bool = True
    """Create a repository that does not exist; ``false`` refuses to."""
    hardware: str | None = None
    """Machine of a new Space, for example ``cpu-basic``."""
    secrets: tuple[str, ...] | None = ()
    """Environment variables whose values become secrets of a new Space."""
    variables: dict[str, str] | None = field(default_factory=dict)
    """Variables of a new Space."""
    create: CreateSettings = field(default_factory=CreateSettings)
    """How the repository is made; wins over the keys beside it."""
    try_out: bool = True
    """Start the packed demo and ask it once before anything is sent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (self.variables or {}).items():
            kind = scrub.find_secret(value)
            if kind is not None:
                raise ConfigError(
                    f"{name} holds a {kind}, and everybody could read it",
                    key="variables",
                    hint="put it into an environment variable, and list that under secrets",
                )

    @property
    def repository(self) -> str | None:
        """``<namespace>/<name>``, if it is given."""
        if self.hf_repo:
            return self.hf_repo
        owner = self.create.organization or self.organization or self.hf_username
        return f"{owner}/{self.repo_name}" if owner and self.repo_name else None

    def no_repository(self, section: str) -> MissingConfigError:
        """Return the error for a section that names no repository."""
        return MissingConfigError(
            "says no target: set hf_repo, or hf_username and repo_name", key=section
        )


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """What a demo configuration says, without ``extra_kwargs`` and other free keys."""

    system: str | None = None
    """Task whose conventions hold, in lower case."""
    infer_config: Path | None = None
    """Inference configuration; unused with a packed model."""
    ui: UiSettings | None = None
    """The page; default is that of the system."""
    inference: DemoInferenceSettings = field(default_factory=DemoInferenceSettings)
    """How the model is built and called."""
    model: DemoModelSettings = field(default_factory=DemoModelSettings)
    """The packed model."""
    requirements: tuple[str, ...] | None = None
    """Lines of ``requirements.txt``; default is the list of what is installed."""
    readme_template: Path | None = None
    """Template of the README."""
    pack: PackDemoSettings = field(default_factory=PackDemoSettings)
    """What ``pack_demo`` does."""

    def __post_init__(self) -> None:
        if self.system is not None and not _SYSTEM.fullmatch(self.system.lower()):
            raise ConfigError("is not the name of a system", key="system", value=self.system)
