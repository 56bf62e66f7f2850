"""Files that are no checkpoints, though they are called so; each leaves a file if it can run."""

import io
import json
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import torch

MARK = "it_ran"
CODE = f"open({MARK!r}, 'w').close()"


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


# Pickles, in the formats that torch has had.


def torch_zip_that_evaluates(path):
    torch.save({"state_dict": Calls(eval, CODE)}, path)


def torch_zip_that_constructs_a_config(path):
    """RecBole's Config evaluates the strings that it is constructed with."""
    from recbole.config import Config

    torch.save({"config": Calls(Config, "BPR", "ml-100k", [], {"epochs": CODE})}, path)


def torch_zip_with_a_persistent_id_of_text(path):
    _zip(path, {"archive/data.pkl": b"\x80\x04X\x01\x00\x00\x00xQ.", "archive/version": b"3\n"})


def torch_before_zip(path):
    torch.save({"state_dict": Calls(eval, CODE)}, path, _use_new_zipfile_serialization=False)


def plain_pickle(path):
    Path(path).write_bytes(pickle.dumps({"config": Calls(eval, CODE)}, protocol=4))


def tar_as_torch_once_wrote(path):
    import tarfile

    data = pickle.dumps(Calls(eval, CODE))
    with tarfile.open(path, "w") as tar:
        entry = tarfile.TarInfo("storages")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))


# Archives of other kinds.


def torchscript(path):
    class Writes(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.kept: int = 0

        @torch.jit.export
        def __getstate__(self) -> int:
            return 1

        @torch.jit.export
        def __setstate__(self, state: int) -> None:
            self.training = False
            self.kept = state
            torch.from_file("it_ran", shared=True, size=1, dtype=torch.uint8)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch will drop it
        torch.jit.save(torch.jit.script(Writes()), path)


def torch_package(path):
    with torch.package.PackageExporter(path) as package:
        package.save_source_string("beside", CODE)


def zip_of_notes(path):
    _zip(path, {"notes.txt": b"nothing"})


def zip_of_a_list(path):
    torch.save([], path)


# No files.


def pipe(path):
    os.mkfifo(path)


def folder(path):
    Path(path).mkdir()


def device(path):
    Path(path).symlink_to("/dev/zero")


# Safetensors whose header or tree lies.


def _zip(path, records):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in records.items():
            archive.writestr(name, data)


def safetensors(path, tree, tensors=(), body=b"", metadata=None):
    """Write a checkpoint's file from a tree as JSON text, and entries and bytes of tensors."""
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    marks = {"format": "recbole_mmdistill.checkpoint", "version": "1"}
    entry = {"dtype": "U8", "shape": [len(text)], "data_offsets": [len(body), len(body + text)]}
    header = {"__metadata__": metadata or marks, **dict(tensors), "data": entry}
    head = json.dumps(header).encode()
    Path(path).write_bytes(len(head).to_bytes(8, "little") + head + body + text)


def _tensor(begin, end, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def huge_shape(path):
    safetensors(path, {"a": {"$tensor": "a"}}, {"a": _tensor(0, 8, [10**13, 10**13])}, bytes(8))


def overlapping_tensors(path):
    tree = {"a": {"$tensor": "a"}, "b": {"$tensor": "b"}}
    safetensors(path, tree, {"a": _tensor(0, 8, [2]), "b": _tensor(4, 8, [1])}, bytes(8))


def header_longer_than_the_file(path):
    Path(path).write_bytes((1 << 62).to_bytes(8, "little") + b'{"__metadata__": {}}')


def one_tensor_twice(path):
    tree = {"a": {"$tensor": "a"}, "b": {"$tensor": "a"}}
    safetensors(path, tree, {"a": _tensor(0, 4, [1])}, bytes(4))


def tensor_that_nothing_names(path):
    safetensors(path, {}, {"a": _tensor(0, 4, [1])}, bytes(4))


def tensor_that_is_not_there(path):
    safetensors(path, {"a": {"$tensor": "a"}})


def deep_tree(path):
    safetensors(path, b"[" * 100_000)


def number_that_json_has_not(path):
    safetensors(path, b'{"epoch": NaN}')


def number_without_end(path):
    safetensors(path, b'{"epoch": ' + b"9" * 10_000 + b"}")


def tree_not_in_unicode(path):
    safetensors(path, b'{"model": "\xff"}')


def unknown_kind(path):
    safetensors(path, {"a": {"$object": "os.system"}})


def kind_of_a_wrong_type(path):
    safetensors(path, {"a": {"$tensor": {}}})


def dict_key_that_is_a_list(path):
    safetensors(path, {"a": {"$dict": [[[1], 2]]}})


def huge_sparse_matrix(path):
    parts = {"shape": {"$tuple": [10**13, 10]}, "row": [], "col": [], "data": []}
    safetensors(path, {"a": {"$sparse": ["csr", parts]}})


def features_and_no_checkpoint(path):
    safetensors(path, {}, metadata={"format": "pt"})


def later_version(path):
    safetensors(path, {}, metadata={"format": "recbole_mmdistill.checkpoint", "version": "99"})


def tree_that_is_a_list(path):
    safetensors(path, [])


def nothing(path):
    Path(path).touch()


def words(path):
    Path(path).write_bytes(b"hello, this is no checkpoint")


PICKLES = [
    torch_zip_that_evaluates,
    torch_zip_that_constructs_a_config,
    torch_before_zip,
    plain_pickle,
]
OTHERS = [
    *(torch_zip_with_a_persistent_id_of_text, tar_as_torch_once_wrote),
    *(torchscript, torch_package, zip_of_notes, zip_of_a_list, pipe, folder, device),
    *(huge_shape, overlapping_tensors, header_longer_than_the_file, one_tensor_twice),
    *(tensor_that_nothing_names, tensor_that_is_not_there, deep_tree, number_that_json_has_not),
    *(number_without_end, tree_not_in_unicode, unknown_kind, kind_of_a_wrong_type),
    *(dict_key_that_is_a_list, huge_sparse_matrix, features_and_no_checkpoint, later_version),
    *(tree_that_is_a_list, nothing, words),
]
