"""Decide what an upload would send. Reads the disk only; needs neither torch nor a login."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

import espnet3
from espnet3.errors import BundleError, ConfigError, MissingConfigError
from espnet3.publication import bundle
from espnet3.publication.model_card import check_front_matter, read_card
from espnet3.publication.pack_checks import check_text
from espnet3.publication.pack_inputs import (
    CONFIG_NAMES,
    as_config,
    choose_out_dir,
    find_recipe_root,
    read_value,
)
from espnet3.publication.repository_name import check_repository, find_other_name
from espnet3.publication.scores import by_test_set, read_scores
from espnet3.publication.settings import PackSettings, UploadSettings
from espnet3.publication.upload_files import list_files, packed_names, unsent_patterns
from espnet3.utils.config_utils import to_plain
from espnet3.utils.settings import parse_settings

logger = logging.getLogger(__name__)

SECTION = "publication_config.upload_model"

S = TypeVar("S", bound=UploadSettings)


@dataclass(frozen=True, kw_only=True)
class RepositoryKind:
    """What an upload says to the Hub, and to the user, about a bundle or another kind of folder."""

    noun: str = "bundle"
    section: str = SECTION
    """Configuration section of the upload."""
    repo_type: str = "model"
    marker: str = bundle.META_FILE
    """File by which one recognises a repository that holds such a folder."""
    manifest: str = bundle.MANIFEST_FILE
    """File whose digest tells one content from another."""
    creation: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of ``create_repo``."""
    may_create: bool = True
    hints: Mapping[int, str] = field(default_factory=dict)
    """Status of a refusal → what to do about it."""


@dataclass(frozen=True, kw_only=True)
class UploadPlan:
    """A bundle, or another folder, and where it would go."""

    bundle: Path
    settings: UploadSettings
    repository: str
    """``<user-or-organisation>/<name>``."""
    files: tuple[tuple[str, int], ...]
    """What is sent: path in the repository and size in bytes."""
    recipe_root: Path | None
    secret_scan: str
    message: str
    description: str
    kind: RepositoryKind = field(default_factory=RepositoryKind)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(size for _, size in self.files)

    @property
    def unsent(self) -> list[str]:
        """Patterns of all that the folder holds besides ``files`` now."""
        return unsent_patterns(self.bundle, self.files, self.settings.ignore_pattern_list)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is probably not meant: examples of the model card that load something else."""
        card = self.bundle / "README.md"
        if self.kind.repo_type != "model" or not card.is_file():
            return ()
        other = find_other_name(read_card(card), self.repository)
        if other is None:
            return ()
        return (
            f"README.md shows how to load {other!r}, and goes to {self.repository}: "
            "pack_model writes upload_model.hf_repo into the card",
        )

    @property
    def receipt(self) -> Path:
        """File beside the bundle that says where it went."""
        return self.bundle.with_name(f"{self.bundle.name}.upload.json")

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, empty without one."""
        manifest = self.bundle / self.kind.manifest
        return bundle.sha256_of(manifest) if manifest.is_file() else ""


def plan_upload(system: Any, git_head: str = "") -> UploadPlan:
    """Read the settings of an upload and list what it would send.

    Args:
        system: Object with ``publication_config``, and optionally the other slots.
        git_head: Commit of the recipe's repository, for the commit message.

    Raises:
        MissingConfigError: If the config, its section or the repository name is absent.
        ConfigError: If a setting is wrong.
        BundleError: If there is no bundle, or it is incomplete.
    """
    given = {
        name: as_config(getattr(system, f"{name}_config", None), name) for name in CONFIG_NAMES
    }
    settings = read_upload_settings(given["publication"], "upload_model", UploadSettings, SECTION)
    pack = _read_pack_settings(given["publication"])
    root = find_recipe_root(given) or find_recipe_root({"training": given["publication"]})
    folder = _find_bundle(pack, given["training"], root)
    packed = _packed_files(folder)
    files = list_files(folder, settings.ignore_pattern_list, packed, section=SECTION)
    meta = _check_layout(folder, dict(files))
    recipe = read_value(given["training"], "recipe") or folder.parent.name
    return UploadPlan(
        bundle=folder,
        settings=settings,
        repository=str(settings.repository),
        files=files,
        recipe_root=root,
        secret_scan=pack.secret_scan,
        message=settings.commit_message or default_message(str(recipe)),
        description=settings.commit_description or _description(folder, meta, git_head),
    )


