"""A file of recommendations for many people, from a checkpoint."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import UserError
from ..files import check_output
from ..intake.engine import Engine
from ..intake.ids import read_ids
from ..intake.reading import AS_FOUND, Reading
from .people import check_asked, people_of, say_unknown
from .recommender import Recommender
from .writing import Writer, format_of

SEEN, NONE = "seen", "none"


@dataclass
class Request:
    """What is to be recommended to whom.

    Attributes
    ----------
    checkpoint : Path
        Of the model.
    output : Path
        The file to write: Parquet, CSV or JSON lines by its ending.
    users, histories, user, item, time, reading
        To whom, see :class:`.people.Asked`; to all users of the dataset if nobody is named.
    k : int
        Items for each.
    exclude : str
        ``seen``, ``none``, or a file of items that nobody gets; items that were seen are left out
        then, too.
    only : Path or None
        A file of the items that are recommended.
    sources : tuple of str
        The branches that score; none: all.
    weights : dict of str to float
        Factors of branches.
    shares : bool
        Whether to write what each branch adds to a score.
    """

    checkpoint: Path
    output: Path
    users: str | None = None
    histories: Path | None = None
    user: str | None = None
    item: str | None = None
    time: str | None = None
    reading: Reading = AS_FOUND
    k: int = 10
    exclude: str = SEEN
    only: Path | None = None
    sources: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    shares: bool = False


@dataclass(frozen=True)
class Written:
    """What was done.

    Attributes
    ----------
    n_users, n_rows : int
        People, and rows of the file.
    n_popular : int
        People of whose history nothing was known.
    n_dropped : int
        Rows of the file of histories that could not be read.
    unknown : str
        A sentence about the items of histories that were skipped, if there are any.
    n_unlisted : int
        Items of the files of ``only`` and ``exclude`` that the checkpoint does not know.
    """

    n_users: int
    n_rows: int
    n_popular: int
    n_dropped: int
    unknown: str = ""
    n_unlisted: int = 0

    def text(self) -> str:
        """Give it in a few sentences."""
        lines = [f"{self.n_rows:,} recommendations, users: {self.n_users:,}."]
        if self.unknown:
            lines.append(self.unknown)
        if self.n_unlisted:
            lines.append(f"Unknown items of --only and --exclude, skipped: {self.n_unlisted:,}.")
        if self.n_popular:
            lines.append(
                f"Users of whom nothing is known, who got the most popular: {self.n_popular:,}."
            )
        if self.n_dropped:
            lines.append(f"Rows of histories that could not be read: {self.n_dropped:,}.")
        return " ".join(lines)


def write_recommendations(request: Request) -> Written:
    """Recommend to many people, and write a file. It appears when it is whole.

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
    format_of(request.output)
    check_output(request.output, "--output")
    check_asked(request)
    if request.exclude not in (SEEN, NONE) and not Path(request.exclude).exists():
        raise UserError(
            f"--exclude is {request.exclude!r}, and there is no such file.",
            "Say seen, none, or a file of items.",
        )
    recommender = Recommender.from_checkpoint(request.checkpoint)
    if request.sources:
        recommender = recommender.with_sources(request.sources)
    with tempfile.TemporaryDirectory(prefix="recbole-mm-") as scratch:
        with Engine(Path(scratch) / "in") as source, Engine(Path(scratch) / "out") as sink:
            return _recommend(request, recommender, source, sink)


def _recommend(request: Request, recommender: Recommender, source: Engine, sink: Engine) -> Written:
    only, exclude, n_unlisted = None, np.zeros(0, dtype=np.int64), 0
    if request.only is not None:
        tokens = read_ids(source, request.only, "item", request.reading)
        only = recommender.numbers(tokens, f"--only={request.only}")
        n_unlisted += len(tokens) - len(only)
    if request.exclude not in (SEEN, NONE):
        tokens = read_ids(source, Path(request.exclude), "item", request.reading)
        exclude = recommender.numbers(tokens, f"--exclude={request.exclude}")
        n_unlisted += len(tokens) - len(exclude)
    recommend = partial(
        recommender.recommend,
        k=request.k,
        only=only,
        exclude=exclude,
        exclude_seen=request.exclude != NONE,
        weights=request.weights,
        shares=request.shares,
    )
    recommend([])  # so that a mistake in an option is told first
    people = people_of(request, recommender, source)
    writer = Writer(sink, recommender.items, recommender.parts if request.shares else ())
    n_popular = n_unknown = n_known = 0
    with tqdm(total=len(people), desc="recommending", unit=" users", disable=None) as bar:
        for some in people:
            found = recommend(some.histories)
            writer.add(some, found)
            n_popular += int(found.is_popular.sum())
            n_unknown += int(found.n_unknown.sum())
            n_known += len(some.histories.items)
            bar.update(len(found))
    unknown = say_unknown(people, recommender.items, n_unknown, n_known)
    if not writer.n_rows:
        raise UserError(
            f"Nobody is left an item: --only is {request.only}, --exclude is {request.exclude}, "
            f"users: {len(people):,}.",
            "Change one of them.",
        )
    writer.write(request.output)
    tally = getattr(people, "tally", None)
    n_dropped = 0 if tally is None else tally.read - tally.left
    return Written(len(people), writer.n_rows, n_popular, n_dropped, unknown, n_unlisted)
