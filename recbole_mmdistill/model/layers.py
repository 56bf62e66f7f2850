"""Layers that item, user and sequence encoders share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import device
from .stacked import LinearStack, PositionStack, layer_norm, linear, select
from .widths import BranchTensor, by_width, stacks

_CHUNK = 512  # rows: with an inner_size of 256 a buffer is 512 KiB, which stays in the cache

PositionIndex = tuple[Tensor, Tensor]  # sequences of a batch, and a position in each


class OneEach(NamedTuple):
    """A :data:`PositionIndex` that names one position of each sequence, in the batch's order.

    A causal attention then needs one query of each.
    """

    sequence: Tensor
    position: Tensor


ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


class Dropout(nn.Dropout):
    """Dropout whose random bits cost a quarter of torch's on a CPU.

    Torch draws a random number for every element there. One draw of 64 bits decides for four: so
    the probability is that given, rounded to a multiple of 2^-16.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Zero elements of ``x`` (any shape) at random, and scale the others, while training."""
        if not self.training or self.p == 0 or not device.on_host(x):
            return super().forward(x)
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
        draws.random_(-(2**63), None)  # type: ignore[call-overload]
        uniform = draws.view(torch.int16)[: x.numel()].view(x.shape)
        keep = uniform >= round(self.p * 2**16) - 2**15
        return x * keep.to(x.dtype).mul_(1 / (1 - self.p))


class SourceDropout(nn.Module):
    """Takes sources of items away at random while training; an item may be left with none.

    A history must then be read from what is left of an item, so that no source is leaned on
    alone. It does to whole sources what modality dropout does to the inputs of a network (Neverova
    et al., "ModDrop: adaptive multi-modal gesture recognition", TPAMI 2016). Nothing is scaled up
    for it: the default sequence encoder normalises what it reads.

    Parameters
    ----------
    p : float
        Probability that an item's source is taken away.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, vectors: BranchTensor) -> BranchTensor:
        """Zero some of the vectors ``[n_branches, n_items, width]``; never an only source."""
        parts = stacks(vectors)
        n_branches, one = sum(len(part) for part in parts), parts[0]
        if not self.training or self.p == 0 or n_branches == 1:
            return vectors
        keep = torch.rand((n_branches, one.size(1)), device=one.device) >= self.p
        return by_width(lambda x, kept: x * kept[..., None], vectors, keep)


class FeedForward(nn.Sequential):
    """A linear layer, an activation and a linear layer, on a CPU a few rows at a time.

    The hidden layer is the widest tensor of a block. For the thousands of items of a step it does
    not fit the cache, and memory fresh from the system for it and its gradients costs more time
    than the products. So with ReLU the rows go through in chunks that share two small buffers,
    and backward computes the hidden layer again.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., hidden_size]`` to the same shape."""
        first, activation, second = self
        rows = x.numel() // x.size(-1)
        chunked = isinstance(first, nn.Linear) and isinstance(activation, nn.ReLU)
        if not chunked or rows <= _CHUNK or not device.on_host(x) or device.lower_precision(x):
            return super().forward(x)
        parameters = (first.weight, first.bias, second.weight, second.bias)
        return _ChunkedReLUNetwork.apply(x.reshape(rows, -1), *parameters).view(x.shape)


