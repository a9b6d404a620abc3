"""A small server in a thread that speaks the model hub's API, as `huggingface_hub` asks it, and can misbehave."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from local_server import QuietHandler, served_by

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What a hub holds, how it answers, and what it was asked.

    Attributes:
        repos: "USER/REPO" -> name -> content.
        lfs: Endings of the files that it keeps as large ones, with a sha256.
        hang_up_after: Bytes after which a download ends without a word, one for each, then never.
        send_instead: Name -> what is sent in place of the content, as often as it stands there.
        refuse: "USER/REPO" -> (code, X-Error-Code) of every answer about it.
        ranges: The Range header of every download.
        pushed: "USER/REPO" -> name -> content, as it was uploaded.
    """

    repos: dict[str, dict[str, bytes]]
    lfs: tuple[str, ...] = (".bin", ".safetensors", ".onnx", ".pth")
    hang_up_after: list[int] = field(default_factory=list)
    send_instead: dict[str, list[bytes]] = field(default_factory=dict)
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    ranges: list[tuple[str, str]] = field(default_factory=list)
    pushed: dict[str, dict[str, bytes]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    url: str = ""


@contextmanager
def serving_hub(hub: Hub) -> Iterator[Hub]:
    """Serve `hub` at `hub.url`."""

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.resolve(with_body=False)

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if found := re.fullmatch(
                r"/api/models/([\w.-]+/[\w.-]+)(/revision/([^/]+)|/tree/([^/]+))?", path
            ):
                self.describe(found[1], found[3] or found[4] or "main", is_tree=found[4] is not None)
            else:
                self.resolve(with_body=True)

        def describe(self, repo: str, revision: str, *, is_tree: bool) -> None:
            if not self.allowed(repo, revision):
                return
            if is_tree:
                self.send_json(
                    [
                        {"type": "file", "path": name, **told(name, content)}
                        for name, content in self.files(repo)
                    ]
                )
                return
            siblings = []
            for name, content in self.files(repo):
                entry = {"rfilename": name, "size": len(content), "blobId": git_sha1(content)}
                if name.endswith(hub.lfs):
                    entry["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
                siblings.append(entry)
            self.send_json(
                {"id": repo, "modelId": repo, "sha": COMMIT, "private": False, "siblings": siblings}
            )

        def files(self, repo: str) -> list[tuple[str, bytes]]:
            return sorted(hub.repos[repo].items())

        def allowed(self, repo: str, revision: str) -> bool:
            code, kind = hub.refuse.get(repo, (0, ""))
            if not code and repo not in hub.repos:
                code, kind = 401, "RepoNotFound"
            if not code and revision not in ("main", COMMIT):
                code, kind = 404, "RevisionNotFound"
            if code:
                self.send_json({"error": kind}, code, {"X-Error-Code": kind} if kind else {})
            return not code

        def resolve(self, *, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            found = re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path)
            if not found or not self.allowed(found[1], found[2]):
                return
            repo, _, name = found.groups()
            content = hub.repos[repo].get(name)
            if content is None:
                self.send_json({"error": "no such file"}, 404, {"X-Error-Code": "EntryNotFound"})
                return
            etag = sha256(content) if name.endswith(hub.lfs) else hashlib.sha1(content).hexdigest()
            size = len(content)
            body, start, wanted = content, 0, self.headers.get("Range", "")
            if with_body:
                hub.ranges.append((name, wanted))
                if hub.send_instead.get(name):
                    body = hub.send_instead[name].pop(0)
                if wanted:
                    start = int(wanted.removeprefix("bytes=").split("-")[0])
            part = body[start:]
            self.send_response(206 if start else 200)
            headers = {
                "X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "X-Linked-Etag": f'"{etag}"',
                "X-Linked-Size": str(size), "Accept-Ranges": "bytes", "Content-Length": str(len(part)),
            }  # fmt: skip
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            if with_body:
                is_large = name.endswith(hub.lfs)
                cut = hub.hang_up_after.pop(0) if is_large and hub.hang_up_after else len(part)
                self.wfile.write(part[:cut])
                if cut < len(part):
                    self.close_connection = True

        def do_POST(self) -> None:
            path = unquote(urlsplit(self.path).path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if path == "/api/repos/create":
                asked = json.loads(body)
                repo = (
                    f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
                )
                if not self.headers.get("Authorization"):
                    self.send_json({"error": "log in"}, 401)
                    return
                hub.pushed.setdefault(repo, {})
                self.send_json({"url": f"{hub.url}/{repo}", "id": repo})
            elif found := re.fullmatch(r"/api/models/(.+)/preupload/main", path):
                files = json.loads(body)["files"]
                modes = [{"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(hub.lfs) else "regular",
                          "shouldIgnore": False} for f in files]  # fmt: skip
                self.send_json({"files": modes})
            elif path.endswith("/info/lfs/objects/batch"):
                objects = [
                    {**each, "actions": {"upload": {"href": f"{hub.url}/lfs/{each['oid']}", "header": {}}}}
                    for each in json.loads(body)["objects"]
                ]
                self.send_json({"transfer": "basic", "objects": objects}, kind="application/vnd.git-lfs+json")
            elif found := re.fullmatch(r"/api/models/(.+)/commit/main", path):
                for line in body.splitlines():
                    said = json.loads(line)
                    value = said["value"]
                    if said["key"] == "file":
                        hub.pushed[found[1]][value["path"]] = base64.b64decode(value["content"])
                    elif said["key"] == "lfsFile":
                        hub.pushed[found[1]][value["path"]] = hub.objects[value["oid"]]
                answer = {
                    "success": True,
                    "commitOid": COMMIT,
                    "commitUrl": f"{hub.url}/{found[1]}/commit/{COMMIT}",
                }
                self.send_json(answer)
            else:
                self.send_json({})

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            hub.objects[sha256(content)] = content
            self.send_json({})

        def send_json(
            self,
            value: Any,
            code: int = 200,
            headers: dict[str, str] | None = None,
            kind: str = "application/json",
        ) -> None:
            body = json.dumps(value).encode()
            self.send_response(code)
            for key, text in {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                **(headers or {}),
            }.items():
                self.send_header(key, text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    def told(name: str, content: bytes) -> dict[str, Any]:
        return {"size": len(content), "oid": "b" * 40}

    with served_by(Handler) as hub.url:
        yield hub


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    """The name that git gives a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
