"""All that touches RecBole's insides; nothing else in this package patches anything."""

from functools import cache


@cache
def install() -> None:
    """Mend RecBole and register the plugin with it; once, however often it is asked for."""
    from . import compat

    compat.mend()

    from . import (
        atomic_files,
        caches,
        case_study,
        checkpoints,
        config,
        distributed,
        evaluated,
        exact_time,
        presplit,
        registration,
        splits,
        watching,
    )

    config.install()
    evaluated.install()
    atomic_files.install()
    splits.install()
    presplit.install()
    exact_time.install()
    caches.install()
    case_study.install()
    checkpoints.install()
    distributed.install()
    registration.install()
    watching.install()
