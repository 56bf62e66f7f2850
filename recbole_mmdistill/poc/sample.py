"""The sample that a decision is made from: its interactions, and how they are split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..atomic import AtomicFile
from ..errors import UserError

USER, ITEM, TIME = "user_id", "item_id", "timestamp"
_PATIENCE = 4  # epochs without gain; what is left of the budget is worth more as further seeds
_LONGEST = 50  # of a history; the model's own default
_YEAR_2000 = 946_684_800.0
_USERS_BY_TIME = 1000  # the last tenth by time is tested on if so many users are in it
_SHARE_BY_TIME = 0.2


@dataclass(frozen=True)
class Sample:
    """A dataset of atomic files.

    Attributes
    ----------
    dataset : str
        Its name.
    folder : Path
        Of its files.
    inter : pandas.DataFrame
        ``user_id``, ``item_id`` (categories) and ``timestamp``, in the order of time.
    """

    dataset: str
    folder: Path
    inter: pd.DataFrame

    @property
    def counts(self) -> pd.Series:
        """Interactions of each item, by token."""
        return self.inter[ITEM].value_counts()

    @property
    def time_is_real(self) -> bool:
        """Whether times are moments: after the year 2000, and on different days."""
        time = self.inter[TIME].to_numpy()
        days = np.unique(time // 86_400)
        return bool(np.median(time) > _YEAR_2000 and len(days) > 1)

    @property
    def split_by_time(self) -> bool:
        """Whether the last tenth by time is tested on: it is of many users."""
        if not self.time_is_real:
            return False
        late = self.inter[self.inter[TIME] > np.quantile(self.inter[TIME], 0.9)]
        n_late, n_users = late[USER].nunique(), self.inter[USER].nunique()
        return n_late >= _USERS_BY_TIME and n_late >= _SHARE_BY_TIME * n_users

    def settings(self) -> dict[str, Any]:
        """Give the settings that all stages share."""
        split = {"TS": [0.8, 0.1, 0.1]} if self.split_by_time else {"LS": "valid_and_test"}
        lengths = self.inter[USER].value_counts()
        longest = int(np.ceil(np.quantile(lengths, 0.95)))
        return {
            "data_path": str(self.folder.parent),
            "eval_args": {"split": split, "order": "TO", "group_by": "user", "mode": "full"},
            "MAX_ITEM_LIST_LENGTH": int(min(_LONGEST, max(longest, 2))),
            "stopping_step": _PATIENCE,
        }

    def check(self) -> None:
        """Raise a UserError if nobody has the three purchases that a split needs, or too few items.

        Lists of ten are compared, so there must be more than 20 items.
        """
        n_usable = int((self.inter[USER].value_counts() >= 3).sum())
        if n_usable < 2:
            raise UserError(
                f"{n_usable} users of {self.folder} have three interactions or more: there is "
                "nothing to learn from and to test on.",
                "Take a sample of whole histories: all orders of some customers.",
            )
        n_items = self.inter[ITEM].nunique()
        if n_items < 21:
            raise UserError(
                f"{self.folder} has {n_items} items, and lists of up to 20 are compared.",
                "Take a sample with more items.",
            )


def read_sample(dataset: str, folder: Path) -> Sample:
    """Read the interactions of a dataset.

    Parameters
    ----------
    dataset : str
        Its name.
    folder : Path
        Of its files.

    Returns
    -------
    Sample

    Raises
    ------
    UserError
        There is no ``.inter`` file, it is damaged, or it has no time.
    """
    path = folder / f"{dataset}.inter"
    if not path.is_file():
        raise UserError(
            f"There is no {path}.", "Give a dataset with one .inter file, or a file of orders."
        )
    inter = AtomicFile(path).read([USER, ITEM, TIME]).dropna()
    order = np.argsort(inter[TIME].to_numpy(), kind="stable")
    return Sample(dataset, folder, inter.iloc[order].reset_index(drop=True))
