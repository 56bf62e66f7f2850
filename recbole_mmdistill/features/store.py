"""The feature file: one modality of one dataset, in a single self-describing safetensors file.

It holds the tensors

- ``values`` ``[n_items, n_tokens, dim]`` float16 or float32,
- ``token_mask`` ``[n_items, n_tokens]`` bool, True where a token is real (absent: all are),
- ``item_tokens`` ``[n_bytes]`` uint8 and ``item_token_offsets`` ``[n_items + 1]`` int64: the item
  tokens in UTF-8, item i being the bytes from offset i to offset i + 1,
- ``input_hashes`` ``[n_items, 16]`` uint8 (absent if unknown): what each item was encoded from,
  and by what, so that an unchanged item need not be encoded again,

and in its metadata the fields of :class:`FeatureInfo` and ``content_hash``, the SHA-256 of the
tensors without ``input_hashes``. Nothing in it is code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from ..files import replacing
from .headers import StoredArray, read_safetensors_header
from .packing import pack_strings, unpack_strings
from .source import FeatureInfo, FeatureSource, as_item_tokens, as_mask, as_tensor, from_array

FORMAT_VERSION = 1
TENSORS = ("values", "token_mask", "item_tokens", "item_token_offsets")
REQUIRED_TENSORS = {"values", "item_tokens", "item_token_offsets"}
INPUT_HASHES = "input_hashes"
HASH_BYTES = 16
REMAKE = "Make the file again, or fetch a whole copy of it."
CHUNK_BYTES = 1 << 22

_DTYPE_NAMES = {"float16": "F16", "float32": "F32", "uint8": "U8", "int64": "I64", "bool": "BOOL"}


def write_features(
    path: str | Path,
    values: torch.Tensor | np.ndarray,
    item_tokens: Sequence[str] | np.ndarray,
    info: FeatureInfo,
    token_mask: torch.Tensor | np.ndarray | None = None,
) -> None:
    """Write a feature file; a reader sees the whole new file or the old one, never a part.

    Parameters
    ----------
    path : str or pathlib.Path
        The file, by custom ``<dataset>.<modality>.safetensors``. Folders are made as needed.
    values : torch.Tensor or numpy.ndarray
        Shape ``[n_items, n_tokens, dim]`` or ``[n_items, dim]`` (one token), float16 or float32;
        stored in the dtype given.
    item_tokens : sequence of str
        Shape ``[n_items]``, each item once, as in the dataset's ``.inter`` file.
    info : FeatureInfo
        How the features were made.
    token_mask : torch.Tensor or numpy.ndarray, optional
        Shape ``[n_items, n_tokens]``, nonzero where a token is real.

    Raises
    ------
    UserError
        If a shape or dtype is wrong, an item occurs twice, its token is not valid Unicode, or
        the file cannot be written.
    """
    source = from_array(values, item_tokens, info, token_mask, name=str(path))
    whole = source.values.detach().cpu().numpy()
    mask = None if source.token_mask is None else source.token_mask.cpu().numpy()
    write_rows(path, chunks_of(whole), whole.shape, whole.dtype, source.item_tokens, info, mask)


def write_rows(
    path: str | Path,
    chunks: Iterable[np.ndarray],
    shape: Sequence[int],
    dtype: np.dtype | type,
    item_tokens: Sequence[str] | np.ndarray,
    info: FeatureInfo,
    token_mask: np.ndarray | None = None,
    input_hashes: np.ndarray | None = None,
) -> None:
    """Write a feature file whose values come in chunks: no more than one is in memory at a time.

    Parameters
    ----------
    path : str or pathlib.Path
        The file; it appears whole or not at all.
    chunks : iterable of numpy.ndarray
        Shape ``[any number, n_tokens, dim]`` each; together the values, in the items' order.
    shape : sequence of int
        ``[n_items, n_tokens, dim]``.
    dtype : numpy.dtype or type
        float16 or float32.
    item_tokens : sequence of str
        Shape ``[n_items]``, each item once.
    info : FeatureInfo
        How the features were made.
    token_mask : numpy.ndarray, optional
        Shape ``[n_items, n_tokens]``, bool.
    input_hashes : numpy.ndarray, optional
        Shape ``[n_items, 16]``, uint8.

    Raises
    ------
    UserError
        If an item token is not valid Unicode, or the file cannot be written.
    """
    path = Path(path)
    try:
        token_bytes, offsets = pack_strings(as_item_tokens(str(path), item_tokens))
    except UnicodeEncodeError as error:
        raise UserError(
            f"An item token for {path} is not valid Unicode ({error.reason}).",
            "Read the item tokens from a file in UTF-8.",
        ) from None
    small = {"item_tokens": token_bytes, "item_token_offsets": offsets}
    if token_mask is not None:
        small["token_mask"] = token_mask
    if input_hashes is not None:
        small[INPUT_HASHES] = input_hashes
    dtype = np.dtype(dtype)
    header = _Header(_metadata_of(info), small, tuple(shape), dtype)
    digest = hashlib.sha256()
    for key in sorted({*small} - {INPUT_HASHES}):
        _hash_tensor(digest, key, small[key])
    digest.update(f"values {dtype.name} {list(shape)}\n".encode())
    try:
        with replacing(path) as file:
            file.write(header.encode("0" * 64))
            file.write(np.ascontiguousarray(offsets).data)
            left = int(np.prod(shape)) * dtype.itemsize
            for chunk in chunks:
                data = np.ascontiguousarray(chunk, dtype=dtype).reshape(-1).view(np.uint8).data
                left -= len(data)
                file.write(data)
                digest.update(data)
            if left != 0:
                raise ValueError(f"the chunks differ from shape {list(shape)} by {left} bytes")
            for key in header.after_values:
                file.write(np.ascontiguousarray(small[key]).reshape(-1).view(np.uint8).data)
            file.seek(0)
            file.write(header.encode(digest.hexdigest()))
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error}.", "Give a path in a folder with enough room."
        ) from None


class _Header:
    """The part of a safetensors file that says where each tensor lies.

    The widest numbers come first, so that each tensor is aligned to its dtype.
    """

    def __init__(
        self,
        metadata: dict[str, str],
        small: dict[str, np.ndarray],
        shape: tuple[int, ...],
        dtype: np.dtype,
    ) -> None:
        self.metadata = metadata
        self.after_values = sorted({*small} - {"item_token_offsets"})
        self.entries: dict[str, Any] = {}
        end = 0
        for key in ("item_token_offsets", "values", *self.after_values):
            of_key, kind = (shape, dtype) if key == "values" else _shape_and_dtype(small[key])
            begin, end = end, end + int(np.prod(of_key)) * kind.itemsize
            self.entries[key] = {
                "dtype": _DTYPE_NAMES[kind.name],
                "shape": [*of_key],
                "data_offsets": [begin, end],
            }

    def encode(self, content_hash: str) -> bytes:
        """Give the header's bytes; their number does not depend on the hash."""
        metadata = self.metadata | {"content_hash": content_hash}
        text = json.dumps({"__metadata__": metadata, **self.entries}, ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text


def _shape_and_dtype(tensor: np.ndarray) -> tuple[tuple[int, ...], np.dtype]:
    return tensor.shape, tensor.dtype


def chunks_of(values: np.ndarray) -> Iterator[np.ndarray]:
    """Cut values into runs of rows of a few MiB."""
    rows = max(1, CHUNK_BYTES // max(1, values[:1].nbytes))
    for first in range(0, len(values), rows):
        yield values[first : first + rows]


class RowReader:
    """Rows of a feature file, read one by one from the disk and never mapped into memory.

    Mapped pages count as the process's memory once touched; a catalogue read to its end by this
    takes the memory of one row.

    Parameters
    ----------
    path : str or pathlib.Path
        The file, as :func:`open_features` takes it.

    Attributes
    ----------
    shape : tuple of int
        ``(n_items, n_tokens, dim)``.
    dtype : numpy.dtype
        float16 or float32.

    Raises
    ------
    UserError
        As :func:`open_features`.
    """

    def __init__(self, path: str | Path) -> None:
        source = open_features(path)
        _, arrays = _read_header(Path(path))
        self.shape = tuple(source.values.shape)
        self.dtype = arrays["values"].dtype
        self._file = open(path, "rb", buffering=0)
        self._start = arrays["values"].offset
        self._row_bytes = self.shape[1] * self.shape[2] * self.dtype.itemsize

    def __enter__(self) -> RowReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, first: int, n_rows: int = 1) -> np.ndarray:
        """Read rows.

        Parameters
        ----------
        first : int
            Number of the first row.
        n_rows : int
            How many, at most up to the last.

        Returns
        -------
        numpy.ndarray
            Shape ``[n_rows, n_tokens, dim]``.
        """
        n_rows = min(n_rows, self.shape[0] - first)
        size = n_rows * self._row_bytes
        data = os.pread(self._file.fileno(), size, self._start + first * self._row_bytes)
        return np.frombuffer(data, dtype=self.dtype).reshape(n_rows, *self.shape[1:])

    def chunks(self) -> Iterator[np.ndarray]:
        """Read all rows in their order, a few MiB at a time."""
        step = max(1, CHUNK_BYTES // self._row_bytes)
        for first in range(0, self.shape[0], step):
            yield self.read(first, step)


def open_features(path: str | Path) -> FeatureSource:
    """Open a feature file, mapped into memory: cheap for any size, pages are read when used.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.

    Returns
    -------
    FeatureSource
        Its values are those of the file, in the file's dtype. Pickled, it keeps only the path.

    Raises
    ------
    UserError
        If the file is missing, truncated, no feature file, of a later format, or inconsistent.
    """
    path = Path(path).absolute()
    metadata, arrays = _read_header(path)
    try:
        item_tokens = unpack_strings(
            arrays["item_tokens"].map(), arrays["item_token_offsets"].map()
        )
    except ValueError as error:
        raise UserError(f"The item tokens of {path} are damaged: {error}.", REMAKE) from None
    mask = None
    if "token_mask" in arrays:
        array = arrays["token_mask"].map()
        # Any byte may stand in a file, but a bool of numpy must be 0 or 1.
        mask = array.view(np.uint8) if array.dtype == bool else array
    return FeatureSource(
        values=as_tensor(str(path), arrays["values"].map()),
        token_mask=None if mask is None else as_mask(str(path), mask),
        item_tokens=as_item_tokens(str(path), item_tokens),
        info=_info_of(path, metadata),
        name=str(path),
        path=path,
        fingerprint=metadata["content_hash"],
        reopen=(open_features, (str(path),)),
    )


def read_input_hashes(path: str | Path) -> np.ndarray | None:
    """Read what each item of a feature file was encoded from.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.

    Returns
    -------
    numpy.ndarray or None
        Shape ``[n_items, 16]``, uint8; None if the file does not say.

    Raises
    ------
    UserError
        As :func:`open_features`.
    """
    _, arrays = _read_header(Path(path))
    if INPUT_HASHES not in arrays:
        return None
    found = arrays[INPUT_HASHES]
    wanted = (arrays["values"].shape[0], HASH_BYTES)
    if found.shape != wanted or found.dtype != np.uint8:
        raise UserError(
            f"The {INPUT_HASHES} of {path} are {found.dtype} of shape {list(found.shape)}, but "
            f"must be uint8 of shape {list(wanted)}.",
            REMAKE,
        )
    return found.map()


def verify_features(path: str | Path) -> None:
    """Read a feature file to its end and compare it with the hash it was written with.

    Opening detects a file that is too short. This detects changed bytes too, such as the zeros
    that an interrupted copy leaves, at the price of reading everything.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.

    Raises
    ------
    UserError
        If the content differs from what was written, or the file cannot be opened at all.
    """
    written = open_features(path).fingerprint
    digest = hashlib.sha256()
    _, arrays = _read_header(Path(path))
    for key in sorted({*TENSORS} & {*arrays} - {"values"}):
        _hash_tensor(digest, key, arrays[key].map())
    with RowReader(path) as reader:
        digest.update(f"values {reader.dtype.name} {list(reader.shape)}\n".encode())
        for chunk in reader.chunks():
            digest.update(chunk.reshape(-1).view(np.uint8).data)
    found = digest.hexdigest()
    if found != written:
        raise UserError(
            f"The content of {path} has changed since it was written (SHA-256 {found[:12]}..., "
            f"written as {written[:12]}...).",
            REMAKE,
        )


def how_to_make(path: Path) -> str:
    """Give the sentence that says how to make a missing feature file."""
    dataset, _, modality = path.name.removesuffix(".safetensors").rpartition(".")
    return (
        f"Make it with `recbole-mm extract --dataset={dataset} --modality={modality} "
        f"--output={path}` (with --help it lists the other options), or say in feature_path where "
        "it lies."
    )


def _read_header(path: Path) -> tuple[dict[str, str], dict[str, StoredArray]]:
    """Give metadata and arrays of a file, once it is certain that it is a feature file."""
    if not os.path.isfile(path):
        raise UserError(f"There is no feature file {path}.", how_to_make(path))
    metadata, arrays = read_safetensors_header(path, REMAKE)
    required = {"content_hash", "format_version", *asdict(FeatureInfo(""))}
    lacking = sorted(required - metadata.keys()) + sorted(REQUIRED_TENSORS - {*arrays})
    if lacking:
        raise UserError(
            f"{path} is a safetensors file but no feature file: it lacks {', '.join(lacking)}.",
            "Write feature files with recbole_mmdistill.features.write_features.",
        )
    if metadata["format_version"] != str(FORMAT_VERSION):
        raise UserError(
            f"{path} has format version {metadata['format_version'][:20]}, but only version "
            f"{FORMAT_VERSION} can be read.",
            "Update recbole_mmdistill, or make the file again with the version installed.",
        )
    if arrays["values"].shape[:1] == ():
        raise UserError(f"The values of {path} are a single number.", REMAKE)
    return metadata, arrays


def _metadata_of(info: FeatureInfo) -> dict[str, str]:
    """Give the fields of `info` as the strings that safetensors metadata must be."""
    fields = asdict(info) | {"format_version": str(FORMAT_VERSION)}
    return fields | {"source_fields": json.dumps(info.source_fields, ensure_ascii=False)}


def _info_of(path: Path, metadata: dict[str, str]) -> FeatureInfo:
    """Undo :func:`_metadata_of`."""
    try:
        fields = json.loads(metadata["source_fields"])
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
        raise UserError(
            f"The source_fields of {path} are {metadata['source_fields'][:100]!r}, no JSON list of "
            "strings.",
            REMAKE,
        )
    return FeatureInfo(
        modality=metadata["modality"],
        encoder=metadata["encoder"],
        weights_hash=metadata["weights_hash"],
        pooling=metadata["pooling"],
        preprocessing=metadata["preprocessing"],
        source_fields=tuple(fields),
    )


def _hash_tensor(digest: Any, key: str, tensor: np.ndarray) -> None:
    """Hash name, dtype, shape and bytes of a tensor; the tensors come in the order of names."""
    digest.update(f"{key} {tensor.dtype.name} {list(tensor.shape)}\n".encode())
    digest.update(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data)
