"""The one reader of RecBole's atomic files; it knows no RecBole.

An atomic file is text in UTF-8 or in ``encoding``. The first line names the columns, each as
``name:type``. A line for each row follows; its cells stand between separators as they are: a
quotation mark is a character like any other, and so are the letters of ``NA``. An empty cell is
missing. Lines end with a line feed, a carriage return may stand before it. A line without anything
in it is no row. Whatever is not of this form is refused with the number of its line.
"""

from .file import AtomicFile, Block
from .text import FORMAT, wrong_line

__all__ = ["FORMAT", "AtomicFile", "Block", "wrong_line"]
