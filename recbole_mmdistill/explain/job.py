"""A page and a JSON file that explain a model's recommendations."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import check_output, write_json, write_text
from ..intake.engine import Engine
from ..intake.reading import AS_FOUND, Reading
from ..serving.histories import Histories
from ..serving.items import Items
from ..serving.people import KnownUsers, People, PeopleOfFile, check_asked, people_of, say_unknown
from ..serving.recommender import Recommender
from .document import describe
from .explainer import Explainer
from .page import branch_shares, render_page
from .summary import Summary, summarise

SEEN, NONE = "seen", "none"
MOST = 20  # people on a page
CHOSEN = 5  # people where nobody is named
CANDIDATES = 100  # for each of them, which the sliders put in order


@dataclass
class Request:
    """What is to be explained to whom.

    Attributes
    ----------
    checkpoint : Path
        Of the model.
    output : Path
        The page to write.
    json : Path or None
        A file for the same as JSON.
    users, histories, user, item, time, reading
        Whose, see :class:`.people.Asked`. If nobody is named, five users of the dataset, always the
        same: in the order of the lengths of their histories those at 10%, 30%, 50%, 70% and 90%.
    k : int
        Items for each.
    exclude : str
        ``seen`` or ``none``: whether items of the own history are left out.
    sample : int
        Of how many people the recommendations are summed up; 0: of none.
    seed : int
        To draw them with.
    images : Path or None
        Folder of pictures; None: ``images`` in the dataset's folder.
    title_field : str or None
        Column of the titles in the ``.item`` file; None: it is found.
    """

    checkpoint: Path
    output: Path
    json: Path | None = None
    users: str | None = None
    histories: Path | None = None
    user: str | None = None
    item: str | None = None
    time: str | None = None
    reading: Reading = AS_FOUND
    k: int = 10
    exclude: str = SEEN
    sample: int = 1000
    seed: int = 0
    images: Path | None = None
    title_field: str | None = None


@dataclass(frozen=True)
class Written:
    """What was done.

    Attributes
    ----------
    n_people : int
        Of the page.
    chosen : tuple of str
        Who they are, if nobody was named.
    summary : Summary or None
        Of the recommendations for a sample.
    n_nobody : int
        People of the page of whose history nothing is known.
    unknown : str
        A sentence about the items of histories that were skipped, if there are any.
    """

    n_people: int
    chosen: tuple[str, ...]
    summary: Summary | None
    n_nobody: int = 0
    unknown: str = ""

    def text(self) -> str:
        """Give it in a few sentences."""
        lines = [f"Recommendations explained one by one, users: {self.n_people}."]
        if self.chosen:
            lines.append(
                f"Chosen by the length of their histories: {', '.join(self.chosen)}; --users or "
                "--histories name others."
            )
        if self.unknown:
            lines.append(self.unknown)
        if self.n_nobody:
            lines.append(
                f"Users of whom nothing is known, who get the most popular: {self.n_nobody:,}."
            )
        if self.summary is not None:
            whole = self.summary.all
            carried = ", ".join(f"{name} {share:.0%}" for name, share in whole.carried.items())
            lines.append(f"Of {whole.n:,} recommendations the sources carry: {carried}.")
        return " ".join(lines)


def write_explanation(request: Request) -> Written:
    """Explain recommendations on a page. It appears when it is whole.

    Parameters
    ----------
    request : Request
        What is asked for.

    Returns
    -------
    Written

    Raises
    ------
    UserError
        Something given cannot be used. Then nothing is written.
    """
    _check(request)
    recommender = Recommender.from_checkpoint(request.checkpoint)
    explainer = Explainer(recommender)
    recommender.recommend([], request.k)  # so that a mistake in k is told first
    items = Items.of_dataset(recommender.trained, request.title_field, request.images)
    with tempfile.TemporaryDirectory(prefix="recbole-mm-") as scratch:
        with Engine(Path(scratch) / "in") as engine:
            shown, sample, unknown = _people(request, recommender, engine)
    exclude_seen = request.exclude == SEEN
    people: list[dict[str, Any]] = []
    shares = np.zeros((0, 0, 0))
    if len(shown.users):
        n_candidates = min(max(CANDIDATES, request.k), len(recommender.items) - 1)
        explanation = explainer.explain(shown.histories, n_candidates, exclude_seen=exclude_seen)
        people = describe(shown, explanation, items)
        shares = branch_shares(recommender, explanation.recommendations)
    summary = None
    if len(sample):
        summary = summarise(explainer, sample, request.k, exclude_seen=exclude_seen)
    facts = {
        "checkpoint": str(request.checkpoint),
        "model": type(recommender.model.model).__name__,
        "dataset": str(recommender.trained.config["dataset"]),
        "sources": list(explainer.sources),
        "branches": list(recommender.branches),
    }
    page = render_page(facts, people, shares, request.k, items, summary)
    whole = None if summary is None else asdict(summary)
    for person in people:
        person["recommendations"] = person["recommendations"][: request.k]
    if request.json is not None:
        write_json(request.json, {**facts, "people": people, "summary": whole})
    write_text(request.output, page)
    is_named = request.users is not None or request.histories is not None
    chosen = () if is_named else tuple(shown.users)
    n_nobody = int((shown.histories.length == 0).sum())
    return Written(len(people), chosen, summary, n_nobody, unknown)


def _check(request: Request) -> None:
    if request.output.suffix.lower() not in (".html", ".htm"):
        raise UserError(
            f"--output is {request.output}, but a page is written.", "End the name in .html."
        )
    files = {"--output": request.output, "--json": request.json}
    for option, path in files.items():
        if path is not None:
            check_output(path, option)
    if request.json is not None and request.json.absolute() == request.output.absolute():
        raise UserError(f"--output and --json are both {request.json}.", "Name two files.")
    check_asked(request)


def _people(
    request: Request, recommender: Recommender, engine: Engine
) -> tuple[People, Histories, str]:
    """Find the people of the page, a sample to sum up, and say what of them is unknown."""
    named = people_of(request, recommender, engine)
    everyone = named if request.users is None else KnownUsers(recommender)
    shown = np.arange(MOST)
    if request.users is None and isinstance(named, KnownUsers):
        shown = spread(named.n_rows, CHOSEN)
    n = min(request.sample, len(everyone))
    rng = np.random.default_rng(request.seed)
    sample = np.sort(rng.choice(len(everyone), n, replace=False))
    on_page, summed_up = _take(named, shown), _take(everyone, sample).histories
    counted = summed_up if len(summed_up) else on_page.histories
    n_unknown = int(counted.n_unknown.sum())
    unknown = say_unknown(everyone, recommender.items, n_unknown, len(counted.items))
    return on_page, summed_up, unknown


def spread(length: np.ndarray, n: int) -> np.ndarray:
    """Choose some people of all lengths of histories: the middle one of each of ``n`` parts.

    Parameters
    ----------
    length : numpy.ndarray
        Of each one's history, ``[n_people]``.
    n : int
        How many at most.

    Returns
    -------
    numpy.ndarray
        Their places, rising.
    """
    n = min(n, len(length))
    order = np.argsort(length, kind="stable")
    return np.sort(order[(2 * np.arange(n) + 1) * len(length) // (2 * max(n, 1))])


def _take(people: KnownUsers | PeopleOfFile, rows: np.ndarray) -> People:
    """Give some of the people, by their places, rising; places behind the last are nobody's."""
    users, histories, first = [], [], 0
    for some in people:
        here = rows[(rows >= first) & (rows < first + len(some.users))] - first
        users.append(some.users[here])
        histories.append(some.histories.take(here))
        first += len(some.users)
    nobody = Histories.of_tokens([], {})
    histories.append(nobody)  # so that there is something to join
    length = np.concatenate([part.length for part in histories])
    joined = Histories(
        np.concatenate([part.items for part in histories]),
        np.concatenate([[0], np.cumsum(length)]).astype(np.int64),
        np.concatenate([part.n_unknown for part in histories]),
    )
    return People(np.concatenate([*users, np.zeros(0, dtype=object)]), joined)
