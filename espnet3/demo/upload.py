"""Decide what an upload of a demo would send. Reads the disk only."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from espnet3.demo.pack_plan import choose_out_dir
from espnet3.demo.record import README_FILE, RECORD_FILE, read_record
from espnet3.demo.resolve import DEMO_FILE, read_settings
from espnet3.demo.settings import UploadDemoSettings
from espnet3.errors import BundleError, ConfigError
from espnet3.publication.model_card import check_front_matter, read_card
from espnet3.publication.pack_checks import check_text
from espnet3.publication.pack_inputs import as_config, find_recipe_root
from espnet3.publication.upload_files import list_files
from espnet3.publication.upload_plan import (
    RepositoryKind,
    UploadPlan,
    default_message,
    read_upload_settings,
)

SECTION = "demo_config.upload_demo"
_VERSION = re.compile(r"\d+\.\d+(\.\d+)?\w*")
_NO_SPACE = (
    "the Hub does not give this account such a Space: choose paid hardware with "
    f"{SECTION}.hardware, a namespace that may have it with {SECTION}.organization, or run the "
    "packed folder yourself with `espnet3 demo`"
)


@dataclass(frozen=True, kw_only=True)
class DemoUpload:
    """An upload of a demo."""

    settings: UploadDemoSettings
    upload: UploadPlan

    @property
    def folder(self) -> Path:
        """Folder of the packed demo."""
        return self.upload.bundle

    def check_contents(self) -> None:
        """Read every file that would be sent: no secrets, and a README that the Hub understands.

        Raises:
            BundleError: If a file holds what should not be published.
            ConfigError: If the Hub could not read the README.
        """
        plan = self.upload
        check_text(plan.bundle, plan.recipe_root, plan.secret_scan, verb="upload",
                   key="demo_config.pack.secret_scan")  # fmt: skip
        readme = plan.bundle / README_FILE
        text = read_card(readme) if readme.is_file() else ""
        check_front_matter(text)
        if self.settings.repo_type == "space":
            _check_space(text, plan.bundle, self.settings)


def plan_upload_demo(system: Any) -> DemoUpload:
    """Read the settings of an upload and list what it would send.

    Args:
        system: Object with ``demo_config``, and optionally ``exp_dir``.

    Raises:
        MissingConfigError: If the config, its section or the target is absent.
        ConfigError: If a setting is wrong.
        BundleError: If there is no packed demo.
    """
    config = as_config(getattr(system, "demo_config", None), "demo")
    settings = read_upload_settings(config, "upload_demo", UploadDemoSettings, SECTION)
    assert config is not None
    demo = read_settings(config)
    folder = choose_out_dir(demo, system).absolute()
    if not folder.is_dir():
        raise BundleError(f"Demo pack not found: {folder}\n  run the stage pack_demo first")
    plan = UploadPlan(
        bundle=folder,
        settings=settings,
        repository=str(settings.repository),
        files=list_files(
            folder, settings.ignore_pattern_list, _packed_files(folder), section=SECTION
        ),
        recipe_root=find_recipe_root({"training": config}),
        secret_scan=demo.pack.secret_scan,
        message=settings.commit_message or default_message("demo"),
        description=settings.commit_description or "",
        kind=_kind(settings),
    )
    return DemoUpload(settings=settings, upload=plan)


def _packed_files(folder: Path) -> frozenset[str] | None:
    files = read_record(folder)
    return None if files is None else frozenset({*files, README_FILE, RECORD_FILE})


def _kind(settings: UploadDemoSettings) -> RepositoryKind:
    create = settings.create
    creation: dict[str, Any] = {}
    if settings.repo_type == "space":
        creation["space_sdk"] = create.space_sdk or settings.space_sdk
        options = {
            "space_hardware": create.hardware or settings.hardware,
            "space_secrets": [
                {"key": name, "value": _secret(name)} for name in settings.secrets or ()
            ],
            "space_variables": [
                {"key": name, "value": value} for name, value in (settings.variables or {}).items()
            ],
        }
        creation |= {name: value for name, value in options.items() if value}
    if create.private is not None:
        creation["private"] = create.private
    return RepositoryKind(
        noun="demo",
        section=SECTION,
        repo_type=settings.repo_type,
        marker=DEMO_FILE,
        manifest=RECORD_FILE,
        creation=creation,
        may_create=create.yes if create.yes is not None else settings.yes,
        hints={402: _NO_SPACE} if settings.repo_type == "space" else {},
    )


def _secret(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise ConfigError(
            "is no environment variable", key=f"{SECTION}.secrets", value=name,
            hint="export it before the upload: its value must not stand in a file",
        )  # fmt: skip
    return value


def _check_space(card: str, folder: Path, settings: UploadDemoSettings) -> None:
    block = card[4:].partition("\n---")[0] if card.startswith("---\n") else ""
    fields = yaml.safe_load(block) or {}
    app_file = str(fields.get("app_file") or "")
    rules: dict[Literal["sdk", "app_file", "sdk_version"], bool] = {
        "sdk": fields.get("sdk") == (settings.create.space_sdk or settings.space_sdk),
        "app_file": bool(app_file) and (folder / app_file).is_file(),
        "sdk_version": bool(_VERSION.fullmatch(str(fields.get("sdk_version") or ""))),
    }
    for name, holds in rules.items():
        if not holds:
            raise ConfigError(
                "is not what a Space needs",
                key=name,
                file=folder / README_FILE,
                value=fields.get(name),
                hint="remove the README and run pack_demo again, where Gradio is installed",
            )
