"""Doorway to publication: the functions behind the stages ``pack_model`` and ``upload_model``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet3.utils.types import PathLike


def pack_model(
    system: Any = None,
    *,
    include: Sequence[PathLike] | None = None,
    extra: Sequence[PathLike] | None = None,
    **configs: Any,
) -> Path:
    """Pack a trained model into a folder that can be published and used without the recipe.

    Args:
        system: Object with ``training_config`` and ``publication_config``, and optionally
            ``inference_config`` and ``metrics_config``.
        include: Paths to copy instead of the experiment folder.
        extra: Further paths to copy; the ones of the publication config come on top.
        **configs: These four configs, where there is no system.

    Returns:
        The bundle folder, ``publication_config.pack_model.out_dir``.

    Raises:
        MissingConfigError: If a config or its section is absent.
        ConfigError: If ``pack_model`` has unknown keys or wrong values.
        MissingFileError: If a file that ``pack_model.espnet2`` names is absent.
        BundleError: If a file is absent, ``out_dir`` must not be replaced, or a secret was found.
    """
    from espnet3.publication.pack import pack_model as pack
    from espnet3.publication.pack_inputs import as_system

    return pack(
        as_system(system, configs),
        include=include,
        extra=extra,
        git_info=_git_info,
        account=_hf_username,
    )


def upload_model(system: Any) -> None:
    """Upload a packed model to the Hugging Face Hub.

    The repository is created when it does not exist. What it holds already is not sent again, so a
    second run changes nothing, and one that was interrupted goes on.

    Args:
        system: Object with ``publication_config``, and optionally ``training_config``.

    Raises:
        MissingConfigError: If the config, ``upload_model`` or its ``hf_repo`` is absent.
        ConfigError: If a setting is wrong, ``hf_repo`` is the placeholder of the template, or the
            Hub could not read the model card.
        BundleError: If there is no bundle, it was changed after packing, or it holds a secret.
        HubError: If the Hub cannot be reached, nobody is logged in, or it refuses.
    """
    from espnet3.publication.upload import upload_model as upload

    upload(system, new_client=HfApi, git_info=_git_info)


def HfApi() -> Any:  # noqa: N802 - stands in for the class of that name
    """Return a Hugging Face client; imported only when it is needed."""
    from espnet3.publication import hub

    return hub.new_client()


def _git_info() -> dict[str, str]:
    """Return commit and state of the repository that holds the working directory."""
    from espnet3.utils.env_report import get_git_metadata

    facts = get_git_metadata()
    return {"head": facts["commit"] or "", "dirty": facts["worktree"] or ""}


def _hf_username() -> str:
    """Return the name of the user's Hub account, empty when there is none or no network."""
    from espnet3.publication import hub

    return hub.account_name(HfApi)
