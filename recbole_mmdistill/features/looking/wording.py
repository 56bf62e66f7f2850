"""The sentences and numbers that the console and the page have in common."""

from __future__ import annotations

from .neighbours import Closeness
from .overview import FeatureOverview, ModalityOverview, Share

MANY_ALIKE = 0.01


def number(value: int) -> str:
    """Write a number with its thousands apart."""
    return f"{value:,}"


def count(value: int, noun: str) -> str:
    """Write how many things there are."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def percent(share: Share) -> str:
    """Write a share in percent; 100 % only if nothing is lacking, 0 % only if there is nothing."""
    if share.whole == 0:
        return "-"
    ratio = share.ratio
    if 0 < ratio < 1:
        ratio = min(max(ratio, 0.001), 0.999)
    return f"{ratio:.1%}"


def size(n_bytes: int) -> str:
    """Write a number of bytes in a unit that leaves at most four digits before the point."""
    value, units = float(n_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def shape(part: ModalityOverview) -> str:
    """Write the shape of a modality's features."""
    tokens = count(part.n_tokens, "token")
    return f"{count(part.n_rows, 'item')}, {tokens} x {part.dim} numbers, {part.dtype}"


def combination(which: tuple[str, ...], modalities: tuple[str, ...]) -> str:
    """Name the items that have just these modalities."""
    if not which:
        return "none" if len(modalities) > 1 else f"no {modalities[0]}"
    if len(modalities) == 1:
        return modalities[0]
    if which == modalities:
        return f"{'both' if len(modalities) == 2 else 'all'}: {' and '.join(modalities)}"
    return f"only {' and '.join(which)}"


def verdict(closeness: Closeness) -> str:
    """Say whether neighbours are nearer than those of random vectors would be."""
    if closeness.is_beyond_chance is None:
        return f"{count(closeness.n_items, 'vector')}, too few to tell from random ones."
    if closeness.is_beyond_chance:
        return "clearly nearer than by chance."
    return "hardly nearer than by chance: these vectors look like random ones."


def warnings(overview: FeatureOverview) -> list[str]:
    """Say what is likely to be wrong with features, the worst first.

    Parameters
    ----------
    overview : FeatureOverview
        What was found.

    Returns
    -------
    list of str
        A sentence or two each; none if all seems well.
    """
    found = [
        f"{part.modality}: the encoder is UNTRAINED. Its weights are random numbers, so these "
        "features serve to try things out and for nothing else."
        for part in overview.modalities
        if part.info.is_untrained
    ]
    for part in overview.modalities:
        found += [f"{part.modality}: {sentence}" for sentence in _of_modality(part)]
    return found


def _of_modality(part: ModalityOverview) -> list[str]:
    found = []
    n_items = part.items.part
    if n_items == 0:
        named = ", ".join(map(repr, part.unknown_items.examples))
        found.append(
            "no item of the dataset has features"
            + (f"; the file's are named {named}." * bool(named))
        )
    if part.n_not_finite:
        found.append(
            f"{count(part.n_not_finite, 'vector')} with NaN or an infinite number. Training "
            "refuses them."
        )
    if part.n_zero:
        found.append(f"{count(part.n_zero, 'vector')} of nothing but zeros.")
    largest = part.largest_groups[0] if part.largest_groups else None
    if largest and not largest.is_zero and largest.size > max(2, MANY_ALIKE * n_items):
        found.append(
            f"{count(largest.size, 'item')} share one vector, as those with a placeholder do."
        )
    if part.closeness and part.closeness.is_beyond_chance is False:
        found.append("neighbours are hardly nearer than those of random vectors would be.")
    return found
