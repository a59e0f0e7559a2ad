"""The Hugging Face Hub: who we are there, and bundles fetched from it."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from espnet3.errors import BundleError, HubError
from espnet3.publication.bundle import INFERENCE_CONFIG, read_artifacts, read_meta
from espnet3.publication.hub_errors import clean, is_offline
from espnet3.utils.types import PathLike, Seconds

logger = logging.getLogger(__name__)

_TAG = re.compile(r"(?:hf://)?(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def new_client() -> Any:
    """Return a Hub client."""
    from huggingface_hub import HfApi

    return HfApi()


def account_name(client: Callable[[], Any], timeout: Seconds = 5.0) -> str:
    """Return the name of the user's account; empty without login, network or answer in time."""
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE or not get_token():
        return ""
    answer: list[str] = []

    def ask() -> None:
        try:
            answer.append(str(client().whoami()["name"]))
        except Exception as error:
            # The model card can do without this line, whatever goes wrong.
            logger.debug("the Hub does not tell the account name: %s", type(error).__name__)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answer[0] if answer else ""


def is_hub_tag(tag: str) -> bool:
    """Tell whether a string has the form ``owner/name[@revision]``.

    Example:
        >>> is_hub_tag("espnet/a_model@v1"), is_hub_tag("./exp/model_pack")
        (True, False)
    """
    match = _TAG.fullmatch(tag)
    return match is not None and not match["repo"].startswith((".", "/"))


def is_pinned(tag: str) -> bool:
    """Tell whether a tag names a commit, so that later pushes cannot change what is loaded."""
    match = _TAG.fullmatch(tag)
    return bool(match and match["revision"] and _COMMIT.fullmatch(match["revision"]))


def warn_unless_pinned(tag: str) -> None:
    """Warn that the code behind a Hub tag may change after somebody has read it."""
    if is_hub_tag(tag) and not is_pinned(tag) and not Path(tag).exists():
        logger.warning(
            "the code of %s is trusted, whatever is pushed there next; "
            "pin what you have read with %s@<commit>",
            tag,
            tag.partition("@")[0],
        )


class BundleDownloader:
    """Fetches bundles from the Hub, with the protocol of the ``espnet_model_zoo`` downloader.

    Token, cache folder and offline mode come from the Hub client's own environment variables.

    Args:
        cache_dir: Cache folder; default is the Hub client's.
        revision: Branch, tag or commit for tags that name none.
    """

    def __init__(self, cache_dir: PathLike | None = None, revision: str | None = None) -> None:
        self._cache_dir = None if cache_dir is None else Path(cache_dir)
        self._revision = revision

    def download_and_unpack(self, name: str) -> dict[str, str]:
        """Fetch ``owner/name[@revision]`` and return its artifacts as name → path.

        Raises:
            BundleError: If the name is not of that form, or the repository holds no bundle.
            HubError: If the Hub cannot be reached, or has no such repository or revision.
        """
        from huggingface_hub import snapshot_download

        match = _TAG.fullmatch(name)
        if match is None:
            raise BundleError(f"{name!r} is not a Hub model of the form owner/name[@revision]")
        repository, revision = match["repo"], match["revision"] or self._revision
        try:
            folder = snapshot_download(repository, revision=revision, cache_dir=self._cache_dir)
        except Exception as error:
            raise _explain_fetch(error, repository, revision) from error
        return folder_artifacts(Path(folder))


def _explain_fetch(error: Exception, repository: str, revision: str | None) -> HubError:
    from huggingface_hub.errors import (
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name = f"{repository}@{revision}" if revision else repository
    if isinstance(error, RevisionNotFoundError):
        return HubError(
            f"{repository} has no revision {revision!r}\n  look at its branches and tags"
        )
    if isinstance(error, RepositoryNotFoundError):
        return HubError(
            f"the Hub has no model {repository}, or does not show it to you\n"
            "  check the name; for a private or gated one log in with `hf auth login`"
        )
    if isinstance(error, LocalEntryNotFoundError):
        reason = "HF_HUB_OFFLINE is set" if is_offline() else "the Hub cannot be reached"
        return HubError(
            f"{name} is not in the cache, and {reason}\n  fetch it once with the network"
        )
    return HubError(f"{name} cannot be fetched: {clean(error)}")


def folder_artifacts(root: Path) -> dict[str, str]:
    """Return the artifacts of an unpacked bundle as name → path.

    Raises:
        BundleError: If the folder is no bundle, or one of its artifacts is absent.
    """
    artifacts = read_artifacts(root, read_meta(root))
    if (root / INFERENCE_CONFIG).is_file():
        artifacts.setdefault("inference_config", str(root / INFERENCE_CONFIG))
    if not artifacts:
        raise BundleError(
            f"{root} is not a bundle: it has neither meta.yaml nor {INFERENCE_CONFIG}"
        )
    return artifacts
