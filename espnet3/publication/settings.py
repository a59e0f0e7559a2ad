"""What ``pack_model`` and ``upload_model`` read from ``conf/publication.yaml``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from espnet3.errors import ConfigError, MissingConfigError
from espnet3.publication import scrub
from espnet3.publication.path_patterns import PathPatterns

_ARTIFACT_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]+")


@dataclass(frozen=True, kw_only=True)
class Espnet2Settings:
    """Section ``pack_model.espnet2``."""

    task: str | None = None
    """Task short name (``asr``); it also picks the default artifacts under strategy ``espnet3``."""
    files: dict[str, Path] | None = field(default_factory=dict)
    """Artifacts of strategy ``espnet2``: name to path."""
    yaml_files: dict[str, Path] | None = field(default_factory=dict)
    """YAML artifacts of strategy ``espnet2``: name to path."""
    option: tuple[Path, ...] | None = ()
    """Further files of strategy ``espnet2``, copied without being registered."""


@dataclass(frozen=True, kw_only=True)
class PackSettings:
    """Section ``pack_model``. Relative paths start at the recipe directory."""

    strategy: Literal["auto", "espnet2", "espnet3"] = "auto"
    """``auto`` is ``espnet2`` when the training config has a ``task``, else ``espnet3``."""
    out_dir: Path | None = None
    """Bundle folder; default ``<exp_dir>/model_pack``."""
    decode_dir: Path | None = None
    """Folder searched for ``scores.json`` (or the ``metrics.json`` of ``measure``)."""
    readme_template: Path | None = None
    """Model card template; default is the built-in one."""
    readme_context: dict[str, Any] | None = field(default_factory=dict)
    """Values added to, or replacing, those of the model card."""
    include: Path | tuple[Path, ...] | None = ()
    """Paths or globs copied into the bundle, before ``extra``."""
    extra: Path | tuple[Path, ...] | None = ()
    """More paths or globs copied into the bundle."""
    exclude: str | tuple[str, ...] | None = ()
    """Patterns, as in a ``.gitignore``, of files that are not copied."""
    include_data_dir: bool = False
    """Also copy ``training_config.data_dir``."""
    files: dict[str, Path] | None = field(default_factory=dict)
    """Artifacts copied to ``files/`` and registered in ``meta.yaml``: name to path."""
    yaml_files: dict[str, Path] | None = field(default_factory=dict)
    """YAML artifacts copied to ``yaml_files/`` and registered in ``meta.yaml``: name to path."""
    espnet2: Espnet2Settings | None = None
    """What strategy ``espnet2`` packs; only ``task`` has an effect under ``espnet3``."""
    weights: Literal["inference", "full", "keep"] = "inference"
    """``inference`` packs only the tensors of a checkpoint; ``full`` keeps the training state and
    adds the tensors under ``module``; ``keep`` copies the file."""
    weights_format: Literal["safetensors", "torch"] | None = None
    """Form of exported weights; default ``safetensors``, for readers of ESPnet2 ``torch``."""
    checkpoints: Literal["referenced", "all"] = "referenced"
    """``all`` packs the weights of every checkpoint of the experiment."""
    archive: Literal["zip"] | None = None
    """Also write ``<out_dir>.zip``."""
    include_model_summary: bool = True
    """Write class, parameters, size and types of the model into the model card."""
    self_check: bool = True
    """Read the finished bundle as a user would, before it takes the place of an older one."""
    allow_overwrite: bool = True
    """``false`` refuses to replace a bundle that is already there."""
    secret_scan: Literal["error", "warn", "off"] = "error"  # noqa: S105 - no password
    """What to do when a copied text file holds a secret or a path of this machine."""
    golden_samples: bool | tuple[Path, ...] = True
    """Record what the packed model makes of one made-up input, or of a list of audio files."""
    smoke_test: bool = False
    """Refuse to pack a model that a clean interpreter cannot load, or that gives another result
    in a second one."""

    def __post_init__(self) -> None:
        PathPatterns(self.exclude_patterns)
        if self.smoke_test and not self.golden_samples:
            raise ConfigError("needs golden_samples", key="smoke_test", value=True)
        if self.weights_format and self.weights != "inference":
            raise ConfigError(
                "needs weights: inference", key="weights_format", value=self.weights_format
            )
        for section, entries in (("files", self.files), ("yaml_files", self.yaml_files)):
            for name in entries or {}:
                if not _ARTIFACT_NAME.fullmatch(name):
                    raise ConfigError(
                        "may hold only letters, digits, '_', '-', and '.' beside these",
                        key=section,
                        value=name,
                    )

    @property
    def golden_files(self) -> tuple[Path, ...]:
        """Audio files to record; empty for a made-up input."""
        return () if isinstance(self.golden_samples, bool) else self.golden_samples

    @property
    def include_paths(self) -> tuple[Path, ...]:
        """``include`` as a tuple."""
        return _as_tuple(self.include)

    @property
    def extra_paths(self) -> tuple[Path, ...]:
        """``extra`` as a tuple."""
        return _as_tuple(self.extra)

    @property
    def exclude_patterns(self) -> tuple[str, ...]:
        """``exclude`` as a tuple."""
        return _as_tuple(self.exclude)


@dataclass(frozen=True, kw_only=True)
class UploadSettings:
    """Section ``upload_model``; packing writes the name into the model card."""

    hf_repo: str | None = None
    """``<user-or-organisation>/<name>`` on the Hugging Face Hub."""
    private: bool | None = None
    """Visibility of a repository that does not exist yet; default is that of the Hub."""
    update: bool = True
    """``false`` refuses to upload to a repository that exists."""
    revision: str | None = None
    """Branch to commit to; made from the default branch when absent."""
    create_pr: bool = False
    """Open a pull request instead of committing."""
    commit_message: str | None = None
    """First line of the commit; by default it names recipe and version."""
    commit_description: str | None = None
    """Rest of the commit message; by default strategy, commit, scores and manifest digest."""
    tag: str | None = None
    """Git tag to put on the commit."""
    delete_patterns: str | tuple[str, ...] | None = ()
    """Patterns of files in the repository that go in the same commit; ``["*"]`` mirrors the
    bundle."""
    ignore_patterns: str | tuple[str, ...] | None = ()
    """Patterns of files in the bundle folder that are not sent."""
    force: bool = False
    """Apply ``delete_patterns`` even to a repository that holds no bundle."""
    dry_run: bool = False
    """Say what would be uploaded and change nothing."""
    verify: bool = True
    """Compare the repository with the bundle after the commit."""
    token: str | None = None
    """Refused here, because configurations are published and logged."""
    hf_token: str | None = None
    """Refused, as ``token``."""
    api_key: str | None = None
    """Refused, as ``token``."""

    def __post_init__(self) -> None:
        for name in ("token", "hf_token", "api_key"):
            if getattr(self, name) is not None:
                raise ConfigError(
                    "must not stand in a file",
                    key=name,
                    hint="log in with `hf auth login`, or set the environment variable HF_TOKEN",
                )
        for name in ("commit_message", "commit_description", "tag", "revision"):
            kind = scrub.find_secret(str(getattr(self, name) or ""))
            if kind is not None:
                raise ConfigError(
                    f"holds a {kind}, and everybody could read it",
                    key=name,
                    hint="write it without, and have the secret replaced: logs may hold it",
                )
        if self.create_pr and self.revision is not None:
            raise ConfigError("cannot be combined with create_pr", key="revision")
        if self.delete_pattern_list and not self.update:
            raise ConfigError("needs update: true", key="delete_patterns")

    @property
    def repository(self) -> str | None:
        """``<user-or-organisation>/<name>``, if it is given."""
        return self.hf_repo

    def no_repository(self, section: str) -> MissingConfigError:
        """Return the error for a section that names no repository."""
        return MissingConfigError(
            "must be set", key=f"{section}.hf_repo", hint="write <user-or-organisation>/<name>"
        )

    @property
    def delete_pattern_list(self) -> list[str]:
        """``delete_patterns`` as a list."""
        return list(_as_tuple(self.delete_patterns))

    @property
    def ignore_pattern_list(self) -> list[str]:
        """``ignore_patterns`` as a list."""
        return list(_as_tuple(self.ignore_patterns))


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)
