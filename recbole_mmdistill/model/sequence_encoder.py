"""Sequence encoders: the vectors of a history in, user states at its positions out.

A new backbone is a subclass of :class:`SequenceEncoder` in any file::

    @SEQUENCE_ENCODERS.register("mine")
    class MyEncoder(SequenceEncoder): ...

Its constructor's keyword arguments are filled from the options of the same names.
``tests/model/test_sequence_encoder.py`` has a class of tests that every backbone must pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Dropout, PositionIndex, TransformerBlock
from .recurrence import GRUStack
from .registry import Registry
from .stacked import LayerNormStack, LinearStack, PositionStack, select


class SequenceEncoder(nn.Module):
    """What every backbone keeps.

    It is causal: the state at position t depends on the items up to t alone. Histories stand on
    the left and padding on the right, so that a causal encoder needs no padding mask.

    A class may say ``is_stackable = True`` in its own body. Then one of it is made for all branches
    of the same width: its constructor gets ``n_stacked``, how many they are, and ``forward`` an
    input and gives a result with one axis more, of that size, the first.

    Parameters
    ----------
    hidden_size : int
        Width of the items' vectors and of the user states.
    """

    is_stackable = False

    def __init__(self, *, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size

    def forward(self, item_emb: Tensor, positions: PositionIndex | None = None) -> Tensor:
        """Read histories.

        Parameters
        ----------
        item_emb : Tensor
            ``[batch_size, seq_len, hidden_size]``, with any ``seq_len`` up to the longest history
            (the option ``MAX_ITEM_LIST_LENGTH``, handed in as ``max_length``).
        positions : tuple of Tensor, optional
            History and position of each state that is wanted, ``[n_states]`` both; by default
            those at all positions. What no wanted state needs is not computed.

        Returns
        -------
        Tensor
            User states, ``[n_states, hidden_size]`` or ``[batch_size, seq_len, hidden_size]``.
        """
        raise NotImplementedError


SEQUENCE_ENCODERS: Registry[SequenceEncoder] = Registry("sequence encoder", "sequence_encoder")


class StackedEncoder(SequenceEncoder):
    """What the backbones of this package keep: several of one shape are one module.

    Their weights have one axis more, the first. Alone it is a stack of one.
    """

    def forward(self, item_emb: Tensor, positions: PositionIndex | None = None) -> Tensor:
        """See :class:`SequenceEncoder`."""
        if item_emb.dim() == 3:
            return self.read(item_emb[None], positions)[0]
        return self.read(item_emb, positions)

    def read(self, x: Tensor, positions: PositionIndex | None) -> Tensor:
        """Read histories, each backbone its own slice.

        Parameters
        ----------
        x : Tensor
            ``[n_stacked, batch_size, seq_len, hidden_size]``.
        positions : tuple of Tensor, optional
            As for :meth:`forward`.

        Returns
        -------
        Tensor
            ``[n_stacked, n_states, hidden_size]``, or of the shape of ``x``.
        """
        raise NotImplementedError


@SEQUENCE_ENCODERS.register("sasrec")
class SASRecEncoder(StackedEncoder):
    """Causal self-attention.

    Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018.
    """

    is_stackable = True

    def __init__(
        self,
        *,
        hidden_size: int,
        max_length: int,
        inner_size: int,
        n_layers: int = 2,
        n_heads: int = 2,
        hidden_dropout_prob: float = 0.0,
        attn_dropout_prob: float = 0.0,
        hidden_act: str = "gelu",
        layer_norm_eps: float = 1e-12,
        n_stacked: int = 1,
    ) -> None:
        super().__init__(hidden_size=hidden_size)
        self.position_embedding = PositionStack(n_stacked, max_length, hidden_size)
        self.norm = LayerNormStack(n_stacked, hidden_size, layer_norm_eps)
        self.dropout = Dropout(hidden_dropout_prob)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                hidden_size,
                n_heads,
                inner_size,
                hidden_dropout_prob,
                attn_dropout_prob,
                hidden_act,
                layer_norm_eps=layer_norm_eps,
                n_stacked=n_stacked,
            )
            for _ in range(n_layers)
        )

    def read(self, x: Tensor, positions: PositionIndex | None) -> Tensor:
        """See :class:`StackedEncoder`."""
        x = self.dropout(self.norm(self.position_embedding(x)))
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x, causal=True)
        return last(x, causal=True, positions=positions)


@SEQUENCE_ENCODERS.register("gru_sasrec")
class GRUSASRecEncoder(SASRecEncoder):
    """Self-attention whose first layer is a gated recurrent one.

    The recurrence knows in what order things came, the attention what of long ago matters now;
    each finds the other's part hard. After Wang et al., "R-Transformer: recurrent neural network
    enhanced Transformer", arXiv 1907.05572, 2019; here the recurrence runs over all of a history.
    """

    is_stackable = True

    def __init__(
        self,
        *,
        hidden_size: int,
        hidden_dropout_prob: float = 0.0,
        n_stacked: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(
            hidden_size=hidden_size,
            hidden_dropout_prob=hidden_dropout_prob,
            n_stacked=n_stacked,
            **options,
        )
        self.blocks[0] = _RecurrentBlock(n_stacked, hidden_size, hidden_dropout_prob)


class _RecurrentBlock(nn.Module):
    """A GRU beside its input. It is causal, whatever is asked."""

    def __init__(self, n_stacked: int, hidden_size: int, dropout_prob: float) -> None:
        super().__init__()
        self.gru = GRUStack(n_stacked, hidden_size, hidden_size)
        self.output = LinearStack(n_stacked, hidden_size, hidden_size)
        self.dropout = Dropout(dropout_prob)

    def forward(
        self, x: Tensor, causal: bool = True, positions: PositionIndex | None = None
    ) -> Tensor:
        states = self.gru(x)
        if positions is not None:
            x, states = select(x, positions), select(states, positions)
        return x + self.dropout(self.output(states))


@SEQUENCE_ENCODERS.register("gru4rec")
class GRU4RecEncoder(StackedEncoder):
    """A gated recurrent network.

    Hidasi et al., "Session-based recommendations with recurrent neural networks", ICLR 2016.
    """

    is_stackable = True

    def __init__(
        self,
        *,
        hidden_size: int,
        inner_size: int,
        n_layers: int = 1,
        hidden_dropout_prob: float = 0.0,
        n_stacked: int = 1,
    ) -> None:
        super().__init__(hidden_size=hidden_size)
        self.dropout = Dropout(hidden_dropout_prob)
        self.gru = GRUStack(n_stacked, hidden_size, inner_size, n_layers)
        self.output = LinearStack(n_stacked, inner_size, hidden_size)

    def read(self, x: Tensor, positions: PositionIndex | None) -> Tensor:
        """See :class:`StackedEncoder`."""
        states = self.gru(self.dropout(x))
        return self.output(states if positions is None else select(states, positions))


@SEQUENCE_ENCODERS.register("nextitnet")
class NextItNetEncoder(StackedEncoder):
    """Dilated causal convolutions in residual blocks.

    Yuan et al., "A simple convolutional generative network for next item recommendation",
    WSDM 2019.
    """

    is_stackable = True

    def __init__(
        self,
        *,
        hidden_size: int,
        n_layers: int = 2,
        kernel_size: int = 3,
        dilations: Sequence[int] = (1, 4),
        hidden_dropout_prob: float = 0.0,
        n_stacked: int = 1,
    ) -> None:
        super().__init__(hidden_size=hidden_size)
        self.dropout = Dropout(hidden_dropout_prob)
        self.blocks = nn.ModuleList(
            _DilatedBlock(n_stacked, hidden_size, kernel_size, dilation)
            for _ in range(n_layers)
            for dilation in dilations
        )
        self.output = LinearStack(n_stacked, hidden_size, hidden_size)

    def read(self, x: Tensor, positions: PositionIndex | None) -> Tensor:
        """See :class:`StackedEncoder`."""
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return self.output(x if positions is None else select(x, positions))


class _DilatedBlock(nn.Module):
    """Two causal convolutions, the second at twice the first's dilation (Yuan et al., Fig. 3b)."""

    def __init__(self, n_stacked: int, hidden_size: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.reach = [(kernel_size - 1) * dilation, (kernel_size - 1) * 2 * dilation]
        width = n_stacked * hidden_size  # the stacked ones are the convolution's groups
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, kernel_size, dilation=step, groups=n_stacked)
            for step in (dilation, 2 * dilation)
        )
        self.norms = nn.ModuleList(LayerNormStack(n_stacked, hidden_size, 1e-8) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for reach, convolution, norm in zip(self.reach, self.convolutions, self.norms):
            channels = y.permute(1, 0, 3, 2).flatten(1, 2)  # [batch, n_stacked * size, seq_len]
            y = convolution(F.pad(channels, (reach, 0))).unflatten(1, (len(x), -1))
            y = torch.relu(norm(y.permute(1, 0, 3, 2)))
        return x + y
