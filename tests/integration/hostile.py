"""Checkpoints that would run code in a loader that trusts them; each leaves a file if it does."""

import io
import pickle
import zipfile

import torch

MARK = "it_ran"
CODE = f"open({MARK!r}, 'w').close()"


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def _named(module, name):
    """A function that pickle writes as ``module.name``, wherever it comes from."""
    stand_in = type(name, (), {"__module__": module, "__qualname__": name})
    return stand_in


def runs_a_shell_command():
    """os.system, the plainest of all."""
    import os

    return pickle.dumps(Calls(os.system, f"touch {MARK}"), protocol=4)


def evaluates_through_config():
    """RecBole's Config evaluates the strings of the dict that it is constructed with."""
    from recbole.config import Config

    return pickle.dumps(Calls(Config, "BPR", "ml-100k", [], {"epochs": CODE}), protocol=4)


def evaluates():
    """builtins.eval, inside the state of a Config."""
    return pickle.dumps({"config": {"final_config_dict": Calls(eval, CODE)}}, protocol=4)


def reaches_through_a_dotted_name():
    """STACK_GLOBAL follows dots: an allowed class's module may lead to os."""
    return (
        b"\x80\x04\x8c\x1erecbole.model.general_recommender"
        b"\x8c\x0eBPR.__init__.x\x93\x8c\x01x\x85R."
    )


def imports_through_a_recommenders_module():
    """Every module of RecBole holds names that it has imported itself."""
    code = b"\x8c" + bytes([len(CODE)]) + CODE.encode()
    return b"\x80\x04\x8c\x1brecbole.config.configurator\x8c\x04eval\x93" + code + b"\x85R."


def uses_numpys_object_pickles():
    """numpy's own loader of pickled objects."""
    inner = io.BytesIO(pickle.dumps(Calls(eval, CODE)))
    return pickle.dumps(Calls(pickle.loads, inner.getvalue()), protocol=4)


def rewrites_a_reference():
    """BUILD gives an allowed object a state; the name it stands for must not become another."""
    from recbole.model.general_recommender import BPR

    head = pickle.dumps(BPR, protocol=4)[:-1]
    state = pickle.dumps({"module": "os", "name": "system"}, protocol=4)[2:-1]
    call = pickle.dumps((f"touch {MARK}",), protocol=4)[2:-1]
    return head + state + b"b" + call + b"R."


HOSTILE = [
    runs_a_shell_command,
    evaluates_through_config,
    evaluates,
    reaches_through_a_dotted_name,
    imports_through_a_recommenders_module,
    uses_numpys_object_pickles,
    rewrites_a_reference,
]


def write_checkpoint(path, data):
    """Put a pickle where ``torch.save`` puts its own."""
    torch.save({"config": None}, path)
    with zipfile.ZipFile(path) as real:
        parts = {name: real.read(name) for name in real.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as changed:
        for name, content in parts.items():
            changed.writestr(name, data if name.endswith("data.pkl") else content)
