"""An export gives the checkpoint's recommendations; damaged ones are refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recbole_mmdistill.cli import main
from recbole_mmdistill.errors import UserError
from recbole_mmdistill.serving import Recommender, Runtime
from recbole_mmdistill.serving.export import Request, export
from recbole_mmdistill.serving.manifest import read_manifest
from tests.serving.builders import MODELS, save_checkpoint, write_files

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

HISTORIES = [["i1", "i5"], [f"i{n % 15}" for n in range(3, 40, 4)], ["i2"], ["x", "i14", "i14"], []]


@pytest.fixture(autouse=True)
def files():
    write_files()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the export ``whole`` of the checkpoint ``whole.pth``: making one takes long."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", ["pytest"])
        write_files()
        shutil.copy(save_checkpoint()[0], "whole.pth")
        export(Request(Path("whole.pth"), Path("whole")))
    return folder


@pytest.fixture
def exported(made):
    """The same in the working folder: ``out``, and ``whole.pth``."""
    shutil.copytree(made / "whole", "out")
    shutil.copy(made / "whole.pth", "whole.pth")
    return read_manifest(Path("out"))


def test_what_gives_titles_and_pictures_is_said(capsys):
    Path("dataset/small/small.item").unlink()
    assert main(["export", save_checkpoint()[0], "out"]) == 0
    said = capsys.readouterr().out
    assert "To be shown: titles of 0 items and pictures of 0.\n" in said
    assert "Titles: name their column of the .item file by --title_field." in said
    assert "Pictures: name a folder of <item_id>.jpg by --images." in said


@pytest.mark.parametrize("name", [name for name in MODELS if name != "features held back"])
def test_the_same_recommendations_as_the_checkpoint(name):
    path, _ = save_checkpoint(name)
    export(Request(Path(path), Path("out")))
    for exclude_seen in (True, False):
        options = {"k": 10, "exclude_seen": exclude_seen, "shares": True}
        expected = Recommender.from_checkpoint(path).recommend(HISTORIES, **options)
        found = Runtime("out").recommend(HISTORIES, **options)
        assert found.items.tolist() == expected.items.tolist() and found.parts == expected.parts
        assert found.is_popular.tolist() == expected.is_popular.tolist()
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
        np.testing.assert_allclose(found.shares, expected.shares, atol=1e-4)


@pytest.mark.parametrize("name", ["three branches", "shared user encoder"])
def test_a_part_of_the_branches_is_smaller_and_scores_as_these_sources(name, made):
    path, _ = save_checkpoint(name)
    whole = read_manifest(made / "whole")
    part = export(Request(Path(path), Path("part"), branches=("text",))).manifest
    assert (part.width, whole.width) == (8, 24)
    assert part.files["table.npy"]["size"] < whole.files["table.npy"]["size"]
    if name == "three branches":  # a shared encoder reads all of an item
        assert (part.read_width, whole.read_width) == (8, 24)
        encoder = "user_encoder.onnx"
        assert part.files[encoder]["size"] < whole.files[encoder]["size"]
    expected = Recommender.from_checkpoint(path).with_sources(["text"]).recommend(HISTORIES)
    found = Runtime("part").recommend(HISTORIES)
    assert found.items.tolist() == expected.items.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "size", "atol"), [("float16", 1 / 2, 0.05), ("int8", 1 / 4, 0.3)]
)
def test_a_smaller_table_is_near(dtype, size, atol, exported):
    small = export(Request(Path("whole.pth"), Path("small"), dtype=dtype)).manifest
    header = 128
    of_whole, of_small = (m.files["table.npy"]["size"] - header for m in (exported, small))
    assert of_small == of_whole * size
    found, expected = (Runtime(out).recommend(HISTORIES, 15) for out in ("small", "out"))
    for items, others, score, other in zip(
        found.items, expected.items, found.scores, expected.scores
    ):
        by_item = dict(zip(others, other))
        np.testing.assert_allclose(score, [by_item[item] for item in items], atol=atol)
    assert small.measured["overlap"] > 0.8
    assert small.measured["ndcg"].keys() == {"checkpoint", "export"}


def test_the_manifest_says_what_is_there(exported):
    said = json.loads(Path("out/manifest.json").read_text())
    assert (said["format"], said["version"]) == ("recbole_mmdistill.export", 1)
    assert (said["model"], said["n_items"], said["max_length"]) == ("IDMMDistill", 16, 10)
    assert [branch["name"] for branch in said["branches"]] == ["id", "text", "image"]
    assert {path.name for path in Path("out").iterdir()} == {*said["files"], "manifest.json"}
    assert said["measured"]["overlap"] == 1


def test_the_interactions_are_not_needed():
    path, _ = save_checkpoint()
    Path("dataset/small/small.inter").unlink()
    made = export(Request(Path(path), Path("out")))
    assert made.manifest.measured["histories"] > 0 and made.manifest.measured["ndcg"] is None


def test_the_runtime_imports_neither_torch_nor_recbole(exported):
    expected = Runtime("out").recommend(HISTORIES, 3).items.tolist()
    program = f"""
