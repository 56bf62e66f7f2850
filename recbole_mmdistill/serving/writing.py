"""Recommendations in a file: collected in a database, written at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import replacing
from ..intake.engine import Engine, quoted
from .people import People
from .ranking import Recommendations

FORMATS = {
    ".parquet": "FORMAT parquet",
    ".csv": "FORMAT csv, HEADER true",
    ".jsonl": "FORMAT json",
}


def format_of(path: Path) -> str:
    """Give how DuckDB calls the format of a file's name.

    Raises
    ------
    UserError
        It is not known.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"--output is {path}, whose ending says no format.",
            f"End it in {', '.join(FORMATS)}.",
        )
    return FORMATS[path.suffix.lower()]


class Writer:
    """Collects recommendations, and writes them as rows of ``user``, ``rank``, ``item``, ``score``.

    Beside these ``by`` says what they come from: ``model``, or ``popularity`` where nothing of the
    history was known; these have no score. Each part of the score may have a column ``share_*``.

    Parameters
    ----------
    engine : Engine
        An empty database.
    items : numpy.ndarray
        Tokens by number, dtype object ``[n_items]``.
    parts : tuple of str
        Of the score, whose shares are written; may be empty.
    """

    def __init__(self, engine: Engine, items: np.ndarray, parts: tuple[str, ...]) -> None:
        self._engine = engine
        self._shares = [f"share_{part}" for part in parts]
        shares = "".join(f", {quoted(name)} DOUBLE" for name in self._shares)
        engine.run("CREATE TEMP TABLE users (u INTEGER, token VARCHAR)")
        engine.run("CREATE TEMP TABLE items (i INTEGER, token VARCHAR)")
        engine.run(
            "CREATE TEMP TABLE found (u INTEGER, rank INTEGER, i INTEGER, score FLOAT, "
            f"popular BOOLEAN{shares})"
        )
        engine.insert("items", {"i": np.arange(1, len(items)), "token": items[1:]})
        self._n_users = 0
        self.n_rows = 0

    def add(self, people: People, found: Recommendations) -> None:
        """Take in what was found for some people."""
        user = np.arange(self._n_users, self._n_users + len(people.users))
        self._n_users += len(user)
        self._engine.insert("users", {"u": user, "token": people.users})
        row, place = np.nonzero(found.numbers)
        self.n_rows += len(row)
        shares = {}
        if found.shares is not None:
            shares = dict(zip(self._shares, found.shares[row, place].T))
        self._engine.insert(
            "found",
            {
                "u": user[row],
                "rank": place + 1,
                "i": found.numbers[row, place],
                "score": found.scores[row, place],
                "popular": found.is_popular[row],
                **shares,
            },
        )

    def write(self, path: Path) -> None:
        """Write all rows, by user in the order in which they came, and by rank.

        Parameters
        ----------
        path : Path
            The file; its ending says the format. It is replaced once it is whole.

        Raises
        ------
        UserError
            It cannot be written.
        """
        numbers = "".join(
            f", CASE WHEN NOT isnan({quoted(name)}) THEN {quoted(name)} END AS {quoted(name)}"
            for name in ("score", *self._shares)
        )
        select = (
            f'SELECT users.token AS "user", rank, items.token AS item{numbers}, '
            "CASE WHEN popular THEN 'popularity' ELSE 'model' END AS \"by\" "
            "FROM found JOIN users USING (u) JOIN items USING (i) ORDER BY u, rank"
        )
        try:
            with replacing(path) as file:
                self._engine.run(
                    f"COPY ({select}) TO ? ({format_of(path)}, USE_TMP_FILE false)",
                    [str(Path(file.name).absolute())],
                    f"writing {path.name}",
                )
        except OSError as error:
            raise UserError(
                f"{path} cannot be written ({error.strerror}).", "Give another --output."
            ) from None
