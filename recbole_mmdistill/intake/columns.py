"""What the columns are taken for: by an option, or by their names, or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from ..errors import UserError, near

# A name is of a role if it is one of the words that say so alone, or one of either kind beside one
# of _ID_WORDS.
_ID_WORDS = {
    *("id", "ids", "no", "nr", "num", "number", "code", "key", "uuid", "guid", "hash", "nummer"),
}
_ALONE: Mapping[str, set[str]] = {
    "user": {
        *("user", "customer", "client", "member", "visitor", "buyer", "reviewer", "shopper"),
        *("kunde", "kunden", "kundennummer", "kundennr"),
    },
    "item": {
        *("item", "product", "sku", "asin", "parent_asin", "isbn", "ean", "gtin", "upc"),
        *("movie", "article", "artikel", "artikelnummer", "artikelnr", "artnr", "produkt"),
    },
}
_WITH_ID: Mapping[str, set[str]] = {
    "user": {
        *("u", "usr", "cust", "account", "person", "player", "subscriber", "consumer", "reader"),
        *("viewer", "listener", "student", "guest", "session"),
    },
    "item": {
        *("i", "prod", "film", "book", "song", "track", "video", "news", "game", "content"),
        *("business", "goods", "stock", "offer", "listing", "course", "recipe", "anime", "artist"),
        *("show", "document"),
    },
}
_TIME_FIRST = {"timestamp", "time", "datetime", "ts", "unixtime", "eventtime"}
_TIME_LAST = {
    *("timestamp", "datetime", "date", "time", "ts", "at"),
    *("datum", "bestelldatum", "kaufdatum"),
}
_TIME_OF_ELSE = {  # durations, and times of something else than the interaction
    *("birth", "release", "released", "registration", "registered", "updated", "modified"),
    *("deleted", "expiry", "expires", "due", "watch", "play", "dwell", "listen", "reading"),
}
_DATE = re.compile(r"(\d{4}[-/]\d\d?[-/]\d\d?|\d\d?[./]\d\d?[./]\d{4})([T ].*)?$")
_DATE_OR_SECONDS = re.compile(rf"1\d{{9}}(\d{{3}})?(\.\d+)?$|{_DATE.pattern}")
_RATING = {"rating", "ratings", "overall", "stars", "star", "score"}
_TEXT = {
    *("title", "name", "productname", "itemname", "producttitle", "text", "description"),
    *("brand", "category", "categories", "genre", "genres", "caption", "headline", "abstract"),
    *("productdescription", "shortdescription", "features", "tags", "moviename", "movietitle"),
    *("titel", "beschreibung", "bezeichnung", "artikelbezeichnung", "marke", "kategorie"),
}
_IMAGE = {
    *("image", "photo", "picture", "img", "imagefile", "imagepath", "photofile", "filename"),
    *("bild", "foto"),
}


def words_of(name: str) -> list[str]:
    """Cut a name into words in lower case: ``customerID`` and ``Customer-Id`` alike."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]", name)]


def _is_id_of(role: str, name: str) -> bool:
    words = words_of(name)
    left = "_".join(word for word in words if word not in _ID_WORDS)
    if len(words) == 1 and left.endswith("id"):  # userid, in one word
        left, words = left[:-2], [left[:-2], "id"]
    return left in _ALONE[role] or (left in _WITH_ID[role] and left != "_".join(words))


def _is_time(name: str) -> bool:
    words = words_of(name)
    return bool(words) and words[-1] in _TIME_LAST and not _TIME_OF_ELSE & {*words}


def has_role(name: str) -> bool:
    """Whether a name is one that headers have."""
    joined = "".join(words_of(name))
    return (
        any(_is_id_of(role, name) for role in _ALONE)
        or _is_time(name)
        or joined in _TIME_FIRST | _RATING | _TEXT | _IMAGE
    )


def candidates(role: str, names: Sequence[str]) -> list[int]:
    """List the columns that a name may make ``user``, ``item``, ``time``, ``rating`` or ``image``.

    Parameters
    ----------
    role : str
    names : sequence of str
        Of all columns.

    Returns
    -------
    list of int
        Places; several if it cannot be told.
    """
    joined = ["".join(words_of(name)) for name in names]
    if role in _ALONE:
        found = [n for n, name in enumerate(names) if _is_id_of(role, name)]
        # A session has a user, if there is a column of users, too.
        strong = [n for n in found if "session" not in words_of(names[n])]
        return strong or found
    if role == "time":
        first = [n for n, name in enumerate(joined) if name in _TIME_FIRST]
        return first or [n for n, name in enumerate(names) if _is_time(name)]
    known = _RATING if role == "rating" else _IMAGE
    return [n for n, name in enumerate(joined) if name in known]


