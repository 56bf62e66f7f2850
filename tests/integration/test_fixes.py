"""Each name of RecBole is changed by one fix, in any order, and nothing else changes RecBole."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import recbole
from recbole.quick_start import run_recbole

from recbole_mmdistill import integration
from recbole_mmdistill.integration.document import fixes_page
from recbole_mmdistill.integration.fixes import Fix, all_fixes, extends, replaces
from tests.integration.builders import SMALL, write_dataset

RECBOLE = Path(recbole.__file__).parent

# Prints which names of RecBole another import changes. Names are written as fixes write them.
CHANGES = """
import importlib, json, pkgutil, sys, types
for name in ("recbole_mmdistill", "recbole_mmdistill.integration"):  # imports that fix nothing
    spec = importlib.util.find_spec(name)
    sys.modules[name] = package = types.ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
from recbole_mmdistill.integration import compat
compat.numpy_aliases()
compat.import_recbole()
for name in ("recbole.data.dataset", "recbole.model.sequential_recommender", "recbole.trainer",
             "recbole.model.context_aware_recommender.kd_dagfm", "recbole.utils.case_study"):
    importlib.import_module(name)

def names():
    found = {}
    for module in [m for m in sys.modules if m.partition(".")[0] == "recbole"]:
        for name, value in list(vars(sys.modules[module]).items()):
            found[f"{module}:{name}"] = value
            if isinstance(value, type) and value.__module__ == module:
                found |= {f"{module}:{name}.{key}": inner for key, inner in vars(value).items()}
    return found

before, modules = names(), {*sys.modules}
for name in [m for m in sys.modules if m.startswith("recbole_mmdistill")]:
    del sys.modules[name]
import recbole_mmdistill.integration
recbole_mmdistill.integration.install()
print(json.dumps([
    name for name, value in names().items()
    if before.get(name, before) is not value
    and sys.modules.get(name.replace(":", ".")) is not value  # a module that has been imported
    and name.partition(":")[0] in modules and name.rpartition(":")[2][:2] != "__"
]))
"""

TRAIN_REVERSED = """
import json, sys
from recbole_mmdistill.integration import fixes
all_fixes = fixes.all_fixes
fixes.all_fixes = lambda: all_fixes()[::-1]
from recbole.quick_start import run_recbole
result = run_recbole("IDMMDistill", "small", config_dict=json.loads(sys.argv.pop()))
print(json.dumps(result["test_result"]))
"""


def run_python(code, *words):
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def fixed_names():
    return [name for fix in all_fixes() for name in fix.names]


def test_no_name_is_fixed_twice():
    assert len(fixed_names()) == len({*fixed_names()})
    for decorate in (replaces, extends):
        with pytest.raises(ValueError, match=r"Dataset\.build is fixed by presplit\.build and by"):

            @decorate("recbole.data.dataset.dataset:Dataset.build")
            def build(original, self):
                """Build otherwise."""


def test_nothing_but_the_fixes_changes_recbole():
    changed = {*run_python(CHANGES)}
    assert changed <= {*fixed_names()}
    of_recbole = {
        name
        for fix in all_fixes()
        if fix.active and fix.name != "registration.register_models"
        for name in fix.names
        if name.startswith("recbole.")
    }
    assert of_recbole <= changed


def test_applying_them_again_changes_nothing():
    from recbole.config import Config
    from recbole.data.dataset import Dataset, SequentialDataset
    from recbole.trainer import Trainer

    classes = (Config, Dataset, SequentialDataset, Trainer)
    before = [dict(vars(each)) for each in classes]
    integration.install()
    for fix in all_fixes():
        fix.apply()
    assert [dict(vars(each)) for each in classes] == before


def test_a_fix_that_is_not_needed_changes_nothing():
    fix = Fix(len, ("recbole.trainer.trainer:len",), lambda: False, lambda function, _: function)
    fix.apply()
    from recbole.trainer import trainer

    assert fix.active is False and "len" not in vars(trainer)


def test_their_order_does_not_matter():
    write_dataset()
    settings = {**SMALL, "epochs": 2, "metric_decimal_place": 6}
    result = run_recbole("IDMMDistill", "small", config_dict=settings)["test_result"]
    assert run_python(TRAIN_REVERSED, json.dumps(settings)) == dict(result)


@pytest.mark.parametrize("fix", all_fixes(), ids=lambda fix: fix.name)
def test_each_says_where_recbole_breaks(fix):
    assert fix.summary.endswith(".") and len(fix.summary) < 96
    cited = re.findall(r"([\w/]+\.(?:py|yaml)):(\d+)", fix.docstring)
    assert cited
    for file, line in cited:
        assert int(line) <= len((RECBOLE / file).read_text(encoding="utf-8").splitlines())


def test_the_page_is_up_to_date():
    command = "python -m recbole_mmdistill.integration.document docs/recbole-fixes.md"
    page = Path(__file__).parents[2] / "docs/recbole-fixes.md"
    assert page.read_text(encoding="utf-8") == fixes_page(), f"run `{command}`"
