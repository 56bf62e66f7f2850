"""Names of models: they become parts of paths and of modules' names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import near, show
from ..integration.registration import MODELS


@cache
def model_names() -> dict[str, str]:
    """Every model that RecBole finds by name, with the package whose property file it has."""
    # RecBole looks a model up in the module of its name in lower case; the name itself, with its
    # capitals, stands in the property files.
    root = resources.files("recbole")
    modules = {
        Path(file.name).stem
        for package in (root / "model").iterdir()
        if package.is_dir()
        for file in package.iterdir()
    }
    folder = root / "properties" / "model"
    listed = (Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    names = {name: "recbole" for name in listed if name.lower() in modules}
    return {**names, **dict.fromkeys(MODELS, "recbole_mmdistill")}


def wrong_model(name: Any) -> Iterator[str]:
    """Say what is wrong with the name of a model."""
    if not isinstance(name, str) or not name.isidentifier():
        yield f"model is {show(name)}, which is no name of a model"
    elif name not in model_names():
        hint = near(name, model_names()) or f"; {', '.join(MODELS)}, or one of RecBole's"
        yield f"there is no model {show(name)}{hint}"
