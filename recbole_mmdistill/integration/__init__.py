"""All that touches RecBole's insides; nothing else in this package patches anything."""

from functools import cache


@cache
def install() -> None:
    """Mend RecBole and register the plugin with it; once, however often it is asked for."""
    from . import compat

    compat.mend()

    from . import (
        checkpoints,
        config,
        distributed,
        evaluated,
        exact_time,
        registration,
        topk,
        watching,
    )

    config.install()
    evaluated.install()
    exact_time.install()
    checkpoints.install()
    distributed.install()
    registration.install()
    topk.install()
    watching.install()
