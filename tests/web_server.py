"""A small web server in a thread that serves a dictionary, and can be told to misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from local_server import QuietHandler, served_by


@dataclass
class Site:
    """What a server serves, how, and what it was asked.

    Attributes:
        files: Name -> content.
        ranges: Whether it can send parts.
        etag: Its validator of every file; empty for none.
        hang_up_after: Bytes after which a response ends without a word, one for each response, then never.
        refuse_with: HTTP codes that it answers with, one for each request, then none.
        requests: `(name, Range header)` of every request.
    """

    files: dict[str, bytes]
    ranges: bool = True
    etag: str = '"one"'
    hang_up_after: list[int] = field(default_factory=list)
    refuse_with: list[int] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve `site` at `site.url`."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.lstrip("/"), self.headers.get("Range", "")
            site.requests.append((name, wanted))
            code = site.refuse_with.pop(0) if site.refuse_with else 404 if name not in site.files else 0
            if code:
                self.send_error(code)
            else:
                is_same = self.headers.get("If-Range", site.etag) == site.etag
                start = int(wanted[len("bytes=") : -1]) if wanted and site.ranges and is_same else 0
                self.answer(site.files[name], start)

        def answer(self, content: bytes, start: int) -> None:
            body = content[start:]
            self.send_response(200 if not start else 206 if body else 416)
            if start:
                place = f"{start}-{len(content) - 1}" if body else "*"
                self.send_header("Content-Range", f"bytes {place}/{len(content)}")
            if site.etag:
                self.send_header("ETag", site.etag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: site.hang_up_after.pop(0)] if site.hang_up_after else body)

    with served_by(Handler) as site.url:
        yield site
