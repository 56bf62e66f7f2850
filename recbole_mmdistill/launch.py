"""A run as the command line asks for it: in one process or several, with its table at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import format_table
from .errors import UserError
from .files import check_output, write_json
from .pipeline import Say, run, say_nothing
from .processes import launched_group, run_in_processes
from .settings import Checked

if TYPE_CHECKING:
    from .settings import Request


def run_request(request: Request, say: Say = print, verbose: bool = False) -> dict[str, Any]:
    """Run what a command line asks for, in as many processes as it asks for, and tell the result.

    Parameters
    ----------
    request : Request
        What to run.
    say : callable
        Is given the lines that a user wants to see, the closing table last; with several
        processes a function of a module.
    verbose : bool
        Whether the console gets the whole log.

    Returns
    -------
    dict
        See :meth:`.pipeline.Run.summary`.

    Raises
    ------
    UserError
        A setting, the data or a place cannot be used, or a process was killed.
    """
    started = time.time()
    if request.metrics_file:
        check_output(Path(request.metrics_file), "metrics_file")
    launched = launched_group()
    if launched is not None and request.nproc != 1:
        raise UserError(
            f"nproc is {request.nproc}, but the processes were started by torchrun.",
            "Leave nproc out: torchrun's --nproc_per_node says how many there are.",
        )
    if request.nproc == 1:
        summary = _run_process(launched, request, say, verbose)
    else:
        from .integration.distributed import group_to_start

        group = group_to_start(request.nproc)
        summary, *_ = run_in_processes(_run_rank, request.nproc, group, request, say, verbose)
    if not _is_first(launched):
        return summary
    summary["seconds"] = round(time.time() - started, 1)
    if summary["checkpoint"]:
        say(f"Best model: {summary['checkpoint']}")
    say(f"Log: {summary['log']}")
    say(format_table(summary))
    if request.metrics_file:
        write_json(Path(request.metrics_file), summary)
    return summary


def _run_rank(rank: int, group: dict[str, Any], *args: Any) -> dict[str, Any]:
    return _run_process({**group, "local_rank": rank}, *args)


def _run_process(
    group: Mapping[str, Any] | None, request: Request, say: Say, verbose: bool
) -> dict[str, Any]:
    """Run in this process, alone or as one of a group, of which the first speaks."""
    if not _is_first(group):
        say, verbose = say_nothing, False
    made = run(
        request.model,
        request.dataset,
        Checked({**request.settings, **(group or {})}),
        request.config_files,
        say=say,
        verbose=verbose,
        resume=request.resume,
    )
    return made.summary()


def _is_first(group: Mapping[str, Any] | None) -> bool:
    return group is None or group["offset"] + group["local_rank"] == 0
