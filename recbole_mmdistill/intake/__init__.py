"""A user's own files, CSV, TSV, Parquet or JSON lines, become RecBole's atomic files."""

from .dialect import Wanted
from .importing import Request, import_dataset
from .reading import Reading
from .report import Report

__all__ = ["Reading", "Report", "Request", "Wanted", "import_dataset"]
