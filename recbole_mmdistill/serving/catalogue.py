"""Titles and small pictures of the items of an export: optional files, for people to look at."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import UserError
from .manifest import Manifest, read_array

TITLES, PICTURES, ENDS = "titles.json", "pictures", "picture_ends"
_ADDRESS = "data:image/jpeg;base64,"
_AGAIN = "Export the checkpoint again."
_MOST_PICTURES = 64 << 20  # bytes of all


class Catalogue:
    """What is shown of items.

    Parameters
    ----------
    tokens : numpy.ndarray
        By number, dtype object ``[n_items]``.
    titles : list of str, optional
        By number, empty where an item has none.
    pictures : tuple of numpy.ndarray, optional
        JPEG files one behind another, uint8, and where that of each item ends, int64 ``[n_items]``.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        titles: list[str] | None = None,
        pictures: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self._tokens = tokens
        self._titles = titles
        self._pictures = pictures

    @property
    def has_pictures(self) -> bool:
        """Whether any item has one."""
        return self._pictures is not None

    def title(self, number: int) -> str | None:
        """Give the title of an item, if it has one."""
        return (self._titles[number] or None) if self._titles else None

    def picture(self, number: int) -> str | None:
        """Give the picture of an item as a ``data:`` URL, if it has one."""
        if self._pictures is None:
            return None
        files, ends = self._pictures
        first, end = int(ends[number - 1]) if number else 0, int(ends[number])
        if first == end:
            return None
        return _ADDRESS + base64.b64encode(files[first:end].tobytes()).decode("ascii")

    @cached_property
    def _folded(self) -> list[str]:
        return [token.casefold() for token in self._tokens]

    @cached_property
    def _searched(self) -> list[str]:
        shown = [title or token for title, token in zip(self._titles or self._tokens, self._tokens)]
        return [text.casefold() for text in shown]

    def search(self, words: str, order: np.ndarray, limit: int) -> list[int]:
        """Find items by their token, or a part of their title (of their token if they lack one).

        Parameters
        ----------
        words : str
            In upper or lower case.
        order : numpy.ndarray
            Numbers of items, those that are wanted first in front; one of this token comes before.
        limit : int
            How many at most.

        Returns
        -------
        list of int
            Their numbers.
        """
        words, texts = words.casefold().strip(), self._searched
        found = [number for number, token in enumerate(self._folded) if number and token == words]
        named = {*found}
        for number in order.tolist() if len(found) < limit else ():
            if number and number not in named and words in texts[number]:
                found.append(number)
                if len(found) == limit:
                    break
        return found[:limit]


def read_catalogue(
    folder: Path, manifest: Manifest, tokens: np.ndarray, mapped: bool = True
) -> Catalogue:
    """Read what an export has of titles and pictures.

    Parameters
    ----------
    folder : Path
        The export, compared with its manifest.
    manifest : Manifest
        Of the export.
    tokens : numpy.ndarray
        Of its items.
    mapped : bool
        See :func:`read_array`.

    Raises
    ------
    UserError
        A file is none of these.
    """
    titles, pictures = None, None
    if TITLES in manifest.files:
        try:
            titles = json.loads((folder / TITLES).read_text(encoding="utf-8"))
            sound = isinstance(titles, list) and all(isinstance(title, str) for title in titles)
            if not sound or len(titles) != len(tokens):
                raise ValueError(f"it has no {len(tokens)} titles")
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{folder / TITLES} cannot be read ({error!s:.200}).", _AGAIN) from None
    if f"{PICTURES}.npy" in manifest.files:
        files = read_array(folder, f"{PICTURES}.npy", np.uint8, (-1,), mapped)
        ends = read_array(folder, f"{ENDS}.npy", np.int64, (len(tokens),), mapped)
        if ends[0] != 0 or (np.diff(ends) < 0).any() or ends[-1] != len(files):
            raise UserError(f"{folder / PICTURES}.npy and {ENDS}.npy do not fit.", _AGAIN)
        pictures = files, ends
    return Catalogue(tokens, titles, pictures)


def write_catalogue(
    folder: Path,
    tokens: np.ndarray,
    order: np.ndarray,
    title: Callable[[str], str],
    picture: Callable[[str], bytes | None],
) -> tuple[int, int]:
    """Write titles and pictures, if there are any; the files are left out if there are none.

    Parameters
    ----------
    folder : Path
        Of the export.
    tokens : numpy.ndarray
        By number; number 0 is the padding.
    order : numpy.ndarray
        The items' numbers in the order in which they get pictures, of 64 MiB together.
    title, picture : callable
        Give those of a token: the token itself, and None, where there is none.

    Returns
    -------
    tuple of int
        How many titles and pictures were written.
    """
    titles = ["", *(title(token) for token in tokens[1:])]
    titles = ["" if text == token else text for text, token in zip(titles, tokens)]
    if any(titles):
        text = json.dumps(titles, ensure_ascii=False)
        (folder / TITLES).write_text(text, encoding="utf-8", errors="replace")
    files: dict[int, bytes] = {}
    total = 0
    for number in order[order > 0].tolist():
        file = picture(tokens[number])
        if file is not None:
            total += len(file)
            if total > _MOST_PICTURES:
                break
            files[number] = file
    if files:
        sizes = [len(files.get(number, b"")) for number in range(len(tokens))]
        joined = b"".join(files[number] for number in sorted(files))
        np.save(folder / f"{PICTURES}.npy", np.frombuffer(joined, dtype=np.uint8))
        np.save(folder / f"{ENDS}.npy", np.cumsum(sizes, dtype=np.int64))
    return sum(map(bool, titles)), len(files)
