"""Writes and reads the file of a checkpoint."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load as load_tensors

from ..errors import UserError
from ..files import replacing
from .tree import DATA, DTYPES, decode, decode_plain, encode

FORMAT = {"format": "recbole_mmdistill.checkpoint", "version": "1"}
_CHECKSUM = "crc32"  # of all behind the header; files of before have none
_ZIP = b"PK\x03\x04"
# What torch.save writes. A TorchScript archive has code and constants.pkl, a torch.package more.
_RECORD = re.compile(
    r"data\.pkl|byteorder|version|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id|data/\d+"
)
_WHOLE = "Fetch a whole copy of it, or train the model again."
TRUST = (
    "If it is an old checkpoint of RecBole and you trust it as you trust a program, "
    "`recbole-mm unpickle OLD.pth NEW.pth` converts it."
)


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
    # Wide numbers first, so that each tensor is aligned to its dtype.
    ordered = sorted(encode(value).items(), key=lambda item: -item[1].element_size())
    header: dict[str, Any] = {}
    end = checksum = 0
    for name, tensor in ordered:
        begin, end = end, end + tensor.nbytes
        dtype, shape = DTYPES[tensor.dtype], list(tensor.shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        checksum = zlib.crc32(_bytes(tensor), checksum)
    header["__metadata__"] = {**FORMAT, _CHECKSUM: f"{checksum:08x}"}
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    try:
        with replacing(Path(path)) as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for _, tensor in ordered:
                file.write(_bytes(tensor))
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
        value = _guarded(path, lambda: decode(load_tensors(_checked_head(path, data))))
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
            is_ours = _format_of(file.metadata() or {}) == FORMAT
            return decode_plain(file.get_tensor(DATA)) if is_ours else None

    check_regular(Path(path))
    value = _guarded(path, read_data)
    if not isinstance(value, dict):
        raise UserError(f"{path} is no checkpoint of this package.", _WHOLE)
    return value


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


def _format_of(metadata: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in metadata.items() if name != _CHECKSUM}


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


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
    if _format_of(metadata) != FORMAT:
        raise UserError(
            f"{path} has format version {metadata.get('version')!r}, but only version "
            f"{FORMAT['version']} can be read.",
            "Update recbole_mmdistill.",
        )
    if metadata.get(_CHECKSUM) not in (None, f"{zlib.crc32(memoryview(data)[8 + size :]):08x}"):
        raise UserError(f"{path} is damaged: its bytes are not those that were saved.", _WHOLE)
    return data


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
