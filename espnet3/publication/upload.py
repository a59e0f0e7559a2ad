"""Send a bundle to the Hub: look first, commit once, look again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from espnet3.errors import HubError
from espnet3.publication import bundle
from espnet3.publication.hub_errors import (
    clean,
    explain,
    require_access,
    status_of,
    with_retries,
)
from espnet3.publication.hub_repository import Changes, RemoteState, compare, read_state
from espnet3.publication.upload_plan import UploadPlan, check_contents, plan_upload
from espnet3.utils.path_utils import write_json

logger = logging.getLogger(__name__)

T = TypeVar("T")


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
        _announce(plan, new_client)
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
        self._client = client
        self._settings = plan.settings
        self._kind = plan.kind
        self._answers = _is_hub_client(client)

    def run(self) -> None:
        """Do it, or say that nothing has to be done."""
        if self._answers:
            require_access(self._client)
        state = self._look()
        self._create(state)
        commit, link = self._send(state)
        if self._settings.tag:
            self._ask(
                "Failed to tag",
                lambda: self._client.create_tag(
                    self._plan.repository,
                    tag=self._settings.tag,
                    revision=commit or None,
                    repo_type=self._kind.repo_type,
                ),
            )
        logger.info("uploaded: %s commit=%s", link, commit)

    def _look(self) -> RemoteState | None:
        """Read the repository and refuse what would end badly, before anything is written."""
        if not self._answers:
            return None
        name = self._plan.repository
        state = self._read(self._settings.revision)
        if state is None:
            return None
        if not self._settings.update:
            raise self._already_exists()
        if self._settings.private and not state.is_private:
            raise HubError(
                f"{name} is public, and {self._kind.section}.private is set\n"
                "  change its visibility on the Hub, or choose another name"
            )
        if self._settings.delete_pattern_list and not (
            state.holds(self._kind.marker) or self._settings.force
        ):
            raise HubError(
                f"{name} holds no {self._kind.noun}, so nothing is deleted there\n"
                f"  leave out {self._kind.section}.delete_patterns, "
                f"or set {self._kind.section}.force: true"
            )
        self._ask(
            "No right to write to",
            lambda: self._client.auth_check(name, repo_type=self._kind.repo_type, write=True),
        )
        self._refuse_taken_tag()
        return state

    def _read(self, revision: str | None) -> RemoteState | None:
        return self._ask(
            "Failed to read",
            lambda: read_state(self._client, self._plan.repository, revision, self._kind.repo_type),
        )

    def _refuse_creation(self) -> None:
        if not self._kind.may_create:
            raise HubError(
                f"{self._plan.repository} does not exist, and is not to be created\n"
                f"  set {self._kind.section}.yes: true, or create it on the Hub"
            )

    def _already_exists(self) -> HubError:
        return HubError(
            f"{self._plan.repository} already exists\n"
            f"  set {self._kind.section}.update: true to upload to it, or choose another hf_repo"
        )

    @property
    def _pack_name(self) -> str:
        return "model pack" if self._kind.noun == "bundle" else self._kind.noun

    def _refuse_taken_tag(self) -> None:
        tag, name = self._settings.tag, self._plan.repository
        if not tag:
            return
        refs = self._ask(
            "Failed to read",
            lambda: self._client.list_repo_refs(name, repo_type=self._kind.repo_type),
        )
        if any(ref.name == tag for ref in refs.tags):
            raise HubError(
                f"{name} has a tag {tag!r} already, which others may rely on\n"
                f"  choose another {self._kind.section}.tag"
            )

    def _create(self, state: RemoteState | None) -> None:
        name, settings = self._plan.repository, self._settings
        if state is None:
            self._refuse_creation()
            self._ask(
                "Failed to create Hugging Face repo",
                lambda: self._client.create_repo(
                    repo_id=name,
                    repo_type=self._kind.repo_type,
                    exist_ok=settings.update,
                    **{"private": settings.private, **self._kind.creation},
                ),
            )
        if settings.revision:
            self._ask(
                "Failed to make a branch in",
                lambda: self._client.create_branch(
                    name,
                    branch=settings.revision,
                    repo_type=self._kind.repo_type,
                    exist_ok=True,
                ),
            )

    def _send(self, state: RemoteState | None) -> tuple[str, str]:
        """Commit what differs; return the commit and where to see it."""
        plan, name = self._plan, self._plan.repository
        changes = self._compare(state)
        number = self._open_pull_request() if changes else None
        if state is not None and (number or not changes):
            place = f"in pull request {number}" if number else f"at commit {state.commit}"
            logger.info("up to date: %s holds this %s %s", name, self._kind.noun, place)
            return state.commit, name
        logger.info("uploading %s files to %s: %s", len(plan.files), name, changes)
        info = self._ask(f"Failed to upload {self._pack_name} to", self._upload_folder)
        commit = str(getattr(info, "oid", ""))
        if self._answers:
            self._verify(info.pr_revision or self._settings.revision)
            self._write_receipt(commit, info.pr_num)
        return commit, str(getattr(info, "pr_url", None) or getattr(info, "commit_url", name))

    def _compare(self, state: RemoteState | None) -> Changes:
        names = [name for name, _ in self._plan.files]
        return compare(self._plan.bundle, names, state, self._settings.delete_pattern_list)

    def _upload_folder(self) -> Any:
        settings = self._settings
        return self._client.upload_folder(
            repo_id=self._plan.repository,
            repo_type=self._kind.repo_type,
            folder_path=str(self._plan.bundle),
            revision=settings.revision,
            create_pr=settings.create_pr,
            commit_message=self._plan.message,
            commit_description=self._plan.description,
            ignore_patterns=settings.ignore_pattern_list or None,
            delete_patterns=settings.delete_pattern_list or None,
        )

    def _verify(self, revision: str | None) -> None:
        if not self._settings.verify:
            return
        name = self._plan.repository
        left = self._compare(self._read(revision))
        if left:
            names = ", ".join((left.added + left.changed + left.deleted)[:5])
            raise HubError(
                f"{name} does not hold the {self._kind.noun} after the commit ({left}): {names}\n"
                "  run the stage again; if that does not help, look at the repository"
            )

    def _open_pull_request(self) -> int | None:
        """Return the number of the open request that an earlier run made for this very bundle."""
        if not (self._answers and self._settings.create_pr and self._plan.receipt.is_file()):
            return None
        name = self._plan.repository
        try:
            receipt = json.loads(self._plan.receipt.read_text(encoding="utf-8"))
        except ValueError:
            return None
        known = {key: receipt.get(key) for key in ("repository", "manifest_sha256")}
        number = receipt.get("pull_request")
        if known != {"repository": name, "manifest_sha256": self._plan.digest} or not number:
            return None
        found = self._ask(
            "Failed to read",
            lambda: self._client.get_discussion_details(
                name, number, repo_type=self._kind.repo_type
            ),
        )
        return int(number) if found.status in ("open", "draft") else None

    def _write_receipt(self, commit: str, pull_request: int | None) -> None:
        write_json(
            self._plan.receipt,
            {
                "repository": self._plan.repository,
                "revision": self._settings.revision,
                "commit": commit,
                "pull_request": pull_request,
                "time": bundle.build_time(),
                "manifest_sha256": self._plan.digest,
            },
        )

    def _ask(self, action: str, request: Callable[[], T]) -> T:
        # Repeating a request for a pull request could open a second one.
        repeat = not (self._settings.create_pr and request == self._upload_folder)
        try:
            return with_retries(request) if repeat else request()
        except HubError:
            raise
        except Exception as error:
            if status_of(error) == 409 and not self._settings.update:
                raise self._already_exists() from error
            raise explain(
                error,
                action,
                self._plan.repository,
                section=self._kind.section,
                hints=self._kind.hints,
            ) from error


def _announce(plan: UploadPlan, new_client: Callable[[], Any]) -> None:
    """Log what an upload would do; ask the Hub only questions, and only if it may be asked."""
    settings = plan.settings
    visibility = {None: "the Hub's default", True: "private", False: "public"}[settings.private]
    logger.info("dry run: %s -> %s, %d files, %.1f MiB, as %r", plan.bundle, plan.repository,
                len(plan.files), plan.size / 2**20, plan.message)  # fmt: skip
    for name, size in plan.files:
        logger.info("  %s (%d bytes)", name, size)
    client = new_client()
    try:
        require_access(client)
        state = read_state(client, plan.repository, settings.revision, plan.kind.repo_type)
    except Exception as error:
        # Whatever the reason, a dry run has said what it knows.
        logger.info("dry run: what the repository holds is unknown: %s", clean(error))
        return
    names = [name for name, _ in plan.files]
    changes = compare(plan.bundle, names, state, settings.delete_pattern_list)
    if state is None:
        logger.info("dry run: the repository would be created, visibility: %s", visibility)
    for kind, found in (("add", changes.added), ("change", changes.changed),
                        ("delete", changes.deleted)):  # fmt: skip
        logger.info("dry run: would %s %s", kind, ", ".join(found) or "nothing")


def _is_hub_client(client: Any) -> bool:
    from huggingface_hub import HfApi

    return isinstance(client, HfApi)