def check_contents(plan: UploadPlan) -> None:
    """Read every file of the bundle: it must be as it was packed, and hold no secrets.

    Raises:
        BundleError: If a file was changed after packing, or holds what should not be published.
        ConfigError: If the Hub could not read the model card.
    """
    bundle.verify_manifest(plan.bundle)
    check_text(plan.bundle, plan.recipe_root, plan.secret_scan, verb="upload")
    card = plan.bundle / "README.md"
    if card.is_file():
        check_front_matter(read_card(card))
    for line in plan.doubts:
        logger.warning("%s", line)


def read_upload_settings(config: DictConfig | None, stage: str, cls: type[S], section: str) -> S:
    """Return the settings of an upload.

    Args:
        config: Slot that holds them.
        stage: Name of the stage, and of its section.
        cls: Settings class.
        section: Section, for messages.

    Raises:
        MissingConfigError: If the slot, the section or the target is absent.
        ConfigError: If a setting is wrong.
    """
    if config is None:
        slot = section.partition(".")[0]
        raise MissingConfigError(f"{stage} requires {slot}", hint=f"{section} says where it goes")
    plain = to_plain(OmegaConf.select(config, stage))
    if plain is None:
        raise MissingConfigError("must be a section", key=section)
    settings = parse_settings(plain, cls, key=section)
    if not settings.repository:
        raise settings.no_repository(section)
    check_repository(settings.repository, f"{section}.hf_repo")
    return settings


def _read_pack_settings(publication: DictConfig | None) -> PackSettings:
    section = read_value(publication, "pack_model")
    return parse_settings(section, PackSettings, key="publication_config.pack_model")


def _find_bundle(pack: PackSettings, training: DictConfig | None, root: Path | None) -> Path:
    has_place = pack.out_dir is not None or training is not None
    folder = choose_out_dir(pack, training, root) if has_place else Path.cwd() / "model_pack"
    if not folder.is_dir():
        raise BundleError(f"Model pack not found: {folder}\n  run the stage pack_model first")
    return folder


def _packed_files(folder: Path) -> frozenset[str]:
    if not bundle.is_bundle(folder):
        raise BundleError(
            f"{folder} is not a bundle: it has no {bundle.META_FILE} with files\n"
            "  check publication_config.pack_model.out_dir, and run the stage pack_model"
        )
    if not (folder / bundle.MANIFEST_FILE).is_file():
        raise BundleError(
            f"{folder} has no {bundle.MANIFEST_FILE}, so nobody knows which files were packed\n"
            "  pack again before the upload"
        )
    return packed_names(folder)


def _check_layout(folder: Path, sizes: Mapping[str, int]) -> dict[str, Any]:
    meta = bundle.read_meta(folder)
    bundle.read_artifacts(folder, meta)
    for name, size, _ in bundle.read_manifest(folder):
        if name not in sizes and (folder / name).is_file():
            raise ConfigError(
                f"leaves out {name}, which the bundle needs",
                key=f"{SECTION}.ignore_patterns",
                hint="keep it out while packing, with pack_model.exclude",
            )
        if sizes.get(name) != size:
            raise BundleError(
                f"{folder / name} is not the file that {bundle.MANIFEST_FILE} describes\n"
                "  pack again before the upload"
            )
    return meta


def default_message(what: str) -> str:
    """Return the first line of a commit."""
    return f"Upload {what} with espnet3 {espnet3.__version__}"


def _description(folder: Path, meta: Mapping[str, Any], git_head: str) -> str:
    lines = [f"strategy: {meta.get('strategy') or 'unknown'}"]
    if git_head:
        lines.append(f"recipe commit: {git_head}")
    scores = folder / "scores.json"
    for test, values in by_test_set(read_scores(scores if scores.is_file() else None)).items():
        lines.append(f"{test}: " + ", ".join(f"{name} {value}" for name, value in values.items()))
    manifest = folder / bundle.MANIFEST_FILE
    if manifest.is_file():
        lines.append(f"manifest: sha256:{bundle.sha256_of(manifest)}")
    return "\n".join(lines)
