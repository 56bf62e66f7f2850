"""A user's own files, CSV, TSV, Parquet or JSON lines, become RecBole's atomic files."""

from .dialect import Wanted
from .importing import Request, import_dataset
from .report import Report

__all__ = ["Report", "Request", "Wanted", "import_dataset"]
