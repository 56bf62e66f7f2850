"""Recommendations of an export: numpy and onnxruntime, no torch and no RecBole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .manifest import Manifest, read_array, read_manifest
from .ranking import Ranker, Scoring
from .search import ExactIndex, Index
from .tables import INT8, Table

ENCODER, TOKENS, INDEX = "user_encoder.onnx", "tokens.json", "index.faiss"
_AGAIN = "Export the checkpoint again."


class Runtime(Ranker):
    """Recommends by an export.

    Parameters
    ----------
    folder : str or Path
        As ``recbole-mm export`` wrote it.
    threads : int
        Of the user encoder and of the index; those of the exact search are numpy's
        (``OMP_NUM_THREADS``).
    exact : bool
        Whether every item is looked at, although there is an index.
    verify : bool
        Whether each file is compared with its hash, which reads all of them.
    mapped : bool
        Whether arrays stay in their files, see :func:`.manifest.read_array`.

    Attributes
    ----------
    manifest : Manifest
        What the export says of itself.

    Raises
    ------
    UserError
        It is no export, a file of it is damaged, or a package is missing.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        threads: int = 1,
        exact: bool = False,
        verify: bool = True,
        mapped: bool = True,
    ) -> None:
        self.folder = Path(folder)
        self._mapped = mapped
        self.manifest = manifest = read_manifest(self.folder, verify)
        n_items, n_branches = manifest.n_items, len(manifest.branches)
        scales = self._array("scales", np.float32, n_items) if manifest.dtype == INT8 else None
        values = self._array("table", manifest.dtype, n_items, manifest.width)
        table = Table(values, scales)
        weights = self._array("weights", np.float32, n_items, n_branches)
        popularity = self._array("popularity", np.int64, n_items)
        repeat_bias = None
        if manifest.repeats:
            repeat_bias = self._array("repeat_bias", np.float32, manifest.max_length)
        self._reading = _Reading(
            table,
            weights,
            [branch.width for branch in manifest.branches],
            self._array("means", np.float32, manifest.width),
            self._array("read_numbers", np.int64, -1),
            self._array("read_vectors", np.float32, -1, manifest.read_width),
        )
        self._session = _open_encoder(self.folder / ENCODER, manifest, threads)
        index: Index = ExactIndex(table)
        if manifest.index is not None and not exact:
            from .approximate import read_index

            index = read_index(self.folder / INDEX, manifest, table, threads)
        scoring = Scoring(
            branches=tuple(branch.name for branch in manifest.branches),
            widths=tuple(branch.width for branch in manifest.branches),
            max_length=manifest.max_length,
            user_states=self._user_states,
            index=index,
            weights=weights,
            repeat_bias=repeat_bias,
        )
        super().__init__(_read_tokens(self.folder / TOKENS, n_items), lambda: popularity, scoring)

    def _array(self, name: str, dtype: Any, *shape: int) -> np.ndarray:
        return read_array(self.folder, f"{name}.npy", dtype, shape, self._mapped)

    def _user_states(self, item_seq: np.ndarray, item_seq_len: np.ndarray) -> np.ndarray:
        vectors = self._reading.vectors(item_seq)
        (states,) = self._session.run(None, {"vectors": vectors, "length": item_seq_len})
        return states


class _Reading:
    """What the user encoder reads of items, made of what they are scored by.

    A column of the table is ``(vector - mean) * weight``. So nearly every vector follows from it;
    those that do not are kept beside it: of items that lack a source, whose weight is 0.
    """

    def __init__(
        self,
        table: Table,
        weights: np.ndarray,
        widths: list[int],
        means: np.ndarray,
        numbers: np.ndarray,
        vectors: np.ndarray,
    ) -> None:
        self._table, self._weights, self._means = table, weights, means
        ends = np.cumsum(widths)
        self._columns = [slice(end - width, end) for width, end in zip(widths, ends)]
        self._numbers, self._vectors = numbers, vectors
        self._plain = bool((weights == 1).all() and not means.any())

    def vectors(self, item_seq: np.ndarray) -> np.ndarray:
        """Give what is read of items ``[B, T]``: float32 ``[B, T, read_width]``."""
        flat = item_seq.reshape(-1)
        vectors = self._table.part(flat)
        if not self._plain:
            weights = self._weights[flat]
            factor = np.divide(1, weights, out=np.zeros_like(weights), where=weights != 0)
            for branch, here in enumerate(self._columns):
                vectors[:, here] *= factor[:, branch, None]
            vectors += self._means
        if vectors.shape[1] != self._vectors.shape[1]:  # other branches are read than scored
            vectors = np.zeros((len(flat), self._vectors.shape[1]), dtype=np.float32)
        if len(self._numbers):
            place = np.searchsorted(self._numbers, flat).clip(max=len(self._numbers) - 1)
            kept = self._numbers[place] == flat
            vectors[kept] = self._vectors[place[kept]]
        vectors[flat == 0] = 0
        return vectors.reshape(*item_seq.shape, -1)


def recovered(
    table: np.ndarray, weights: np.ndarray, widths: list[int], means: np.ndarray
) -> np.ndarray:
    """Give the vectors that follow from a float32 table, see :class:`_Reading`; else inf or NaN."""
    branch = np.repeat(np.arange(len(widths)), widths)
    with np.errstate(divide="ignore", invalid="ignore"):
        return table / weights[:, branch] + means


def _open_encoder(path: Path, manifest: Manifest, threads: int) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UserError(
            "An export is run by the package onnxruntime, which is not installed.",
            "Say `pip install onnxruntime`.",
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        vectors = np.zeros((2, 1, manifest.read_width), dtype=np.float32)
        (states,) = session.run(None, {"vectors": vectors, "length": np.ones(2, dtype=np.int64)})
    except Exception as error:  # whatever a damaged model leads to
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} is no model that onnxruntime can run ({reason}).", _AGAIN
        ) from None
    if states.shape != (2, manifest.width) or states.dtype != np.float32:
        raise UserError(f"{path} does not fit the export's manifest.", _AGAIN)
    return session


def _read_tokens(path: Path, n_items: int) -> np.ndarray:
    try:
        tokens = json.loads(path.read_text(encoding="utf-8"))
        sound = isinstance(tokens, list) and all(isinstance(token, str) for token in tokens)
        if not sound or len(set(tokens)) != n_items or len(tokens) != n_items:
            raise ValueError(f"it has no {n_items} different tokens")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error!s:.200}).", _AGAIN) from None
    array = np.empty(n_items, dtype=object)
    array[:] = tokens
    return array
