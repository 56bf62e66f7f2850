"""Image features: a folder of images through a timm model on disk."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from ..errors import UserError
from .encoding import batches, device, first_lines, hash_files, write_unit_vectors
from .source import FeatureInfo

IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"}


@torch.inference_mode()
def encode_images(images: Path, model_name: str, weights: Path, output: Path) -> None:
    """Write the features of a folder of images: one float16 vector of length 1 an image.

    Parameters
    ----------
    images : pathlib.Path
        Folder of ``<item token>.jpg`` (or png, webp, gif, bmp). Files that hold no whole image
        are left out, and counted.
    model_name : str
        Name of the timm model.
    weights : pathlib.Path
        Safetensors file with all its weights, of any float dtype; computed with in float32.
    output : pathlib.Path
        The feature file to write.

    Raises
    ------
    UserError
        If the folder, its images, the weights or the model are missing or do not fit.
    """
    paths = list_images(images)
    model = _load_encoder(model_name, weights)
    config = model.pretrained_cfg
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    vectors, item_tokens, unreadable = [], [], []
    for batch in batches(paths, "Encode images"):
        pixels = []
        for path in batch:
            image = read_image(path, *config["input_size"][1:])
            if image is None:
                unreadable.append(path.name)
            else:
                pixels.append((image - mean) / std)
                item_tokens.append(path.stem)
        if pixels:
            hidden = model.forward_features(torch.stack(pixels).to(device()))
            vectors.append(model.forward_head(hidden, pre_logits=True))  # [batch_size, dim]
    if unreadable:
        print(f"Left out {len(unreadable)} files that hold no whole image, first {unreadable[0]}")
    if not vectors:
        raise UserError(f"No file in {images} holds a whole image.", "Fetch the images again.")
    info = FeatureInfo(
        modality="image",
        encoder=model_name,
        weights_hash=hash_files([weights]),
        pooling=f"global_pool {model.global_pool} of timm",
        preprocessing=f"RGB, squeezed to {config['input_size'][1:]} bicubic, "
        f"mean {config['mean']}, std {config['std']}; L2-normalised",
        source_fields=(images.resolve().name,),
    )
    write_unit_vectors(output, vectors, item_tokens, info)


def list_images(images: Path) -> list[Path]:
    """List the image files of a folder, ordered by name.

    Parameters
    ----------
    images : pathlib.Path
        The folder.

    Raises
    ------
    UserError
        If there is no such folder, no image in it, or two that name the same item.
    """
    if not images.is_dir():
        raise UserError(f"There is no folder {images}.", "Give the folder of <item token>.jpg.")
    paths = sorted(
        (path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES),
        key=lambda path: (path.stem, path.suffix),
    )
    if not paths:
        raise UserError(f"No image is in {images}.", "Name each image <item token>.jpg.")
    for first, second in pairwise(paths):
        if first.stem == second.stem:
            raise UserError(f"{first} and {second} name the same item.", "Remove one of them.")
    return paths


def read_image(path: Path, height: int, width: int) -> torch.Tensor | None:
    """Read an image, squeezed to the size given whatever its proportions.

    Parameters
    ----------
    path : pathlib.Path
        The image file.
    height, width : int
        Size in pixels.

    Returns
    -------
    torch.Tensor or None
        Shape ``[3, height, width]``, float32 in [0, 1]; None if the file holds no whole image.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            pixels = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1) / 255


def _load_encoder(model_name: str, weights: Path) -> Any:
    """Build a timm model; every weight must come from the file."""
    if not weights.is_file():
        raise UserError(
            f"There is no weights file {weights}.", "Give --weights a safetensors file for timm."
        )
    import timm
    from safetensors.torch import load_file

    if not timm.is_model(model_name):
        near = timm.list_models(f"*{model_name.split('_')[0]}*")[:5]
        raise UserError(
            f"timm has no model {model_name!r}.", f"Near names: {', '.join(near) or 'none'}."
        )
    model = timm.create_model(model_name, pretrained=False)
    try:
        model.load_state_dict(load_file(weights), strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{weights} does not hold the weights of {model_name}: {first_lines(error)}.",
            "Give the file of this very model: no feature is made with untrained weights.",
        ) from None
    return model.eval().to(device())
