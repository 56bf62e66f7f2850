"""RecBole's sequential dataset with item features, its rows built when they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.data.dataset import Dataset, SequentialDataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType

from . import splitting
from .features import load_features
from .interaction import Histories, HistoryInteraction
from .sequences import Windows, flat_order, make_rows, make_windows

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
        Beside RecBole's options ``modalities``, ``feature_path`` and ``train_sequences``.

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
        # A plugin model says how it is trained; any other model gets RecBole's rows, all fields.
        self._only_items = config["train_sequences"] is not None
        self.item_features = load_features(self)

    # Reading

    def _load_feat(self, filepath: str, source: Any) -> Any:
        """Read an ``.inter`` file of plain columns fast; all else as RecBole does.

        RecBole reads with pandas' Python engine, and keeps a string object for every cell. Here
        the C engine reads, and tokens are categories: one object for each distinct token.
        """
        if source is not FeatureSource.INTERACTION or len(self.config["field_separator"]) != 1:
            return super()._load_feat(filepath, source)
        load_col, unload_col = self._get_load_and_unload_col(source)
        with open(filepath, encoding=self.config["encoding"]) as file:
            header = file.readline().rstrip("\n").split(self.config["field_separator"])
        types = dict(column.split(":") for column in header)
        plain = {FeatureType.TOKEN.value, FeatureType.FLOAT.value}
        if load_col == set() or not plain.issuperset(types.values()):
            return super()._load_feat(filepath, source)
        kept = {
            field: FeatureType(ftype)
            for field, ftype in types.items()
            if (load_col is None or field in load_col)
            and (unload_col is None or field not in unload_col)
        }
        if not kept:
            return super()._load_feat(filepath, source)
        for field, ftype in kept.items():
            self.field2source[field] = source
            self.field2type[field] = ftype
            self.field2seqlen[field] = 1
            if ftype == FeatureType.FLOAT:
                self.field2bucketnum[field] = 2
        is_float = {field: ftype == FeatureType.FLOAT for field, ftype in kept.items()}
        frame = pd.read_csv(
            filepath,
            sep=self.config["field_separator"],
            usecols=[f"{field}:{types[field]}" for field in kept],
            dtype={
                f"{field}:{types[field]}": np.float64 if is_float[field] else "category"
                for field in kept
            },
            encoding=self.config["encoding"],
            engine="c",
        )
        frame.columns = list(kept)
        for field in kept:
            if not is_float[field]:
                # Categories are of pandas' string type; what follows wants plain objects.
                categories = frame[field].cat.categories.astype(object)
                frame[field] = frame[field].cat.rename_categories(categories)
        return frame

    # Histories

    def _change_feat_format(self) -> None:
        """Turn frames into interactions, and interactions into rows; lists are not yet built."""
        Dataset._change_feat_format(self)
        if self.config["benchmark_filename"] is not None:
            return
        self._aug_presets()
        self._check_field("uid_field", "time_field")
        if self.time_field not in self.inter_feat:
            raise ValueError(f"[{self.time_field}] is not exist in interaction [{self}].")
        flat = {field: self.inter_feat[field] for field in self.inter_feat}
        time = flat[self.time_field]
        user = flat[self.uid_field].numpy()
        order = flat_order(user, (time if time.dim() == 1 else time[..., 0]).numpy())
        rows = make_rows(user[order], self.max_item_list_len)
        index = torch.from_numpy(order)
        target = index[torch.from_numpy(rows.target)]
        columns = {field: values[target] for field, values in flat.items()}
        columns[self.item_list_length_field] = torch.from_numpy(rows.length)
        listed = {
            getattr(self, f"{field}_list_field"): self._as_read_by_models(values)[index]
            for field, values in flat.items()
            if field != self.uid_field and (field == self.iid_field or not self._only_items)
        }
        self.inter_feat = HistoryInteraction(
            columns,
            torch.from_numpy(rows.start),
            self.item_list_length_field,
            Histories(listed, self.max_item_list_len),
        )

    @staticmethod
    def _as_read_by_models(values: torch.Tensor) -> torch.Tensor:
        """The time field is sorted in float64 and read in float32."""
        return values.float() if values.dtype == torch.float64 else values

    # Splitting

    def build(self) -> list[MultiModalSequentialDataset]:
        """Sort and split, see RecBole's ``SequentialDataset``."""
        datasets = super().build()
        if self.config["train_sequences"] == WINDOWS:
            datasets[0]._cut_into_windows()
        return datasets

    def _parts(self, indices: list[np.ndarray]) -> list[MultiModalSequentialDataset]:
        self._drop_unused_col()
        return [self.copy(self.inter_feat[index]) for index in indices]

    def leave_one_out(self, group_by: str, leave_one_mode: str) -> list[Any]:
        """Split by leaving one out, see RecBole's ``Dataset``."""
        if group_by is None:
            raise ValueError("leave one out strategy require a group field")
        user = self.inter_feat[group_by].numpy()
        return self._parts(splitting.leave_one_out(user, leave_one_mode))

    def split_by_ratio(self, ratios: list[float], group_by: str | None = None) -> list[Any]:
        """Split by ratios, see RecBole's ``Dataset``."""
        total = sum(ratios)
        shares = [ratio / total for ratio in ratios]
        if group_by is None:
            ends = self._calcu_split_ids(tot=len(self.inter_feat), ratios=shares)
            return self._parts(np.split(np.arange(len(self.inter_feat)), ends))
        user = self.inter_feat[group_by].numpy()
        parts = splitting.by_ratio(
            user, len(ratios), lambda size: self._calcu_split_ids(tot=size, ratios=shares)
        )
        return self._parts(parts)

    def time_based_split(self, ratios: list[float], group_by: str) -> list[Any]:
        """Split by a point in time, see RecBole's ``Dataset``."""
        if group_by is None:
            raise ValueError("Time-based split strategy requires a group field")
        total = sum(ratios)
        user = self.inter_feat[group_by].numpy()
        time = self.inter_feat[self.time_field].numpy()
        return self._parts(splitting.by_time(user, time, [ratio / total for ratio in ratios]))

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
            longest of them, and ``item_length`` ``[n]``. Of rows: RecBole's fields.
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
        return f"target_{self.item_id_list_field}"

    @property
    def n_windows(self) -> int:
        """Number of windows of a training split."""
        return 0 if self._windows is None else len(self._windows.start)

    @property
    def n_targets(self) -> int:
        """Number of targets of a split: one for each row, whatever it is drawn in."""
        return len(self.inter_feat)

    def windows_per_batch(self, train_batch_size: int) -> int:
        """Windows that hold as many targets as RecBole's batch has rows, on average."""
        return max(1, round(train_batch_size * self.n_windows / max(self.n_targets, 1)))

    def steps_per_epoch(self, train_batch_size: int) -> int:
        """Batches that an epoch of training takes."""
        in_batch = train_batch_size if self._windows is None else None
        return -(-len(self) // (in_batch or self.windows_per_batch(train_batch_size)))

    def _cut_into_windows(self) -> None:
        if isinstance(self.inter_feat, HistoryInteraction):
            length = self.inter_feat[self.item_list_length_field]
            target = (self.inter_feat.start + length).numpy()
            self._windows = make_windows(target, self.max_item_list_len)
        else:  # rows of benchmark files stand alone, each is a window with one target
            rows = np.arange(len(self.inter_feat))
            self._windows = Windows(rows, np.ones_like(rows))

    def _draw_windows(self, index: np.ndarray) -> Interaction:
        assert self._windows is not None
        start, length = (torch.from_numpy(part[index]) for part in self._windows)
        if not isinstance(self.inter_feat, HistoryInteraction):
            return self._draw_benchmark_rows(start)
        histories, field = self.inter_feat.histories, self.item_id_list_field
        width = int(length.max())
        return Interaction(
            {
                field: histories.cut(field, start, length, width),
                self.target_list_field: histories.cut(field, start + 1, length, width),
                self.item_list_length_field: length,
            }
        )

    def _draw_benchmark_rows(self, row: torch.Tensor) -> Interaction:
        length = self.inter_feat[self.item_list_length_field][row]
        item_seq = self.inter_feat[self.item_id_list_field][row, : int(length.max())]
        target_seq = torch.zeros_like(item_seq)
        target_seq.scatter_(1, length[:, None] - 1, self.inter_feat[self.iid_field][row, None])
        return Interaction(
            {
                self.item_id_list_field: item_seq,
                self.target_list_field: target_seq,
                self.item_list_length_field: length,
            }
        )
