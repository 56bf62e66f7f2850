"""The feature file of this package, as one format among the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import UserError
from ..store import RowReader, open_features, write_rows
from .format import Format, Options, Rows


class SafetensorsFormat(Format):
    """The feature file of this package."""

    name = "safetensors"
    suffix = r"\.safetensors"
    write_options = frozenset({"encoder"})

    def read(self, path: Path, options: Options) -> Rows:
        """Open a feature file."""
        source = open_features(path)
        mask = source.token_mask

        def chunks() -> Iterator[np.ndarray]:
            with RowReader(path) as reader:
                yield from reader.chunks()

        return Rows(
            files=(path,),
            item_tokens=source.item_tokens,
            shape=tuple(source.values.shape),
            dtype=np.dtype(str(source.values.dtype).removeprefix("torch.")),
            info=source.info,
            chunks=chunks,
            token_mask=None if mask is None or mask.all() else mask.numpy(),
        )

    def write(self, path: Path, rows: Rows, options: Options) -> int:
        """Write a feature file."""
        if not rows.info.modality:
            raise UserError(
                f"Neither {rows.files[0]} nor the name {path.name} says of which modality it is.",
                "Say it with --modality, or call the file <dataset>.<modality>.safetensors.",
            )
        shape, mask = rows.shape, rows.token_mask
        write_rows(path, rows.chunks(), shape, rows.dtype, rows.item_tokens, rows.info, mask)
        return 0
