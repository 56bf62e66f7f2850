"""Settings: which options there are, what they may be, and how they are read. Data, never code."""

from . import extensions
from .check import (
    COMMAND_LINE,
    SCRIPT,
    check_settings,
    log_unread,
    wrong_value,
    wrong_values,
)
from .names import model_names
from .request import Checked, Request, read_request, read_words
from .schema import DERIVED, PLACES, SURROUNDINGS, Option, is_text, options_of, read_options
from .together import Layers
from .values import as_typed, literal, parse_command_line
from .yaml_file import parse_yaml, read_yaml

__all__ = [
    "COMMAND_LINE",
    "DERIVED",
    "PLACES",
    "SCRIPT",
    "SURROUNDINGS",
    "Checked",
    "Layers",
    "Option",
    "Request",
    "as_typed",
    "check_settings",
    "extensions",
    "is_text",
    "literal",
    "log_unread",
    "model_names",
    "options_of",
    "parse_command_line",
    "parse_yaml",
    "read_options",
    "read_request",
    "read_words",
    "read_yaml",
    "wrong_value",
    "wrong_values",
]
