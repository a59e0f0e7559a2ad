"""Send a bundle to the Hub: look first, commit once, look again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from espnet3.errors import HubError
from espnet3.publication.hub_repository import Changes, RemoteState, compare
from espnet3.publication.repository_requests import RepositoryRequests
from espnet3.publication.upload_announcement import announce
from espnet3.publication.upload_plan import UploadPlan, check_contents, plan_upload
from espnet3.publication.upload_receipt import read_pull_request, write_receipt

logger = logging.getLogger(__name__)


def upload_model(
    system: Any, *, new_client: Callable[[], Any], git_info: Callable[[], Mapping[str, str]]
) -> None:
    """Upload a bundle; see :func:`espnet3.utils.publish_utils.upload_model`.

    Args:
        system: Object with ``publication_config``, and optionally ``training_config``.
        new_client: Returns a Hub client.
        git_info: Returns ``head`` of the recipe's repository.
    """
    plan = plan_upload(system, git_info().get("head", ""))
    check_contents(plan)
    send(plan, new_client)


def send(plan: UploadPlan, new_client: Callable[[], Any]) -> None:
    """Carry out a plan, or say what it would do where that is all its settings ask for.

    Raises:
        HubError: If the Hub cannot be reached, nobody is logged in, or it refuses.
    """
    if plan.settings.dry_run:
        announce(plan, new_client)
        return
    Upload(plan, new_client()).run()


class Upload:
    """One upload.

    A client that is not the Hub's own (a site's, a test's) has a login of its own and is asked for
    nothing but ``create_repo`` and ``upload_folder``, and what the settings name besides.

    Args:
        plan: What goes where.
        client: A Hub client.
    """

    def __init__(self, plan: UploadPlan, client: Any) -> None:
        self._plan = plan
        self._settings = plan.settings
        self._kind = plan.kind
        self._hub = RepositoryRequests(plan, client)

    def run(self) -> None:
        """Do it, or say that nothing has to be done."""
        state = self.check()
        if state is None:
            self._hub.create()
        if self._settings.revision:
            self._hub.create_branch(self._settings.revision)
        commit = self._send(state)
        if self._settings.tag:
            self._hub.create_tag(self._settings.tag, commit)

    def check(self) -> RemoteState | None:
        """Return what the repository holds, ``None`` without one; nothing is written.

        Raises:
            HubError: If the Hub cannot be reached, nobody is logged in, or it would refuse.
        """
        if self._hub.is_hub:
            self._hub.require_access()
        state = self._look()
        if state is None:
            self._refuse_creation()
        return state

    def _look(self) -> RemoteState | None:
        """Read the repository and refuse what would end badly, before anything is written."""
        if not self._hub.is_hub:
            return None
        name, section = self._plan.repository, self._kind.section
        state = self._hub.read(self._settings.revision)
        if state is None:
            return None
        if not self._settings.update:
            raise self._hub.already_exists()
        if self._settings.private and not state.is_private:
            raise HubError(
                f"{name} is public, and {section}.private is set\n"
                "  change its visibility on the Hub, or choose another name"
            )
        may_delete = state.holds(self._kind.marker) or self._settings.force
        if self._settings.delete_pattern_list and not may_delete:
            raise HubError(
                f"{name} holds no {self._kind.noun}, so nothing is deleted there\n"
                f"  leave out {section}.delete_patterns, or set {section}.force: true"
            )
        self._hub.require_right_to_write()
        tag = self._settings.tag
        if tag and self._hub.has_tag(tag):
            raise HubError(
                f"{name} has a tag {tag!r} already, which others may rely on\n"
                f"  choose another {section}.tag"
            )
        return state

    def _refuse_creation(self) -> None:
        if not self._kind.may_create:
            raise HubError(
                f"{self._plan.repository} does not exist, and is not to be created\n"
                f"  set {self._kind.section}.yes: true, or create it on the Hub"
            )

    def _send(self, state: RemoteState | None) -> str:
        """Commit what differs; return the commit."""
        plan, name = self._plan, self._plan.repository
        changes = self._compare(state)
        number = self._open_pull_request() if changes else None
        if state is not None and (number or not changes):
            place = f"in pull request {number}" if number else f"at commit {state.commit}"
            logger.info("up to date: %s holds this %s %s", name, self._kind.noun, place)
            return state.commit
        logger.info("uploading %s files to %s: %s", len(plan.files), name, changes)
        info = self._hub.upload_folder()
        commit = str(getattr(info, "oid", ""))
        if self._hub.is_hub:
            self._verify(info.pr_revision or self._settings.revision)
            write_receipt(plan, commit, info.pr_num)
        link = getattr(info, "pr_url", None) or getattr(info, "commit_url", name)
        logger.info("uploaded: %s commit=%s", link, commit)
        return commit

    def _compare(self, state: RemoteState | None) -> Changes:
        names = [name for name, _ in self._plan.files]
        return compare(self._plan.bundle, names, state, self._settings.delete_pattern_list)

    def _open_pull_request(self) -> int | None:
        """Return the number of a request for this very bundle that is still open."""
        if not (self._hub.is_hub and self._settings.create_pr):
            return None
        number = read_pull_request(self._plan)
        return number if number is not None and self._hub.is_open(number) else None

    def _verify(self, revision: str | None) -> None:
        if not self._settings.verify:
            return
        left = self._compare(self._hub.read(revision))
        if left:
            names = ", ".join((left.added + left.changed + left.deleted)[:5])
            raise HubError(
                f"{self._plan.repository} does not hold the {self._kind.noun} after the commit "
                f"({left}): {names}\n"
                "  run the stage again; if that does not help, look at the repository"
            )
