"""Files of ids: one a line, or a column of a table."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from . import columns
from .dialect import is_list
from .engine import Engine
from .form import Form, check_encoding, form_of, parts_of
from .lines import read_blocks
from .reading import AS_FOUND, Reading
from .table import Pick
from .tally import Tally


def read_ids(engine: Engine, path: Path, role: str, reading: Reading = AS_FOUND) -> list[str]:
    """Read a list of ids: one a line, or a column of a table.

    Parameters
    ----------
    engine : Engine
        A database.
    path : Path
        The file.
    role : str
        ``user`` or ``item``, by which the column is found.
    reading : Reading
        How it is read.

    Returns
    -------
    list of str
        Each once, in the order of the file.

    Raises
    ------
    UserError
        It cannot be read, or holds none.
    """
    parts = parts_of(path)
    forms = {part: form_of(part, check_encoding(reading.encoding)) for part in parts}
    filled = {part: form for part, form in forms.items() if form.kind != "empty"}
    if filled and all(_is_list(form, reading) for form in filled.values()):
        ids = [id_ for part, form in filled.items() for id_ in _lines(part, form, role, reading)]
    else:
        table = reading.open(parts)
        place = columns.choose(role, role, None, table.names, str(path))
        assert place is not None  # a column is needed
        name = f"list_of_{role}s"
        engine.run(f"DROP TABLE IF EXISTS {name}")
        table.load(engine, name, {"token": Pick(place)}, Tally())
        found = engine.run(f"SELECT token FROM {name} WHERE token <> '' ORDER BY part, line")
        ids = [token for (token,) in found]
    if not ids:
        raise UserError(f"{path} holds no {role}s.", "Give one id a line, or a column of them.")
    return list(dict.fromkeys(ids))


def _is_list(form: Form, reading: Reading) -> bool:
    return form.kind == "text" and is_list(form, reading.wanted)


def _lines(path: Path, form: Form, role: str, reading: Reading) -> list[str]:
    """The ids of a file of one column, without its header."""
    blocks = read_blocks(path, form, Tally(), lambda n_bytes: None)
    ids = [line for block in blocks for line in block.lines if line.strip()]
    if reading.wanted.quoted is not False:
        ids = [_unquoted(line) for line in ids]
    header = reading.wanted.header
    if header is None:
        header = bool(columns.candidates(role, ids[:1]))
    return ids[1:] if header else ids


def _unquoted(line: str) -> str:
    """Take quotation marks off a line that is one cell of CSV."""
    if len(line) < 2 or not line[0] == line[-1] == '"':
        return line
    cell = line[1:-1].replace('""', "\0")
    return line if '"' in cell else cell.replace("\0", '"')
