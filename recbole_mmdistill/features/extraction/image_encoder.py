"""Image encoders: timm's models, and the vision towers of transformers (CLIP and its kin)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import UserError, near
from ..pictures import UnreadablePicture, decode
from ..source import UNTRAINED
from .encoder import Encoder, Failure, first_lines, hash_files, with_random_weights
from .hub import HubModel, not_to_be_had

POOLED = {"cls": "class token", "mean": "mean over patches", "tokens": "all tokens"}
_SECONDS = 5.0  # to wait for the hub


class TimmEncoder(Encoder):
    """A timm model, by its name there, with its own transform.

    Parameters
    ----------
    encoder, weights : str, pathlib.Path
        Its name, and a safetensors file, or a torch file of weights alone; without it timm's own
        are fetched, or random ones made if ``untrained``.
    pooling : str, optional
        ``cls`` (the class token), ``mean`` (over the patches), or ``tokens`` (all); by default
        the class token of a model that was trained to be read from it, else the mean.
    crop_mode : str, optional
        How a picture is made square: ``center``, ``squash`` or ``border``; by default the
        model's own.
    **settings
        See :class:`Encoder`.

    Raises
    ------
    UserError
        If there is no such model or file, or the model has no class token.
    """

    def __init__(
        self,
        encoder: str,
        weights: Path | None = None,
        pooling: str | None = None,
        crop_mode: str | None = None,
        untrained: bool = False,
        **settings: Any,
    ) -> None:
        import timm
        from timm.data import create_transform, resolve_data_config

        if not timm.is_model(encoder):
            raise UserError(
                f"timm has no model {encoder!r}.",
                f"Give --encoder a name of timm's{near(encoder, timm.list_models())}; or the "
                "folder, or hub name, of a transformers model such as CLIP.",
            )
        if weights is not None and not weights.is_file():
            raise UserError(f"There is no weights file {weights}.", "Give --weights a file.")
        self._weights = weights
        if weights is None and not untrained:
            model = _pretrained(encoder)
            weights_hash = _hash_state(model)
        else:
            model = with_random_weights(lambda: timm.create_model(encoder, num_classes=0))
            weights_hash = UNTRAINED if weights is None else hash_files([weights])
        self._timm = model
        crop = {} if crop_mode is None else {"crop_mode": crop_mode}
        data = resolve_data_config(crop, model=model)
        # Up to, and without, the step to floats: a quarter of the memory.
        self.prepare = partial(_decoded, create_transform(**data, use_prefetcher=True))
        is_own = _has_class_token(model) and _reads_class_token(model)
        self._pool = pooling or ("cls" if is_own else "mean")
        _check_pooling(self._pool, model, encoder)
        super().__init__(
            name=encoder,
            weights_hash=weights_hash,
            pooling=POOLED[self._pool],
            depends_on={"kind": "timm", "model": encoder, "data": str(sorted(data.items()))},
            **settings,
        )
        self._mean, self._std = (
            (torch.tensor(data[key]).view(1, -1, 1, 1) * 255).to(self.device)
            for key in ("mean", "std")
        )
        self.preprocessing = (
            f"{data['crop_mode']} crop {data['crop_pct']} to {data['input_size'][1:]} "
            f"{data['interpolation']}, mean {data['mean']}, std {data['std']}"
        )

    def load(self) -> Any:
        """Load the weights of a file."""
        from timm.models import load_state_dict

        model = self._timm
        if self._weights is None:
            return model
        heads = model.pretrained_cfg.get("classifier") or ()
        heads = (heads,) if isinstance(heads, str) else tuple(heads)
        try:
            state = load_state_dict(str(self._weights), device="cpu", weights_only=True)
            report = model.load_state_dict(state, strict=False)
            foreign = [key for key in report.unexpected_keys if not key.startswith(heads)]
            for kind, keys in (("lacks", report.missing_keys), ("has besides", foreign)):
                if keys:
                    raise ValueError(f"it {kind} {len(keys)} tensors, such as {keys[0]}")
        except Exception as error:  # whatever a damaged or foreign file makes its loader raise
            raise UserError(
                f"{self._weights} does not hold the weights of {self.name}: {first_lines(error)}.",
                "Give the file of this very model: no feature is made with untrained weights.",
            ) from None
        return model

    def forward(self, model: Any, prepared: Sequence[Any]) -> Sequence[torch.Tensor]:
        """Encode pixels, see :meth:`Encoder.forward`."""
        pixels = torch.from_numpy(np.stack(prepared)).to(self.device).float()
        hidden = model.forward_features(pixels.sub_(self._mean).div_(self._std))
        if self._pool == "mean" and not _reads_class_token(model):
            return list(model.forward_head(hidden, pre_logits=True).unsqueeze(1))
        if hidden.ndim == 4:  # as [batch_size, n_tokens, dim], whatever the model's layout
            is_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
            hidden = hidden.flatten(1, 2) if is_last else hidden.flatten(2).transpose(1, 2)
        return _pooled(hidden, self._pool, getattr(model, "num_prefix_tokens", 0))


class VisionTower(Encoder):
    """The image side of a transformers model: CLIP, SigLIP, ViT, DINOv2 and their kin.

    ``encoder`` is its folder, or its name on the hub; the other options are those of
    :class:`TimmEncoder`.
    """

    def __init__(
        self, encoder: str, pooling: str | None = None, untrained: bool = False, **settings: Any
    ) -> None:
        self._hub = HubModel(encoder, untrained)
        remedy = "Give --encoder the folder of a model of images, such as CLIP."
        processor = self._hub.part("AutoImageProcessor", "image processor", remedy)
        self.prepare = partial(_decoded, partial(_processed, processor))
        self._pool = pooling or "cls"
        weights, rest = self._hub.hashes()
        super().__init__(
            name=self._hub.recorded_name,
            weights_hash=weights,
            pooling=POOLED[self._pool],
            depends_on={"kind": "vision tower", "settings": rest},
            **settings,
        )
        self.preprocessing = type(processor).__name__

    def load(self) -> Any:
        """Load the model, and keep the tower that sees."""
        model = self._hub.load(
            ("pooler.", "text_model.", "text_projection", "visual_projection", "logit_")
        )
        tower = getattr(model, "vision_model", model)
        _check_pooling(self._pool, tower, self.name)
        return tower

    def forward(self, model: Any, prepared: Sequence[Any]) -> Sequence[torch.Tensor]:
        """Encode pixels, see :meth:`Encoder.forward`."""
        pixels = torch.from_numpy(np.stack(prepared)).to(self.device)
        hidden = model(pixel_values=pixels).last_hidden_state  # [batch_size, n_tokens, dim]
        norm = getattr(model, "post_layernorm", None)
        if norm is not None:  # CLIP leaves it to the pooled token
            hidden = norm(hidden)
        return _pooled(hidden, self._pool, int(_has_class_token(model)))


def image_encoder(
    encoder: str, weights: Path | None = None, crop_mode: str | None = None, **settings: Any
) -> Encoder:
    """Open a model of timm's by its name, or one of transformers by its folder or hub name.

    See :class:`TimmEncoder` for the options; `weights` and `crop_mode` are timm's alone.
    """
    if "/" not in encoder and not Path(encoder).is_dir():
        return TimmEncoder(encoder, weights, crop_mode=crop_mode, **settings)
    if not Path(encoder).is_dir() and encoder.startswith((".", "/", "~")):
        raise UserError(f"There is no folder {encoder}.", "Give --encoder the folder of a model.")
    for option, value in (("--weights", weights), ("--crop_mode", crop_mode)):
        if value is not None:
            raise UserError(
                f"{option} is given, but --encoder={encoder} is no name of timm's.",
                f"Leave {option} out: a transformers model brings its own.",
            )
    return VisionTower(encoder, **settings)


def _decoded(
    transform: Callable[[Any], np.ndarray], inputs: Sequence[bytes]
) -> list[np.ndarray | Failure]:
    """Decode and transform files of pictures, ``[3, height, width]`` each."""
    results: list[np.ndarray | Failure] = []
    for data in inputs:
        try:
            results.append(np.asarray(transform(decode(data))))
        except UnreadablePicture as error:
            results.append(Failure(str(error)))
    return results


def _processed(processor: Any, image: Any) -> np.ndarray:
    return processor(images=image, return_tensors="np")["pixel_values"][0]


def _pooled(hidden: torch.Tensor, pooling: str, n_prefix: int) -> list[torch.Tensor]:
    """Pool hidden states ``[batch_size, n_tokens, dim]``, the first of which are no patches."""
    if pooling == "cls":
        return list(hidden[:, :1])
    return list(hidden if pooling == "tokens" else hidden[:, n_prefix:].mean(1, keepdim=True))


def _pretrained(encoder: str) -> Any:
    """Let timm fetch its own weights of a model."""
    import timm

    cfg = timm.get_pretrained_cfg(encoder)
    if cfg is None or not cfg.has_weights:
        raise UserError(
            f"timm has no trained weights of {encoder!r}.",
            "Give --weights a file of your own, or say --untrained for random weights.",
        )
    try:
        _check_reachable(cfg.hf_hub_id)
        return timm.create_model(encoder, pretrained=True, num_classes=0).float().eval()
    except Exception as error:  # many kinds: of the network, of the hub, of the disk
        command = f"hf download timm/{encoder} model.safetensors --local-dir FOLDER"
        raise not_to_be_had(encoder, first_lines(error), command, "--weights") from None


def _check_reachable(hub_id: str | None) -> None:
    """Raise at once if weights cannot be had: the hub's client would retry for a minute."""
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.utils import get_session

    names = ("model.safetensors", "pytorch_model.bin")
    if hub_id and any(isinstance(try_to_load_from_cache(hub_id, name), str) for name in names):
        return
    if constants.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    get_session().head(constants.ENDPOINT, timeout=_SECONDS)


def _hash_state(model: torch.nn.Module) -> str:
    """Hash the weights of a model with SHA-256; give it in hexadecimal."""
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {[*tensor.shape]}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _reads_class_token(model: Any) -> bool:
    return getattr(model, "global_pool", None) == "token"


def _has_class_token(model: Any) -> bool:
    """Whether a model of timm's or of transformers has one."""
    if getattr(model, "cls_token", None) is not None:
        return True
    embeddings = getattr(model, "embeddings", None)
    return any(hasattr(embeddings, name) for name in ("class_embedding", "cls_token"))


def _check_pooling(pooling: str, model: Any, name: str) -> None:
    if pooling == "cls" and not _has_class_token(model):
        raise UserError(f"--pooling is cls, but {name} has no class token.", "Say --pooling=mean.")
