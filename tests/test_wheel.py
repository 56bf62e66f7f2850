"""The wheel holds the whole package, and works where nothing of the source tree is in reach."""

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from recbole_mmdistill.version import __version__
from tests.integration.builders import SMALL, write_dataset
from tests.markdown import ROOT

pytestmark = pytest.mark.slow

SOURCES = ["recbole_mmdistill", "properties"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built of a copy, because a build leaves files beside its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    words = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, copy]
    run(sys.executable, "-m", "pip", *words)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """Python of an environment that has the wheel, and beside it what this one has."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder)
    python = folder / "bin/python"
    run(sys.executable, "-m", "pip", f"--python={python}", "install", "--no-deps", wheel)
    (packages,) = folder.glob("lib/python*/site-packages")
    # These are searched for modules alone: a link to the source tree in them has no effect.
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(dependencies))
    return python


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    sources = [
        path.relative_to(ROOT)
        for name in SOURCES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    expected = {
        f"recbole_mmdistill/{path}" if path.parts[0] == "properties" else str(path)
        for path in sources
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected


def test_the_installed_command_trains(python):
    where = run(python, "-c", "import recbole_mmdistill as m; print(m.__version__, m.__file__)")
    version, file = where.split()
    assert version == __version__ and Path(file).is_relative_to(python.parents[1])
    command = python.parent / "recbole-mm"
    assert run(command, "--version") == f"recbole-mm {__version__}\n"
    write_dataset()
    Path("small.yaml").write_text(yaml.safe_dump(SMALL))
    words = ["run", "--model=ODMT", "--dataset=small", "--config_files=small.yaml"]
    assert "Test of ODMT on small, 1 epochs" in run(command, *words)
    run(command, "features", "small")  # writes a page, made of a template
    assert Path("dataset/small/small.features.html").is_file()
