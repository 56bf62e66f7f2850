"""CSV files that a benchmark writes and reads again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import UserError
from ..files import write_text


def read_lines(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a file that :func:`write_lines` has written; nothing if it is not there.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str
        Its columns.

    Returns
    -------
    list of dict
        Lines by column.

    Raises
    ------
    UserError
        The file is damaged.
    """
    if not path.is_file():
        return []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file, strict=True)
        if tuple(header) != tuple(columns):
            raise ValueError("other columns")
        return [dict(zip(columns, line, strict=True)) for line in lines]
    except (OSError, csv.Error, ValueError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> UserError:
    """Say that a file is not as it was written."""
    return UserError(
        f"{path} is not as a benchmark writes it ({error}).",
        "Take it from where it was whole, or delete it: it is made anew of trials/.",
    )


def write_lines(path: Path, columns: Sequence[str], lines: Iterable[dict[str, str]]) -> None:
    """Write lines, atomically.

    Parameters
    ----------
    path : Path
        Where to.
    columns : sequence of str
        In their order.
    lines : iterable of dict
        A text for each column.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(path, text.getvalue())
