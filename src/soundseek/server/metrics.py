"""What the server counts, for Prometheus."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The counters of one server, each process having its own registry, so that tests do not share them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "soundseek_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "soundseek_request_seconds",
            "Seconds until an answer began",
            ["route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.4, 1.0, 2.5, 10.0),
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "soundseek_requests_in_progress", "Requests under way", registry=self.registry
        )
        self.files = Gauge("soundseek_library_files", "Files in the library", registry=self.registry)
        self.segments = Gauge("soundseek_library_segments", "Segments in the library", registry=self.registry)
        self.pending = Gauge(
            "soundseek_pending",
            "Calls in worker processes, running or waiting",
            ["kind"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """All of it in the text format."""
        return generate_latest(self.registry)


class Counting:
    """A layer around an app that counts its answers by route, method and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = "500"

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
                self.metrics.seconds.labels(_route_of(scope)).observe(time.perf_counter() - began)
            await send(message)

        with self.metrics.in_progress.track_inprogress():
            try:
                await self.app(scope, receive, watched)
            finally:
                # The method, too, is the client's text: an unknown one has no label of its own.
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self.metrics.requests.labels(method, _route_of(scope), status).inc()


_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})


def _route_of(scope: Scope) -> str:
    """The route's own pattern: an address with its ids would make a counter for every item."""
    route = scope.get("route")
    return str(getattr(route, "path", None) or "other")
