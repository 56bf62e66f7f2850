"""Sequence encoders: the vectors of a history in, user states at its positions out.

A new backbone is a subclass of :class:`SequenceEncoder` and a line in :data:`SEQUENCE_ENCODERS`;
``tests/model/test_sequence_encoder.py`` proves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import At, Dropout, TransformerBlock


class SequenceEncoder(nn.Module):
    """What every backbone keeps.

    It is causal: the state at position t depends on the items up to t alone. Histories stand on
    the left and padding on the right, so that a causal encoder needs no padding mask.

    Parameters
    ----------
    config : Mapping
        RecBole's config or any mapping with the same keys.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.hidden_size: int = config["hidden_size"]

    def forward(self, item_emb: Tensor, at: At | None = None) -> Tensor:
        """Read histories.

        Parameters
        ----------
        item_emb : Tensor
            ``[batch_size, seq_len, hidden_size]``, with any ``seq_len`` up to
            ``MAX_ITEM_LIST_LENGTH``.
        at : tuple of Tensor, optional
            History and position of each state that is wanted, ``[n_states]`` both; by default
            those at all positions. What no wanted state needs is not computed.

        Returns
        -------
        Tensor
            User states, ``[n_states, hidden_size]`` or ``[batch_size, seq_len, hidden_size]``.
        """
        raise NotImplementedError


class SASRecEncoder(SequenceEncoder):
    """Causal self-attention.

    Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.position_embedding = nn.Embedding(config["MAX_ITEM_LIST_LENGTH"], self.hidden_size)
        self.norm = nn.LayerNorm(self.hidden_size, eps=config["layer_norm_eps"])
        self.dropout = Dropout(config["hidden_dropout_prob"])
        self.blocks = nn.ModuleList(
            TransformerBlock(
                self.hidden_size,
                config["n_heads"],
                config["inner_size"],
                config["hidden_dropout_prob"],
                config["attn_dropout_prob"],
                config["hidden_act"],
                layer_norm_eps=config["layer_norm_eps"],
            )
            for _ in range(config["n_layers"])
        )

    def forward(self, item_emb: Tensor, at: At | None = None) -> Tensor:
        """See :class:`SequenceEncoder`."""
        position = torch.arange(item_emb.size(1), device=item_emb.device)
        x = self.dropout(self.norm(item_emb + self.position_embedding(position)))
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x, causal=True)
        return last(x, causal=True, at=at)


class GRUSASRecEncoder(SASRecEncoder):
    """Self-attention whose first layer is a gated recurrent one.

    The recurrence knows in what order things came, the attention what of long ago matters now;
    each finds the other's part hard. After Wang et al., "R-Transformer: recurrent neural network
    enhanced Transformer", arXiv 1907.05572, 2019; here the recurrence runs over all of a history.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.blocks[0] = _RecurrentBlock(self.hidden_size, config["hidden_dropout_prob"])


class _RecurrentBlock(nn.Module):
    """A GRU beside its input. It is causal, whatever is asked."""

    def __init__(self, hidden_size: int, dropout_prob: float) -> None:
        super().__init__()
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size, hidden_size)
        self.dropout = Dropout(dropout_prob)

    def forward(self, x: Tensor, causal: bool = True, at: At | None = None) -> Tensor:
        states, _ = self.gru(x)
        x, states = (x, states) if at is None else (x[at], states[at])
        return x + self.dropout(self.output(states))


class GRU4RecEncoder(SequenceEncoder):
    """A gated recurrent network.

    Hidasi et al., "Session-based recommendations with recurrent neural networks", ICLR 2016.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.dropout = Dropout(config["hidden_dropout_prob"])
        self.gru = nn.GRU(
            self.hidden_size,
            config["inner_size"],
            num_layers=config["n_layers"],
            batch_first=True,
        )
        self.output = nn.Linear(config["inner_size"], self.hidden_size)

    def forward(self, item_emb: Tensor, at: At | None = None) -> Tensor:
        """See :class:`SequenceEncoder`."""
        states, _ = self.gru(self.dropout(item_emb))
        return self.output(states if at is None else states[at])


class NextItNetEncoder(SequenceEncoder):
    """Dilated causal convolutions in residual blocks.

    Yuan et al., "A simple convolutional generative network for next item recommendation",
    WSDM 2019.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.dropout = Dropout(config["hidden_dropout_prob"])
        self.blocks = nn.ModuleList(
            _DilatedBlock(self.hidden_size, config["kernel_size"], dilation)
            for _ in range(config["n_layers"])
            for dilation in config["dilations"]
        )
        self.output = nn.Linear(self.hidden_size, self.hidden_size)

    def forward(self, item_emb: Tensor, at: At | None = None) -> Tensor:
        """See :class:`SequenceEncoder`."""
        x = self.dropout(item_emb)
        for block in self.blocks:
            x = block(x)
        return self.output(x if at is None else x[at])


class _DilatedBlock(nn.Module):
    """Two causal convolutions, the second at twice the first's dilation (Yuan et al., Fig. 3b)."""

    def __init__(self, hidden_size: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.reach = [(kernel_size - 1) * dilation, (kernel_size - 1) * 2 * dilation]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(hidden_size, hidden_size, kernel_size, dilation=step)
            for step in (dilation, 2 * dilation)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size, eps=1e-8) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for reach, convolution, norm in zip(self.reach, self.convolutions, self.norms):
            y = convolution(F.pad(y.transpose(1, 2), (reach, 0))).transpose(1, 2)
            y = torch.relu(norm(y))
        return x + y


SEQUENCE_ENCODERS: dict[str, type[SequenceEncoder]] = {
    "gru_sasrec": GRUSASRecEncoder,
    "sasrec": SASRecEncoder,
    "gru4rec": GRU4RecEncoder,
    "nextitnet": NextItNetEncoder,
}
