"""The file format: one safetensors file per dataset and modality, written whole, opened mapped.

A file ``<dataset>.<modality>.safetensors`` holds the tensors

- ``values`` ``[n_items, n_tokens, dim]``, float16 or float32 (n_tokens = 1: pooled features),
- ``token_mask`` ``[n_items, n_tokens]``, bool or uint8, optional: nonzero where a token is real,
- ``item_tokens`` ``[n_bytes]`` uint8 and ``item_token_offsets`` ``[n_items + 1]`` int64: the item
  tokens in UTF-8, item i being the bytes from offset i to offset i + 1,

and in its metadata the fields of :class:`FeatureInfo` and ``content_hash``, the SHA-256 of the
tensors. Nothing in it is code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import UserError
from .packing import pack_strings, unpack_strings
from .source import FeatureInfo, FeatureSource, as_mask, as_tensor, from_array

FORMAT_VERSION = 1
TENSORS = ("values", "token_mask", "item_tokens", "item_token_offsets")
REQUIRED_TENSORS = {"values", "item_tokens", "item_token_offsets"}
REMAKE = "Make the file again, or fetch a whole copy of it."


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
    path = Path(path)
    source = from_array(values, item_tokens, info, token_mask, name=str(path))
    try:
        token_bytes, offsets = pack_strings(source.item_tokens)
    except UnicodeEncodeError as error:
        raise UserError(
            f"An item token for {path} is not valid Unicode ({error.reason}).",
            "Read the item tokens from a file in UTF-8.",
        ) from None
    tensors = {
        "values": source.values.detach().cpu().numpy(),
        "item_tokens": token_bytes,
        "item_token_offsets": offsets,
    }
    if source.token_mask is not None:
        tensors["token_mask"] = source.token_mask.cpu().numpy()
    tensors = {key: np.ascontiguousarray(tensor) for key, tensor in tensors.items()}
    metadata = _metadata_of(info) | {"content_hash": _hash_content(tensors)}

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode  # save_file would let nobody but the owner read it
        save_file(tensors, temporary, metadata=metadata)
        temporary.chmod(mode)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} cannot be written: {error}.", "Give a path in a folder with enough room."
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


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
    with _reading(path) as file:
        metadata = _checked_metadata(path, file)
        tensors = {key: file.get_tensor(key) for key in TENSORS if key in file.keys()}
    try:
        item_tokens = unpack_strings(
            tensors["item_tokens"].numpy(), tensors["item_token_offsets"].numpy()
        )
    except (ValueError, IndexError, TypeError) as error:
        raise UserError(f"The item tokens of {path} are damaged: {error}.", REMAKE) from None
    mask = tensors.get("token_mask")
    return FeatureSource(
        values=as_tensor(str(path), tensors["values"]),
        token_mask=None if mask is None else as_mask(str(path), mask),
        item_tokens=item_tokens,
        info=_info_of(path, metadata),
        name=str(path),
        path=path,
        fingerprint=metadata["content_hash"],
        reopen=(open_features, (str(path),)),
    )


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
    with _reading(Path(path)) as file:
        found = _hash_content(
            {key: file.get_tensor(key).numpy() for key in TENSORS if key in file.keys()}
        )
    if found != written:
        raise UserError(
            f"The content of {path} has changed since it was written (SHA-256 {found[:12]}..., "
            f"written as {written[:12]}...).",
            REMAKE,
        )


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """Open `path` with safetensors, and turn its failures into a UserError."""
    if not path.is_file():
        raise UserError(f"There is no feature file {path}.", how_to_make(path))
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} ({path.stat().st_size} bytes) is truncated, or no safetensors file: {error}.",
            REMAKE,
        ) from None


def how_to_make(path: Path) -> str:
    """Give the sentence that says how to make a missing feature file."""
    verb = "image --images FOLDER" if ".image." in path.name else "text --item FILE.item"
    return (
        f"Make it with `python -m recbole_mmdistill.features.encode {verb} --output {path}` "
        "(with --help it lists the other options), or say in feature_path where it lies."
    )


def _checked_metadata(path: Path, file: Any) -> dict[str, str]:
    """Give the metadata of an open file, once it is certain that it is a feature file."""
    metadata = file.metadata() or {}
    required = {"content_hash", "format_version", *asdict(FeatureInfo(""))}
    lacking = sorted(required - metadata.keys()) + sorted(REQUIRED_TENSORS - {*file.keys()})
    if lacking:
        raise UserError(
            f"{path} is a safetensors file but no feature file: it lacks {', '.join(lacking)}.",
            "Write feature files with recbole_mmdistill.features.write_features.",
        )
    if metadata["format_version"] != str(FORMAT_VERSION):
        raise UserError(
            f"{path} has format version {metadata['format_version']}, but only version "
            f"{FORMAT_VERSION} can be read.",
            "Update recbole_mmdistill, or make the file again with the version installed.",
        )
    return metadata


def _metadata_of(info: FeatureInfo) -> dict[str, str]:
    """Give the fields of `info` as the strings that safetensors metadata must be."""
    fields = asdict(info) | {"format_version": str(FORMAT_VERSION)}
    return fields | {"source_fields": json.dumps(info.source_fields, ensure_ascii=False)}


def _info_of(path: Path, metadata: dict[str, str]) -> FeatureInfo:
    """Undo :func:`_metadata_of`."""
    try:
        source_fields = tuple(map(str, json.loads(metadata["source_fields"])))
    except (ValueError, TypeError):
        raise UserError(
            f"The source_fields of {path} are {metadata['source_fields']!r}, no JSON list.", REMAKE
        ) from None
    return FeatureInfo(
        modality=metadata["modality"],
        encoder=metadata["encoder"],
        weights_hash=metadata["weights_hash"],
        pooling=metadata["pooling"],
        preprocessing=metadata["preprocessing"],
        source_fields=source_fields,
    )


def _hash_content(tensors: dict[str, np.ndarray]) -> str:
    """Hash names, dtypes, shapes and bytes of the tensors, in the order of their names."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key} {tensor.dtype.name} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
