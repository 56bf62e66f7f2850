"""An ``Interaction`` whose lists are built when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from .sequences import padded_positions


class Histories:
    """The flat columns that lists are cut from.

    Parameters
    ----------
    columns : Mapping of str to Tensor
        Name of a list field, and its values in the flat order, ``[n_interactions, ...]``.
    width : int
        Columns of a list, RecBole's ``MAX_ITEM_LIST_LENGTH``.
    """

    def __init__(self, columns: Mapping[str, Tensor], width: int) -> None:
        self.columns = dict(columns)
        self.width = width

    def cut(self, field: str, start: Tensor, length: Tensor, width: int | None = None) -> Tensor:
        """Lists of a field, ``[n, width, ...]``, zero where a list has ended.

        Parameters
        ----------
        field : str
            Name of a list field.
        start, length : Tensor
            int64 ``[n]`` each.
        width : int, optional
            Columns of the result, by default as many as RecBole makes.
        """
        at = padded_positions(start.numpy(), length.numpy(), width or self.width)
        position = torch.from_numpy(at)
        values = self.columns[field][position.clamp(min=0)]
        missing = (position < 0).view(position.shape + (1,) * (values.dim() - 2))
        return values.masked_fill_(missing, 0)


class HistoryInteraction(Interaction):
    """Rows of which only the target's columns exist; the lists are cut when they are asked for.

    RecBole keeps every list of every row for as long as a dataset lives. Here a row has a start
    in the flat order beside its length, both of which sorting, shuffling and selecting carry
    along; a selection is again such an object, until :meth:`materialise` makes a plain one of it.

    Parameters
    ----------
    columns : Mapping of str to Tensor
        The eager columns, ``[n_rows, ...]`` each.
    start : Tensor
        Where each row's history begins in the flat order, int32 ``[n_rows]``.
    length_field : str
        Name of the eager column that holds the histories' lengths.
    histories : Histories
        What the lists are cut from, shared by all selections.
    """

    def __init__(
        self,
        columns: Mapping[str, Tensor],
        start: Tensor,
        length_field: str,
        histories: Histories,
    ) -> None:
        super().__init__(dict(columns))
        self.start = start
        self.length_field = length_field
        self.histories = histories
        self._cut: dict[str, Tensor] = {}
        self._dropped: set[str] = set()

    @property
    def list_fields(self) -> list[str]:
        """Names of the lists that can be asked for."""
        taken = self._dropped | set(self.interaction)
        return [field for field in self.histories.columns if field not in taken]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.interaction, *self.list_fields])

    def __contains__(self, item: object) -> bool:
        return item in self.interaction or item in self.list_fields

    @property
    def columns(self) -> list[str]:
        """Names of all columns, lists included."""
        return list(self)

    def __getattr__(self, item: str) -> Any:
        if item in ("interaction", "_dropped", "histories"):
            raise AttributeError(item)  # while being unpickled or copied
        if item in self:
            return self[item]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute {item!r}")

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            if index in self.list_fields:
                # Kept, because models that read it here read it again for every batch.
                if index not in self._cut:
                    length = self.interaction[self.length_field]
                    self._cut[index] = self.histories.cut(index, self.start, length)
                return self._cut[index]
            return self.interaction[index]
        if isinstance(index, np.ndarray):
            index = torch.from_numpy(index)
        elif isinstance(index, (list, range)):
            index = torch.as_tensor(index, dtype=torch.long)
        columns = {field: values[index] for field, values in self.interaction.items()}
        start = self.start[index]
        if start.dim() == 0:
            return self._like({k: v[None] for k, v in columns.items()}, start[None]).materialise()
        return self._like(columns, start)

    def _like(self, columns: dict[str, Tensor], start: Tensor) -> HistoryInteraction:
        other = type(self)(columns, start, self.length_field, self.histories)
        other._dropped = set(self._dropped)
        return other

    def _reindex(self, index: Any) -> None:
        super()._reindex(index)
        self.start = self.start[index]
        self._cut.clear()

    def drop(self, column: str) -> None:
        """Drop a column, see RecBole's Interaction."""
        if column in self.list_fields:
            self._dropped.add(column)
        else:
            super().drop(column)

    def materialise(self) -> Interaction:
        """Give a plain Interaction with every list built."""
        lists = {field: self[field] for field in self.list_fields}
        return Interaction({**self.interaction, **lists})

    def to(self, device: Any, selected_field: Any = None) -> Interaction:
        """Materialise on a device, see RecBole's Interaction."""
        return self.materialise().to(device, selected_field)

    def cpu(self) -> Interaction:
        """Materialise on the CPU, see RecBole's Interaction."""
        return self.materialise().cpu()

    def numpy(self) -> dict[str, np.ndarray]:
        """Materialise as arrays, see RecBole's Interaction."""
        return self.materialise().numpy()

    def repeat(self, sizes: int) -> Interaction:
        """Materialise and repeat, see RecBole's Interaction."""
        return self.materialise().repeat(sizes)

    def repeat_interleave(self, repeats: Any, dim: int = 0) -> Interaction:
        """Materialise and repeat, see RecBole's Interaction."""
        return self.materialise().repeat_interleave(repeats, dim)
