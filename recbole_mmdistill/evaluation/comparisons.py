"""Paired tests between models: ``comparisons.csv``, so that a report needs no ranks of rows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from .lines import damaged, read_lines, write_lines
from .measured import Measured
from .ranking import ndcg
from .significance import p_value
from .store import Store

FILE = "comparisons.csv"
_COLUMNS = ("dataset", "model", "other", "variant", "group", "p", "trials", "other_trials")
_Key = tuple[str, str, str, str]  # variant, group, trials, other trials


class Comparisons:
    """Uncorrected p-values by the trials compared, read from the file or else computed.

    Parameters
    ----------
    folder : Path
        Of the file.
    store : Store
        Holds the ranks of those trials that were run on this machine.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self._path, self._store = folder / FILE, store
        self._known: dict[_Key, str] = {}
        self._asked: dict[_Key, dict[str, str]] = {}
        for line in read_lines(self._path, _COLUMNS):
            key = (line["variant"], line["group"], line["trials"], line["other_trials"])
            self._known[key] = line["p"]

    def p(
        self, ours: tuple[Measured, ...], other: tuple[Measured, ...], variant: str, group: str
    ) -> float | None:
        """Test whether two models differ in NDCG@10, mean over seeds.

        Parameters
        ----------
        ours, other : tuple of Measured
            Their seeds, all on the same test rows.
        variant, group : str
            Of the ranking, and of the rows.

        Returns
        -------
        float or None
            None if it is not known and the ranks are not on this machine.
        """
        key = (variant, group, _identify(ours), _identify(other))
        p = self._known.get(key)
        if p is None:
            p = self._known[key] = self._test(ours, other, variant, group)
        if not p:
            return None
        names = (ours[0]["dataset"], ours[0]["model"], other[0]["model"])
        self._asked[key] = dict(zip(_COLUMNS, (*names, variant, group, p, *key[2:])))
        try:
            return float(p)
        except ValueError as error:
            raise damaged(self._path, error) from None

    def _test(
        self, ours: tuple[Measured, ...], other: tuple[Measured, ...], variant: str, group: str
    ) -> str:
        values = []
        for trials in (ours, other):
            records = [self._store.read(trial.key, trial.behaviour) for trial in trials]
            ranks = [record["ranks"][variant] for record in records if record is not None]
            if len(ranks) < len(trials):
                return ""
            values.append(np.mean([ndcg(np.array(of_seed)) for of_seed in ranks], axis=0))
        rows = self._store.read_rows(ours[0]["rows_id"])
        chosen = rows.groups()[group]
        users = np.array(rows.users)[chosen]
        return f"{p_value(values[0][chosen], values[1][chosen], users):.4f}"

    def write(self) -> None:
        """Write those that were asked for, atomically."""
        lines = sorted(self._asked.values(), key=lambda line: tuple(line.values()))
        write_lines(self._path, _COLUMNS, lines)


def _identify(trials: tuple[Measured, ...]) -> str:
    text = " ".join(sorted(f"{trial.key}-{trial.behaviour}" for trial in trials))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:8]
