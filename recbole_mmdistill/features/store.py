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
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ..errors import UserError
from ..files import replacing
from .packing import pack_strings, unpack_strings
from .source import FeatureInfo, FeatureSource, Rows, as_item_tokens, as_tensor, from_array

FORMAT_VERSION = "1"
HASH_BYTES = 16
_REMAKE = "Make the file again, or fetch a whole copy of it."
_INFO = {field.name for field in fields(FeatureInfo)}
_DTYPES = {"float16": "F16", "float32": "F32", "uint8": "U8", "int64": "I64", "bool": "BOOL"}
_HASHED = ("item_token_offsets", "item_tokens", "token_mask")  # before the values, in this order


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
    values, item_tokens, info, token_mask
        As of :func:`.from_array`; values are stored in the dtype given.

    Raises
    ------
    UserError
        If a shape or dtype is wrong, an item occurs twice, its token is not valid Unicode, or
        the file cannot be written.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
    if isinstance(token_mask, torch.Tensor):
        token_mask = token_mask.cpu()
    write_rows(path, from_array(values, item_tokens, info, token_mask, name=str(path)).rows())


def write_rows(path: str | Path, rows: Rows, input_hashes: np.ndarray | None = None) -> None:
    """Write a feature file, see :func:`write_features`, with one chunk in memory at a time.

    The input hashes are ``[n_items, 16]`` uint8, or None.
    """
    path = Path(path)
    try:
        token_bytes, offsets = pack_strings(as_item_tokens(str(path), rows.item_tokens))
    except UnicodeEncodeError as error:
        raise UserError(
            f"An item token for {path} is not valid Unicode ({error.reason}).",
            "Read the item tokens from a file in UTF-8.",
        ) from None
    # The widest numbers come first, so that each tensor is aligned to its dtype.
    tensors: dict[str, Any] = {
        "item_token_offsets": offsets,
        "values": rows,
        "input_hashes": input_hashes,
        "item_tokens": token_bytes,
        "token_mask": rows.token_mask,
    }
    tensors = {key: tensor for key, tensor in tensors.items() if tensor is not None}
    entries: dict[str, dict[str, Any]] = {}
    end = 0
    for key, tensor in tensors.items():
        begin, end = end, end + math.prod(tensor.shape) * tensor.dtype.itemsize
        dtype = _DTYPES[tensor.dtype.name]
        entries[key] = {"dtype": dtype, "shape": [*tensor.shape], "data_offsets": [begin, end]}
    digest = _digest(tensors, rows)
    try:
        with replacing(path) as file:
            header = _header(rows.info, "0" * 64, entries)
            file.write(header)
            for key, tensor in tensors.items():
                if key != "values":
                    file.write(_bytes_of(tensor))
                    continue
                for chunk in rows.chunks():
                    data = _bytes_of(chunk.astype(rows.dtype, copy=False))
                    file.write(data)
                    digest.update(data)
            if file.tell() != len(header) + end:
                raise ValueError(f"the chunks are not of shape {[*rows.shape]}")
            file.seek(0)
            file.write(_header(rows.info, digest.hexdigest(), entries))
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error}.", "Give a path in a folder with enough room."
        ) from None


