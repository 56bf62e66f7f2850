"""Listens, until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from .guard import Guard

_LEAST_TOKEN, _LARGEST_TOKEN = 16, 4096  # characters
_GRACE = 30  # seconds that a running request has after SIGTERM
_LAST_REQUESTS = 1  # seconds after SIGTERM in which open connections may ask once more
_MOST_CONNECTIONS = 1000
_BACKLOG = 512
_LAST_PORT = 65535


@dataclass(frozen=True)
class Request:
    """What is to be served, and to whom.

    Attributes
    ----------
    export : Path
        A folder of ``recbole-mm export``.
    host : str
        Address to listen at.
    port : int
        0: any that is free.
    token_file : Path or None
        Holds the token that requests must show.
    without_token : bool
        Whether others than this machine may ask without one.
    threads : int
        Requests that are computed at the same time.
    exact : bool
        Whether every item is looked at, although there is an index.
    """

    export: Path
    host: str = "127.0.0.1"
    port: int = 8080
    token_file: Path | None = None
    without_token: bool = False
    threads: int = 2
    exact: bool = False


def serve(request: Request) -> None:
    """Serve an export until SIGTERM or Ctrl-C, then finish what runs.

    Parameters
    ----------
    request : Request
        What is asked for.

    Raises
    ------
    UserError
        Something given cannot be used, or a package is missing.
    """
    for package in ("fastapi", "uvicorn", "prometheus_client", "onnxruntime"):
        try:
            __import__(package)
        except ModuleNotFoundError:
            raise UserError(
                f"The service needs the package {package}, which is not installed.",
                'Say `pip install "recbole-mmdistill[serve]"`.',
            ) from None
    from .app import create_app
    from .exports import Exports
    from .guard import LOOPBACK_NAMES
    from .metrics import Metrics

    if request.port > _LAST_PORT:
        raise UserError(f"--port is {request.port}.", f"Give a number up to {_LAST_PORT}.")
    token = None if request.token_file is None else read_token(request.token_file)
    family, address, is_loopback = _resolve(request.host, request.port)
    if not is_loopback and token is None and not request.without_token:
        raise UserError(
            f"--host is {request.host}, which others can reach, and no token is asked for.",
            "Give --token_file=FILE, or say --without_token if everybody there may ask.",
        )
    metrics = Metrics()

    def tell(is_loaded: bool, sentence: str) -> None:
        metrics.count_load(is_loaded)
        print(sentence if is_loaded else f"error: {sentence}", file=sys.stderr, flush=True)

    exports = Exports(request.export, exact=request.exact, tell=tell)
    exports.load()
    with _listening(family, address) as listener:
        app = create_app(
            exports,
            metrics=metrics,
            token=token,
            hosts=LOOPBACK_NAMES if is_loopback else None,
            threads=request.threads,
        )
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"Listening: http://{shown}:{port}/", flush=True)
        asyncio.run(_run(app, listener))


def read_token(path: Path) -> str:
    """Read a token: one line of a file.

    Raises
    ------
    UserError
        It cannot be read, or is no token that is hard to guess.
    """
    try:
        with open(path, encoding="ascii") as file:
            token = file.read(_LARGEST_TOKEN + 1).strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no ASCII"
        raise UserError(
            f"--token_file is {path}, which cannot be read ({reason}).", "Name a file of one line."
        ) from None
    is_one_word = token.isprintable() and " " not in token
    if not is_one_word or not _LEAST_TOKEN <= len(token) <= _LARGEST_TOKEN:
        raise UserError(
            f"--token_file is {path}, which does not hold one word of {_LEAST_TOKEN} to "
            f"{_LARGEST_TOKEN} characters.",
            f"Make one, e.g. `openssl rand -hex 32 > {path}`.",
        )
    return token


def _resolve(host: str, port: int) -> tuple[int, tuple, bool]:
    """Family and address to listen at, and whether this machine alone can reach it."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--host is {host!r}, which is no address ({reason}).",
            "Give 127.0.0.1, 0.0.0.0 or an address of this machine.",
        ) from None
    family, _, _, _, address = found[0]
    is_loopback = ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
    return family, address, is_loopback


@contextlib.contextmanager
def _listening(family: int, address: tuple) -> Iterator[socket.socket]:
    # asyncio turns Nagle's delay of 40 ms off for sockets that name their protocol alone.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno or 0)
        raise UserError(
            f"Nothing can listen at port {address[1]} of {address[0]} ({reason}).",
            "Give another --port or --host.",
        ) from None
    with listener:
        yield listener


async def _run(app: Guard, listener: socket.socket) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        """Leaves the signals to the event loop, where they do not interrupt what runs."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """Let clients close their connections: closing one may lose a request on its way."""
            for server in self.servers:
                server.close()
            app.is_ending = True
            ends = time.monotonic() + _LAST_REQUESTS
            while self.server_state.connections and time.monotonic() < ends:
                await asyncio.sleep(0.02)
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        ws="none",
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE,
    )
    server = Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    await server.serve(sockets=[listener])
