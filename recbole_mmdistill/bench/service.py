"""The service under cases of its own description, and under load on loopback.

Cases come from schemathesis: requests that the description allows, and requests that it does not.
The load is closed: each client of an own process sends its next request when it has the answer to
the last one, over one connection that it keeps.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from . import clients as clients_module
from .report import compare
from .serving import BRANCHES, export_untrained, make_tables, write_export

_CLIENTS = (1, 16, 64)
_MEASURED = 2_000  # requests
_MOST_SECONDS = 600  # of the endurance
_WARM = 0.1  # share of the requests after which memory is first read
_FLAT = 1.05


def measure(rounds: int, items: str, cases: int, requests: int) -> list[dict[str, Any]]:
    """Try the cases, then measure the load.

    Parameters
    ----------
    rounds : int
        Measurements of each number of clients.
    items : str
        How many items the export has.
    cases : int
        Of the description.
    requests : int
        Over which memory is read.

    Returns
    -------
    list of dict
        As :func:`recbole_mmdistill.bench.report.compare`, with ``facts``.
    """
    results = []
    with tempfile.TemporaryDirectory() as folder:
        small, _ = export_untrained(Path(folder), BRANCHES[3])
        results.append(_cases(small, cases))
        export = Path(folder) / "served"
        write_export(export, small, make_tables(int(items), 3)[0], "float32")
        with _running(export) as (port, process):
            for clients in _CLIENTS:
                results.append(_load(port, clients, int(items), rounds))
            results.append(_endurance(port, process.pid, int(items), requests))
    return results


def try_cases(app: Any, n: int, known: Sequence[str] = ()) -> dict[str, Any]:
    """Send cases of an application's own description to it.

    Parameters
    ----------
    app : callable
        An ASGI application.
    n : int
        Cases of each address, at most; fewer where there are no more.
    known : sequence of str
        Items that every second of the allowed cases names.

    Returns
    -------
    dict
        ``cases``, their number; ``answers``, how many by status; ``failures``, in words.
    """
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    checks = [
        not_a_server_error,
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    ]
    statuses: Counter[int] = Counter()
    failures: set[str] = set()
    schema: Any = schemathesis.openapi.from_asgi("/openapi.json", app)

    def ask(case: Any) -> None:
        try:
            response = case.call()
            statuses[response.status_code] += 1
            case.validate_response(response, checks=checks)
        except Exception as error:
            failures.add(f"{case.method} {case.path}: {error!s:.500}")

    def ask_rightly(case: Any) -> None:
        if statuses.total() % 2:
            _name_known(case, known)
        ask(case)

    thorough = settings(
        max_examples=n // 2,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    right, wrong = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
    for operation in schema.get_all_operations():
        for mode, work in ((right, ask_rightly), (wrong, ask)):
            cases = operation.ok().as_strategy(generation_mode=mode)
            with suppress(Unsatisfiable):  # an address whose requests cannot be wrong
                thorough(given(case=cases)(work))()
    return {
        "cases": statuses.total(),
        "answers": dict(sorted(statuses.items())),
        "failures": sorted(failures),
    }


def _name_known(case: Any, known: Sequence[str]) -> None:
    """Put known items in the place of those that were drawn, which hardly ever are."""

    def names(drawn: Sequence[str]) -> list[str]:
        return [known[crc32(item.encode("utf-8", "replace")) % len(known)] for item in drawn]

    if known and isinstance(case.path_parameters, dict) and "item" in case.path_parameters:
        case.path_parameters["item"] = names([str(case.path_parameters["item"])])[0]
    if known and isinstance(case.body, dict):
        for name in {"history", "exclude", "only"} & {*case.body}:
            case.body[name] = names(case.body[name] or [])
        if "histories" in case.body:
            case.body["histories"] = [names(history) for history in case.body["histories"]]


def _cases(export: Path, cases: int) -> dict[str, Any]:
    from starlette.testclient import TestClient

    from ..service.app import create_app
    from ..service.exports import Exports

    exports = Exports(export)
    exports.load()
    assert exports.current is not None
    known = exports.current.runtime.items[1:].tolist()
    with TestClient(create_app(exports)) as client:
        facts = try_cases(client.app, cases * 3 // 10, known)
    n_wrong = sum(number for status, number in facts["answers"].items() if status >= 500)
    right = facts["cases"] - max(n_wrong, len(facts["failures"]))
    name = "Cases of the service's description, to those that were answered as it says"
    return {**compare(name, [facts["cases"]], [right], 1.0), "facts": facts}


@contextmanager
def _running(export: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "recbole_mmdistill.cli", "serve", str(export), "--port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r":(\d+)/$", process.stdout.readline())
        assert found, "the service does not listen"
        yield int(found[1]), process
    finally:
        process.terminate()
        process.wait()


def _load(port: int, clients: int, n_items: int, rounds: int) -> dict[str, Any]:
    """Requests a second and their times, beside one client's."""
    _ask(port, clients, n_items, 200)
    runs = [_ask(port, clients, n_items, _MEASURED) for _ in range(rounds)]
    speeds = [run["requests"] / run["seconds"] for run in runs]
    facts = {
        "clients": clients,
        "requests_per_second": round(float(np.median(speeds)), 1),
        **{
            name: round(float(np.median([run[name] for run in runs])), 2)
            for name in ("p50_ms", "p99_ms")
        },
        "failed": sum(run["failed"] for run in runs),
    }
    name = f"{clients} clients, {n_items:,} items: requests, to those that were answered"
    asked = sum(run["requests"] for run in runs)
    return {**compare(name, [asked], [asked - facts["failed"]], 1.0), "facts": facts}


def _endurance(port: int, pid: int, n_items: int, requests: int) -> dict[str, Any]:
    """Memory of the service over many requests."""
    part, memory, done, failed = 2_000, [], 0, 0
    ends = time.monotonic() + _MOST_SECONDS
    while done < requests and time.monotonic() < ends:
        run = _ask(port, 16, n_items, part)
        done, failed = done + run["requests"], failed + run["failed"]
        memory.append(_resident_mib(pid))
    begins = int(len(memory) * _WARM)
    third = max(1, (len(memory) - begins) // 3)
    early, late = memory[begins : begins + third], memory[-third:]
    facts = {"requests": done, "failed": failed, "memory_mib": memory}
    name = f"Memory over {done:,} requests: its end, of its beginning after a tenth"
    result = compare(name, [float(np.median(late))], [float(np.median(early))], _FLAT)
    return {**result, "facts": facts}


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return round(int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024, 1)


def _ask(port: int, clients: int, n_items: int, requests: int) -> dict[str, Any]:
    """Have a process of its own send requests."""
    words = [str(number) for number in (port, clients, n_items, requests)]
    done = subprocess.run(
        [sys.executable, "-m", clients_module.__name__, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
