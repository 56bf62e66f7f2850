"""IDMMDistill and its parts: item encoders, sequence encoders, losses."""

import recbole  # noqa: F401  (first: with it comes the import of the modules below, in order)

from .idmmdistill import IDMMDistill

__all__ = ["IDMMDistill"]