class _ChunkedReLUNetwork(torch.autograd.Function):
    """``relu(x W1' + b1) W2' + b2`` for x of shape ``[n_rows, hidden_size]``."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight1, bias1, weight2)
        output = torch.empty_like(x)
        buffer = x.new_empty(_CHUNK, len(weight1))
        for rows, out in zip(x.split(_CHUNK), output.split(_CHUNK)):
            hidden = torch.addmm(bias1, rows, weight1.T, out=buffer[: len(rows)]).relu_()
            torch.addmm(bias2, hidden, weight2.T, out=out)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        x, weight1, bias1, weight2 = ctx.saved_tensors
        (grad,) = grads
        grad_x = torch.empty_like(x)
        grad1, grad_bias1 = torch.zeros_like(weight1), torch.zeros_like(bias1)
        grad2 = torch.zeros_like(weight2.T)
        buffer, grad_buffer = (x.new_empty(_CHUNK, len(weight1)) for _ in range(2))
        for rows, g, out in zip(x.split(_CHUNK), grad.split(_CHUNK), grad_x.split(_CHUNK)):
            hidden = torch.addmm(bias1, rows, weight1.T, out=buffer[: len(rows)]).relu_()
            grad2.addmm_(hidden.T, g)
            grad_hidden = torch.mm(g, weight2, out=grad_buffer[: len(rows)])
            grad_hidden.mul_(hidden.sign_())  # 1 where the ReLU let through, else 0
            grad1.addmm_(grad_hidden.T, rows)
            grad_bias1.add_(grad_hidden.sum(0))
            torch.mm(grad_hidden, weight1, out=out)
        return grad_x, grad1, grad_bias1, grad2.T, grad.sum(0)


class TransformerBlock(nn.Module):
    """Post-norm self-attention and feed-forward network, each with a residual around it.

    Vaswani et al., "Attention is all you need", NeurIPS 2017, with torch's fused
    ``scaled_dot_product_attention``.

    Parameters
    ----------
    hidden_size : int
        Width d of the tokens.
    n_heads : int
        Number of heads; divides ``hidden_size``.
    inner_size : int
        Width of the feed-forward network's hidden layer.
    hidden_dropout_prob, attn_dropout_prob : float
        Dropout of the two sub-layers' outputs, and of the attention weights.
    hidden_act : str
        One of ``relu``, ``gelu``, ``silu``.
    attn_bias : bool
        Whether the attention's linear maps have a bias.
    layer_norm_eps : float
        Added to the variance for numerical stability.
    n_stacked : int, optional
        Blocks of this shape, each for its own slice of an input with one axis more, the first.
    """

    def __init__(
        self,
        hidden_size: int,
        n_heads: int,
        inner_size: int,
        hidden_dropout_prob: float = 0.0,
        attn_dropout_prob: float = 0.0,
        hidden_act: str = "gelu",
        attn_bias: bool = True,
        layer_norm_eps: float = 1e-12,
        n_stacked: int | None = None,
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.attn_dropout_prob = attn_dropout_prob
        self.qkv = linear(n_stacked, hidden_size, 3 * hidden_size, attn_bias)
        self.attn_output = linear(n_stacked, hidden_size, hidden_size, attn_bias)
        self.attn_norm = layer_norm(n_stacked, hidden_size, layer_norm_eps)
        self.feed_forward = FeedForward(
            linear(n_stacked, hidden_size, inner_size),
            ACTIVATIONS[hidden_act](),
            linear(n_stacked, inner_size, hidden_size),
        )
        self.ffn_norm = layer_norm(n_stacked, hidden_size, layer_norm_eps)
        self.dropout = Dropout(hidden_dropout_prob)

    def forward(
        self,
        x: Tensor,
        visible: Visible | None = None,
        causal: bool = False,
        positions: PositionIndex | None = None,
    ) -> Tensor:
        """Let the tokens of each sequence read one another.

        Parameters
        ----------
        x : Tensor
            ``[batch_size, n_tokens, hidden_size]``; of a stack ``[n_stacked, batch_size, ...]``.
        visible : Visible, optional
            Which token may see which.
        causal : bool
            Each token sees itself and those before it.
        positions : tuple of Tensor, optional
            Sequence and token of each result that is wanted, ``[n_results]`` both: what follows
            the attention is computed for these alone.

        Returns
        -------
        Tensor
            Of the shape of ``x``, or ``[n_results, hidden_size]``, of a stack
            ``[n_stacked, n_results, hidden_size]``.
        """
        if causal and isinstance(positions, OneEach) and isinstance(self.qkv, LinearStack):
            x, attended = self._attend_once(x, positions, self.qkv)
            return self._after_attention(x, attended)
        heads = self.qkv(x).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = heads.flatten(0, -5).permute(2, 0, 3, 1, 4)  # [batch, heads, tokens, _]
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if visible is None else visible.bias,
            dropout_p=self.attn_dropout_prob if self.training else 0.0,
            is_causal=causal,
        )
        if visible is not None:
            attended = attended.masked_fill(visible.blind, 0.0)
        attended = attended.transpose(1, 2).reshape(x.shape)
        if positions is not None:
            x, attended = select(x, positions), select(attended, positions)
        return self._after_attention(x, attended)

    def _attend_once(self, x: Tensor, at: OneEach, qkv: LinearStack) -> tuple[Tensor, Tensor]:
        """One token of each sequence of a stack, and what it attends to, both ``[n, batch, d]``.

        For one query a sequence the maps of keys and values go around the sums over tokens:
        ``q (W_k x_t) = (q W_k) x_t`` (the bias is the same for all t, and a softmax does not see
        it), and ``sum_t a_t (W_v x_t + b_v) = W_v (sum_t a_t x_t) + b_v``. So neither is computed
        for every token.
        """
        size, n_stacked = x.size(-1), len(x)
        of_query, of_key, of_value = (  # [n, heads, d / heads, d]
            weight.unflatten(1, (self.n_heads, -1)) for weight in qkv.weight.split(size, dim=1)
        )
        bias = qkv.bias.split(size, dim=1)
        token = select(x, at)
        query = token[:, None] @ of_query.mT + bias[0].view(n_stacked, self.n_heads, 1, -1)
        query = (query @ of_key).transpose(1, 2)  # [n, batch, heads, d]
        scores = query @ x.mT * (size // self.n_heads) ** -0.5
        unseen = torch.arange(x.size(2), device=x.device) > at.position[:, None]
        attention = scores.masked_fill(unseen[:, None], -torch.inf).softmax(-1)
        attention = F.dropout(attention, self.attn_dropout_prob, self.training)
        mean = (attention @ x).transpose(1, 2)  # [n, heads, batch, d]
        attended = (mean @ of_value.mT).transpose(1, 2).flatten(2)
        return token, attended + bias[2][:, None]

    def _after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        x = self.attn_norm(x + self.dropout(self.attn_output(attended)))
        return self.ffn_norm(x + self.dropout(self.feed_forward(x)))


class Visible(NamedTuple):
    """Which tokens of a sequence may see which others.

    Attributes
    ----------
    bias : Tensor
        Added to attention scores, ``[batch_size, 1, n_tokens, n_tokens]``: -inf where the query
        (third axis) may not see the key (last axis).
    blind : Tensor
        Queries that may see no key at all, bool ``[batch_size, 1, n_tokens, 1]``. A softmax over no
        key is 0/0: so they are shown every key, and their output is dropped.
    """

    bias: Tensor
    blind: Tensor

    @classmethod
    def of(cls, mask: Tensor, dtype: torch.dtype) -> Visible:
        """Give it for a bool mask of the shape of ``bias``, True where a query may see a key."""
        blind = ~mask.any(dim=-1, keepdim=True)
        bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
        return cls(bias.masked_fill_(~(mask | blind), -torch.inf), blind)


def init_weights(module: nn.Module, initializer_range: float) -> None:
    """Draw weights from a normal distribution of this deviation, as RecBole's models do."""
    if isinstance(module, (nn.Linear, nn.Embedding, LinearStack, PositionStack)):
        nn.init.normal_(module.weight, std=initializer_range)
    if isinstance(module, (nn.Linear, LinearStack)) and module.bias is not None:
        nn.init.zeros_(module.bias)


def gather_rows(tables: Iterable[Tensor], index: Tensor) -> Tensor:
    """The same rows of several tables ``[n, d]``: ``[n_tables, *index.shape, d]``.

    Embedding look-ups, because their backward pass is deterministic on CUDA and that of plain
    indexing is not.
    """
    return torch.stack([F.embedding(index, table) for table in tables])
