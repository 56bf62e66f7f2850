"""The sentences, numbers and tables that the console and the page have in common.

A table is a list of rows, the first of which has the headings.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import compress

import numpy as np
from tqdm import tqdm

from ..popularity import GROUPS
from .catalogue import COUNTED
from .modality import ModalityFeatures
from .overview import FeatureOverview

MANY_ALIKE = 0.01
N_LARGEST = 5  # groups of duplicates that are shown

Table = list[list[str]]
Share = Callable[[int, int], str]


def count(value: int, noun: str) -> str:
    """Write how many things there are."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def percent(part: int, whole: int) -> str:
    """Write a share in percent; 100 % only if nothing is lacking, 0 % only if there is nothing."""
    if whole == 0:
        return "-"
    return f"{part / whole if part in (0, whole) else np.clip(part / whole, 0.001, 0.999):.1%}"


def subtitle(overview: FeatureOverview) -> str:
    """Write how large the dataset is."""
    n_items, *_, n_interactions = overview.catalogue.count(slice(None))
    return f"{count(n_items, 'item')}, {count(n_interactions, 'interaction')}"


def facts(part: ModalityFeatures) -> dict[str, str]:
    """Write how the features of a modality were made and are stored."""
    info, path = part.source.info, part.source.path
    n_rows, n_tokens, dim = part.source.values.shape
    dtype = str(part.source.values.dtype).removeprefix("torch.")
    return {
        "Encoder": info.encoder,
        "Pooling": info.pooling,
        "Preprocessing": info.preprocessing,
        "Made from": ", ".join(info.source_fields) or "unknown",
        "Values": f"{count(n_rows, 'item')}, {count(n_tokens, 'token')} x {dim} numbers, {dtype}",
        "On disk": tqdm.format_sizeof(path.stat().st_size if path else 0, "B"),
        "File": str(path or part.source.name),
    }


def coverage(overview: FeatureOverview, share: Share = percent) -> Table:
    """Tabulate what has features; ``share`` writes a part of a whole."""
    table = [["", "in all", *overview.covered]]
    wholes = overview.catalogue.count(slice(None))
    parts = [overview.catalogue.count(has) for _, has in overview.covered.items()]
    for name, whole, *covered in zip(COUNTED, wholes, *parts):
        label = f"  {name}" if name in GROUPS else name
        table.append([label, f"{whole:,}", *(share(n, whole) for n in covered)])
    return table


def combinations(overview: FeatureOverview, share: Share = percent) -> Table:
    """Tabulate which items have just some modalities: all of them first, none of them last."""
    names = tuple(overview.covered)
    found = dict.fromkeys([names, *((name,) for name in names), ()], 0)
    for has, n in overview.covered.value_counts().items():
        found[tuple(compress(names, has))] = n
    table = [["", "items", ""]]
    for which in sorted(found, key=len, reverse=True):
        label = "only " * (which not in (names, ())) + (" and ".join(which) or "none")
        table.append([label, f"{found[which]:,}", share(found[which], len(overview.catalogue))])
    return table


def left_out(overview: FeatureOverview) -> list[str]:
    """Say which rows of the files count for nothing."""
    sentences = []
    for name, part in overview.modalities.items():
        if part.n_empty:
            sentences.append(
                f"{name}: {count(part.n_empty, 'item')} of the file without a real token, which "
                "count as without features."
            )
        if n := part.unknown_items.count:
            tokens = part.unknown_items.examples
            named = ", ".join([*tokens, "..."] if n > len(tokens) else tokens)
            sentences.append(f"{name}: {count(n, 'item')} of the file not in the dataset: {named}")
    return sentences


def norms(overview: FeatureOverview) -> Table:
    """Tabulate the norms of each modality."""
    table = [["", "minimum", "median", "maximum", "zero", "not finite"]]
    for name, part in overview.modalities.items():
        finite = part.norms[np.isfinite(part.norms)]
        values = np.quantile(finite, (0, 0.5, 1)) if len(finite) else ()
        counts = [(finite == 0).sum(), len(part.norms) - len(finite)]
        cells = [f"{value:.4g}" for value in values] or ["-"] * 3
        table.append([name, *cells, *(f"{n:,}" for n in counts)])
    return table


def duplicates(part: ModalityFeatures) -> str:
    """Say how many items share a vector."""
    if not part.duplicates:
        return "No two items have the same vector."
    more = " The largest groups:" if len(part.duplicates) > N_LARGEST else ""
    n_items, n_vectors = sum(map(len, part.duplicates)), len(part.duplicates)
    return f"{count(n_items, 'item')} share {count(n_vectors, 'vector')}.{more}"


def group(part: ModalityFeatures, items: np.ndarray) -> str:
    """Say how many items have the same vector, and whether it is zero."""
    return f"{count(len(items), 'item')}{', zeros' if _is_zero(part, items) else ''}"


def _is_zero(part: ModalityFeatures, items: np.ndarray) -> bool:
    return items[0] in part.items[part.norms == 0]


def closeness(overview: FeatureOverview) -> Table:
    """Tabulate the mean cosines of each modality that has any, and say what they tell."""
    verdicts = {
        True: "clearly nearer than by chance",
        False: "hardly nearer than by chance",
        None: "too few vectors to tell",
    }
    table = [["", "neighbours", "by chance", "all pairs", ""]]
    for name, part in overview.modalities.items():
        if near := part.closeness:
            cosines = (near.neighbours, near.chance, near.pairs)
            verdict = verdicts[near.is_beyond_chance]
            table.append([name, *(f"{value:.3f}" for value in cosines), verdict])
    return table


def example(overview: FeatureOverview, item: int) -> str:
    """Say why an item is shown."""
    interactions = count(int(overview.catalogue.n_interactions[item]), "interaction")
    return f"{interactions}, {'popular' if overview.examples[item] else 'random'}"


def no_neighbours(part: ModalityFeatures, item: int) -> str:
    """Say why there are no neighbours of an item to show; empty if there are some."""
    if item not in part.items:
        return "no features"
    if item not in part.neighbours:
        return "its vector is zero or not finite"
    return "" if part.neighbours[item] else "no other item"


def warnings(overview: FeatureOverview) -> list[str]:
    """Say what is likely to be wrong with features, the worst first; a sentence or two each."""
    found: list[str] = []
    for name, part in overview.modalities.items():
        if part.source.info.is_untrained:
            found.insert(
                0,
                f"{name}: the encoder is UNTRAINED. Its weights are random numbers, so these "
                "features serve to try things out and for nothing else.",
            )
        if not len(part.items):
            named = ", ".join(map(repr, part.unknown_items.examples))
            of_file = f"; the file's are named {named}" if named else ""
            found.append(f"{name}: no item of the dataset has features{of_file}.")
        if n := int((~np.isfinite(part.norms)).sum()):
            vectors = f"{count(n, 'vector')} with NaN or an infinite number"
            found.append(f"{name}: {vectors}. Training refuses them.")
        if n := int((part.norms == 0).sum()):
            found.append(f"{name}: {count(n, 'vector')} of nothing but zeros.")
        for items in part.duplicates[:1]:
            if len(items) > max(2, MANY_ALIKE * len(part.items)) and not _is_zero(part, items):
                alike = f"{count(len(items), 'item')} share one vector"
                found.append(f"{name}: {alike}, as those with a placeholder do.")
        if part.closeness and part.closeness.is_beyond_chance is False:
            found.append(f"{name}: neighbours are hardly nearer than those of random vectors.")
    return found
