"""Who may ask, and how much: checked before anything is read of a request."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Collection
from typing import Any

from fastapi import HTTPException

from .metrics import Metrics
from .schema import MAX_BODY

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
OPEN = ("/", "/health", "/openapi.json")  # what holds nothing of the export's items

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
TOO_LARGE = (
    f"The request is larger than {MAX_BODY:,} bytes.",
    "Ask for fewer histories or items at a time.",
)


class Guard:
    """ASGI middleware: names of the host, token, size of the body; counts what was answered.

    Parameters
    ----------
    app : callable
        The ASGI application.
    metrics : Metrics
        Is told of each answer.
    token : str, optional
        What a request must show as its bearer token.
    hosts : collection of str, optional
        Names by which the service may be called. For a service on loopback: else a page of another
        site could have its name lead here, and read the answers in the user's browser.

    Attributes
    ----------
    is_ending : bool
        Whether each answer is the last one of its connection.
    """

    def __init__(
        self,
        app: Any,
        *,
        metrics: Metrics,
        token: str | None = None,
        hosts: Collection[str] | None = None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._token = None if token is None else _digest(token.encode())
        self._hosts = hosts
        self.is_ending = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def answer(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS]
                if self.is_ending:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        headers = dict(scope["headers"])
        try:
            refusal = self._refusal(scope["path"], headers)
            if refusal is None:
                await self._app(scope, _limited(receive), answer)
            else:
                await _refuse(answer, *refusal)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.count(scope["method"], route, status, time.perf_counter() - started)

    def _refusal(self, path: str, headers: dict[bytes, bytes]) -> tuple[int, str, str] | None:
        if self._hosts is not None:
            host = headers.get(b"host", b"").decode("latin-1").lower()
            name = host if host.endswith("]") else host.rpartition(":")[0] or host
            if name not in self._hosts:
                return 400, "The service is not known by this name.", "Call it by 127.0.0.1."
        if self._token is not None and path not in OPEN:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            is_right = hmac.compare_digest(_digest(given.strip()), self._token)
            if scheme.lower() != b"bearer" or not is_right:
                return (
                    401,
                    "The request shows no token, or a wrong one.",
                    "Send the header `Authorization: Bearer TOKEN`.",
                )
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > MAX_BODY:
            return 413, *TOO_LARGE
        return None


def _digest(token: bytes) -> bytes:
    """Of equal length for all tokens, so that the time of a comparison tells nothing."""
    return hashlib.sha256(token).digest()


def _limited(receive: Any) -> Any:
    """Count the body of a request that does not say how long it is."""
    size = 0

    async def counted() -> Any:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY:
            raise HTTPException(413)
        return message

    return counted


async def _refuse(send: Any, status: int, error: str, remedy: str) -> None:
    body = json.dumps({"error": error, "remedy": remedy}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
