"""Whatever is asked, the service answers as its own description says."""

import pytest

pytest.importorskip("fastapi", reason='needs "recbole-mmdistill[serve]"')
pytest.importorskip("httpx2", reason="needs httpx2")
pytest.importorskip("onnxscript", reason='needs "recbole-mmdistill[export]"')
pytest.importorskip("schemathesis", reason="needs schemathesis")

from starlette.testclient import TestClient

from recbole_mmdistill.bench.service import try_cases
from recbole_mmdistill.service.app import create_app
from recbole_mmdistill.service.exports import Exports


def test_no_case_of_its_description_is_a_failure(exports):
    loaded = Exports(exports / "one")
    loaded.load()
    with TestClient(create_app(loaded)) as client:
        found = try_cases(client.app, 80, [f"i{n}" for n in range(15)])
    assert found["cases"] >= 300 and found["failures"] == []
    assert {status // 100 for status in found["answers"]} == {2, 4}
