"""Checkpoints and caches that cannot run code.

RecBole saves with pickle, and a pickle names functions and has them called. torch's own
``weights_only`` loader refuses RecBole's checkpoints (pickle protocol 4), and to allow-list
``Config`` there would be unsafe: its constructor evaluates strings.

So a checkpoint that RecBole's modules load goes through :class:`CheckpointUnpickler`. What a
pickle can do with a name it is given is call it, so the rule is: **whatever a name is resolved to
may be called with any arguments without harm.** Names that a checkpoint only refers to (the
model's class, a YAML loader) are resolved to :class:`Reference`, which cannot be called; ``Config``
to a shell that takes nothing but a state of plain data; what is not needed to a husk. Code of
users that calls ``torch.load`` is left alone.

RecBole's dataset and dataloader caches hold half of pandas, so no short list of names will do
for them. They are signed with a key that only this user can read, and unsigned ones are refused.
"""

from __future__ import annotations

import collections
import functools
import hashlib
import hmac
import importlib
import io
import os
import pickle
import secrets
import sys
import types
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import IO, Any

import numpy as np
import scipy.sparse
import torch

from ..errors import UserError

_CONFIG = ("recbole.config.configurator", "Config")
_LOADERS = {"FullLoader", "SafeLoader"}


class Reference:
    """A class that a checkpoint names and must not call."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def resolve(self) -> type:
        """Give the class, if it is a recommender or one of YAML's harmless loaders."""
        found = getattr(importlib.import_module(self.module), self.name, None)
        if isinstance(found, type):
            if self.module.startswith("yaml.") and self.name in _LOADERS:
                return found
            if issubclass(found, torch.nn.Module) and _is_recommender(self.module):
                return found
        raise pickle.UnpicklingError(f"{self.module}.{self.name} is no recommender")


def _is_recommender(module: str) -> bool:
    return module.startswith(("recbole.model.", "recbole_mmdistill.model."))


class _Husk:
    """Stands for an object that is not needed: takes whatever a pickle gives it, keeps nothing.

    Models with item fields (SASRecF, FDSA, DIN, ...) save an embedding layer a second time beside
    their ``state_dict``, as an object, and with it the whole dataset.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> _Husk:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def _ignore(self, *args: Any) -> None:
        pass

    __setstate__ = __setitem__ = append = extend = _ignore


def _is_needless(module: str, name: str) -> bool:
    return (module, name) == ("logging", "getLogger") or (
        module.startswith(
            (
                "recbole.data.",
                "recbole.sampler.",
                "recbole.model.layers",
                "recbole_mmdistill.data.",
                "recbole_mmdistill.features.",
                "torch.nn.modules.",
            )
        )
        and "." not in name
    )


class _ConfigShell:
    """Stands for ``Config`` while a checkpoint is read: takes a state, runs nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _ConfigShell:
        if args or kwargs:
            raise pickle.UnpicklingError("a Config may not be constructed by a checkpoint")
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        if type(state) is not dict or not all(type(key) is str for key in state):
            raise pickle.UnpicklingError("the state of Config is no dict")
        self.__dict__["state"] = state


def _member(enum: type[Enum]) -> Callable[[Any], Enum]:
    """Give a function that looks a member up, and cannot make an enum as the class's call can."""

    def look_up(value: Any) -> Enum:
        return enum(value)

    return look_up


