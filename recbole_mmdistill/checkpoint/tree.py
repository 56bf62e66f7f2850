"""A checkpoint's value as named tensors: one of them is the plain data, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
import torch

from ..features.packing import pack_strings, unpack_strings

DATA = "data"  # name of the tensor that holds the JSON
DTYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8"},
    torch.bool: "BOOL",
}


def encode(value: Any) -> dict[str, torch.Tensor]:
    """Give a value as tensors: each of its own under its path, and the rest as JSON in one.

    Parameters
    ----------
    value : object
        As :func:`~.file.write` takes it.

    Returns
    -------
    dict of str to Tensor

    Raises
    ------
    TypeError
        A leaf is of another type.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps(_encode(value, "", tensors), ensure_ascii=False, allow_nan=False)
    tensors[DATA] = torch.frombuffer(bytearray(tree.encode()), dtype=torch.uint8)
    return tensors


def decode(tensors: dict[str, torch.Tensor]) -> Any:
    """Undo :func:`encode`.

    Parameters
    ----------
    tensors : dict of str to Tensor
        All are taken out of it.

    Returns
    -------
    object

    Raises
    ------
    Exception
        Of any kind, if these are no tensors that :func:`encode` gives.
    """
    value = _decode(_tree(tensors.pop(DATA)), tensors)
    if tensors:
        raise ValueError(f"nothing names its tensor {next(iter(tensors))!r}")
    return value


def decode_plain(data: torch.Tensor) -> Any:
    """Give the plain data of a value, with None in the place of each tensor.

    Parameters
    ----------
    data : Tensor
        Bytes of the JSON, uint8 ``[n]``.

    Returns
    -------
    object

    Raises
    ------
    Exception
        As :func:`decode`.
    """
    return _decode(_tree(data), _Nothing())


def map_tensors(change: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """Change each tensor of nested dicts, lists and tuples.

    Parameters
    ----------
    change : callable
        Of a tensor.
    value : object
        As :func:`~.file.read` returns it.

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


class _Nothing:
    """Has None for every tensor."""

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
        while free in tensors or free in (DATA, "__metadata__", ""):
            free += "_"
        if tensor.dtype not in DTYPES or tensor.layout != torch.strided:
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