def _header(info: FeatureInfo, content_hash: str, entries: dict[str, Any]) -> bytes:
    """Give the header of a safetensors file; its length does not depend on the hash."""
    metadata = asdict(info) | {
        "source_fields": json.dumps(info.source_fields, ensure_ascii=False),
        "format_version": FORMAT_VERSION,
        "content_hash": content_hash,
    }
    text = json.dumps({"__metadata__": metadata, **entries}, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def open_features(path: str | Path) -> FeatureSource:
    """Open a feature file, mapped into memory: cheap for any size, pages are read when used.

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
    with _open(path) as file:
        metadata = file.metadata() or {}
        lacking = sorted({"content_hash", "format_version", *_INFO} - metadata.keys())
        lacking += sorted({"values", "item_tokens", "item_token_offsets"} - {*file.keys()})
        if lacking:
            raise UserError(
                f"{path} is a safetensors file but no feature file: it lacks {', '.join(lacking)}.",
                "Write feature files with recbole_mmdistill.features.write_features.",
            )
        packed = [file.get_tensor(key).numpy() for key in ("item_tokens", "item_token_offsets")]
        mask = file.get_tensor("token_mask") if "token_mask" in file.keys() else None
        values = file.get_tensor("values")
    if metadata["format_version"] != FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {metadata['format_version'][:20]}, but only version "
            f"{FORMAT_VERSION} can be read.",
            "Update recbole_mmdistill, or make the file again with the version installed.",
        )
    try:
        item_tokens = unpack_strings(*packed)
    except (ValueError, TypeError) as error:
        raise UserError(f"The item tokens of {path} are damaged: {error}.", _REMAKE) from None
    if mask is not None and mask.dtype == torch.bool:
        mask = mask.view(torch.uint8)  # any byte may stand in a file, but a bool is 0 or 1
    return from_array(
        values,
        item_tokens,
        _info(path, metadata),
        mask,
        name=str(path),
        path=path,
        fingerprint=metadata["content_hash"],
        reopen=(open_features, (str(path),)),
        remap=lambda: as_tensor(str(path), _tensor(path, "values")),
    )


def read_input_hashes(source: FeatureSource) -> np.ndarray | None:
    """Read what each item of a feature file was encoded from: ``[n_items, 16]`` uint8.

    None if the file does not say; a UserError if it says it in another form.
    """
    assert source.path is not None
    hashes = _tensor(source.path, "input_hashes")
    if hashes is None:
        return None
    shape = [len(source), HASH_BYTES]
    if hashes.dtype != torch.uint8 or [*hashes.shape] != shape:
        raise UserError(
            f"The input_hashes of {source.path} must be uint8 of shape {shape}.", _REMAKE
        )
    return hashes.numpy()


def verify_features(path: str | Path) -> None:
    """Read a feature file to its end and check that it is still what was written.

    Raises
    ------
    UserError
        If it cannot be opened, or its content differs from the hash that was written with it.
    """
    source = open_features(path)
    assert source.path is not None
    rows = source.rows()
    small = {key: _tensor(source.path, key) for key in _HASHED}
    digest = _digest({key: t.numpy() for key, t in small.items() if t is not None}, rows)
    for chunk in rows.chunks():
        digest.update(_bytes_of(chunk))
    found, written = digest.hexdigest(), source.fingerprint
    if found != written:
        raise UserError(
            f"The content of {path} has changed since it was written (SHA-256 {found[:12]}..., "
            f"written as {written[:12]}...).",
            _REMAKE,
        )


def _open(path: Path) -> Any:
    """Open a safetensors file, whose header the library checks."""
    if not os.path.isfile(path):
        dataset, _, modality = path.name.removesuffix(".safetensors").rpartition(".")
        raise UserError(
            f"There is no feature file {path}.",
            f"Make it with `recbole-mm extract --dataset={dataset} --modality={modality} "
            "--encoder=...` (see its --help), or say in feature_path where it lies.",
        )
    try:
        return safe_open(path, "pt")
    except SafetensorError as error:
        raise UserError(
            f"{path} ({path.stat().st_size} bytes) is truncated, or no safetensors file ({error}).",
            _REMAKE,
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}.", _REMAKE) from None


def _tensor(path: Path, key: str) -> Any:
    """Map a tensor; None if there is none of that name."""
    with _open(path) as file:
        return file.get_tensor(key) if key in file.keys() else None


def _info(path: Path, metadata: dict[str, str]) -> FeatureInfo:
    text = metadata["source_fields"]
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(field, str) for field in listed):
        raise UserError(
            f"The source_fields of {path} are {text[:100]!r}, no JSON list of strings.", _REMAKE
        )
    given: dict[str, Any] = {name: metadata[name] for name in _INFO}
    return FeatureInfo(**given | {"source_fields": tuple(listed)})


def _digest(tensors: dict[str, Any], rows: Rows) -> Any:
    """Begin the content's hash: all but the values, for which it has dtype and shape."""
    digest = hashlib.sha256()
    for key in _HASHED:
        if key in tensors:
            array = tensors[key]
            digest.update(f"{key} {array.dtype.name} {list(array.shape)}\n".encode())
            digest.update(_bytes_of(array))
    digest.update(f"values {rows.dtype.name} {list(rows.shape)}\n".encode())
    return digest


def _bytes_of(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
