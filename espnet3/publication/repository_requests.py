"""Requests to one repository of the Hub: repeated while it is busy, with errors explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from espnet3.errors import HubError
from espnet3.publication.hub_errors import explain, require_access, status_of, with_retries
from espnet3.publication.hub_repository import RemoteState, read_state
from espnet3.publication.upload_plan import UploadPlan

T = TypeVar("T")


class RepositoryRequests:
    """What an upload asks of the Hub.

    Args:
        plan: Repository, what kind of thing goes there, and settings.
        client: A Hub client.
    """

    def __init__(self, plan: UploadPlan, client: Any) -> None:
        self._plan = plan
        self._settings = plan.settings
        self._client = client
        self._name = plan.repository
        self._type = plan.kind.repo_type

    @property
    def is_hub(self) -> bool:
        """Whether the client is the Hub's own, which answers all questions."""
        from huggingface_hub import HfApi

        return isinstance(self._client, HfApi)

    def require_access(self) -> None:
        """Raise without login, or offline."""
        require_access(self._client)

    def read(self, revision: str | None) -> RemoteState | None:
        """Return what a revision holds, ``None`` without a repository."""
        return self._ask(
            "Failed to read", lambda: read_state(self._client, self._name, revision, self._type)
        )

    def require_right_to_write(self) -> None:
        """Raise unless the login may commit."""
        self._ask(
            "No right to write to",
            lambda: self._client.auth_check(self._name, repo_type=self._type, write=True),
        )

    def has_tag(self, tag: str) -> bool:
        """Tell whether there is a tag of that name."""
        refs = self._ask(
            "Failed to read",
            lambda: self._client.list_repo_refs(self._name, repo_type=self._type),
        )
        return any(ref.name == tag for ref in refs.tags)

    def create(self) -> None:
        """Make the repository."""
        settings = self._settings
        self._ask(
            "Failed to create Hugging Face repo",
            lambda: self._client.create_repo(
                repo_id=self._name,
                repo_type=self._type,
                exist_ok=settings.update,
                **{"private": settings.private, **self._plan.kind.creation},
            ),
        )

    def create_branch(self, branch: str) -> None:
        """Make a branch from the default one, unless it exists."""
        self._ask(
            "Failed to make a branch in",
            lambda: self._client.create_branch(
                self._name, branch=branch, repo_type=self._type, exist_ok=True
            ),
        )

    def create_tag(self, tag: str, commit: str) -> None:
        """Tag a commit."""
        self._ask(
            "Failed to tag",
            lambda: self._client.create_tag(
                self._name, tag=tag, revision=commit or None, repo_type=self._type
            ),
        )

    def upload_folder(self) -> Any:
        """Commit what differs; return the client's account of it."""
        noun = self._plan.kind.noun
        what = "model pack" if noun == "bundle" else noun
        # Repeating a request for a pull request could open a second one.
        repeat = not self._settings.create_pr
        return self._ask(f"Failed to upload {what} to", self._upload_folder, repeat=repeat)

    def _upload_folder(self) -> Any:
        settings = self._settings
        return self._client.upload_folder(
            repo_id=self._name,
            repo_type=self._type,
            folder_path=str(self._plan.bundle),
            revision=settings.revision,
            create_pr=settings.create_pr,
            commit_message=self._plan.message,
            commit_description=self._plan.description,
            ignore_patterns=self._plan.unsent or None,
            delete_patterns=settings.delete_pattern_list or None,
        )

    def is_open(self, pull_request: int) -> bool:
        """Tell whether a pull request waits for a decision."""
        found = self._ask(
            "Failed to read",
            lambda: self._client.get_discussion_details(
                self._name, pull_request, repo_type=self._type
            ),
        )
        return found.status in ("open", "draft")

    def already_exists(self) -> HubError:
        """Return the error for a repository that should not be there."""
        return HubError(
            f"{self._name} already exists\n"
            f"  set {self._plan.kind.section}.update: true to upload to it, "
            "or choose another hf_repo"
        )

    def _ask(self, action: str, request: Callable[[], T], *, repeat: bool = True) -> T:
        try:
            return with_retries(request) if repeat else request()
        except HubError:
            raise
        except Exception as error:
            if status_of(error) == 409 and not self._settings.update:
                raise self.already_exists() from error
            kind = self._plan.kind
            raise explain(
                error, action, self._name, section=kind.section, hints=kind.hints
            ) from error
