"""Proof of concept: from a sample of one's own files to a decision, in one command."""

from .job import Request, prove

__all__ = ["Request", "prove"]
