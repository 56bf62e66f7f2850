"""Image encoders: timm's models, and the vision towers of transformers (CLIP and its kin)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import UserError, near
from ..pictures import UnreadablePicture, decode
from ..source import UNTRAINED
from .encoder import (
    Encoder,
    Prepare,
    first_lines,
    hash_files,
    hash_state,
    with_random_weights,
)
from .hub import (
    LOCAL,
    hash_settings,
    hash_weights,
    load_model,
    load_untrained,
    model_folder,
    not_to_be_had,
    reach_hub,
    recorded_name,
)
from .journal import Failure

POOLINGS = ("cls", "mean", "tokens")
CROP_MODES = ("center", "squash", "border")
_POOLED = {"cls": "class token", "mean": "mean over patches", "tokens": "all tokens"}


class Decoding:
    """Decodes files of pictures, and transforms them.

    Parameters
    ----------
    transform : callable
        Takes a PIL image of mode RGB, gives an array of shape ``[3, height, width]``.
    """

    def __init__(self, transform: Callable[[Any], np.ndarray]) -> None:
        self._transform = transform

    def __call__(self, inputs: Sequence[bytes]) -> list[np.ndarray | Failure]:
        """Decode the content of files; a Failure for each that holds no picture."""
        results: list[np.ndarray | Failure] = []
        for data in inputs:
            try:
                results.append(self._transform(decode(data)))
            except UnreadablePicture as error:
                results.append(Failure(str(error)))
        return results


class _ToBytes:
    """A transform of timm's up to, and without, the step to floats: a quarter of the memory."""

    def __init__(self, transform: Any) -> None:
        self._transform = transform

    def __call__(self, image: Any) -> np.ndarray:
        return np.asarray(self._transform(image))


class _Processed:
    """An image processor of transformers as a transform."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def __call__(self, image: Any) -> np.ndarray:
        return self._processor(images=image, return_tensors="np")["pixel_values"][0]


class TimmEncoder(Encoder):
    """A timm model, with its own transform.

    Parameters
    ----------
    encoder : str
        Its name in timm.
    weights : pathlib.Path, optional
        A safetensors file, or a torch file of weights alone; without it timm's own are fetched.
    pooling : str, optional
        ``cls`` (the class token), ``mean`` (over the patches), or ``tokens`` (all); by default
        the class token of a model that was trained to be read from it, else the mean.
    crop_mode : str, optional
        How a picture is made square: ``center``, ``squash`` or ``border``; by default the
        model's own.
    untrained : bool
        Whether to take random weights.
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
        self._encoder = encoder
        self._weights = weights
        self._untrained = untrained
        loaded = None
        if untrained:
            weights_hash = UNTRAINED
        elif weights is not None:
            weights_hash = hash_files([weights])
        else:
            loaded = _pretrained(encoder)
            weights_hash = hash_state(loaded)
        cfg = timm.get_pretrained_cfg(encoder)
        data = resolve_data_config(
            {} if crop_mode is None else {"crop_mode": crop_mode},
            pretrained_cfg=cfg.to_dict() if cfg is not None else {},
        )
        self._decoding = Decoding(_ToBytes(create_transform(**data, use_prefetcher=True)))
        mean, std = (torch.tensor(data[key]).view(1, -1, 1, 1) * 255 for key in ("mean", "std"))
        skeleton = loaded if loaded is not None else self._build()
        self._pool = _checked_pooling(skeleton, encoder, pooling)
        super().__init__(
            name=encoder,
            weights_hash=weights_hash,
            pooling=_POOLED[self._pool],
            depends_on={"kind": "timm", "model": encoder, "data": str(sorted(data.items()))},
            **settings,
        )
        self._mean, self._std = mean.to(self.device), std.to(self.device)
        if loaded is not None:
            self._model = loaded.to(self.device)
        self.preprocessing = (
            f"{data['crop_mode']} crop {data['crop_pct']} to {data['input_size'][1:]} "
            f"{data['interpolation']}, mean {data['mean']}, std {data['std']}"
        )

    def _build(self) -> Any:
        import timm

        return with_random_weights(
            lambda: timm.create_model(self._encoder, pretrained=False, num_classes=0)
        ).eval()

    @property
    def prepare(self) -> Prepare:
        """Decode files into bytes of RGB."""
        return self._decoding

    def load(self) -> Any:
        """Load the weights."""
        if self._untrained:
            return self._build()
        assert self._weights is not None  # else __init__ has loaded the model
        from timm.models import load_state_dict

        model = self._build()
        heads = model.pretrained_cfg.get("classifier") or ()
        heads = (heads,) if isinstance(heads, str) else tuple(heads)
        try:
            state = load_state_dict(str(self._weights), device="cpu", weights_only=True)
            report = model.load_state_dict(state, strict=False)
        except Exception as error:  # whatever a damaged or foreign file makes its loader raise
            raise _not_its_weights(self._weights, self._encoder, first_lines(error)) from None
        foreign = [k for k in report.unexpected_keys if not k.startswith(tuple(heads))]
        for kind, keys in (("lacks", report.missing_keys), ("has besides", foreign)):
            if keys:
                reason = f"it {kind} {len(keys)} tensors, such as {keys[0]}"
                raise _not_its_weights(self._weights, self._encoder, reason)
        return model

    def forward(self, model: Any, prepared: Sequence[Any]) -> Sequence[torch.Tensor]:
        """Encode pixels, see :meth:`Encoder.forward`."""
        pixels = torch.from_numpy(np.stack(prepared)).to(self.device).float()
        hidden = model.forward_features(pixels.sub_(self._mean).div_(self._std))
        if self._pool == "mean" and not _reads_class_token(model):
            return list(model.forward_head(hidden, pre_logits=True).unsqueeze(1))
        tokens = _as_tokens(model, hidden)  # [batch_size, n_tokens, dim]
        if self._pool == "cls":
            return list(tokens[:, :1])
        if self._pool == "mean":
            return list(tokens[:, model.num_prefix_tokens :].mean(1, keepdim=True))
        return list(tokens)


