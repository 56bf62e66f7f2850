"""RecBole is completed when it is first imported, in whatever order things are imported."""

import subprocess
import sys

import pytest


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_import_of_the_package_alone_imports_nothing_slow():
    code = "import sys, recbole_mmdistill; print({'recbole', 'torch', 'numpy'} & {*sys.modules})"
    assert run(code) == "set()"


@pytest.mark.parametrize(
    "order",
    [
        "import recbole_mmdistill.model, recbole",
        "import recbole, recbole_mmdistill",
    ],
)
def test_recbole_is_complete_after_any_order_of_imports(order):
    code = (
        f"{order}\n"
        "from recbole.utils import get_model\n"
        "print(get_model('IDMMDistill').__name__, type(recbole.__spec__.loader).__name__)"
    )
    assert run(code) == "IDMMDistill SourceFileLoader"
