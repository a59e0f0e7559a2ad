"""A model on the Hub, fixed to what it is now."""

from __future__ import annotations

from espnet3.errors import HubError
from espnet3.publication.hub import is_pinned
from espnet3.publication.hub_errors import clean
from espnet3.utils import publish_utils


def pin_tag(tag: str) -> str:
    """Return ``owner/name@commit`` for a tag, so that later pushes do not change the demo.

    Raises:
        HubError: If the Hub cannot be asked for the commit.
    """
    if is_pinned(tag):
        return tag
    name, _, revision = tag.removeprefix("hf://").partition("@")
    try:
        commit = publish_utils.HfApi().repo_info(name, revision=revision or None).sha
    except Exception as error:
        raise HubError(
            f"the commit of {tag} is not known: {clean(error)}\n"
            f"  write model.dir_or_tag as {name}@<commit>, or pack with the network"
        ) from error
    return f"{name}@{commit}"
