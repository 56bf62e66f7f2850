"""RecBole is completed when it is first imported, in whatever order things are imported."""

import subprocess
import sys

import pytest

from tests import fresh


def test_an_import_of_the_package_alone_imports_nothing_slow():
    code = "import sys, recbole_mmdistill; print({'recbole', 'torch', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.parametrize(
    "order",
    [
        "import recbole_mmdistill",
        "import recbole_mmdistill.model, recbole",
        "import recbole, recbole_mmdistill",
        "import recbole_mmdistill, importlib.util; importlib.util.find_spec('recbole')",
    ],
)
def test_recbole_is_complete_after_any_order_of_imports(order):
    code = (
        f"{order}\n"
        "import recbole\n"
        "from recbole.utils import get_model\n"
        "print(get_model('IDMMDistill').__name__, type(recbole.__spec__.loader).__name__)"
    )
    done = fresh.run(code)
    assert done.stdout.strip() == "IDMMDistill SourceFileLoader", done.stderr
