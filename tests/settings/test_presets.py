"""The property files that are shipped to be named by ``--config_files``."""

import pytest
import yaml

from recbole_mmdistill.pipeline import run
from tests.integration.builders import SMALL, write_dataset
from tests.markdown import ROOT

PRESETS = sorted((ROOT / "properties" / "preset").glob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_model_trains_by_it(preset):
    write_dataset()
    chosen = yaml.safe_load(preset.read_text(encoding="utf-8"))
    small = {name: value for name, value in SMALL.items() if name not in chosen}
    made = run("IDMMDistill", "small", small, [str(preset)])
    assert {name: made.config[name] for name in chosen} == chosen
    assert made.test["ndcg@5"] > 0
