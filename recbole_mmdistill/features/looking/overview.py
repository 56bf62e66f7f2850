"""What there is to say of a dataset's features: numbers, and examples to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..align import UnknownItems
from ..source import FeatureInfo
from .catalogue import Item
from .neighbours import Closeness
from .vectors import Norms


@dataclass(frozen=True)
class Share:
    """A part of a whole.

    Parameters
    ----------
    part, whole : int
        How many.
    """

    part: int
    whole: int

    @property
    def ratio(self) -> float:
        """From 0 to 1; of nothing, 0."""
        return self.part / self.whole if self.whole else 0.0


@dataclass(frozen=True)
class DuplicateGroup:
    """Items whose features are the same to the bit.

    Parameters
    ----------
    size : int
        How many items.
    is_zero : bool
        Whether their vector is zero.
    examples : tuple of Item
        The first few.
    """

    size: int
    is_zero: bool
    examples: tuple[Item, ...]


@dataclass(frozen=True)
class Neighbour:
    """An item near another.

    Parameters
    ----------
    item : Item
        Which.
    similarity : float
        Cosine of both vectors.
    """

    item: Item
    similarity: float


@dataclass(frozen=True)
class ModalityOverview:
    """The features of one modality. Vectors are those of the dataset's items, not the file's.

    Parameters
    ----------
    modality : str
        Its name.
    info : FeatureInfo
        How the features were made.
    path : pathlib.Path
        Their file.
    n_bytes : int
        Its size.
    n_rows, n_tokens, dim : int
        Shape of the values.
    dtype : str
        Of the values.
    items, interactions : Share
        What part of them has features.
    groups : tuple of Share
        Items with features by popularity, in the order of ``GROUPS``.
    n_empty : int
        Items whose every token is masked: they count as without features.
    unknown_items : UnknownItems
        Items that have features and are not in the dataset.
    norms : Norms or None
        Lengths of the vectors.
    n_zero, n_not_finite : int
        Number of vectors that are zero, or hold NaN or an infinite number.
    n_duplicates, n_duplicate_groups : int
        How many items share their vector with another, and how many such vectors there are.
    largest_groups : tuple of DuplicateGroup
        The largest of them.
    closeness : Closeness or None
        How near the neighbours of some items are.
    """

    modality: str
    info: FeatureInfo
    path: Path
    n_bytes: int
    n_rows: int
    n_tokens: int
    dim: int
    dtype: str
    items: Share
    interactions: Share
    groups: tuple[Share, ...]
    n_empty: int
    unknown_items: UnknownItems
    norms: Norms | None
    n_zero: int
    n_not_finite: int
    n_duplicates: int
    n_duplicate_groups: int
    largest_groups: tuple[DuplicateGroup, ...]
    closeness: Closeness | None


@dataclass(frozen=True)
class Example:
    """An item, and what is near it.

    Parameters
    ----------
    item : Item
        Which.
    is_popular : bool
        Whether it is one of the most popular, or else drawn.
    neighbours : dict of str to tuple of Neighbour or None
        By modality, the nearest first; None where the item's vector has no direction.
        A modality that the item lacks is not in it.
    """

    item: Item
    is_popular: bool
    neighbours: dict[str, tuple[Neighbour, ...] | None]


@dataclass(frozen=True)
class FeatureOverview:
    """The features of a dataset.

    Parameters
    ----------
    dataset : str
        Its name.
    n_items, n_interactions : int
        Its size.
    group_sizes : tuple of int
        Number of items by popularity, in the order of ``GROUPS``.
    modalities : tuple of ModalityOverview
        Each on its own.
    combinations : tuple of (tuple of str, int)
        How many items have just these modalities: all of them first, none of them last.
    examples : tuple of Example
        A few items with their neighbours.
    seed : int
        What the examples were drawn with.
    """

    dataset: str
    n_items: int
    n_interactions: int
    group_sizes: tuple[int, ...]
    modalities: tuple[ModalityOverview, ...]
    combinations: tuple[tuple[tuple[str, ...], int], ...]
    examples: tuple[Example, ...]
    seed: int
