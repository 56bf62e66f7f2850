"""What has been encoded so far, on disk: one file that only grows, and survives being killed.

A record is a head, the numbers or the words that it announces, and a checksum of both. What a
killed process left half written at the end fails its checksum and is cut off.

The file's lock keeps a second process away. It is a POSIX record lock, which dies with its process
and, unlike flock(2), is not handed on to the processes that decode pictures.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import UserError

MAGIC = b"recbole-mmdistill journal 1\n"
_HEAD = struct.Struct("<16sII")  # input hash, number of tokens (0: a failure), dim or bytes
_CHECKSUM = struct.Struct("<I")
_SYNC_SECONDS = 5.0  # a power cut costs no more than these


class Place(NamedTuple):
    """Where the vectors of an input lie in the journal.

    Attributes
    ----------
    offset : int
        Of their first byte.
    n_tokens, dim : int
        Their shape; float16.
    """

    offset: int
    n_tokens: int
    dim: int


class Failure(NamedTuple):
    """Why an input has no vectors."""

    reason: str


class Journal:
    """The journal of one output file; open, it is locked.

    Parameters
    ----------
    path : pathlib.Path
        The journal.

    Raises
    ------
    UserError
        If another process has it open, it is another kind of file, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _open_locked(path)
        self._end = self._check_head()
        self._synced = time.monotonic()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if os.fstat(self._file).st_size == len(MAGIC):
            self.remove()
        os.close(self._file)

    def remove(self) -> None:
        """Delete the file, once all of it stands elsewhere; it stays locked until closed."""
        with suppress(FileNotFoundError):
            self.path.unlink()

    def records(self) -> Iterator[tuple[bytes, Place | Failure]]:
        """Read all records; what follows the last whole one is cut off.

        Yields
        ------
        input_hash : bytes
            16 bytes.
        outcome : Place or Failure
            Where its vectors lie, or why there are none.
        """
        offset, size_of_file = len(MAGIC), os.fstat(self._file).st_size
        while True:
            head = os.pread(self._file, _HEAD.size, offset)
            if len(head) < _HEAD.size:
                break
            input_hash, n_tokens, size = _HEAD.unpack(head)
            n_bytes = 2 * n_tokens * size if n_tokens else size
            if offset + _HEAD.size + n_bytes + _CHECKSUM.size > size_of_file:
                break
            rest = os.pread(self._file, n_bytes + _CHECKSUM.size, offset + _HEAD.size)
            data = rest[:n_bytes]
            if _CHECKSUM.unpack(rest[n_bytes:])[0] != zlib.crc32(data, zlib.crc32(head)):
                break
            if n_tokens:
                yield input_hash, Place(offset + _HEAD.size, n_tokens, size)
            else:
                yield input_hash, Failure(data.decode("utf-8"))
            offset += _HEAD.size + len(rest)
        self._end = offset
        os.ftruncate(self._file, offset)

    def append(
        self, input_hashes: Sequence[bytes], outcomes: Sequence[np.ndarray | Failure]
    ) -> list[Place | Failure]:
        """Add records.

        Parameters
        ----------
        input_hashes : sequence of bytes
            16 bytes each.
        outcomes : sequence of numpy.ndarray or Failure
            Vectors of shape ``[n_tokens, dim]``, float16, or why there are none.

        Returns
        -------
        list of Place or Failure
            As :meth:`records` would give them.

        Raises
        ------
        UserError
            If the disk is full; what was added before is kept, and nothing of this.
        """
        parts: list[bytes] = []
        places: list[Place | Failure] = []
        end = self._end
        for input_hash, outcome in zip(input_hashes, outcomes):
            if isinstance(outcome, Failure):
                data = outcome.reason.encode("utf-8")
                head = _HEAD.pack(input_hash, 0, len(data))
                places.append(outcome)
            else:
                data = np.ascontiguousarray(outcome, dtype="<f2").tobytes()
                head = _HEAD.pack(input_hash, *outcome.shape)
                places.append(Place(end + _HEAD.size, *outcome.shape))
            parts += [head, data, _CHECKSUM.pack(zlib.crc32(data, zlib.crc32(head)))]
            end += _HEAD.size + len(data) + _CHECKSUM.size
        try:
            self._write(b"".join(parts))
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise UserError(
                f"{self.path} cannot be written: {error.strerror}.",
                "Make room and say the same again: it goes on from what is done.",
            ) from None
        self._end = end
        return places

    def _write(self, data: bytes) -> None:
        offset = self._end
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self._file)
            self._synced = time.monotonic()

    def read(self, place: Place) -> np.ndarray:
        """Read vectors.

        Parameters
        ----------
        place : Place
            Where they lie.

        Returns
        -------
        numpy.ndarray
            Shape ``[n_tokens, dim]``, float16.
        """
        data = os.pread(self._file, 2 * place.n_tokens * place.dim, place.offset)
        return np.frombuffer(data, dtype="<f2").reshape(place.n_tokens, place.dim)

    def _check_head(self) -> int:
        head = os.pread(self._file, len(MAGIC), 0)
        if not MAGIC.startswith(head):
            os.close(self._file)
            raise UserError(
                f"{self.path} is no journal of an interrupted extraction.",
                "Move it away, or give another --output.",
            )
        if head != MAGIC:
            self._end = 0
            os.ftruncate(self._file, 0)
            self._synced = time.monotonic()
            try:
                self._write(MAGIC)
            except OSError as error:
                self.remove()
                os.close(self._file)
                raise UserError(
                    f"{self.path} cannot be written: {error.strerror}.",
                    "Make room, or give an --output where there is some.",
                ) from None
        return len(MAGIC)


def _open_locked(path: Path) -> int:
    """Open a file, made if need be, and lock it for this process."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UserError(
                f"{path} cannot be written: {error.strerror}.",
                "Give an --output in a folder that you may write to.",
            ) from None
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise UserError(
                f"Another process is making {path.name.removesuffix('.partial').lstrip('.')} in "
                f"{path.parent} right now.",
                "Wait for it, or give another --output.",
            ) from None
        with suppress(FileNotFoundError):
            # The process that had it may have finished, and removed it, between the two calls.
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        os.close(file)
