"""What reads histories, without the items: modules that ONNX can express."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from ..model.layers import OneEach
from ..model.recurrence import GRUStack
from ..model.user_encoder import UserEncoder
from ..model.widths import unstack


class BranchReader(nn.Module):
    """A user encoder that is given the vectors of the items themselves.

    Parameters
    ----------
    user_encoder : UserEncoder
        For the branches that are read, and no others.
    widths : sequence of int
        Of the vectors of each of these.
    chosen : sequence of int
        Those of them whose states are wanted.
    """

    def __init__(
        self, user_encoder: UserEncoder, widths: Sequence[int], chosen: Sequence[int]
    ) -> None:
        super().__init__()
        self.user_encoder = with_plain_recurrence(user_encoder)
        self.widths, self.chosen = list(widths), list(chosen)

    def forward(self, vectors: Tensor, length: Tensor) -> Tensor:
        """Read vectors ``[B, T, sum(widths)]`` of histories of some lengths ``[B]``."""
        last = OneEach(torch.arange(vectors.size(0)), length - 1)
        states = unstack(self.user_encoder.read(vectors.split(self.widths, dim=2), last))
        return torch.cat([states[branch] for branch in self.chosen], dim=1)


class EmbeddingReader(nn.Module):
    """A model of RecBole that is given the embeddings of the items themselves.

    Parameters
    ----------
    model : recbole.model.abstract_recommender.SequentialRecommender
        Has an ``item_embedding``, and ``forward(item_seq, item_seq_len)``.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        embedding, model.item_embedding = model.item_embedding, _Given()
        try:
            self.model = with_plain_recurrence(model)
        finally:
            model.item_embedding = embedding

    def forward(self, vectors: Tensor, length: Tensor) -> Tensor:
        """Read vectors ``[B, T, width]`` of histories of some lengths ``[B]``."""
        self.model.item_embedding.vectors = vectors
        item_seq = (torch.arange(vectors.size(1)) < length[:, None]).long()  # any but padding
        return self.model(item_seq, length)


class _Given(nn.Module):
    """Takes the place of an embedding: whatever items are asked for, their vectors are known."""

    vectors: Tensor

    def forward(self, item: Tensor) -> Tensor:
        return self.vectors


# Torch's exporter takes the length of a history for a constant where a GRU reads it, but for the
# first model of a process. So the operator is named here, and ONNX's own takes its place.
@torch.library.custom_op("recbole_mmdistill::gru", mutates_args=())
def _gru(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, size: int) -> Tensor:
    """Read ``[seq_len, batch_size, in_size]``; weights and result as ONNX's GRU has them."""
    layer = (_gates(weight_ih[0]), _gates(weight_hh[0]), *map(_gates, bias[0].chunk(2)))
    start = x.new_zeros(1, x.size(1), size)
    return torch.gru(x, start, layer, True, 1, 0.0, False, False, False)[0].clone()


@_gru.register_fake
def _(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, size: int) -> Tensor:
    return x.new_empty(x.size(0), x.size(1), size)


def _gates(rows: Tensor) -> Tensor:
    """Change between torch's order of a weight's gates (r, z, n) and ONNX's (z, r, n)."""
    first, second, new = rows.chunk(3)
    return torch.cat([second, first, new])


def onnx_operators() -> dict[Any, Any]:
    """How ONNX has this file's operator, as ``torch.onnx.export`` takes it."""
    from onnxscript import opset20

    op: Any = opset20

    def gru(x: Any, weight_ih: Any, weight_hh: Any, bias: Any, size: int) -> Any:
        states, _ = op.GRU(x, weight_ih, weight_hh, bias, hidden_size=size, linear_before_reset=1)
        return op.Squeeze(states, [1])

    return {torch.ops.recbole_mmdistill.gru.default: gru}


class _PlainGRU(nn.Module):
    """A gated recurrent network as ONNX has it, from the weights of one of torch's."""

    def __init__(self, weights: dict[str, Tensor], n_layers: int) -> None:
        super().__init__()
        self.n_layers = n_layers
        self.size = weights["weight_hh_l0"].size(1)
        none = torch.zeros(3 * self.size)
        for n in range(n_layers):
            biases = [weights.get(f"bias_{of}_l{n}", none) for of in ("ih", "hh")]
            self.register_buffer(f"bias_{n}", torch.cat([_gates(b) for b in biases])[None])
            for of in ("ih", "hh"):
                self.register_buffer(f"weight_{of}_{n}", _gates(weights[f"weight_{of}_l{n}"])[None])

    def forward(self, x: Tensor) -> Tensor:
        """Read ``[batch_size, seq_len, in_size]``."""
        x = x.transpose(0, 1)
        for n in range(self.n_layers):
            of_input, of_state = (self.get_buffer(f"weight_{of}_{n}") for of in ("ih", "hh"))
            x = _gru(x, of_input, of_state, self.get_buffer(f"bias_{n}"), self.size)
        return x.transpose(0, 1)


class _PlainStack(nn.Module):
    """In place of a :class:`GRUStack`."""

    def __init__(self, stack: GRUStack) -> None:
        super().__init__()
        weights = {name: weight.detach() for name, weight in stack.named_parameters()}
        self.networks = nn.ModuleList(
            _PlainGRU({name: weight[n] for name, weight in weights.items()}, stack.n_layers)
            for n in range(len(weights["weight_ih_l0"]))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([network(part) for network, part in zip(self.networks, x)])


class _PlainModule(nn.Module):
    """In place of an ``nn.GRU`` that reads batches first; the last state is nobody's."""

    def __init__(self, gru: nn.GRU) -> None:
        super().__init__()
        weights = {name: weight.detach() for name, weight in gru.named_parameters()}
        self.network = _PlainGRU(weights, gru.num_layers)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.network(x), None


def with_plain_recurrence(module: nn.Module) -> Any:
    """Give a copy whose recurrent layers are operators of ONNX."""
    copy = deepcopy(module)
    for name, inner in list(copy.named_modules()):
        parent, _, attribute = name.rpartition(".")
        if isinstance(inner, GRUStack):
            setattr(copy.get_submodule(parent), attribute, _PlainStack(inner))
        elif isinstance(inner, nn.GRU) and inner.batch_first and not inner.bidirectional:
            setattr(copy.get_submodule(parent), attribute, _PlainModule(inner))
    return copy
