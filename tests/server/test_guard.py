"""Who may ask: Host, Origin, token, bodies, headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soundseek.server.guard import COOKIE, Access, content_security_policy, is_loopback

TOKEN = "a-token-of-some-length"


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765", "127.0.0.2", "localhost."]
)
def test_this_machine_by_any_of_its_own_names_is_answered(client: Any, host: str) -> None:
    assert client.get("health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "192.168.0.1",
        "0.0.0.0",
        "",
        "[::1",
        "a b",
        "1",
    ],
)
def test_a_foreign_name_that_leads_here_is_refused(client: Any, host: str) -> None:
    answer = client.get("health", headers={"Host": host})
    assert answer.status_code == 400 and answer.json()["type"] == "/problems/host"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "file://127.0.0.1:8765"},
        {"Origin": "http://127.0.0.1:8765@evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "collections"), ("DELETE", "collections/9"), ("GET", "items")]
)
def test_a_page_of_another_site_can_neither_write_nor_read(
    client: Any, headers: dict[str, str], method: str, path: str
) -> None:
    answer = client(method, path, headers=headers)
    assert answer.status_code == 403 and answer.json()["type"] == "/problems/origin"


def test_the_own_page_and_programs_may_write(client: Any) -> None:
    for headers in ({"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "same-origin"}, {}):
        assert client("DELETE", "collections/99", headers=headers).status_code == 404


def test_a_link_from_elsewhere_opens_the_page_and_no_api(client: Any) -> None:
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=visit).status_code in (200, 307)
    assert client.get("items", headers=visit).status_code == 403
    assert client.get("/", headers={**visit, "Sec-Fetch-Dest": "iframe"}).status_code == 403


def test_without_the_token_nothing_is_told(serve: Any, filled: Path) -> None:
    client = serve(filled, token=TOKEN)
    for path in ("items", "health", "metrics", "openapi.json", "nothing"):
        answer = client.get(path)
        assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")
        assert "Authorization: Bearer" in answer.json()["detail"]
    for wrong in ("", TOKEN[:-1], TOKEN + "x", "Bearer", "é"):
        assert client.get("items", headers={"Authorization": f"Bearer {wrong}".encode()}).status_code == 401
    assert client.get("items", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("items", params={"token": TOKEN}).status_code == 401  # an address ends up in logs


def test_signing_in_gives_the_page_a_session_that_is_not_the_token(serve: Any, filled: Path) -> None:
    client = serve(filled, token=TOKEN)
    page = client.get("/")
    assert page.status_code == 401 and 'action="/sign-in"' in page.text
    assert client.post("/sign-in", data={"token": "wrong"}).status_code == 401
    signed = client.post("/sign-in", data={"token": TOKEN})
    cookie = signed.headers["set-cookie"]
    assert signed.status_code == 303 and TOKEN not in cookie
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
    session = cookie.split(";")[0].split("=", 1)[1]
    assert client.get("items", headers={"Cookie": f"{COOKIE}={session}"}).status_code == 200
    assert client.get("items", headers={"Cookie": f"{COOKIE}={session[:-1]}"}).status_code == 401


def test_a_body_that_is_too_long_is_refused_whether_or_not_it_says_so(serve: Any, filled: Path) -> None:
    client = serve(filled, access=Access(max_body_bytes=1000))
    request = {"text": "x" * 500, "where": "y" * 600}
    assert client.post("search", json=request).status_code == 413

    async def unannounced() -> Any:
        yield b'{"text": "'
        yield b"x" * 2000
        yield b'"}'

    answer = client.post("search", content=unannounced(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413 and "1,000 bytes" in answer.json()["detail"]


def test_every_answer_carries_a_strict_policy(client: Any) -> None:
    for path in ("health", "nothing", "/", "docs", "/page/nothing.js"):
        headers = client.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_the_docs_are_styled_by_a_nonce_that_changes(client: Any) -> None:
    pages = [client.get("docs") for _ in range(2)]
    nonces = [page.text.split('style nonce="')[1].split('"')[0] for page in pages]
    assert nonces[0] != nonces[1] and len(nonces[0]) >= 16
    assert all(
        f"'nonce-{nonce}'" in page.headers["content-security-policy"]
        for page, nonce in zip(pages, nonces, strict=True)
    )
    assert "<script" not in pages[0].text
    assert content_security_policy() in client.get("health").headers["content-security-policy"]


def test_a_network_address_in_digits_is_a_name_where_the_network_may_ask() -> None:
    everywhere = Access(token=TOKEN, names=frozenset({"nas"}), any_address=True)
    assert everywhere.knows_host("192.168.0.7:8765") and everywhere.knows_host("nas:8765")
    assert not everywhere.knows_host("evil.example")
    assert not Access().knows_host("192.168.0.7:8765")
    assert [is_loopback(host) for host in ("::1", "[::1]", "192.168.0.7", "0.0.0.0")] == [
        True,
        True,
        False,
        False,
    ]


def test_the_page_and_its_files_are_served_and_nothing_beside_them(client: Any) -> None:
    assert client.get("/").status_code == 200 and "<html" in client.get("/").text
    for path in (
        "/page/../app.py",
        "/page/%2e%2e/app.py",
        "/page/..%2fapp.py",
        "/page//etc/passwd",
        "/page/%00",
        "/page/js",
    ):
        assert client.get(path).status_code in (404, 405), path
