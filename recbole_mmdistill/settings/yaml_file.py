"""YAML as settings are written in it: plain data, no tags, every key once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError, near

_LARGEST_FILE = 2**20
_MOST_NODES, _DEEPEST = 100_000, 100
_MERGE = "tag:yaml.org,2002:merge"
_FLOAT = "tag:yaml.org,2002:float"
_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "null", "str")}


class _Loader(yaml.SafeLoader):
    """Composes nodes; resolves ``1e-3`` as RecBole does, and leaves dates as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own way)
        first: [pair for pair in pairs if pair[0] not in ("tag:yaml.org,2002:timestamp", _FLOAT)]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


# As config/configurator.py:83 of RecBole writes it.
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"""^(?:
         [-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
        |\.[0-9_]+(?:[eE][-+][0-9]+)?
        |[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*
        |[-+]?\.(?:inf|Inf|INF)
        |\.(?:nan|NaN|NAN))$""",
        re.X,
    ),
    list("-+0123456789."),
)


def parse_yaml(text: str, name: str = "the text") -> Any:
    """Read a YAML text of plain data.

    Parameters
    ----------
    text : str
        Without tags (``!!python/...``, ``!!int``); anchors and ``<<`` are read.
    name : str
        What messages call it.

    Returns
    -------
    object
        Of dicts, lists, texts, numbers, bools and None.

    Raises
    ------
    UserError
        It is no YAML, has a tag, the same key twice in a mapping, or is too large.
    """
    remedy = "Correct it there."
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return None if node is None else _Builder(loader).build(node, _DEEPEST)
    except yaml.YAMLError as error:
        raise UserError(f"{name} is no YAML: {' '.join(str(error).split())}.", remedy) from None
    except RecursionError:
        raise UserError(f"{name} is nested too deeply.", remedy) from None


class _Builder:
    """Makes plain data of the nodes of one text."""

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._left = _MOST_NODES

    def build(self, node: yaml.Node, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth < 0:  # aliases that stand for each other grow without end
            raise _error("it is nested too deeply or too large", node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.build(item, depth - 1) for item in node.value]
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, depth)
        raise _error(f"the tag {node.tag!r} is not read", node)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag not in _PLAIN:
            raise _error(f"the tag {node.tag!r} is not read", node)
        try:
            return self._loader.construct_object(node)
        except (ValueError, KeyError, OverflowError):
            shown = f"{node.value[:40]!r}"
            raise _error(f"{shown} is no {node.tag.rpartition(':')[2]}", node) from None

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        merged: dict[Any, Any] = {}
        built: dict[Any, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error("a key is no word", key)
            if key.value in lines:
                raise _error(f"{key.value!r} stands twice, first in line {lines[key.value]}", key)
            lines[key.value] = key.start_mark.line + 1
            if key.tag == _MERGE:
                others = self.build(value, depth - 1)
                for other in others if isinstance(others, list) else [others]:
                    if not isinstance(other, dict):
                        raise _error("what << merges is no mapping", value)
                    merged = {**other, **merged}
            else:
                built[self._scalar(key)] = self.build(value, depth - 1)
        return {**merged, **built}


def _error(problem: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.YAMLError(f"line {node.start_mark.line + 1}: {problem}")


def read_yaml(file: str) -> dict[str, Any]:
    """Read a YAML file of settings.

    Parameters
    ----------
    file : str
        Its path.

    Returns
    -------
    dict of str to object

    Raises
    ------
    UserError
        It does not exist, is no YAML (:func:`parse_yaml`), or holds something else than settings.
    """
    path = Path(file)
    try:
        if not path.is_file():
            folder = path.parent if path.parent.is_dir() else Path()
            close = near(path.name, (entry.name for entry in folder.iterdir()))
            raise UserError(f"There is no config file {file}.", f"Give a YAML file{close}.")
        if path.stat().st_size > _LARGEST_FILE:
            raise UserError(f"{file} has more than 1 MiB.", "Give a YAML file of settings.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())
        raise UserError(f"{file!r} cannot be read: {reason}.", "Give a YAML file.") from None
    read = parse_yaml(text, file)
    if read is None:
        return {}
    wrong = f"{type(read).__name__}, no options"
    if isinstance(read, dict):
        wrong = ", ".join(f"the key {key!r}, no text" for key in read if not isinstance(key, str))
    if wrong:
        raise UserError(f"{file} holds {wrong}.", "Write one `key: value` a line.")
    return dict(read)
