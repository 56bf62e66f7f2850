"""Clients of the service, in a process of their own that imports nothing slow."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Any

import numpy as np

_LONGEST, _K = 50, 10


async def send(port: int, clients: int, n_items: int, requests: int) -> dict[str, Any]:
    """Send requests for recommendations, and give how long each took.

    Parameters
    ----------
    port : int
        Of the service on loopback.
    clients : int
        Each sends its next request when it has the answer to its last one.
    n_items : int
        Of the export; histories are drawn from them.
    requests : int
        Of all clients together.
    """
    rng = np.random.default_rng(port + requests)
    times: list[float] = []
    failed = 0

    async def client(n: int) -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(n):
            history = rng.integers(1, n_items, rng.integers(1, _LONGEST))
            body = json.dumps({"history": [f"i{item}" for item in history], "k": _K}).encode()
            head = (
                "POST /recommend HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            started = time.perf_counter()
            writer.write(head.encode() + body)
            answered = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answered)
            await reader.readexactly(int(length[1]) if length else 0)
            times.append(time.perf_counter() - started)
            failed += not answered.startswith(b"HTTP/1.1 200")
        writer.close()

    share = -(-requests // clients)
    started = time.perf_counter()
    await asyncio.gather(*(client(share) for _ in range(clients)))
    return {
        "requests": share * clients,
        "seconds": time.perf_counter() - started,
        "p50_ms": 1000 * float(np.quantile(times, 0.5)),
        "p99_ms": 1000 * float(np.quantile(times, 0.99)),
        "failed": failed,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(send(*map(int, sys.argv[1:])))))
