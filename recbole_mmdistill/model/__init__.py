"""IDMMDistill and its parts: item encoders, sequence encoders, losses."""

from .idmmdistill import IDMMDistill

__all__ = ["IDMMDistill"]
