"""RecBole's log, all of it in its file and only warnings on the console."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

# Folders that RecBole writes its logs to, in the working directory (utils/logger.py:70,
# utils/utils.py:241).
LOG_FOLDERS = ("log", "log_tensorboard")

_handlers: list[logging.Handler] = []


def start_log(config: Any, verbose: bool = False) -> Path:
    """Begin the log of a run; that of the run before it in this process is closed.

    RecBole's ``init_logger`` (utils/logger.py:56) does nothing where any logger has been set up
    before, puts everything on the console, and leaves colorama's wrappers around ``sys.stdout``
    and ``sys.stderr``.

    Parameters
    ----------
    config : recbole.config.Config
        Names the model, the dataset, and by ``state`` the level.
    verbose : bool
        Whether the console gets everything, too, and not only the warnings of RecBole and of this
        package.

    Returns
    -------
    Path
        The log file.
    """
    import colorama
    from recbole.utils import init_logger

    root = logging.getLogger()
    for handler in _handlers:
        root.removeHandler(handler)
        handler.close()
    others, root.handlers = root.handlers, []
    try:
        init_logger(config)
    finally:
        colorama.deinit()
        _handlers[:] = root.handlers
        root.handlers = [*others, *_handlers]
    file = next(h for h in _handlers if isinstance(h, logging.FileHandler))
    for handler in _handlers:
        if handler is not file and not verbose:
            handler.setLevel(max(handler.level, logging.WARNING))
            handler.addFilter(_is_ours)
    return Path(os.path.relpath(file.baseFilename))


def _is_ours(record: logging.LogRecord) -> bool:
    """Let pass what RecBole and this package log, by the root logger; libraries have their own."""
    return record.name == "root"
