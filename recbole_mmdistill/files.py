"""How results reach the disk: whole or not at all."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import UserError


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically; folders are made as needed.

    Parameters
    ----------
    path : Path
        Where to.
    value : object
        Of dicts, lists, strings, numbers, bools and None.

    Raises
    ------
    UserError
        It cannot be written there; what was there before is still whole.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise UserError(f"{path} cannot be written ({error}).", "Give another path.") from None
