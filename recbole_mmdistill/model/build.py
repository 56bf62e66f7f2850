"""From options to the parts of the model: the one place that reads the config.

A component's options are its constructor's keyword arguments: the argument ``x`` of a component
that is registered as ``NAME`` is the option ``NAME_x``, or else ``x``; without such an option it
has its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from logging import getLogger
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from .candidates import CANDIDATES, CandidateSampler, resolve_candidates
from .combine import Combination
from .feature_lookup import SourceEmbedding
from .item_encoder import ID, ITEM_ENCODERS
from .layers import SourceDropout, init_weights
from .loss import LOSSES
from .losses import MEAN
from .network import Network
from .objective import Objective
from .registry import Registry, constructor_parameters
from .repeats import RepeatBias
from .rows import RowEmbedding, updates_rows
from .sequence_encoder import SEQUENCE_ENCODERS, SequenceEncoder
from .user_encoder import USER_ENCODERS, UserEncoder
from .whitening import is_fitting, whitened_width
from .widths import AUTO, resolve_widths

_ITEMS_AT_ONCE = 65_536


def keyword_arguments(
    registry: Registry[Any], name: str, config: Mapping[str, Any], **given: Any
) -> dict[str, Any]:
    """Find the keyword arguments of a component in the options.

    Parameters
    ----------
    registry : Registry
        The component's kind.
    name : str
        The component's name.
    config : Mapping of str to object
        Options.
    **given
        Values that are no options; a component gets those that it asks for.

    Returns
    -------
    dict of str to object

    Raises
    ------
    UserError
        There is no such component, or an argument has neither an option nor a default.
    """
    if name not in registry:
        raise UserError(
            f"There is no {registry.kind} {name!r}.", f"Choose from {', '.join(sorted(registry))}."
        )
    found = {}
    for key, parameter in constructor_parameters(registry[name]).items():
        if key in given:
            found[key] = given[key]
        elif f"{name}_{key}" in config or key in config:
            found[key] = config[f"{name}_{key}" if f"{name}_{key}" in config else key]
        elif parameter.default is parameter.empty:
            raise UserError(
                f"The {registry.kind} {name!r} needs the option {name}_{key}.",
                "Give it in the YAML file or on the command line.",
            )
    return found


def build_network(config: Mapping[str, Any], features: Mapping[str, Any], n_items: int) -> Network:
    """Build the network.

    Parameters
    ----------
    config : Mapping of str to object
        Checked options, see :func:`.options.check_options`.
    features : Mapping of str to Features
        Aligned features by modality.
    n_items : int
        Items of the catalogue, padding included.

    Returns
    -------
    Network
    """
    std, whitening = config["initializer_range"], int(config["feature_whitening"])
    normalize = config["feature_normalize"]
    name = config["item_encoder"]
    sources = ([ID] if config["use_id"] else []) + list(features)
    widths = _source_widths(config, sources, features)
    source_embedding = {
        name: SourceEmbedding(table, widths[name], whitening, normalize)
        for name, table in features.items()
    }
    given: dict[str, Any] = {"sources": sources}
    if not _takes_widths(name):
        given["hidden_size"] = widths[sources[0]]
    arguments = keyword_arguments(ITEM_ENCODERS, name, config, **given, widths=widths)
    item_encoder = ITEM_ENCODERS[name](**arguments)
    branches = item_encoder.branches

    name = config["sequence_encoder"]
    max_length = config["MAX_ITEM_LIST_LENGTH"]
    sequence_encoder = SEQUENCE_ENCODERS[name]

    def make_encoder(hidden_size: int, **stacked: int) -> SequenceEncoder:
        given = {"max_length": max_length, "hidden_size": hidden_size}
        arguments = keyword_arguments(SEQUENCE_ENCODERS, name, config, **given)
        return sequence_encoder(**arguments, **stacked)

    groups = USER_ENCODERS[config["user_encoder"]](branches)
    user_encoder = UserEncoder(
        groups,
        item_encoder.branch_widths,
        make_encoder,
        is_stackable=bool(vars(sequence_encoder).get("is_stackable")),
    )

    for module in (*source_embedding.values(), item_encoder, user_encoder):
        module.apply(partial(init_weights, initializer_range=std))
    item_encoder.reset_parameters()
    user_encoder.reset_parameters()
    id_embedding = None
    if config["use_id"]:
        in_rows = updates_rows(
            config["id_updates"],
            n_items,
            config["learner"],
            torch.device(config["device"]).type,
            alone="single_spec" not in config or config["single_spec"],
        )
        id_embedding = (RowEmbedding if in_rows else nn.Embedding)(n_items, widths[ID])
        init_id_embedding(
            id_embedding, _sources_of_ids(config, source_embedding), std, config["seed"]
        )
    return Network(
        source_embedding=source_embedding,
        id_embedding=id_embedding,
        item_encoder=item_encoder,
        user_encoder=user_encoder,
        source_dropout=SourceDropout(float(config["source_dropout_prob"])),
        repeat_bias=(
            RepeatBias(max_length, float(config["repeat_bias_rate"]))
            if config["repeat_bias"]
            else None
        ),
        combination=Combination(
            branches, config["branch_weights"], float(config["new_item_weight"])
        ),
    )


def _source_widths(
    config: Mapping[str, Any], sources: list[str], features: Mapping[str, Any]
) -> dict[str, int]:
    widths = resolve_widths(
        sources,
        config["branch_width"],
        config["hidden_size"],
        {
            name: whitened_width(table.values.size(-1), int(config["feature_whitening"]))
            for name, table in features.items()
        },
        config["n_heads"],
    )
    if not _takes_widths(config["item_encoder"]):
        widths = dict.fromkeys(widths, max(widths.values()))
    if config["branch_width"] == AUTO:
        getLogger().info(f"branch_width auto is {widths}")
    return widths


def _takes_widths(item_encoder: str) -> bool:
    return bool(vars(ITEM_ENCODERS[item_encoder]).get("takes_widths"))


@torch.no_grad()
def init_id_embedding(
    embedding: nn.Embedding, sources: list[SourceEmbedding], std: float, seed: int
) -> None:
    """Draw an ID embedding, or let it begin with the mean of items' features.

    If features fill less than half of an ID's numbers, the others are drawn: were they 0, a few
    features that say nothing of who buys what would put the IDs where training hardly gets them
    out. Else the others are 0: random numbers beside many features cost a little in shops.

    Parameters
    ----------
    embedding : nn.Embedding
        ``[n_items, width]``; item 0 is the padding.
    sources : list of SourceEmbedding
        Modalities whose features, reduced to the width, are averaged; items that have none of
        them are drawn from a normal distribution; so are all if the list is empty, or if a
        checkpoint will fill the embedding.
    std : float
        Standard deviation of the weights.
    seed : int
        Of what is drawn beside features.
    """
    weight = embedding.weight
    weight.normal_(std=std)
    if sources and is_fitting():
        width, n_items, on = embedding.embedding_dim, embedding.num_embeddings, weight.device
        mean = torch.empty(n_items, width, device=on)
        is_known = torch.empty(n_items, dtype=torch.bool, device=on)
        for item in torch.arange(n_items, device=on).split(_ITEMS_AT_ONCE):
            parts = torch.stack([source.reduced(item, width) for source in sources])
            known = parts.abs().sum(-1) > 0
            mean[item] = parts.sum(0) / known.sum(0).clamp(min=1)[:, None]
            is_known[item] = known.any(0)
        if is_known.any():
            is_filled = mean.any(0)
            known, is_narrow = mean[is_known], 2 * is_filled.sum() < width
            mean *= std / (known[:, is_filled] if is_narrow else known).std().clamp(min=1e-12)
            if is_narrow:
                # Random numbers of its own: an item added later begins as if it had been there.
                generator = torch.Generator().manual_seed(seed)
                drawn = torch.randn(n_items, int((~is_filled).sum()), generator=generator)
                mean[:, ~is_filled] = (std * drawn).to(on)
            torch.where(is_known[:, None], mean, weight, out=weight)
    weight[0] = 0


def _sources_of_ids(
    config: Mapping[str, Any], source_embedding: Mapping[str, SourceEmbedding]
) -> list[SourceEmbedding]:
    how = config["id_init"]
    return [embed for name, embed in source_embedding.items() if how in (MEAN, name)]


@torch.no_grad()
def start_of_ids(network: Network, config: Mapping[str, Any]) -> torch.Tensor:
    """Give the IDs with which a training of a network's items would begin, always the same.

    Parameters
    ----------
    network : Network
        Whose features are whitened as they were in training; ID is one of its sources.
    config : Mapping of str to object
        Its options.

    Returns
    -------
    Tensor
        ``[n_items, hidden_size]``.
    """
    assert network.id_embedding is not None
    weight = network.id_embedding.weight
    sources: Any = network.source_embedding
    with torch.random.fork_rng():
        torch.manual_seed(config["seed"])
        start = nn.Embedding(weight.size(0), weight.size(1), device=weight.device)
        init_id_embedding(
            start,
            _sources_of_ids(config, dict(sources.items())),
            config["initializer_range"],
            config["seed"],
        )
    return start.weight.detach()


def build_sampler(config: Mapping[str, Any], n_items: int) -> CandidateSampler:
    """Build what chooses the candidates of a step for a catalogue of ``n_items`` items."""
    name = resolve_candidates(config["train_candidates"], n_items)
    return CANDIDATES[name](**keyword_arguments(CANDIDATES, name, config))


def build_objective(config: Mapping[str, Any], branches: list[str]) -> Objective:
    """Build the losses that the option ``losses`` names, for a model of these branches."""
    names = config["losses"]
    if not isinstance(names, (list, tuple)) or not names:
        raise UserError(
            f"losses is {names!r}, not a list of names.",
            f"Choose from {', '.join(sorted(LOSSES))}, for example losses: [ce, kd].",
        )
    weights_mean_ce = "mean_ce" in names and config["mean_ce_weight"] > 0
    losses = {}
    for name in names:
        arguments = keyword_arguments(
            LOSSES, name, config, branches=branches, is_counted=not weights_mean_ce
        )
        losses[name] = LOSSES[name](**arguments)
    return Objective(losses, use_fused=config["fused_loss"])