def _latin1(text: str, encoding: str) -> bytes:
    """Give bytes as pickle protocol 2 writes them; any other codec is refused."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"codec {encoding!r} is not allowed in a checkpoint")
    return text.encode("latin1")


def _empty_array(subtype: Any, shape: Any, dtype: Any) -> np.ndarray:
    """Give the empty array that a pickled one is filled into: a matrix, or else an ndarray."""
    is_matrix = isinstance(subtype, Reference) and subtype.name == "matrix"
    return np.ndarray.__new__(np.matrix if is_matrix else np.ndarray, (0,), dtype="b")


def _default_of_lists(factory: Any) -> collections.defaultdict:
    """Give a defaultdict; of lists, because whatever it names is called."""
    if factory is not list:
        raise pickle.UnpicklingError("only a defaultdict of lists is allowed in a checkpoint")
    return collections.defaultdict(list)


def _scalar(dtype: np.dtype, data: bytes) -> Any:
    """Give a numpy scalar; one of objects could hold anything."""
    if not isinstance(dtype, np.dtype) or dtype.hasobject or type(data) is not bytes:
        raise pickle.UnpicklingError("a numpy scalar of objects is not allowed in a checkpoint")
    return np.frombuffer(data, dtype=dtype, count=1)[0]


def _dtype(spec: Any, *args: Any) -> np.dtype:
    """Give a dtype from its short name, as numpy pickles it."""
    if type(spec) is not str:
        raise pickle.UnpicklingError("a numpy dtype is named by a str")
    return np.dtype(spec)


_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_CALLABLE: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): _default_of_lists,
    ("builtins", "list"): list,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("_codecs", "encode"): _latin1,
    ("torch", "device"): torch.device,
    ("torch", "Size"): torch.Size,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): Reference("numpy", "ndarray"),
    ("numpy", "matrix"): Reference("numpy", "matrix"),
    **{(module, "_reconstruct"): _empty_array for module in _ARRAY_MODULES},
    **{(module, "scalar"): _scalar for module in _ARRAY_MODULES},
}
_SPARSE = {
    f"{kind}_matrix": getattr(scipy.sparse, f"{kind}_matrix")
    for kind in ("csr", "csc", "coo", "dok", "lil")
}


class CheckpointUnpickler(pickle.Unpickler):
    """Reads what RecBole's checkpoints hold, and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a name to something that is safe to call, or raise ``UnpicklingError``."""
        if (module, name) == _CONFIG:
            return _ConfigShell
        if (module, name) in _CALLABLE:
            return _CALLABLE[module, name]
        if module.startswith("yaml.") and name in _LOADERS:
            return Reference(module, name)
        if _is_needless(module, name):
            return _Husk
        if "." not in name:
            if _is_recommender(module):
                return Reference(module, name)
            if module == "recbole.utils.enum_type":
                found = getattr(importlib.import_module(module), name, None)
                if isinstance(found, type) and issubclass(found, Enum):
                    return _member(found)
            if module.startswith("scipy.sparse") and name in _SPARSE:
                return _SPARSE[name]
            if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
                return getattr(torch, name)
            if module == "numpy.dtypes" and name.endswith("DType"):
                return functools.partial(_dtype_class, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a checkpoint")


def _dtype_class(name: str) -> np.dtype:
    """Give the dtype of a class in ``numpy.dtypes``, which newer versions pickle by class."""
    found = getattr(np.dtypes, name)()
    if found.hasobject:
        raise pickle.UnpicklingError("a dtype of objects is not allowed in a checkpoint")
    return found


# torch.load subclasses the Unpickler of the module it is given.
_PICKLE_MODULE = types.ModuleType("recbole_mmdistill_checkpoint_pickle")
vars(_PICKLE_MODULE).update(
    Unpickler=CheckpointUnpickler,
    UnpicklingError=pickle.UnpicklingError,
    load=lambda file, **kwargs: CheckpointUnpickler(file, **kwargs).load(),
)


def _finish(value: Any) -> Any:
    """Turn the shell into a ``Config`` of plain data, with a device that exists."""
    if not isinstance(value, dict):
        return value
    other = value.get("other_parameter")
    if isinstance(other, dict):
        # Those that are layers of the model are in its state_dict, too.
        value["other_parameter"] = {k: v for k, v in other.items() if not isinstance(v, _Husk)}
    shell = value.get("config")
    if isinstance(shell, _ConfigShell):
        from recbole.config import Config

        state = shell.__dict__.get("state", {})
        for key in ("model_class", "yaml_loader"):
            if isinstance(state.get(key), Reference):
                state[key] = state[key].resolve()
        config = object.__new__(Config)
        config.__dict__.update(state)
        final = state.get("final_config_dict")
        if isinstance(final, dict) and isinstance(final.get("device"), torch.device):
            final["device"] = _existing(final["device"])
        if isinstance(final, dict) and not torch.distributed.is_initialized():
            final["single_spec"] = True  # one of several processes saved it; this one is alone
        value["config"] = config
    return value


def _existing(device: torch.device) -> torch.device:
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return device if (device.index or 0) < torch.cuda.device_count() else torch.device("cuda")


def load_checkpoint(file: Any, load: Callable[..., Any] = torch.load, **kwargs: Any) -> Any:
    """Load a checkpoint that RecBole's trainer saved, and run nothing of it.

    Parameters
    ----------
    file : str, path or file
        The checkpoint.
    load : callable
        ``torch.load``.
    **kwargs
        Passed on; ``map_location`` is the CPU if it is not given.

    Returns
    -------
    object
        As saved.

    Raises
    ------
    UserError
        There is no such file, it is damaged, or it holds what a checkpoint has no need of.
    """
    if kwargs.get("map_location") is None:
        kwargs["map_location"] = "cpu"
    try:
        value = load(file, weights_only=False, pickle_module=_PICKLE_MODULE, **kwargs)
        return _finish(value)
    except FileNotFoundError:
        raise UserError(
            f"There is no checkpoint {file}.", "Give the path of a .pth file that a run saved."
        ) from None
    except pickle.UnpicklingError as error:
        raise UserError(
            f"The checkpoint {file} was refused and nothing of it was run: {error}.",
            "Use it only if you made it yourself, and make it again with this version.",
        ) from None
    except (RuntimeError, EOFError, ValueError, TypeError, AttributeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"The checkpoint {file} cannot be read, it is damaged or no checkpoint ({reason}).",
            "Fetch a whole copy of it, or train the model again.",
        ) from None


class _SignedPickle:
    """What RecBole's modules see in place of ``pickle``: caches that only their writer can load."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pickle, name)

    @staticmethod
    def dump(value: Any, file: IO[bytes]) -> None:
        data = pickle.dumps(value, protocol=4)
        file.write(_signature(data))
        file.write(data)

    @staticmethod
    def load(file: IO[bytes]) -> Any:
        signature, data = file.read(hashlib.sha256().digest_size), file.read()
        if not hmac.compare_digest(signature, _signature(data)):
            raise UserError(
                f"The cache {getattr(file, 'name', '')} was not written by you on this machine, "
                "or is damaged; nothing of it was run.",
                "Delete it, and it is made anew.",
            )
        return pickle.load(io.BytesIO(data))


def _signature(data: bytes) -> bytes:
    return hmac.new(_key(), data, hashlib.sha256).digest()


@functools.cache
def _key() -> bytes:
    """Give this user's key, made at its first use and readable by nobody else."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(state) / "recbole_mmdistill" / "cache.key"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(temporary, path)  # the first process wins, and no reader sees half a key
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        return path.read_bytes()
    except OSError:
        return secrets.token_bytes(32)  # no home to write to: caches serve this process alone


def install() -> None:
    """Route what RecBole's modules load and save through this file."""
    from recbole.data import utils
    from recbole.trainer import Trainer

    load = torch.load

    @functools.wraps(load)
    def safe_load(f: Any, *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if caller.startswith("recbole.") and not {"weights_only", "pickle_module"} & set(kwargs):
            if args:
                kwargs["map_location"] = args[0]
            return load_checkpoint(f, load, **kwargs)
        return load(f, *args, **kwargs)

    torch.load = safe_load

    datasets = importlib.import_module("recbole.data.dataset.dataset")
    vars(utils)["pickle"] = vars(datasets)["pickle"] = _SignedPickle()

    save = Trainer._save_checkpoint

    def _save_checkpoint(self: Any, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        """Save beside the target and rename: a killed run leaves the old checkpoint or the new."""
        target = kwargs.pop("saved_model_file", self.saved_model_file)
        temporary = f"{target}.{os.getpid()}.tmp"
        try:
            save(self, epoch, verbose=False, saved_model_file=temporary, **kwargs)
            if os.path.exists(temporary):  # of several processes only the first saves
                os.replace(temporary, target)
                if verbose:
                    self.logger.info(f"Saving current: {target}")
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)

    Trainer._save_checkpoint = _save_checkpoint
