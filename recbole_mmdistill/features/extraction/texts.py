"""From the cells of an ``.item`` file to the text that an encoder reads."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping

from ...errors import UserError

CLEANING = "HTML removed, NFKC, article of a title put first"

_ENDLESS_ENTITY = re.compile(r"&#[0-9]{600,};?")  # int() refuses so many digits
# Each search ends where the next would begin, so that a thousand openings cost no million steps.
_COMMENT_OR_CODE = re.compile(
    r"<!--(?:(?!<!--).)*?-->|<(script|style)\b(?:(?!<\1).)*?</\1\s*>", re.DOTALL | re.IGNORECASE
)
# Attributes need an equals sign, or "x<y and y>z" would be x and z.
_TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9:-]*)(?:\s[^<>=]*=[^<>]*)?\s*/?>|<[!?][a-zA-Z][^<>]*>")
_INLINE = frozenset("a abbr b em font i small span strong sub sup u".split())
_UNSEEN = re.compile("[\u00ad\u200b\u2060\ufeff]")  # soft hyphen, spaces of no width
_INVERTED_ARTICLE = re.compile(r"^(.*?\S), (The|An?|Las?|Les?|L'|El|Los|Il|Das|Der)(?=$| \()")
_FIELD = re.compile(r"\{(\w+)\}")
_SECTION = re.compile(r"\[([^\[\]]*)\]")


def clean(text: str) -> str:
    """Turn a cell into plain text, which is empty if nothing readable is left.

    HTML entities and tags are resolved (those of markup that was escaped, too), Unicode is
    normalised (NFKC), control characters and spaces of no width vanish, runs of white space
    become one space, and an inverted title ("Usual Suspects, The") is put right. It is made for
    raw cells: what it gives may look like markup again ("&lt;b>" that was escaped four times).
    """
    text = _ENDLESS_ENTITY.sub("\ufffd", text)
    for _ in range(3):  # shop data are at times escaped twice
        unescaped = html.unescape(text)
        if unescaped == text:
            break
        text = unescaped
    if "<" in text:
        text = _COMMENT_OR_CODE.sub(" ", text)
        text = _TAG.sub(_instead_of_tag, text)
    text = unicodedata.normalize("NFKC", _UNSEEN.sub("", text))
    text = "".join(c if c.isprintable() or unicodedata.category(c) == "Cf" else " " for c in text)
    return _INVERTED_ARTICLE.sub(_article_first, " ".join(text.split()))


def _instead_of_tag(tag: re.Match[str]) -> str:
    return "" if (tag[1] or "").lower() in _INLINE else " "


def _article_first(inverted: re.Match[str]) -> str:
    title, article = inverted[1].rstrip(), inverted[2]
    return f"{article}{title}" if article.endswith("'") else f"{article} {title}"


class Template:
    """How the fields of an item are joined: by full stops, or as a text says.

    In a text ``{field}`` stands for a field, and a section in square brackets is left out where
    one of its fields is empty: ``{title}[ ({release_year})][. {genres}]``. Without a text the
    fields that are not empty are joined by ". ".
    """

    def __init__(self, fields: tuple[str, ...], text: str | None = None) -> None:
        self.fields = fields
        self.text = text

    @classmethod
    def of_fields(cls, given: str) -> Template:
        """Read names of fields, separated by commas; a UserError if one is no name."""
        fields = tuple(dict.fromkeys(field.strip() for field in given.split(",")))
        for field in fields:
            if not re.fullmatch(r"\w+", field):
                raise UserError(
                    f"--fields is {given!r}, in which {field!r} is no name of a field.",
                    "Separate the names by commas: --fields=title,genres.",
                )
        return cls(fields)

    @classmethod
    def of_text(cls, text: str) -> Template:
        """Read a template; a UserError if it names no field, or a bracket stands alone."""
        fields = tuple(dict.fromkeys(_FIELD.findall(text)))
        if not fields or re.search(r"[\[\]{}]", _SECTION.sub(r"\1", _FIELD.sub("", text))):
            raise UserError(
                f"--template is {text!r}, but must name fields in braces, and close its brackets.",
                "Write for example --template='{title}[ ({year})][. {genres}]'.",
            )
        return cls(fields, text)

    def __str__(self) -> str:
        return "fields joined by '. '" if self.text is None else f"template {self.text!r}"

    def fill(self, values: Mapping[str, str]) -> str:
        """Give the text of an item by its cells, cleaned; empty if all fields it names are."""
        if self.text is None:
            return ". ".join(values[field] for field in self.fields if values[field])
        if not any(values[field] for field in self.fields):
            return ""

        def section(match: re.Match[str]) -> str:
            return match[1] if all(values[field] for field in _FIELD.findall(match[1])) else ""

        # The fields last and all at once, so that brackets and braces in a value mean nothing.
        text = _FIELD.sub(lambda match: values[match[1]], _SECTION.sub(section, self.text))
        return " ".join(text.split())
