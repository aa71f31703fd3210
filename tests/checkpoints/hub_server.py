"""Owns a hub on 127.0.0.1 that speaks what huggingface_hub asks when it downloads; does not test."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

_LARGE_BYTES = 1000  # from here on a file is stored elsewhere and answered by a redirect, as LFS files are


@dataclass
class Repository:
    """Commits in order, each a dictionary of files; branch main is the last. `token` None: open to everybody."""

    commits: list[dict[str, bytes]]
    token: str | None = None
    gated: bool = False

    def commit(self, revision: str) -> str | None:
        """The hash of a branch or of a hash; None: there is no such revision."""
        if revision == "main":
            return self.hashes[-1]
        return revision if revision in self.hashes else None

    def files(self, commit: str) -> dict[str, bytes]:
        """The files of a commit by its hash."""
        return self.commits[self.hashes.index(commit)]

    @property
    def hashes(self) -> list[str]:
        """One a commit, in order."""
        return [hashlib.sha1(repr((i, sorted(files))).encode()).hexdigest() for i, files in enumerate(self.commits)]


@dataclass
class Hub:
    """What the server holds, and what it was asked: (method, path) in order."""

    repositories: dict[str, Repository]
    url: str = ""
    cdn: str = ""  # the same server by another name: of files elsewhere the client must not ask the hub's headers
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    cut_after_bytes: int | None = None  # the next large file breaks off there, once
    ranges: list[str] = field(default_factory=list)

    def fetched(self) -> list[str]:
        """The names of the files whose content was sent."""
        sent = [path for method, path in self.requests if method == "GET" and ("/cdn/" in path or "/resolve/" in path)]
        return sorted({path.rpartition("/")[2] for path in sent})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: Any) -> None:
        """Nothing: a test's output is its own."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        self.hub.tokens.append(self.headers.get("Authorization"))
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._api(parts)
        elif parts[0] == "cdn":
            self._cdn(parts)
        elif parts[2:3] == ["resolve"]:
            self._resolve(parts)
        else:  # the client asks for lists of its own, such as /api/agent-harnesses
            self._send(404, {})

    def _repository(self, name: str) -> Repository | None:
        """The repository if the caller may see it; else the refusal is sent."""
        repository = self.hub.repositories.get(name)
        allowed = repository and (
            repository.token is None or self.headers.get("Authorization") == f"Bearer {repository.token}"
        )
        if repository and allowed:
            return repository
        if repository and repository.gated:
            self._send(
                403, {"error": "gated"}, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}
            )
        else:
            self._send(401, {"error": "none"}, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Not found"})
        return None

    def _api(self, parts: list[str]) -> None:
        name, what, revision = (
            "/".join(parts[2:4]),
            parts[4] if len(parts) > 4 else "revision",
            (parts[5:] or ["main"])[0],
        )
        if (repository := self._repository(name)) is None:
            return
        if (commit := repository.commit(revision)) is None:
            self._send(404, {}, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
            return
        files = repository.files(commit)
        if what == "tree":
            self._send(200, [_entry(path, content) for path, content in files.items()])
        else:
            siblings = [{"rfilename": path} for path in files]
            self._send(
                200, {"id": name, "modelId": name, "sha": commit, "siblings": siblings, "private": False, "tags": []}
            )

    def _resolve(self, parts: list[str]) -> None:
        name, revision, file = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        if (repository := self._repository(name)) is None:
            return
        commit = repository.commit(revision)
        content = repository.files(commit).get(file) if commit else None
        if commit is None or content is None:
            code = "EntryNotFound" if commit else "RevisionNotFound"
            self._send(404, {}, {"X-Error-Code": code, **({"X-Repo-Commit": commit} if commit else {})})
            return
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_oid(content)}"'}
        if len(content) >= _LARGE_BYTES:
            self._send(
                302,
                b"",
                {
                    **headers,
                    "X-Linked-Size": str(len(content)),
                    "X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                    "Location": f"{self.hub.cdn}/cdn/{name}/{commit}/{file}",
                },
            )
        else:
            self._send(200, content, headers)

    def _cdn(self, parts: list[str]) -> None:
        content = self.hub.repositories["/".join(parts[1:3])].files(parts[3])["/".join(parts[4:])]
        total, start = len(content), 0
        if wanted := self.headers.get("Range"):
            self.hub.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        cut, self.hub.cut_after_bytes = self.hub.cut_after_bytes, None
        self._send(206 if start else 200, content[start:], headers, cut)

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None, cut: int | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[:cut])
        if cut is not None:
            self.close_connection = True


def _oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _oid(content)}
    if len(content) >= _LARGE_BYTES:
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


@contextmanager
def serve_hub(repositories: dict[str, Repository]) -> Iterator[Hub]:
    """A hub that answers until the block is left."""
    hub = Hub(repositories)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url, hub.cdn = (f"http://{host}:{server.server_address[1]}" for host in ("127.0.0.1", "localhost"))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
