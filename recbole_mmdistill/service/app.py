"""The addresses of the service, and how errors are told."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from .. import pages
from ..errors import UserError, show
from ..failures import explain
from ..version import __version__
from . import answers
from .exports import Exports, Loaded
from .guard import TOO_LARGE, Guard
from .metrics import CONTENT_TYPE, Metrics
from .pool import Busy, Pool
from .schema import (
    MAX_FOUND,
    MAX_TOKEN,
    FoundItems,
    Health,
    KnownItem,
    RecommendRequest,
    RecommendResponse,
    SimilarResponse,
    problems,
)

_DOCUMENTATION = "See /openapi.json."
_USUAL = {
    400: ("The request cannot be read.", "Send JSON in UTF-8."),
    404: ("There is nothing at this address.", _DOCUMENTATION),
    405: ("This address is not used by this method.", _DOCUMENTATION),
    413: TOO_LARGE,
}
_Token = Annotated[str, Path(max_length=MAX_TOKEN, description="An item.")]
_Found = Annotated[int, Query(ge=1, le=MAX_FOUND)]


class Failure(Exception):
    """An answer that is no answer: a status, what is wrong, what to do."""

    def __init__(self, status: int, error: str, remedy: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.remedy = remedy


def create_app(
    exports: Exports,
    *,
    metrics: Metrics | None = None,
    token: str | None = None,
    hosts: Collection[str] | None = None,
    threads: int = 2,
) -> Guard:
    """Make the service, as an ASGI application.

    Parameters
    ----------
    exports : Exports
        Whose current export answers; while the application runs it follows the folder.
    metrics : Metrics, optional
        To count in.
    token : str, optional
        What requests must show.
    hosts : collection of str, optional
        Names by which the service may be called; by default any.
    threads : int
        How many requests are computed at the same time.
    """
    metrics = metrics or Metrics()
    pool = Pool(threads)
    page = pages.render("service/page.html.j2", title="Recommendations", script_data={})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        exports.start()
        yield
        exports.stop()
        pool.close()

    async def answer(compute: Callable[[Loaded], Any]) -> Response:
        loaded = exports.current
        if loaded is None:
            raise Failure(503, "No export is loaded.", "Try again in a moment.")

        def respond() -> bytes:
            try:
                found = compute(loaded)
            except UserError as error:
                raise Failure(422, error.what, error.remedy) from None
            except Exception as error:
                raise _failure(error) from None
            if found is None:
                raise Failure(404, "The export has no such item.", "GET /items finds items.")
            return json.dumps(
                found, ensure_ascii=False, allow_nan=False, separators=(",", ":")
            ).encode("utf-8")

        return Response(await pool.run(respond), media_type="application/json")

    app = FastAPI(
        title="recbole-mm serve",
        version=__version__,
        description="Recommendations of an export.",
        docs_url=None,  # these two fetch scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[] if token is None else [Depends(HTTPBearer(auto_error=False))],
        responses=problems(400, 422, 503, *([] if token is None else [401])),
    )

    @app.post("/recommend", response_model=RecommendResponse, responses=problems(413, 415))
    async def recommend(asked: RecommendRequest) -> Response:
        """Recommend items to people by their histories."""

        def compute(loaded: Loaded) -> Any:
            found = answers.recommend(loaded, asked)
            metrics.count_recommended(found)
            return found

        return await answer(compute)

    @app.get("/items", response_model=FoundItems)
    async def items(
        query: Annotated[str, Query(max_length=MAX_TOKEN)] = "",
        limit: _Found = 20,
        pictures: bool = False,
    ) -> Response:
        """Find items by their id or a part of their title; without a query the most popular."""
        return await answer(lambda loaded: answers.find_items(loaded, query, limit, pictures))

    @app.get("/items/{item:path}", response_model=KnownItem, responses=problems(404))
    async def item(item: _Token) -> Response:
        """Show an item."""
        return await answer(lambda loaded: answers.known_item(loaded, item))

    @app.get("/similar/{item:path}", response_model=SimilarResponse, responses=problems(404))
    async def similar(
        item: _Token,
        k: _Found = 10,
        branch: Annotated[str | None, Query(max_length=MAX_TOKEN)] = None,
        pictures: bool = False,
    ) -> Response:
        """Find the items whose vectors are nearest to an item's; or the part of one branch."""
        return await answer(lambda loaded: answers.similar(loaded, item, k, branch, pictures))

    @app.get("/health", response_model=Health)
    async def health() -> Any:
        """Say which export is served."""
        loaded = exports.current
        if loaded is None:
            raise Failure(503, "No export is loaded.", "Try again in a moment.")
        return Health(status="ok", export=loaded.fingerprint, n_items=loaded.n_items)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def read_metrics() -> Response:
        """Count and time what was answered, for Prometheus."""
        loaded = exports.current
        metrics.n_items.set(0 if loaded is None else loaded.n_items)
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE})

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def try_it() -> HTMLResponse:
        return HTMLResponse(page)

    _tell_errors(app)
    return Guard(app, metrics=metrics, token=token, hosts=hosts)


def _tell_errors(app: FastAPI) -> None:
    """Have every error told in the same two sentences."""

    @app.exception_handler(Failure)
    async def told(request: Any, failure: Failure) -> Response:
        return _problem(failure.status, failure.error, failure.remedy)

    @app.exception_handler(Busy)
    async def busy(request: Any, error: Busy) -> Response:
        return _problem(503, "Too many requests wait.", "Try again in a moment.")

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Any, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"][1:]]
        where = show(".".join(place))[1:-1] if place else "The request"
        if first["type"] == "json_invalid":
            return _problem(400, "The request is no JSON.", "Send JSON in UTF-8.")
        if error.body and "json" not in request.headers.get("content-type", ""):
            return _problem(
                415,
                "The request does not say that its body is JSON.",
                "Send the header `Content-Type: application/json`.",
            )
        if first["type"] == "missing" and not place:
            return _problem(422, "The request has no body.", _DOCUMENTATION)
        if first["type"] == "extra_forbidden":
            return _problem(422, f"{where} is nothing that can be asked for.", _DOCUMENTATION)
        reason = first["msg"].removeprefix("Value error, ")
        seen = "" if isinstance(first["input"], (dict, list)) else f", not {show(first['input'])}"
        return _problem(422, f"{where}: {reason}{seen}.", _DOCUMENTATION)

    @app.exception_handler(HTTPException)
    async def refused(request: Any, error: HTTPException) -> Response:
        known = _USUAL.get(error.status_code)
        what, remedy = known or (str(error.detail), _DOCUMENTATION)
        return _problem(error.status_code, what, remedy, error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Any, error: Exception) -> Response:
        failure = _failure(error)
        return _problem(failure.status, failure.error, failure.remedy)


def _failure(error: Exception) -> Failure:
    """Tell the operator what went wrong, and others that something did."""
    print(f"error: {explain(error)}", file=sys.stderr, flush=True)
    return Failure(500, "The service failed.", "Try again; its log says more.")


def _problem(status: int, error: str, remedy: str, headers: Any = None) -> Response:
    body = json.dumps({"error": error, "remedy": remedy})
    headers = {**(headers or {}), **({"retry-after": "2"} if status == 503 else {})}
    return Response(body, status, headers, media_type="application/json")
