"""Text features: columns of an ``.item`` file through a transformers model on disk."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError

from ..errors import UserError
from .encoding import batches, device, first_lines, hash_files, write_unit_vectors
from .source import FeatureInfo

INVERTED_ARTICLE = re.compile(r"^(.+?), (The|An?|Las?|Les?|L'|Il|Das|Der)(?=$| \()")


@torch.inference_mode()
def encode_text(
    item_file: Path,
    fields: Sequence[str],
    encoder: Path,
    output: Path,
    encoder_name: str | None = None,
) -> None:
    """Write the text features of an ``.item`` file: one float16 vector of length 1 an item.

    Parameters
    ----------
    item_file : pathlib.Path
        RecBole's atomic file: columns separated by tabs, headed ``name:type``, the item tokens
        first.
    fields : sequence of str
        Columns whose texts are joined by ". "; empty ones are left out, and an item with none
        gets no row.
    encoder : pathlib.Path
        Folder of a transformers model: config, tokenizer and safetensors weights.
    output : pathlib.Path
        The feature file to write.
    encoder_name : str, optional
        Name to record; by default that of the folder.

    Raises
    ------
    UserError
        If the file, a column or the encoder is missing, or its weights do not fit its config.
    """
    item_tokens, texts = read_texts(item_file, fields)
    tokenizer, model = _load_encoder(encoder)
    vectors = []
    for batch in batches(texts, "Encode texts"):
        inputs = tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
        inputs = inputs.to(model.device)
        hidden = model(**inputs).last_hidden_state  # [batch_size, n_words, dim]
        is_word = inputs["attention_mask"].unsqueeze(-1)
        vectors.append((hidden * is_word).sum(dim=1) / is_word.sum(dim=1))
    info = FeatureInfo(
        modality="text",
        encoder=encoder_name or encoder.resolve().name,
        weights_hash=hash_files(sorted(encoder.glob("*.safetensors"))),
        pooling="mean over tokens",
        preprocessing="article of a title put first, fields joined by '. '; L2-normalised",
        source_fields=tuple(fields),
    )
    write_unit_vectors(output, vectors, item_tokens, info)


def read_texts(item_file: Path, fields: Sequence[str]) -> tuple[list[str], list[str]]:
    """Read one text for each item of an ``.item`` file.

    Parameters
    ----------
    item_file : pathlib.Path
        RecBole's atomic file, the item tokens in its first column.
    fields : sequence of str
        The columns to join. An inverted title ("Usual Suspects, The") is put right.

    Returns
    -------
    item_tokens, texts : list of str
        Of the items that have any text.

    Raises
    ------
    UserError
        If there is no such file or column, or no text.
    """
    if not item_file.is_file():
        raise UserError(f"There is no item file {item_file}.", "Give the dataset's .item file.")
    try:
        table = pd.read_csv(
            item_file, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE
        )
    except ValueError as error:
        raise UserError(
            f"{item_file} cannot be read as a table: {first_lines(error)}.",
            "Give an atomic file of RecBole: UTF-8, columns separated by tabs.",
        ) from None
    table.columns = [column.partition(":")[0] for column in table.columns]
    absent = [field for field in fields if field not in table.columns]
    if absent:
        raise UserError(
            f"{item_file} has no column {absent[0]!r}.",
            f"Choose --fields among {', '.join(table.columns)}.",
        )
    rows = table[list(fields)].itertuples(index=False)
    texts = pd.Series(
        [". ".join(INVERTED_ARTICLE.sub(r"\2 \1", text) for text in row if text) for row in rows],
        dtype=object,
    )
    has_text = texts != ""
    if not has_text.any():
        raise UserError(
            f"{item_file} has no text in {', '.join(fields)}.", "Choose other --fields."
        )
    return table.iloc[:, 0][has_text].tolist(), texts[has_text].tolist()


def _load_encoder(folder: Path) -> tuple[Any, Any]:
    """Load tokenizer and model of a transformers folder; every weight must come from the file."""
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"No text encoder is in {folder}: it holds no *.safetensors file.",
            "Give --encoder the folder of a transformers model: config, tokenizer and weights.",
        )
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        model, report = AutoModel.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"The text encoder in {folder} cannot be loaded: {first_lines(error)}.",
            "Fetch the whole folder of the model again.",
        ) from None
    # Pooling here is over the last hidden layer, so an absent pooler is never used.
    untrained = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if untrained:
        raise UserError(
            f"The weights in {folder} lack {len(untrained)} tensors of the model, such as "
            f"{untrained[0]}.",
            "Give weights that fit config.json: no feature is made with untrained weights.",
        )
    return tokenizer, model.eval().to(device())