import sys
REFUSED = {{"torch", "recbole", "pandas", "scipy", "duckdb", "transformers", "timm", "onnx"}}
class Refusing:
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ImportError(name)
sys.meta_path.insert(0, Refusing())
from recbole_mmdistill.serving import Runtime
print(Runtime("out").recommend({HISTORIES!r}, 3).items.tolist())
assert not REFUSED & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == str(expected), done.stderr


def test_an_export_is_replaced_and_nothing_else(exported, capsys):
    assert main(["export", "whole.pth", "out", "--branches=id"]) == 0
    assert Runtime("out").branches == ("id",)
    Path("mine").mkdir()
    Path("mine/letter.txt").write_text("dear")
    assert main(["export", "whole.pth", "mine"]) == 2
    assert "holds something else than an export" in capsys.readouterr().err
    assert [entry.name for entry in Path("mine").iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dtype=float8"], "--dtype is 'float8'"),
        (["--recall=0"], "--recall is 0.0"),
        (["--recall=nan"], "--recall is nan"),
        (["--branches=id,txt"], "'txt' is no branch"),
        (["--index=ivf"], "An index of 15 items is not built"),
        (["--index=annoy"], "invalid choice: 'annoy'"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(words, said, exported, capsys):
    before = sorted(Path().rglob("*"))
    assert main(["export", "whole.pth", "other", *words]) == 2
    complaint = capsys.readouterr().err
    assert said in complaint and complaint.count("\n") == 1
    assert sorted(path for path in Path().rglob("*") if "log" not in str(path)) == [
        path for path in before if "log" not in str(path)
    ]


@pytest.mark.parametrize("name", ["table.npy", "user_encoder.onnx", "tokens.json", "weights.npy"])
def test_a_file_that_was_changed_is_refused(exported, name):
    path = Path("out") / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"{name} is not the file that the export was made with"):
        Runtime("out")
    path.write_bytes(data[:-1])
    with pytest.raises(UserError, match=f"{name} has {len(data) - 1} bytes"):
        Runtime("out", verify=False)
    path.unlink()
    with pytest.raises(UserError, match=f"{name} is not there"):
        Runtime("out")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"version": 1', '"version": 2', "of version 2"),
        ('"n_items": 16', '"n_items": 17', "is an array of"),
        ('"n_items": 16', '"n_items": -1', "no size"),
        ('"read_width": 24', '"read_width": 25', "is an array of"),
        ('"dtype": "float32"', '"dtype": "float16"', "is an array of float32"),
        ('"dtype": "float32"', '"dtype": "object"', "its table is of 'object'"),
        ('"table.npy"', '"../table.npy"', "no name of a file"),
        ('"format"', '"form"', "cannot be read"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(exported, old, new, said):
    path = Path("out/manifest.json")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=said):
        Runtime("out")


def test_an_array_of_objects_is_never_read(exported):
    array = np.array([{"a": 1}] * 16, dtype=object)
    np.save("out/weights.npy", array, allow_pickle=True)
    said = json.loads(Path("out/manifest.json").read_text())
    said["files"]["weights.npy"]["size"] = Path("out/weights.npy").stat().st_size
    Path("out/manifest.json").write_text(json.dumps(said))
    with pytest.raises(UserError, match=r"weights\.npy is no array"):
        Runtime("out", verify=False)


def test_another_folder_is_no_export():
    with pytest.raises(UserError, match="no export: it has no manifest"):
        Runtime("dataset")


def test_a_missing_package_is_one_sentence(exported, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="pip install onnxruntime"):
        Runtime("out")
    assert main(["export", "whole.pth", "out"]) == 2
    assert 'pip install "recbole-mmdistill[export]"' in capsys.readouterr().err
