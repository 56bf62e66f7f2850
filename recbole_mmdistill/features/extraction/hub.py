"""Where the files of a model of transformers lie: a folder, or what the hub has of that name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import UserError
from ..source import UNTRAINED
from .encoder import first_lines, hash_files, with_random_weights

# Safetensors before anything else; a torch file is read by the loader that runs no code.
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_REST = ("*.json", "*.txt", "*.model")
_SECONDS = 5.0
LOCAL = {"local_files_only": True, "trust_remote_code": False}  # nor is code of the folder run


def model_folder(name: str, untrained: bool = False) -> Path:
    """Find a model: a folder, or a name on the hub, whose files are fetched if need be.

    Parameters
    ----------
    name : str
        Path of a folder, or a name such as ``bert-base-uncased``.
    untrained : bool
        Whether weights may be absent.

    Returns
    -------
    pathlib.Path
        Holds ``config.json`` and, unless `untrained`, weights.

    Raises
    ------
    UserError
        If it is neither here nor can be had.
    """
    folder = Path(name)
    if not folder.is_dir():
        if name.count("/") > 1 or name.startswith((".", "/", "~")):
            raise UserError(f"There is no folder {name}.", "Give --encoder the folder of a model.")
        folder = _from_hub(name, untrained)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"No encoder is in {folder}: it holds no config.json.",
            "Give --encoder the folder of a transformers model: config, tokenizer and weights.",
        )
    if not untrained and not weight_files(folder):
        raise UserError(
            f"No trained encoder is in {folder}: it holds no *.safetensors.",
            "Fetch the whole folder of the model, or say --untrained for random weights.",
        )
    return folder


def weight_files(folder: Path) -> list[Path]:
    """List the files of weights that would be loaded from a folder."""
    for pattern in _WEIGHTS:
        files = sorted(folder.glob(pattern))
        if files:
            return files
    return []


def hash_weights(folder: Path, untrained: bool) -> str:
    """Hash the weights in a folder, see :class:`Encoder`."""
    return UNTRAINED if untrained else hash_files(weight_files(folder))


def hash_settings(folder: Path) -> str:
    """Hash all other files that say what a model does: config, tokenizer, image processor."""
    return hash_files(sorted({file for pattern in _REST for file in folder.glob(pattern)}))


def load_config(folder: Path) -> Any:
    """Read the configuration of a model.

    Raises
    ------
    UserError
        If transformers does not know such a model.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(str(folder), **LOCAL)
    except Exception as error:  # whatever a damaged file makes transformers raise
        raise _not_loaded(folder, error) from None


def load_untrained(folder: Path) -> Any:
    """Build a model of transformers with random weights, the same ones each time."""
    from transformers import AutoModel

    config = load_config(folder)
    return with_random_weights(
        lambda: AutoModel.from_config(config, trust_remote_code=False)
    ).eval()


def load_model(folder: Path, unused: tuple[str, ...] = ("pooler.",)) -> Any:
    """Load a model of transformers; every weight that counts must come from the file.

    Parameters
    ----------
    folder : pathlib.Path
        As :func:`model_folder` gives it.
    unused : tuple of str
        How the names of weights begin that no vector depends on.

    Raises
    ------
    UserError
        If they do not fit the configuration, or some are absent.
    """
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # of a file that is read in a second
    config = load_config(folder)
    try:
        model, report = AutoModel.from_pretrained(
            str(folder),
            config=config,
            use_safetensors=weight_files(folder)[0].suffix == ".safetensors",
            output_loading_info=True,
            **LOCAL,
        )
    except Exception as error:  # whatever a damaged file makes torch, safetensors or pickle raise
        raise _not_loaded(folder, error) from None
    absent = sorted(key for key in report["missing_keys"] if not key.startswith(unused))
    if absent:
        raise UserError(
            f"The weights in {folder} lack {len(absent)} tensors of the model, such as "
            f"{absent[0]}.",
            "Give weights that fit config.json: no feature is made with untrained weights.",
        )
    return model.float().eval()


def _not_loaded(folder: Path, error: Exception) -> UserError:
    return UserError(
        f"The encoder in {folder} cannot be loaded: {first_lines(error)}.",
        "Fetch the whole folder of the model again.",
    )


def recorded_name(given: str) -> str:
    """Give the name under which an encoder is recorded: without the folders of this machine."""
    folder = Path(given)
    if not folder.is_dir():
        return given
    folder = folder.resolve()
    return folder.name if folder.name != "model" else f"{folder.parent.name}/model"


def reach_hub() -> str:
    """Say why the hub of models cannot be reached, in a few words; empty if it can.

    Without this a machine with no network would wait through all of the hub's own retries.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        get_session().head(constants.ENDPOINT, timeout=_SECONDS)
    except Exception as error:  # of whichever HTTP library the hub's client is built on
        return f"no connection to {constants.ENDPOINT}: {first_lines(error)}"
    return ""


def _from_hub(name: str, untrained: bool) -> Path:
    from huggingface_hub import snapshot_download

    try:
        cached = Path(snapshot_download(name, local_files_only=True))
        if (cached / "config.json").is_file() and (untrained or weight_files(cached)):
            return cached
    except Exception:  # not here, not whole, or no name at all: the next try says what is wrong
        pass
    reason = reach_hub()
    folder = Path()
    if not reason:
        try:
            for pattern in ("*.json",) if untrained else _WEIGHTS:
                folder = Path(snapshot_download(name, allow_patterns=[*_REST, pattern]))
                if weight_files(folder):
                    break
        except Exception as error:  # many kinds: of the network, of the hub, of the disk
            reason = first_lines(error)
    if reason:
        raise not_to_be_had(name, reason, f"hf download {name} --local-dir FOLDER", "--encoder")
    return folder


def not_to_be_had(name: str, reason: str, command: str, option: str) -> UserError:
    """Give the error of an encoder that is neither on this machine nor can be fetched."""
    return UserError(
        f"The encoder {name!r} is not on this machine and cannot be downloaded ({reason}).",
        f"Fetch it where there is a network, for example with `{command}`, and give its place "
        f"here with {option}.",
    )