class VisionTower(Encoder):
    """The image side of a transformers model: CLIP, SigLIP, ViT, DINOv2 and their kin.

    Parameters
    ----------
    encoder : str
        Its folder, or its name on the hub.
    pooling : str, optional
        As of :class:`TimmEncoder`; by default ``cls``.
    untrained : bool
        Whether to take random weights.
    **settings
        See :class:`Encoder`.

    Raises
    ------
    UserError
        If the model cannot be had, or reads no images.
    """

    def __init__(
        self,
        encoder: str,
        pooling: str | None = None,
        untrained: bool = False,
        **settings: Any,
    ) -> None:
        from transformers import AutoImageProcessor

        self._folder = model_folder(encoder, untrained)
        self._untrained = untrained
        try:
            processor = AutoImageProcessor.from_pretrained(str(self._folder), **LOCAL)
        except Exception as error:  # whatever a damaged file makes transformers raise
            raise UserError(
                f"{self._folder} holds no image processor: {first_lines(error)}.",
                "Give --encoder the folder of a model of images, such as CLIP.",
            ) from None
        self._decoding = Decoding(_Processed(processor))
        self._pool = pooling or "cls"
        super().__init__(
            name=recorded_name(encoder),
            weights_hash=hash_weights(self._folder, untrained),
            pooling=_POOLED[self._pool],
            depends_on={"kind": "vision tower", "settings": hash_settings(self._folder)},
            **settings,
        )
        self.preprocessing = type(processor).__name__

    @property
    def prepare(self) -> Prepare:
        """Decode files into the processor's pixels."""
        return self._decoding

    def load(self) -> Any:
        """Load the model, and keep the tower that sees."""
        unused = ("pooler.", "text_model.", "text_projection", "visual_projection", "logit_")
        if self._untrained:
            model = load_untrained(self._folder)
        else:
            model = load_model(self._folder, unused)
        tower = getattr(model, "vision_model", model)
        if self._pool == "cls" and not _has_class_token(tower):
            raise _no_class_token(self.name)
        return tower

    def forward(self, model: Any, prepared: Sequence[Any]) -> Sequence[torch.Tensor]:
        """Encode pixels, see :meth:`Encoder.forward`."""
        pixels = torch.from_numpy(np.stack(prepared)).to(self.device)
        hidden = model(pixel_values=pixels).last_hidden_state  # [batch_size, n_tokens, dim]
        norm = getattr(model, "post_layernorm", None)
        if norm is not None:  # CLIP leaves it to the pooled token
            hidden = norm(hidden)
        if self._pool == "tokens":
            return list(hidden)
        if self._pool == "cls":
            return list(hidden[:, :1])
        return list(hidden[:, 1 if _has_class_token(model) else 0 :].mean(1, keepdim=True))


