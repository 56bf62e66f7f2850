"""The principal components of a modality's features, fitted chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from scipy.linalg import blas, eigh
from torch import Tensor, nn

_EPS = 1e-6
_CHUNK_BYTES = 1 << 22  # of float64: enough rows for a fast matrix product
_fitting: ContextVar[bool] = ContextVar("fitting", default=True)


@contextmanager
def without_fitting() -> Iterator[None]:
    """Build models whose values all come from a checkpoint: nothing is fitted to the features.

    What would be fitted is NaN until ``load_state_dict`` fills it, so that a model which is never
    filled cannot be taken for a trained one.
    """
    token = _fitting.set(False)
    try:
        yield
    finally:
        _fitting.reset(token)


def is_fitting() -> bool:
    """Whether a model that is built now is to be fitted to its features."""
    return _fitting.get()


class Vectors:
    """Some vectors of an array ``[n_rows, n_tokens, dim]``, read when asked for.

    Parameters
    ----------
    values : Tensor
        ``[n_rows, n_tokens, dim]``, any floating dtype; of a file: mapped, not loaded.
    row, token : Tensor
        ``[n_vectors]``, where each vector is.
    """

    def __init__(self, values: Tensor, row: Tensor, token: Tensor) -> None:
        self._values, self._row, self._token = values, row, token

    def __len__(self) -> int:
        return len(self._row)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._values.size(-1)

    def rows(self) -> Iterator[np.ndarray]:
        """Read all vectors, a chunk at a time: ``[any number, dim]``, float64."""
        for part in _parts(len(self), self.dim):
            yield self._values[self._row[part], self._token[part]].double().numpy()

    def columns(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Read some numbers of every vector at a time: which, and ``[n_vectors, any number]``."""
        for part in _parts(self.dim, len(self)):
            yield part, self._values[self._row, self._token, part].double().numpy()


def _parts(n: int, width: int) -> Iterator[slice]:
    """Cut ``n`` rows of ``width`` float64 numbers into chunks."""
    step = max(1, _CHUNK_BYTES // (8 * max(1, width)))
    return (slice(first, min(first + step, n)) for first in range(0, n, step))


def whitened_width(dim: int, n_components: int) -> int:
    """Length of a vector of ``dim`` numbers that is whitened to so many components; 0: all."""
    return min(n_components or dim, dim)


class Whitening(nn.Module):
    """Principal components of the features, each of one variance, all together of length 1.

    Encoders' vectors share a large mean and a few dominant directions; a linear layer learns
    little from the rest until these are taken away (Su et al., "Whitening sentence
    representations for better semantics and faster retrieval", 2021).

    Parameters
    ----------
    vectors : Vectors
        To fit to; not read within :func:`without_fitting`.
    n_components : int
        Components to keep, at most ``dim``; those beyond what the vectors span are 0. 0: centre
        each dimension and scale it to one variance, and keep them all.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, vectors: Vectors, n_components: int) -> None:
        super().__init__()
        self.width = whitened_width(vectors.dim, n_components)
        mean = torch.full((vectors.dim,), torch.nan)
        components = torch.full((vectors.dim, self.width), torch.nan)
        if is_fitting():
            fitted = _mean(vectors)
            mean = torch.from_numpy(fitted).float()
            components.zero_()
            if n_components == 0:
                scale = 1 / (_mean(vectors, fitted) ** 0.5 + _EPS)
                components.diagonal().copy_(torch.from_numpy(scale / self.width**0.5))
            else:
                directions = _principal(vectors, fitted, self.width)
                # An optimiser like Adam moves every weight by as much a step, whatever its input.
                # With inputs of length 1, an item's vector moves by as much as an ID embedding.
                directions /= directions.shape[1] ** 0.5
                components[:, : directions.shape[1]] = torch.from_numpy(directions)
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)

    def forward(self, values: Tensor) -> Tensor:
        """Map ``[..., dim]`` of any floating dtype to ``[..., width]``, float32."""
        return (values.float() - self.mean) @ self.components


def _mean(vectors: Vectors, centre: np.ndarray | None = None) -> np.ndarray:
    """Mean of each dimension, ``[dim]``; of its squared distance to ``centre`` if given."""
    total = np.zeros(vectors.dim)
    for chunk in vectors.rows():
        total += (chunk if centre is None else (chunk - centre) ** 2).sum(0)
    return total / len(vectors)


def _principal(vectors: Vectors, mean: np.ndarray, n_components: int) -> np.ndarray:
    """Directions of the largest variance, divided by its root: ``[dim, <= n_components]``.

    The eigenvectors are those of the covariance, or of the vectors' products with one another
    (the Gram matrix, of the same eigenvalues), whichever matrix is smaller.
    """
    n, dim = len(vectors), vectors.dim
    if n >= dim:
        centred = (np.subtract(chunk, mean, out=chunk) for chunk in vectors.rows())
        variance, direction = _leading(centred, n, n_components)
    else:
        across = ((chunk - mean[part]).T for part, chunk in vectors.columns())
        variance, of_vector = _leading(across, n, n_components)
        direction = np.empty((dim, len(variance)))
        for part, chunk in vectors.columns():
            direction[part] = (chunk - mean[part]).T @ of_vector
        direction /= (variance * n) ** 0.5
    # An eigenvector's sign is arbitrary; fix it, so that every machine gets the same map.
    largest = np.abs(direction).argmax(0)
    return direction * np.sign(direction[largest, np.arange(len(variance))]) / variance**0.5


def _leading(
    chunks: Iterable[np.ndarray], n: int, n_components: int
) -> tuple[np.ndarray, np.ndarray]:
    """Largest eigenvalues and their vectors of ``sum(chunk.T @ chunk) / n``, in falling order.

    The one large matrix is filled and then reduced in place, of which BLAS and LAPACK use a half.
    """
    product: np.ndarray | None = None
    for chunk in chunks:
        chunk = np.ascontiguousarray(chunk)
        if product is None:
            product = np.zeros((chunk.shape[1],) * 2, order="F")
        product = blas.dsyrk(1 / n, chunk.T, beta=1, c=product, lower=1, overwrite_c=1)
    assert product is not None
    size = len(product)
    wanted = (max(0, size - n_components), size - 1)
    value, vector = eigh(product, subset_by_index=wanted, overwrite_a=True, check_finite=False)
    keep = int((value > _EPS * value[-1]).sum())
    return value[::-1][:keep], vector[:, ::-1][:, :keep]
