"""RecBole's sequential dataset with item features, its rows built when they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from pandas.api.types import union_categoricals
from recbole.data.dataset import Dataset, SequentialDataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureType

from ..errors import UserError
from . import holding_out, splitting
from .features import load_features
from .interaction import Histories, HistoryInteraction
from .parts import (
    PART,
    check_history,
    check_time,
    has_lists,
    is_of_interactions,
    item_list_field,
    part_of_interactions,
)
from .sequences import Windows, fill_gaps, flat_order, make_rows, make_rows_of_warm, make_windows

WINDOWS = "windows"


class MultiModalSequentialDataset(SequentialDataset):
    """Interactions, histories and item features.

    Rows, their order and their values are those of RecBole's ``SequentialDataset`` with exact
    time order, for every split; but a history is cut from the flat order when its row is drawn.
    With ``train_sequences: windows`` the training split's units are windows: each history once,
    with a target at every position.

    Parameters
    ----------
    config : recbole.config.Config
        Beside RecBole's options ``modalities``, ``feature_path`` and ``train_sequences``; and
        what it holds back: ``cold_item_ratio``, ``missing_features``, ``popularity_skew``. The
        rows of cold items are all in the last split, for test.

    Attributes
    ----------
    item_features : dict of str to AlignedFeatures
        Features of the modalities, by item id.

    Raises
    ------
    UserError
        See :func:`recbole_mmdistill.data.features.load_features`.
    """

    inter_feat: Any  # a DataFrame until _change_feat_format, an Interaction from then on

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._windows: Windows | None = None
        self._targets: Histories | None = None  # what windows predict, if it is not all they read
        self._cold: np.ndarray | None = None  # bool [n_items], items that training never sees
        # A plugin model says how it is trained; any other model gets RecBole's rows, all fields.
        self._only_items = config["train_sequences"] is not None
        self.item_features = load_features(self)

    # Reading

    token_categories = True  # one object for each distinct token, not for each cell

    def _filter_by_inter_num(self) -> None:
        """Filter by numbers of interactions, which are counted only if some would not do."""
        options = ("user_inter_num_interval", "item_inter_num_interval")
        wanted = [self._parse_intervals_str(self.config[option]) for option in options]
        if any(interval not in (None, [("[", 0, np.inf, ")")]) for interval in wanted):
            super()._filter_by_inter_num()

    def _remap(self, remap_list: list[tuple[pd.DataFrame, str, FeatureType]]) -> None:
        """Number tokens by their first appearance, as RecBole does, each distinct one once."""
        dtypes = [feat[field].dtype for feat, field, _ in remap_list]
        only_tokens = all(ftype == FeatureType.TOKEN for *_, ftype in remap_list)
        if not only_tokens or "category" not in dtypes:
            return super()._remap(remap_list)
        columns = [_as_categories(feat[field]) for feat, field, _ in remap_list]
        number, distinct = pd.factorize(union_categoricals(columns))
        number += 1
        tokens = np.array(["[PAD]", *distinct])
        token_id = {token: i for i, token in enumerate(tokens)}
        ends = np.cumsum([len(column) for column in columns])[:-1]
        for (feat, field, _), ids in zip(remap_list, np.split(number, ends)):
            self.field2id_token.setdefault(field, tokens)
            self.field2token_id.setdefault(field, token_id)
            feat[field] = ids
        return None

    # Histories

    def _change_feat_format(self) -> None:
        """Turn frames into interactions, and interactions into rows; lists are not yet built."""
        if has_lists(self):
            self._check_nothing_held_back()
            return Dataset._change_feat_format(self)
        check_time(self)
        part = part_of_interactions(self) if is_of_interactions(self) else None
        Dataset._change_feat_format(self)
        self._aug_presets()
        self._check_field("uid_field", "time_field")
        flat = self.inter_feat.interaction
        index, (target, start, length) = self._order(flat)
        columns, listed = {}, {}
        for field in list(flat):
            values = flat.pop(field)  # so that no more than one column exists twice
            columns[field] = values[target]
            if field != self.uid_field and (field == self.iid_field or not self._only_items):
                name = getattr(self, f"{field}_list_field")
                listed[name] = self._as_read_by_models(values)[index]
        columns[self.item_list_length_field] = length
        if part is not None:
            columns[PART] = torch.from_numpy(part)[target]
        histories = Histories(listed, self.max_item_list_len)
        self.inter_feat = HistoryInteraction(columns, start, self.item_list_length_field, histories)
        return check_history(self)

    def _check_nothing_held_back(self) -> None:
        for option in ("cold_item_ratio", "popularity_skew"):
            if self.config[option]:
                raise UserError(
                    f"{option} is {self.config[option]!r}, but the files of benchmark_filename "
                    "hold their histories as lists, from which nothing is held back.",
                    "Leave the option out, or give files of interactions.",
                )

    def _order(self, flat: dict[str, torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Positions of the interactions in histories' flat order, and of the rows' targets.

        The latter with where, in that order, their histories start, and the lengths of these.
        """
        user, time = flat[self.uid_field].numpy(), flat[self.time_field]
        order = flat_order(user, (time if time.dim() == 1 else time[..., 0]).numpy())
        item, seed = flat[self.iid_field].numpy(), self.config["seed"]
        if self.config["popularity_skew"]:
            skew = float(self.config["popularity_skew"])
            order = order[holding_out.thin_out(user[order], item[order], skew, seed)]
        in_history = order
        if self.config["cold_item_ratio"]:
            ratio = float(self.config["cold_item_ratio"])
            self._cold = holding_out.choose_cold(self.item_num, ratio, seed)
            cold = self._cold[item[order]]
            in_history = order[~cold]
            target, start, length = make_rows_of_warm(user[order], cold, self.max_item_list_len)
        else:
            target, start, length = make_rows(user[order], self.max_item_list_len)
        rows = order[target], start.astype(np.int32), length
        return torch.from_numpy(in_history), [torch.from_numpy(row) for row in rows]

    @staticmethod
    def _as_read_by_models(values: torch.Tensor) -> torch.Tensor:
        """The time field is sorted in float64 and read in float32."""
        return values.float() if values.dtype == torch.float64 else values

    # Splitting

    def build(self) -> list[MultiModalSequentialDataset]:
        """Sort and split, see RecBole's ``SequentialDataset``."""
        datasets = super().build()
        if self.config["train_sequences"] == WINDOWS:
            datasets[0].cut_into_windows()
        return datasets

    def _copies(self, parts: splitting.Parts) -> list[MultiModalSequentialDataset]:
        """Copies of this dataset with a part of the rows each; their columns are views."""
        self._drop_unused_col()
        if self._cold is not None:
            is_cold = self._cold[self.inter_feat[self.iid_field].numpy()]
            parts = splitting.move_to_last(parts, is_cold)
        order = torch.from_numpy(parts.rows)
        if self._samples_by_popularity():
            rows = self.inter_feat[order]  # the sampler's draws hang on the order of the whole
        else:
            self.inter_feat._reindex(order)
            rows = self.inter_feat
        ends = np.cumsum(parts.size)
        return [self.copy(rows[end - size : end]) for size, end in zip(parts.size, ends)]

    def _samples_by_popularity(self) -> bool:
        plans = (self.config[f"{phase}_neg_sample_args"] for phase in ("train", "valid", "test"))
        return any(plan["distribution"] == "popularity" for plan in plans)

    def leave_one_out(self, group_by: str, leave_one_mode: str) -> list[Any]:
        """Split by leaving one out, see RecBole's ``Dataset``."""
        if group_by is None:
            raise ValueError("leave one out strategy require a group field")
        user = self.inter_feat[group_by].numpy()
        return self._copies(splitting.leave_one_out(user, leave_one_mode))

    def split_by_ratio(self, ratios: list[float], group_by: str | None = None) -> list[Any]:
        """Split by ratios, see RecBole's ``Dataset``."""
        total = sum(ratios)
        shares = [ratio / total for ratio in ratios]
        n_rows = len(self.inter_feat)
        user = np.zeros(n_rows) if group_by is None else self.inter_feat[group_by].numpy()
        parts = splitting.by_ratio(
            user, len(ratios), lambda size: self._calcu_split_ids(tot=size, ratios=shares)
        )
        return self._copies(parts)

    def time_based_split(self, ratios: list[float], group_by: str) -> list[Any]:
        """Split by a point in time, see RecBole's ``Dataset``."""
        if group_by is None:
            raise ValueError("Time-based split strategy requires a group field")
        total = sum(ratios)
        user = self.inter_feat[group_by].numpy()
        time = self.inter_feat[self.time_field].numpy()
        return self._copies(splitting.by_time(user, time, [ratio / total for ratio in ratios]))

    def split_by_file(self) -> list[Any]:
        """Split as the files of ``benchmark_filename`` say."""
        part = self.inter_feat.interaction.pop(PART).numpy()
        datasets = self._copies(splitting.by_part(part, len(self.file_size_list)))
        datasets[0]._targets = datasets[0]._only_own_targets()
        return datasets

    def _only_own_targets(self) -> Histories:
        """The items that are a target of these rows, where they stand in the flat order; else 0."""
        field, histories = item_list_field(self), self.inter_feat.histories
        target = self.inter_feat.start + self.inter_feat[self.item_list_length_field]
        own = torch.zeros_like(histories.columns[field])
        own[target] = histories.columns[field][target]
        return Histories({field: own}, histories.width)

    # Drawing

    def __len__(self) -> int:
        return len(self.inter_feat) if self._windows is None else self.n_windows

    def __getitem__(self, index: Any, join: bool = True) -> Interaction:
        """Draw rows, or windows of a training split that is cut into them.

        Parameters
        ----------
        index : array-like of int
            ``[n]``.
        join : bool
            Whether user and item columns are added (rows of built-in models alone).

        Returns
        -------
        Interaction
            Of windows: ``item_id_list`` and ``target_item_id_list``, both ``[n, T]`` with T the
            longest of them, 0 where a position has no target, and ``item_length`` ``[n]``. Of
            rows: RecBole's fields.
        """
        if self._windows is not None:
            return self._draw_windows(np.asarray(index))
        rows = self.inter_feat[index]
        if isinstance(rows, HistoryInteraction):
            rows = rows.materialise()
        return self.join(rows) if join and not self._only_items else rows

    # Windows

    @property
    def target_list_field(self) -> str:
        """Name of the windows' targets, ``target_item_id_list``."""
        return f"target_{item_list_field(self)}"

    @property
    def n_windows(self) -> int:
        """Number of windows of a training split."""
        return 0 if self._windows is None else len(self._windows.start)

    @property
    def n_targets(self) -> int:
        """Number of targets of a split: one for each row, whatever it is drawn in."""
        return len(self.inter_feat)

    @property
    def targets_per_user(self) -> float:
        """Targets of a split by the users who have any, 0 if nobody has."""
        n_users = len(self.inter_feat[self.uid_field].unique())
        return self.n_targets / max(n_users, 1)

    def windows_per_batch(self, train_batch_size: int) -> int:
        """Windows that hold as many targets as RecBole's batch has rows, on average."""
        return max(1, round(train_batch_size * self.n_windows / max(self.n_targets, 1)))

    def steps_per_epoch(self, train_batch_size: int) -> int:
        """Batches that an epoch of training takes."""
        in_batch = train_batch_size if self._windows is None else None
        return -(-len(self) // (in_batch or self.windows_per_batch(train_batch_size)))

    def cut_into_windows(self, epoch: int = 0) -> None:
        """Cut a training split into windows, for each epoch anew; all processes cut alike."""
        if isinstance(self.inter_feat, HistoryInteraction):
            length = self.inter_feat[self.item_list_length_field]
            start = self.inter_feat.start
            target = (start + length).numpy()
            if self._targets is not None:
                user = self.inter_feat[self.uid_field].numpy()
                target = fill_gaps(target, start.numpy(), user)
            rng = np.random.default_rng([self.config["seed"], epoch])
            context = int(self.config["window_context"] * self.max_item_list_len)
            self._windows = make_windows(target, self.max_item_list_len, context, rng)
        else:  # rows of benchmark files stand alone, each is a window with one target
            rows = np.arange(len(self.inter_feat))
            self._windows = Windows(rows, np.ones_like(rows), np.zeros_like(rows))

    def _draw_windows(self, index: np.ndarray) -> Interaction:
        assert self._windows is not None
        start, length, context = (torch.from_numpy(part[index]) for part in self._windows)
        if not isinstance(self.inter_feat, HistoryInteraction):
            return self._draw_benchmark_rows(start)
        histories, field = self.inter_feat.histories, item_list_field(self)
        width = int(length.max())
        targets = histories if self._targets is None else self._targets
        target_seq = targets.cut(field, start + 1, length, width)
        target_seq *= torch.arange(width) >= context[:, None]
        return Interaction(
            {
                field: histories.cut(field, start, length, width),
                self.target_list_field: target_seq,
                self.item_list_length_field: length,
            }
        )

    def _draw_benchmark_rows(self, row: torch.Tensor) -> Interaction:
        length = self.inter_feat[self.item_list_length_field][row]
        item_seq = self.inter_feat[item_list_field(self)][row, : int(length.max())]
        target_seq = torch.zeros_like(item_seq)
        target_seq.scatter_(1, length[:, None] - 1, self.inter_feat[self.iid_field][row, None])
        return Interaction(
            {
                item_list_field(self): item_seq,
                self.target_list_field: target_seq,
                self.item_list_length_field: length,
            }
        )


def _as_categories(column: pd.Series) -> pd.Categorical:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.array
    code, distinct = pd.factorize(column.to_numpy(dtype=object))
    return pd.Categorical.from_codes(code, pd.Index(distinct, dtype=object))
