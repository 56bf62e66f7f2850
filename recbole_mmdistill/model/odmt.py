"""ODMT: the paper's own recipe."""

from __future__ import annotations

from .idmmdistill import IDMMDistill


class ODMT(IDMMDistill):
    """IDMMDistill with the presets of properties/model/ODMT.yaml, which are the authors'.

    Ji et al., "Online distillation-enhanced multi-modal transformer for sequential
    recommendation", ACM Multimedia 2023.
    """
