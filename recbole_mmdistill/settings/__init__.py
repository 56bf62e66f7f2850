"""Settings: which options there are, what they may be, and how they are read. Data, never code."""

from .check import (
    COMMAND_LINE,
    SCRIPT,
    Layers,
    check_settings,
    check_topk,
    wrong_value,
    wrong_values,
)
from .kinds import show
from .literal import as_typed, literal, parse_command_line
from .names import model_names
from .request import Checked, Request, read_request, read_words
from .schema import DERIVED, PLACES, Option, is_text, options_of, read_options
from .yaml_file import parse_yaml, read_yaml

__all__ = [
    "COMMAND_LINE",
    "DERIVED",
    "PLACES",
    "SCRIPT",
    "Checked",
    "Layers",
    "Option",
    "Request",
    "as_typed",
    "check_settings",
    "check_topk",
    "is_text",
    "literal",
    "model_names",
    "options_of",
    "parse_command_line",
    "parse_yaml",
    "read_options",
    "read_request",
    "read_words",
    "read_yaml",
    "show",
    "wrong_value",
    "wrong_values",
]
