"""Text encoders of transformers: BERT and its kin."""

from __future__ import annotations

from collections.abc import Sequence
from logging import getLogger
from typing import Any

import torch

from ...errors import UserError
from .encoder import Encoder
from .hub import HubModel

N_TOKENS = 30  # of pooling "tokens", the paper's number
POOLED = {"mean": "mean over tokens", "cls": "first token", "tokens": "all tokens"}
_LONGEST = 512  # where neither tokenizer nor model names a limit
_FEWEST_WORDS = 10  # of a vocabulary; transformers makes an empty one where a folder has none
_UNKNOWN_WARNED, _UNKNOWN_REFUSED = 0.1, 0.9  # shares of a job's tokens


class TextEncoder(Encoder):
    """A transformers model that reads texts.

    Parameters
    ----------
    encoder : str
        Its folder, or its name on the hub.
    pooling, layer : str, int
        ``mean`` over the real tokens, ``cls`` (the first token), or ``tokens`` (all of them), of
        which hidden states: -1 the last ones, -2 those before, ...; 0 the embeddings.
    max_length : int, optional
        Tokens that are read of a text; by default all that the model can, with pooling
        ``tokens`` :data:`N_TOKENS`.
    untrained, **settings
        Whether to take random weights; see :class:`Encoder`.

    Raises
    ------
    UserError
        If the model cannot be had, its tokenizer is absent or of another model, or it has no such
        layer or length.
    """

    by_length = True

    def __init__(
        self,
        encoder: str,
        pooling: str = "mean",
        layer: int = -1,
        max_length: int | None = None,
        untrained: bool = False,
        **settings: Any,
    ) -> None:
        self._hub = HubModel(encoder, untrained)
        self._config = self._hub.part("AutoConfig", "encoder")
        # Of a model of several towers, such as CLIP, the one that reads.
        text = getattr(self._config, "text_config", None) or self._config
        self._of_tower = text is not self._config
        self._tokenizer = self._load_tokenizer(getattr(text, "vocab_size", None))
        self._n_tokens = self._n_unknown = 0  # of the texts whose lengths were asked for
        self._layer, self._pool = layer, pooling
        self._max_length = self._checked_length(text, max_length)
        n_layers = text.num_hidden_layers
        if not -n_layers - 1 <= layer <= n_layers:
            raise UserError(
                f"--layer is {layer}, but {encoder} has {n_layers} layers.",
                f"Say -1 for the last, or a number from {-n_layers - 1} to {n_layers}.",
            )
        if pooling == "cls" and self._of_tower:
            raise UserError(
                f"--pooling is cls, but the first token of {encoder} has read no other.",
                "Say --pooling=mean.",
            )
        weights, rest = self._hub.hashes()
        super().__init__(
            name=self._hub.recorded_name,
            weights_hash=weights,
            pooling=POOLED[pooling] + ("" if layer == -1 else f" of layer {layer}"),
            depends_on={"kind": "text", "settings": rest, "max_length": self._max_length},
            **settings,
        )
        self.preprocessing = f"up to {self._max_length} tokens"

    def _load_tokenizer(self, n_embeddings: int | None) -> Any:
        tokenizer = self._hub.part("AutoTokenizer", "tokenizer")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        vocabulary = tokenizer.get_vocab()
        words = vocabulary.keys() - {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
        if len(words) < _FEWEST_WORDS:
            raise UserError(
                f"The tokenizer in {self._hub.folder} knows {len(words)} words: its vocabulary "
                "file (tokenizer.json, vocab.txt, ...) is absent or empty.",
                "Fetch the whole folder of the model again, with its tokenizer.",
            )
        highest = max(vocabulary.values())
        if n_embeddings is not None and highest >= n_embeddings:
            raise UserError(
                f"The tokenizer in {self._hub.folder} numbers its words up to {highest}, but the "
                f"model knows {n_embeddings}.",
                "Give the tokenizer that the model was trained with.",
            )
        return tokenizer

    def _checked_length(self, config: Any, given: int | None) -> int:
        positions = getattr(config, "max_position_embeddings", None) or _LONGEST
        # RoBERTa's kin count positions from the padding's number on, and so have fewer.
        limit = min(self._tokenizer.model_max_length, positions)
        if limit == positions and config.model_type in ("roberta", "xlm-roberta", "camembert"):
            limit -= config.pad_token_id + 1
        if given is None:
            return min(limit, N_TOKENS) if self._pool == "tokens" else limit
        if not 3 <= given <= limit:
            raise UserError(
                f"--max_length is {given}, but {self._hub.folder} reads 3 to {limit} tokens.",
                "Give a number between these.",
            )
        return given

    def prepare(self, inputs: Sequence[bytes]) -> list[list[int]]:
        """Turn texts into token ids."""
        texts = [data.decode("utf-8") for data in inputs]
        encoded = self._tokenizer(texts, truncation=True, max_length=self._max_length)
        return encoded["input_ids"]

    def lengths(self, inputs: Sequence[bytes]) -> list[int]:
        """Count the tokens of texts: padding is small where texts of one length share a batch."""
        token_ids = self.prepare(inputs)
        special = {*self._tokenizer.all_special_ids}
        unknown = self._tokenizer.unk_token_id
        for of_text in token_ids:
            self._n_unknown += of_text.count(unknown)
            self._n_tokens += sum(token == unknown or token not in special for token in of_text)
        return [len(of_text) for of_text in token_ids]

    def check_inputs(self) -> None:
        """Refuse texts of which the tokenizer knows hardly a word; warn if many are unknown."""
        share = self._n_unknown / max(1, self._n_tokens)
        found = f"{share:.0%} of the words are unknown to the tokenizer of {self.name}."
        remedy = "Give an encoder for the language of the texts."
        if share >= _UNKNOWN_REFUSED:
            raise UserError(found, remedy)
        if share >= _UNKNOWN_WARNED:
            getLogger().warning(f"{found} {remedy}")

    def load(self) -> Any:
        """Load the model."""
        model = self._hub.load()
        if self._of_tower:
            return model.text_model
        return model.get_encoder() if self._config.is_encoder_decoder else model

    def forward(self, model: Any, prepared: Sequence[Any]) -> Sequence[torch.Tensor]:
        """Encode token ids, see :meth:`Encoder.forward`."""
        inputs = self._tokenizer.pad({"input_ids": [*prepared]}, return_tensors="pt")
        inputs = {key: inputs[key].to(self.device) for key in ("input_ids", "attention_mask")}
        if self._layer == -1:
            hidden = model(**inputs).last_hidden_state  # [batch_size, n_words, dim]
        else:
            hidden = model(**inputs, output_hidden_states=True).hidden_states[self._layer]
        if self._pool == "cls":
            return list(hidden[:, :1])
        if self._pool == "tokens":
            return [of_text[: len(ids)] for of_text, ids in zip(hidden, prepared)]
        is_word = inputs["attention_mask"].unsqueeze(-1)
        return list(((hidden * is_word).sum(1) / is_word.sum(1)).unsqueeze(1))
