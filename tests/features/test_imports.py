import re
from pathlib import Path

import recbole_mmdistill.features
from tests import fresh

FOLDER = Path(recbole_mmdistill.features.__file__).parent


def test_importing_features_does_not_import_the_encoders_libraries():
    code = (
        "import sys, recbole_mmdistill.features; print({'timm', 'transformers'} & {*sys.modules})"
    )
    done = fresh.run(code)
    assert done.stdout == "set()\n", done.stderr


def test_no_file_of_features_knows_recbole():
    imports = re.compile(r"^\s*(import|from)\s+recbole\b", re.MULTILINE)
    files = list(FOLDER.rglob("*.py"))
    assert files
    assert [file.name for file in files if imports.search(file.read_text())] == []