def image_encoder(
    encoder: str,
    weights: Path | None = None,
    crop_mode: str | None = None,
    **settings: Any,
) -> Encoder:
    """Open an image encoder by what its name is: a model of timm's, or one of transformers.

    Parameters
    ----------
    encoder : str
        A name of timm's; or a folder, or a hub name with a slash.
    weights, crop_mode, **settings
        See :class:`TimmEncoder`; the former two are timm's alone.

    Returns
    -------
    Encoder

    Raises
    ------
    UserError
        As they do.
    """
    if "/" not in encoder and not Path(encoder).is_dir():
        return TimmEncoder(encoder, weights, crop_mode=crop_mode, **settings)
    for option, value in (("--weights", weights), ("--crop_mode", crop_mode)):
        if value is not None:
            raise UserError(
                f"{option} is given, but --encoder={encoder} is no name of timm's.",
                f"Leave {option} out: a transformers model brings its own.",
            )
    return VisionTower(encoder, **settings)


def _pretrained(encoder: str) -> Any:
    """Let timm fetch its own weights of a model."""
    import timm

    command = f"hf download timm/{encoder} model.safetensors --local-dir FOLDER"
    cfg = timm.get_pretrained_cfg(encoder)
    if cfg is None or not cfg.has_weights:
        raise UserError(
            f"timm has no trained weights of {encoder!r}.",
            "Give --weights a file of your own, or say --untrained for random weights.",
        )
    reason = "" if _is_cached(cfg.hf_hub_id) else reach_hub()
    if not reason:
        try:
            return timm.create_model(encoder, pretrained=True, num_classes=0).float().eval()
        except Exception as error:  # many kinds: of the network, of the hub, of the disk
            reason = first_lines(error)
    raise not_to_be_had(encoder, reason, command, "--weights")


def _is_cached(hub_id: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    if not hub_id:
        return False
    names = ("model.safetensors", "pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(hub_id, name), str) for name in names)


def _not_its_weights(weights: Path, encoder: str, reason: str) -> UserError:
    return UserError(
        f"{weights} does not hold the weights of {encoder}: {reason}.",
        "Give the file of this very model: no feature is made with untrained weights.",
    )


def _reads_class_token(model: Any) -> bool:
    return getattr(model, "global_pool", None) == "token"


def _checked_pooling(model: Any, encoder: str, pooling: str | None) -> str:
    has_class_token = getattr(model, "cls_token", None) is not None
    if pooling is None:
        return "cls" if has_class_token and _reads_class_token(model) else "mean"
    if pooling == "cls" and not has_class_token:
        raise _no_class_token(encoder)
    return pooling


def _has_class_token(tower: Any) -> bool:
    embeddings = getattr(tower, "embeddings", None)
    return any(hasattr(embeddings, name) for name in ("class_embedding", "cls_token"))


def _no_class_token(encoder: str) -> UserError:
    return UserError(f"--pooling is cls, but {encoder} has no class token.", "Say --pooling=mean.")


def _as_tokens(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Give hidden states as ``[batch_size, n_tokens, dim]``, whatever the model's layout."""
    if hidden.ndim == 3:
        return hidden
    if getattr(model, "output_fmt", "NCHW") == "NHWC":
        return hidden.flatten(1, 2)
    return hidden.flatten(2).transpose(1, 2)
