"""What has been encoded so far, in a database beside the output that survives being killed.

A batch is a transaction: after a kill at any moment it is there as a whole or not at all. The
database is locked for as long as it is open. The lock dies with its process, and processes that
this one forks to decode pictures do not have it.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...errors import UserError
from .encoder import Failure

_APPLICATION = 0x6D6D6A31  # names the kind of database in its header
_TABLE = "CREATE TABLE encoded (input_hash BLOB PRIMARY KEY, n_tokens, checksum, data BLOB)"
_FULL = "Make room, or give an --output in a folder that you may write to; what is done is kept."
_SENTENCES = {  # by what SQLite says
    "locked": (
        "Another process is making {output} in {folder} right now.",
        "Wait for it, or give another --output.",
    ),
    "not a database": (
        "{path} is no journal of an interrupted extraction.",
        "Move it away, or give another --output.",
    ),
    "malformed": (
        "{path}, the journal of an interrupted extraction, is damaged.",
        "Remove it, and say the same again: what it held is encoded anew.",
    ),
    "": ("{path} cannot be written: {reason}.", _FULL),
}

Outcome = int | Failure  # how many tokens an input has, or why it has none


class Journal:
    """The journal of one output file; made if need be, and deleted on leaving if it is empty.

    A UserError is raised, here and by all methods, if another process has it open, it is damaged or
    of another kind, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._said():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None)
            self._database.text_factory = bytes
        try:
            with self._said():
                self._begin()
        except UserError:
            self._database.close()
            raise

    def _begin(self) -> None:
        execute = self._database.execute
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA synchronous = OFF")  # of a new one there is nothing to lose
        execute("BEGIN EXCLUSIVE")
        (kind,) = execute("PRAGMA application_id").fetchone()
        if kind == 0 and execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            execute(f"PRAGMA application_id = {_APPLICATION}")
            execute(_TABLE)
        elif kind != _APPLICATION:
            raise sqlite3.DatabaseError("file is not a database of this kind")
        execute("COMMIT")
        execute("PRAGMA journal_mode = WAL")
        # A kill costs no batch; a power cut costs the last ones, and no more.
        execute("PRAGMA synchronous = NORMAL")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with self._said():
                if self._database.execute("SELECT 1 FROM encoded").fetchone() is None:
                    self.remove()
        finally:
            self._database.close()

    def remove(self) -> None:
        """Delete the database, once all of it stands elsewhere; it stays locked until closed."""
        for suffix in ("", "-wal", "-journal"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def outcomes(self) -> Iterator[tuple[bytes, Outcome]]:
        """Read what became of each input, by its hash, without its vectors."""
        query = "SELECT input_hash, n_tokens, CASE n_tokens WHEN 0 THEN data END FROM encoded"
        with self._said():
            for input_hash, n_tokens, reason in self._database.execute(query):
                if not isinstance(n_tokens, int) or (n_tokens == 0) != isinstance(reason, bytes):
                    raise sqlite3.DatabaseError("malformed row")
                yield input_hash, n_tokens or Failure(reason.decode("utf-8", "replace"))

    def append(
        self, input_hashes: Sequence[bytes], results: Sequence[np.ndarray | Failure]
    ) -> list[Outcome]:
        """Add vectors ``[n_tokens, dim]`` float16, or why there are none, by the inputs' hashes."""
        rows = []
        for input_hash, result in zip(input_hashes, results):
            if isinstance(result, Failure):
                n_tokens, data = 0, result.reason.encode("utf-8")
            else:
                n_tokens, data = len(result), result.astype("<f2").tobytes()
            rows.append((input_hash, n_tokens, _checksum(input_hash, n_tokens, data), data))
        with self._said():
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO encoded VALUES (?, ?, ?, ?)", rows)
            self._database.execute("COMMIT")
        return [r if isinstance(r, Failure) else len(r) for r in results]

    def read(self, input_hash: bytes) -> np.ndarray:
        """Read the vectors of an input, ``[n_tokens, dim]``, float16."""
        query = "SELECT n_tokens, checksum, data FROM encoded WHERE input_hash = ?"
        with self._said():
            row = self._database.execute(query, [input_hash]).fetchone()
            n_tokens, checksum, data = row or (0, 0, None)
            if not isinstance(data, bytes) or checksum != _checksum(input_hash, n_tokens, data):
                raise sqlite3.DatabaseError("malformed row")
        return np.frombuffer(data, dtype="<f2").reshape(n_tokens, -1)

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Turn what a database or a disk raises into a sentence."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            # A name in a damaged schema need not be UTF-8.
            reason = "malformed" if isinstance(error, UnicodeDecodeError) else str(error)
            what, remedy = next(said for phrase, said in _SENTENCES.items() if phrase in reason)
            output = self.path.name.removesuffix(".partial").lstrip(".")
            names = {"path": self.path, "output": output, "folder": self.path.parent}
            raise UserError(what.format(**names, reason=reason), remedy) from None


def _checksum(input_hash: bytes, n_tokens: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(input_hash + str(n_tokens).encode()))
