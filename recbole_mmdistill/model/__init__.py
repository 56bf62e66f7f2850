"""IDMMDistill and its parts, and what a part of one's own is made from and registered with."""

import recbole  # noqa: F401  (first: with it comes the import of the modules below, in order)

from .candidates import CANDIDATES, CandidateSampler
from .idmmdistill import IDMMDistill
from .item_encoder import ITEM_ENCODERS, ItemEncoder
from .loss import LOSSES, Loss
from .odmt import ODMT
from .sequence_encoder import SEQUENCE_ENCODERS, SequenceEncoder
from .step_scores import StepScores

__all__ = [
    "CANDIDATES",
    "ITEM_ENCODERS",
    "LOSSES",
    "ODMT",
    "SEQUENCE_ENCODERS",
    "CandidateSampler",
    "IDMMDistill",
    "ItemEncoder",
    "Loss",
    "SequenceEncoder",
    "StepScores",
]
