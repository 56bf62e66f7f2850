"""The checkpoint file: tensors and plain data in one safetensors file, nothing of it code.

A checkpoint is a dict whose leaves are tensors, arrays, texts, numbers, bools and None. Each tensor
stands in the file under its path, for example ``state_dict/item_embedding.weight``. The tree itself
is JSON in UTF-8, kept as the byte tensor ``data`` because a header has a limit. In this JSON a dict
with one key that begins with ``$`` stands for what JSON cannot say (:func:`_encode`).

Files of ``torch.save`` are read too, if torch's own ``weights_only`` loader takes them.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from safetensors import safe_open
from safetensors.torch import load as load_tensors

from .errors import UserError
from .features.packing import pack_strings, unpack_strings
from .files import replacing

FORMAT = {"format": "recbole_mmdistill.checkpoint", "version": "1"}
_DATA = "data"
_DTYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8"},
    torch.bool: "BOOL",
}
_ZIP = b"PK\x03\x04"
# What torch.save writes. A TorchScript archive has code and constants.pkl, a torch.package more.
_RECORD = re.compile(
    r"data\.pkl|byteorder|version|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id|data/\d+"
)
_WHOLE = "Fetch a whole copy of it, or train the model again."


def write(path: str | Path, value: dict[str, Any]) -> None:
    """Write a checkpoint; a reader sees the whole new file or the old one, never a part.

    Parameters
    ----------
    path : str or Path
        Where to. Folders are made as needed.
    value : dict of str to object
        Nested dicts, lists and tuples. Leaves are tensors, numpy arrays (also of strings), scipy's
        sparse matrices, str, int, float, bool and None.

    Raises
    ------
    UserError
        It cannot be written there.
    TypeError
        A leaf is of another type.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps(_encode(value, "", tensors), ensure_ascii=False, allow_nan=False)
    tensors[_DATA] = torch.frombuffer(bytearray(tree.encode()), dtype=torch.uint8)
    # Wide numbers first, so that each tensor is aligned to its dtype.
    ordered = sorted(tensors.items(), key=lambda item: -item[1].element_size())
    header: dict[str, Any] = {"__metadata__": FORMAT}
    end = 0
    for name, tensor in ordered:
        begin, end = end, end + tensor.nbytes
        dtype, shape = _DTYPES[tensor.dtype], list(tensor.shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    try:
        with replacing(Path(path)) as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for _, tensor in ordered:
                file.write(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    except OSError as error:
        raise UserError(
            f"The checkpoint {path} cannot be written ({error.strerror or error}).",
            "Give another folder with --checkpoint_dir, or make room.",
        ) from None


def read(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint, and run nothing of it.

    Parameters
    ----------
    path : str or Path
        A file that :func:`write` wrote, or one of ``torch.save`` that holds nothing but tensors
        and plain data.

    Returns
    -------
    dict of str to object
        As written; tensors are on the CPU, arrays of strings have dtype object.

    Raises
    ------
    UserError
        There is no such file, it is damaged, or it holds anything else.
    """
    data = _bytes_of(Path(path))
    if data.startswith(_ZIP):
        value = _guarded(path, lambda: _read_torch(path, data))
    else:
        value = _guarded(path, lambda: _decode_all(load_tensors(_checked_head(path, data))))
    if not isinstance(value, dict):
        raise UserError(f"{path} holds a {type(value).__name__}, no checkpoint.", _WHOLE)
    return value


def peek(path: str | Path) -> dict[str, Any]:
    """Read the plain data of a checkpoint; where a tensor stands there is None.

    Parameters
    ----------
    path : str or Path
        A file that :func:`write` wrote; a large one costs no more than a small one.

    Returns
    -------
    dict of str to object

    Raises
    ------
    UserError
        As :func:`read`.
    """

    def read_data() -> Any:
        with safe_open(path, framework="pt") as file:
            tree = _tree(file.get_tensor(_DATA)) if file.metadata() == FORMAT else None
        return _decode(tree, _Nothing())

    check_regular(Path(path))
    value = _guarded(path, read_data)
    if not isinstance(value, dict):
        raise UserError(f"{path} is no checkpoint of this package.", _WHOLE)
    return value


def map_tensors(change: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """Change each tensor of nested dicts, lists and tuples.

    Parameters
    ----------
    change : callable
        Of a tensor.
    value : object
        As :func:`read` returns it.

    Returns
    -------
    object
        A copy with the tensors changed.
    """
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: map_tensors(change, inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map_tensors(change, inner) for inner in value)
    return value


# Files


def check_regular(path: Path) -> None:
    """Refuse what is no plain file before it is opened: a pipe would block.

    Raises
    ------
    UserError
        There is no such file.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise UserError(
            f"There is no checkpoint {path}.", "Give the path of a .pth file that a run saved."
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"The checkpoint {path} cannot be read ({error}).", _WHOLE) from None
    if not stat.S_ISREG(mode):
        raise UserError(
            f"{path} is no file but a folder, a pipe or a device.",
            "Give the path of a .pth file that a run saved.",
        )


def _bytes_of(path: Path) -> bytes:
    check_regular(path)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("it has been replaced")
            return file.read()
    except (OSError, MemoryError) as error:
        raise UserError(f"The checkpoint {path} cannot be read ({error}).", _WHOLE) from None


def _guarded(path: str | Path, read_value: Callable[[], Any]) -> Any:
    """Turn whatever a damaged file leads to into a sentence: all that reads it is safe to fail."""
    try:
        return read_value()
    except UserError:
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(
            f"The checkpoint {path} cannot be read, it is damaged or no checkpoint ({reason}).",
            _WHOLE,
        ) from None


def _checked_head(path: str | Path, data: bytes) -> bytes:
    """Give the bytes back if their header says that they are a checkpoint of this format."""
    size = int.from_bytes(data[:8], "little")
    if not 2 <= size <= len(data) - 8 or data[8:9] != b"{":
        raise UserError(
            f"{path} is no checkpoint of this package: it begins neither as safetensors nor as a "
            "file of torch.save.",
            f"{_WHOLE} {TRUST}",
        )
    metadata = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
    if metadata.get("format") != FORMAT["format"]:
        raise UserError(f"{path} is a safetensors file but no checkpoint.", _WHOLE)
    if metadata != FORMAT:
        raise UserError(
            f"{path} has format version {metadata.get('version')!r}, but only version "
            f"{FORMAT['version']} can be read.",
            "Update recbole_mmdistill.",
        )
    return data


TRUST = (
    "If it is an old checkpoint of RecBole and you trust it as you trust a program, "
    "`recbole-mm unpickle OLD.pth NEW.pth` converts it."
)


def _read_torch(path: str | Path, data: bytes) -> Any:
    """Read a file of ``torch.save``; torch lists the records, so both looks see the same ones."""
    reader = torch._C.PyTorchFileReader(io.BytesIO(data))
    records = reader.get_all_records()
    odd = [name for name in records if not _RECORD.fullmatch(name)]
    if odd or "data.pkl" not in records:
        raise UserError(
            f"{path} is a zip archive, but none of torch.save's tensors: it "
            f"{f'holds {odd[0]!r}' if odd else 'has no data.pkl'}.",
            "Give a .pth file that a run saved.",
        )
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        # torch's message is a page that advises to trust the file.
        reason = str(error).partition("WeightsUnpickler error: ")[2].split("\n")[0]
        raise UserError(
            f"The checkpoint {path} was refused and nothing of it was run: it holds more than "
            f"tensors and plain data ({reason[:120].strip(' .') or type(error).__name__}).",
            TRUST,
        ) from None


# The tree


class _Nothing:
    """Takes the place of the tensors where only the plain data is asked for."""

    def pop(self, name: str) -> None:
        return None


def _encode(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Give a value as JSON, and put its tensors into ``tensors``.

    ``{"$tensor": name}`` is a tensor, ``$array`` a numpy array, ``$strings`` an array of strings
    as bytes and offsets, ``$sparse`` a sparse matrix, ``$tuple`` a tuple, ``$float`` a number that
    JSON does not have, ``$dict`` a dict whose keys are not plain strings.
    """

    def put(tensor: torch.Tensor, suffix: str = "") -> str:
        free = name + suffix
        while free in tensors or free in (_DATA, "__metadata__", ""):
            free += "_"
        if tensor.dtype not in _DTYPES or tensor.layout != torch.strided:
            raise TypeError(f"{name} is a tensor of {tensor.dtype} and {tensor.layout}")
        tensors[free] = tensor.detach()
        return free

    def inner(key: Any, item: Any) -> Any:
        return _encode(item, f"{name}/{key}" if name else str(key), tensors)

    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: inner(key, item) for key, item in value.items()}
        return {"$dict": [[inner("key", key), inner(key, item)] for key, item in value.items()]}
    if isinstance(value, list):
        return [inner(n, item) for n, item in enumerate(value)]
    if isinstance(value, tuple):
        return {"$tuple": [inner(n, item) for n, item in enumerate(value)]}
    if isinstance(value, torch.Tensor):
        return {"$tensor": put(value)}
    if scipy.sparse.issparse(value):
        coo = value.tocoo()
        parts = {"shape": coo.shape, "row": coo.row, "col": coo.col, "data": coo.data}
        return {"$sparse": [value.format, inner("sparse", parts)]}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OU":
            packed = pack_strings(value.astype(object))
            return {"$strings": [inner(f"{n}", part) for n, part in enumerate(packed)]}
        return {"$array": put(torch.from_numpy(np.array(value, order="C")))}
    raise TypeError(f"{name} is a {type(value).__name__}, which a checkpoint cannot hold")


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _tree(data: torch.Tensor) -> Any:
    if data.dtype != torch.uint8 or data.dim() != 1:
        raise ValueError("its data is no text")
    return json.loads(data.numpy().tobytes(), parse_constant=_no_constant)


def _decode_all(tensors: dict[str, torch.Tensor]) -> Any:
    value = _decode(_tree(tensors.pop(_DATA)), tensors)
    if tensors:
        raise ValueError(f"nothing names its tensor {next(iter(tensors))!r}")
    return value


def _decode(value: Any, tensors: Any) -> Any:
    """Undo :func:`_encode`; each tensor is taken once, so that no two names share memory."""
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items() if len(value) == 1 else ((None, None),)
    if not (isinstance(kind, str) and kind.startswith("$")):
        return {key: _decode(item, tensors) for key, item in value.items()}
    return _DECODERS[kind](content, tensors)


def _decode_dict(content: Any, tensors: Any) -> dict[Any, Any]:
    return {_decode(key, tensors): _decode(item, tensors) for key, item in content}


def _decode_strings(content: Any, tensors: Any) -> np.ndarray | None:
    data, offsets = (_decode(part, tensors) for part in content)
    return None if data is None else unpack_strings(data, offsets)


def _decode_sparse(content: Any, tensors: Any) -> Any:
    kind, parts = content
    parts = _decode(parts, tensors)
    if parts["data"] is None:
        return None
    n_rows, n_columns = parts["shape"]
    if max(n_rows, n_columns) > max(10_000_000, 100 * len(parts["data"])):
        raise ValueError(f"a sparse matrix of {n_rows} rows and {n_columns} columns")
    coo = scipy.sparse.coo_matrix(
        (parts["data"], (parts["row"], parts["col"])), shape=(n_rows, n_columns)
    )
    return coo.asformat(kind)


def _decode_array(content: Any, tensors: Any) -> np.ndarray | None:
    tensor = tensors.pop(content)
    return None if tensor is None else tensor.numpy()


_DECODERS: dict[str, Callable[[Any, Any], Any]] = {
    "$tensor": lambda content, tensors: tensors.pop(content),
    "$array": _decode_array,
    "$strings": _decode_strings,
    "$sparse": _decode_sparse,
    "$tuple": lambda content, tensors: tuple(_decode(list(content), tensors)),
    "$float": lambda content, _: {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[content],
    "$dict": _decode_dict,
}
