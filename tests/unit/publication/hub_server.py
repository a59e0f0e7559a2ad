"""A model hub on this machine: the requests that ``huggingface_hub`` makes, with real content."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

OWNER_TOKEN = "hf_" + "o" * 20  # noqa: S105 - of this server only
READ_TOKEN = "hf_" + "r" * 20  # noqa: S105
LFS_BYTES = 600
"""Files from this size on go through the large file protocol."""


@dataclass
class Repository:
    private: bool = False
    revisions: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    commits: list[dict[str, Any]] = field(default_factory=list)
    heads: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})
    tags: dict[str, str] = field(default_factory=dict)
    requests: dict[int, str] = field(default_factory=dict)
    """Pull requests: number to status."""
    created_by: dict[str, Any] = field(default_factory=dict)
    """The request that made it."""

    def resolve(self, revision: str) -> str | None:
        revision = self.tags.get(revision, revision)
        if revision in self.revisions:
            return revision
        return next((name for name, head in self.heads.items() if head == revision), None)


class HubServer(http.server.ThreadingHTTPServer):
    """The server and all that it holds.

    ``hook(method, path)`` may return a status to fail with, or block to simulate a slow network.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.log: list[tuple[str, str]] = []
        self.hook: Callable[[str, str], int | None] = lambda method, path: None
        self.failure_headers: dict[str, str] = {}
        self.lfs_bytes: float = LFS_BYTES

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def writes(self) -> list[tuple[str, str]]:
        return [(m, p) for m, p in self.log if m in ("POST", "PUT") and "preupload" not in p]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that were killed."""


@contextlib.contextmanager
def running_hub() -> Iterator[HubServer]:
    server = HubServer()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def git_digest(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *details: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        self.serve()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self.read_chunks()
        path = urllib.parse.urlsplit(self.path).path
        self.server.log.append((self.command, path))
        status = self.server.hook(self.command, path)
        if status:
            self.answer({"error": "as asked"}, status, self.server.failure_headers)
            return
        parts = [urllib.parse.unquote(part) for part in path.strip("/").split("/")]
        if parts[0] == "api":
            self.api(parts[1:])
        elif path.endswith("/info/lfs/objects/batch"):
            self.lfs_batch()
        elif parts[0] == "lfs":
            # A client that was killed leaves half of a file, which the Hub does not keep.
            is_whole = hashlib.sha256(self.body).hexdigest() == parts[1]
            if is_whole:
                self.server.objects[parts[1]] = self.body
            self.answer({}, 200 if is_whole else 400)
        elif len(parts) > 4 and parts[2] == "resolve":
            self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self.answer({"error": f"unknown path {path}"}, 404)

    def read_chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    @property
    def may_write(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {OWNER_TOKEN}"

    def answer(self, content: Any, status: int = 200, head: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**(head or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def api(self, parts: list[str]) -> None:
        if parts == ["whoami-v2"]:
            self.answer({"name": "ada", "type": "user"})
        elif parts == ["validate-yaml"]:
            self.answer({"errors": [], "warnings": []})
        elif parts == ["repos", "create"]:
            self.create()
        elif parts[0] in ("models", "spaces"):
            self.models("/".join(parts[1:3]), parts[3:])
        else:
            self.answer({"error": "unknown"}, 404)

    def create(self) -> None:
        request = json.loads(self.body)
        name = f"{request['organization']}/{request['name']}"
        if not self.may_write:
            self.answer({"error": "Forbidden"}, 403)
        elif name in self.server.repositories:
            self.answer({"error": "You already created this model repo"}, 409)
        else:
            made = Repository(private=request.get("visibility") == "private")
            made.created_by = request
            self.server.repositories[name] = made
            self.answer({"url": f"{self.server.url}/{name}", "name": name})

    def models(self, name: str, rest: list[str]) -> None:
        repository = self.server.repositories.get(name)
        if repository is None:
            head = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            self.answer({"error": "Repository not found"}, 404, head)
            return
        verb = rest[0] if rest else "revision"
        if self.command == "POST" and not self.may_write:
            self.answer({"error": "Forbidden"}, 403)
            return
        getattr(self, f"model_{verb.replace('-', '_')}")(name, repository, rest[1:])

    def model_auth_check(self, name: str, repository: Repository, rest: list[str]) -> None:
        self.answer({}, 200 if self.may_write or rest != ["write"] else 403)

    def model_refs(self, name: str, repository: Repository, rest: list[str]) -> None:
        def refs(kind: str, names: dict[str, str]) -> list[dict[str, str]]:
            return [
                {"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": h} for n, h in names.items()
            ]

        branches, tags = refs("heads", repository.heads), refs("tags", repository.tags)
        self.answer({"branches": branches, "converts": [], "tags": tags, "pullRequests": []})

    def model_branch(self, name: str, repository: Repository, rest: list[str]) -> None:
        repository.revisions.setdefault(rest[0], dict(repository.revisions["main"]))
        repository.heads.setdefault(rest[0], repository.heads["main"])
        self.answer({})

    def model_tag(self, name: str, repository: Repository, rest: list[str]) -> None:
        repository.tags[json.loads(self.body)["tag"]] = rest[0]
        self.answer({})

    def model_discussions(self, name: str, repository: Repository, rest: list[str]) -> None:
        if self.command == "POST":
            number = len(repository.requests) + 1
            repository.requests[number] = "draft"
            ref = f"refs/pr/{number}"
            repository.revisions[ref] = dict(repository.revisions["main"])
            repository.heads[ref] = repository.heads["main"]
        else:
            number = int(rest[0])
        self.answer(
            {
                "num": number,
                "repo": {"name": name, "type": "model"},
                "title": "x",
                "status": repository.requests[number],
                "author": {"name": "ada"},
                "createdAt": "2026-01-01T00:00:00.000Z",
                "isPullRequest": True,
                "events": [],
                "filesWithConflicts": [],
                "changes": {"base": "refs/heads/main"},
                "diffUrl": None,
            }
        )

    def model_preupload(self, name: str, repository: Repository, rest: list[str]) -> None:
        files = repository.revisions[repository.resolve("/".join(rest)) or "main"]
        asked = json.loads(self.body)["files"]
        answer = []
        for entry in asked:
            is_large = entry["size"] >= self.server.lfs_bytes
            known = files.get(entry["path"])
            oid = None
            if known is not None:
                oid = hashlib.sha256(known).hexdigest() if is_large else git_digest(known)
            answer.append(
                {
                    "path": entry["path"],
                    "uploadMode": "lfs" if is_large else "regular",
                    "shouldIgnore": False,
                    "oid": oid,
                }
            )
        self.answer({"files": answer})

    def model_commit(self, name: str, repository: Repository, rest: list[str]) -> None:
        revision = "/".join(rest)
        if "create_pr=1" in self.path:
            number = len(repository.requests) + 1
            repository.requests[number] = "draft"
            revision = f"refs/pr/{number}"
            repository.revisions[revision] = dict(repository.revisions["main"])
        files = repository.revisions[revision]
        commit: dict[str, Any] = {"revision": revision, "files": []}
        for line in self.body.splitlines():
            item = json.loads(line)
            key, value = item["key"], item["value"]
            if key == "header":
                commit |= value
                continue
            commit["files"].append(value["path"])
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
            else:
                del files[value["path"]]
        repository.commits.append(commit)
        head = f"{len(repository.commits):040x}"
        repository.heads[revision] = head
        url = f"{self.server.url}/{name}"
        number = revision.rpartition("/")[2]
        pull_request = f"{url}/discussions/{number}" if revision.startswith("refs/pr") else None
        self.answer(
            {
                "success": True,
                "commitOid": head,
                "commitUrl": f"{url}/commit/{head}",
                "pullRequestUrl": pull_request,
            }
        )

    def model_revision(self, name: str, repository: Repository, rest: list[str]) -> None:
        revision = repository.resolve("/".join(rest) or "main")
        if revision is None:
            head = {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}
            self.answer({"error": "Invalid rev id"}, 404, head)
            return
        siblings = []
        for path, content in repository.revisions[revision].items():
            entry: dict[str, Any] = {"rfilename": path, "size": len(content)}
            entry["blobId"] = git_digest(content)
            if len(content) >= self.server.lfs_bytes:
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        head = repository.heads[revision]
        self.answer(
            {
                "id": name,
                "modelId": name,
                "sha": head,
                "private": repository.private,
                "siblings": siblings,
                "tags": [],
                "downloads": 0,
            }
        )

    def model_tree(self, name: str, repository: Repository, rest: list[str]) -> None:
        revision = repository.resolve("/".join(rest))
        if revision is None:
            self.answer([], 404, {"X-Error-Code": "RevisionNotFound"})
            return
        entries = [
            {"type": "file", "path": path, "size": len(content), "oid": git_digest(content)}
            for path, content in repository.revisions[revision].items()
        ]
        self.answer(entries)

    def lfs_batch(self) -> None:
        objects = []
        for entry in json.loads(self.body)["objects"]:
            answer = {"oid": entry["oid"], "size": entry["size"]}
            if entry["oid"] not in self.server.objects:
                href = f"{self.server.url}/lfs/{entry['oid']}?X-Amz-Signature=private"
                answer["actions"] = {"upload": {"href": href, "header": {}}}
            objects.append(answer)
        self.answer({"objects": objects, "transfer": "basic"})

    def resolve(self, name: str, revision: str, path: str) -> None:
        repository = self.server.repositories.get(name)
        found = repository.resolve(revision) if repository else None
        content = repository.revisions[found].get(path) if repository and found else None
        if repository is None or found is None or content is None:
            self.answer({"error": "not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        etag = hashlib.sha256(content).hexdigest()
        self.answer(content, head={"X-Repo-Commit": repository.heads[found], "ETag": f'"{etag}"'})
