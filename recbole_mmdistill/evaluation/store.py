"""Finished trials on this machine, in a folder that git ignores: a compressed file each."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import plain_value, replacing
from .rows import Rows

_SUFFIX = ".json.gz"


class Store:
    """Records of trials, named by the key of the trial and the behaviour that made them.

    Parameters
    ----------
    folder : str or Path
        Where they lie; descriptions of test rows, which many trials share, in ``rows/`` in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._rows: dict[str, Rows] = {}

    def path(self, key: str, behaviour: int) -> Path:
        """Where a record is, or will be."""
        return self.folder / f"{key}-{behaviour}{_SUFFIX}"

    def newest(self) -> dict[str, int]:
        """The highest behaviour of which there is a record, by the trial's key."""
        found: dict[str, int] = {}
        for path in self.folder.glob(f"*-*{_SUFFIX}"):
            key, _, behaviour = path.name.removesuffix(_SUFFIX).rpartition("-")
            if behaviour.isdecimal():
                found[key] = max(found.get(key, 0), int(behaviour))
        return found

    def read(self, key: str, behaviour: int) -> dict[str, Any] | None:
        """Read a record; None if it is not on this machine.

        Raises
        ------
        UserError
            The file is damaged.
        """
        path = self.path(key, behaviour)
        if not path.is_file():
            return None
        try:
            record = _read(path)
            record["ranks"], record["valid"], record["epochs"], record["rows"]
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            raise UserError(f"{path} is no record of a trial.", "Delete it.") from None
        return record

    def write(self, key: str, record: dict[str, Any]) -> None:
        """Write a record, atomically."""
        _write(self.path(key, record["behaviour"]), record)

    def read_rows(self, name: str) -> Rows:
        """Read the description of test rows that a record names.

        Raises
        ------
        UserError
            It is missing or damaged.
        """
        if name not in self._rows:
            path = self._path_of_rows(name)
            try:
                self._rows[name] = Rows(**_read(path))
            except (OSError, EOFError, ValueError, TypeError):
                raise UserError(
                    f"{path} is no description of test rows.", f"Delete {self.folder}."
                ) from None
        return self._rows[name]

    def write_rows(self, rows: Rows) -> str:
        """Write a description of test rows where it is not yet; its name."""
        path = self._path_of_rows(rows.name)
        if not path.is_file():
            _write(path, vars(rows))
        return rows.name

    def _path_of_rows(self, name: str) -> Path:
        return self.folder / "rows" / f"{name}{_SUFFIX}"


def _read(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def _write(path: Path, value: Any) -> None:
    with replacing(path) as file:
        file.write(gzip.compress(json.dumps(value, default=plain_value).encode("utf-8"), mtime=0))
