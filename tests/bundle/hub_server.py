"""A stand-in for the Hugging Face Hub: as much of its HTTP interface as a push and a pull ask for, in a thread."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the server holds and what it saw.

    Args:
        files: of the one repository "owner/name"; None where it does not exist.
        private: its visibility.
        lfs: endings of files that go by Git LFS.
        refuse: a status that it answers everything with, 0 for none.
        spoil: name to contents that a download gets in its place.
        asked: (method, path, body) of every request.
        tokens: the Authorization headers that came.
    """

    files: dict[str, bytes] | None = None
    private: bool = False
    lfs: tuple[str, ...] = ()
    refuse: int = 0
    spoil: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    address: str = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        """Status, content (bytes, or what becomes JSON) and headers."""
        repository = "owner/name"
        if self.refuse:
            return self.refuse, {"error": "no"}, {}
        if path == "/api/repos/create":
            if self.files is not None:
                return 409, {"error": "exists", "url": f"{self.address}/{repository}"}, {}
            self.files, self.private = {}, json.loads(body).get("visibility") == "private"
            return 200, {"url": f"{self.address}/{repository}"}, {}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}, {}
        if path.startswith("/lfs/"):
            self.objects[path.rpartition("/")[2]] = body
            return 200, {}, {}
        if repository not in path or self.files is None:
            return 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        return self._of_repository(method, path.split(repository, 1)[1], body)

    def _of_repository(self, method: str, rest: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        files = self.files or {}
        if rest in ("", "/revision/main", f"/revision/{COMMIT}"):
            siblings = [{"rfilename": name} for name in files]
            return 200, {"id": "owner/name", "sha": COMMIT, "private": self.private, "siblings": siblings}, {}
        if rest.startswith("/revision/"):
            return 404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"}
        if rest == "/preupload/main":
            modes = [
                (item["path"], item["path"].endswith(self.lfs) if self.lfs else False) for item in json.loads(body)["files"]
            ]
            entries = [
                {"path": name, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False} for name, large in modes
            ]
            return 200, {"files": entries}, {}
        if rest == ".git/info/lfs/objects/batch":
            return 200, {"objects": [self._ticket(item) for item in json.loads(body)["objects"]]}, {}
        if rest == "/commit/main":
            self._commit(body)
            return 200, {"commitUrl": f"{self.address}/owner/name/commit/{COMMIT}", "commitOid": COMMIT}, {}
        name = unquote(rest.rpartition("/")[2])
        if rest == f"/resolve/{COMMIT}/{name}" and name in files:
            data = self.spoil.get(name, files[name])
            tag = hashlib.sha256(files[name]).hexdigest()
            return 200, data, {"X-Repo-Commit": COMMIT, "ETag": f'"{tag}"', "Content-Length": str(len(files[name]))}
        return 404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"}

    def _ticket(self, item: dict[str, Any]) -> dict[str, Any]:
        return {**item, "actions": {"upload": {"href": f"{self.address}/lfs/{item['oid']}"}}}

    def _commit(self, body: bytes) -> None:
        files = self.files if self.files is not None else {}
        for entry in map(json.loads, body.splitlines()):
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        self.hub.asked.append((self.command, path, body))
        if "Authorization" in self.headers:
            self.hub.tokens.append(self.headers["Authorization"])
        status, content, headers = self.hub.answer(self.command, path, body)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        for key, value in {"Content-Length": str(len(data)), "Content-Type": kind, **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_HEAD = _serve  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Run the server; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub.address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