def like_times(names: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """List the columns that seem to hold times, by some of their cells."""
    found = []
    for name, column in zip(names, cells):
        filled = [cell.strip() for cell in column if cell.strip()]
        form = _DATE if _ID_WORDS & {*words_of(name)} else _DATE_OR_SECONDS
        if filled and all(form.match(cell) for cell in filled):
            found.append(name)
    return found


def texts(names: Sequence[str]) -> list[int]:
    """List the columns that hold texts, by their names."""
    return [n for n, name in enumerate(names) if "".join(words_of(name)) in _TEXT]


def choose(
    role: str, option: str, given: str | None, names: Sequence[str], of: str, needed: bool = True
) -> int | None:
    """Find the column of a role.

    Parameters
    ----------
    role : str
        As for :func:`candidates`.
    option : str
        Its name on the command line.
    given : str or None
        The option's value: a column's name, or its number from 1.
    names : sequence of str
        Of all columns.
    of : str
        The file, for messages.
    needed : bool
        Whether there must be one.

    Returns
    -------
    int or None
        Its place, from 0.

    Raises
    ------
    UserError
        There is none, or more than one.
    """
    if given is not None:
        return find(option, given, names, of)
    found = candidates(role, names)
    if len(found) > 1:
        several = ", ".join(repr(names[n]) for n in found)
        raise UserError(
            f"The {role} of {of} may be any of the columns {several}.",
            f"Say which by --{option}.",
        )
    if found:
        return find(option, names[found[0]], names, of)
    if needed:
        raise unknown([Missing(role, option, tuple(names), of)])
    return None


class Missing(NamedTuple):
    """A column that must be there, and that is known by no name.

    Attributes
    ----------
    role, option : str
        As for :func:`choose`; the role ``text`` has several columns.
    names : tuple of str
        Of all columns.
    of : str
        The file.
    """

    role: str
    option: str
    names: tuple[str, ...]
    of: str


def unknown(missing: Sequence[Missing]) -> UserError:
    """Give the mistake that columns are missing, all of them in one sentence."""
    what, remedies = [], []
    for of, group in groupby(missing, key=lambda one: one.of):
        several = [*group]
        names = several[0].names
        roles = ["a text" if one.role == "text" else f"the {one.role}" for one in several]
        options = " and ".join(f"--{one.option}" for one in several)
        if all(name.isdecimal() for name in names):
            what.append(
                f"{of} has no header that says which of its {len(names)} columns is "
                + " and which is ".join(roles)
            )
            numbers = " ".join(f"--{one.option}={n}" for n, one in enumerate(several, 1))
            remedies.append(f"say its number, e.g. {numbers}")
        else:
            what.append(f"no column of {of} is known for {' and for '.join(roles)} by its name")
            remedies.append(f"say which by {options}, of {', '.join(map(repr, names[:30]))}")
    whole, remedy = "; ".join(what), "; ".join(remedies)
    if whole.startswith("no "):
        whole = f"N{whole[1:]}"
    return UserError(f"{whole}.", f"S{remedy[1:]}.")


def find(option: str, given: str, names: Sequence[str], of: str) -> int:
    """Find a column by its name, or by its number from 1.

    Raises
    ------
    UserError
        There is none of this name, or there are two.
    """
    found = [n for n, name in enumerate(names) if name == given]
    found = found or [n for n, name in enumerate(names) if name.lower() == given.lower()]
    if len(found) > 1:
        numbers = " and ".join(str(n + 1) for n in found)
        raise UserError(
            f"{of} has {len(found)} columns called {given!r} (numbers {numbers}).",
            f"Say which by its number, e.g. --{option}={found[0] + 1}.",
        )
    if found:
        return found[0]
    if given.isdecimal() and 1 <= int(given) <= len(names):
        return int(given) - 1
    raise UserError(
        f"{of} has no column {given!r} (--{option}).",
        f"Its columns are {', '.join(map(repr, names[:30]))}{near(given, names)}.",
    )
