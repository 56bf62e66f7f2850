"""The export in use, and the next one that takes its place."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..failures import explain
from ..serving.catalogue import Catalogue, read_catalogue
from ..serving.manifest import NAME
from ..serving.runtime import Runtime
from ..serving.similar import Similarity


@dataclass(frozen=True)
class Loaded:
    """An export in memory, which never changes.

    Attributes
    ----------
    runtime : Runtime
    catalogue : Catalogue
        Titles and pictures.
    similarity : Similarity
    fingerprint : str
        The same of two exports if all their files are the same.
    """

    runtime: Runtime
    catalogue: Catalogue
    similarity: Similarity
    fingerprint: str

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return len(self.runtime.items) - 1


class Exports:
    """Holds the export of a folder, and takes up a new one that takes its place.

    Whoever answers a request takes :attr:`current` once. It is read into memory: whatever becomes
    of the files, it stays as it was.

    Parameters
    ----------
    folder : Path
        As ``recbole-mm export`` writes it, at once or later.
    threads : int
        Of one search by an index, and of the user encoder.
    exact : bool
        Whether every item is looked at, although there is an index.
    interval : float
        Seconds between two looks at the folder.
    tell : callable
        Is told, in a sentence, of what was loaded or could not be.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 1,
        exact: bool = False,
        interval: float = 2.0,
        tell: Callable[[bool, str], None] = lambda is_loaded, sentence: None,
    ) -> None:
        self.current: Loaded | None = None
        self._folder = folder
        self._threads = threads
        self._exact = exact
        self._interval = interval
        self._tell = tell
        self._seen: tuple[int, ...] | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def load(self) -> None:
        """Load the export of the folder, if it is another than the current one.

        Raises
        ------
        UserError
            It cannot be used; then the current one stays.
        """
        stamp = self._stamp()
        if stamp is not None and stamp == self._seen:
            return
        before = self._manifest()
        if self.current is None or _fingerprint(before) != self.current.fingerprint:
            runtime = Runtime(self._folder, threads=self._threads, exact=self._exact, mapped=False)
            catalogue = read_catalogue(self._folder, runtime.manifest, runtime.items, mapped=False)
            if self._manifest() != before:
                raise UserError("The export was replaced while it was read.", "Wait.")
            runtime.recommend([[], [str(runtime.items[1])]], 1)  # what is made once is made here
            similarity = Similarity(runtime.scoring)
            made = Loaded(runtime, catalogue, similarity, _fingerprint(before))
            self.current = made
            self._tell(True, f"Loaded: {made.n_items:,} items, export {made.fingerprint}.")
        self._seen = stamp

    def start(self) -> None:
        """Look at the folder from time to time, in a thread."""
        self._ended.clear()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="exports")
        self._thread.start()

    def stop(self) -> None:
        """End what :meth:`start` began."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=1)

    def _follow(self) -> None:
        said, times = "", 0
        while not self._ended.wait(self._interval):
            try:
                self.load()
                said, times = "", 0
            except Exception as error:  # whatever it is, the current export serves on
                sentence = str(explain(error))
                said, times = sentence, times + 1 if sentence == said else 1
                if times == 2:  # for a moment, a folder that is being written is always damaged
                    self._tell(False, sentence)

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(self._folder / NAME)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _manifest(self) -> bytes | None:
        try:
            return (self._folder / NAME).read_bytes()
        except OSError:
            return None


def _fingerprint(manifest: bytes | None) -> str:
    """Of the manifest, which holds the hashes of all files."""
    return hashlib.sha256(manifest or b"").hexdigest()[:16]
