"""What the service answers, and how it refuses."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("fastapi", reason='needs "recbole-mmdistill[serve]"')
pytest.importorskip("prometheus_client", reason='needs "recbole-mmdistill[serve]"')
pytest.importorskip("httpx2", reason="needs httpx2")
pytest.importorskip("onnxscript", reason='needs "recbole-mmdistill[export]"')

from starlette.testclient import TestClient

from recbole_mmdistill.service.app import create_app
from recbole_mmdistill.service.exports import Exports
from recbole_mmdistill.service.schema import MAX_BODY
from recbole_mmdistill.serving import Runtime
from tests.service.builders import HOSTILE, TOKEN


@pytest.fixture
def loaded(exports):
    loaded = Exports(exports / "one")
    loaded.load()
    return loaded


@pytest.fixture
def client(loaded):
    with TestClient(create_app(loaded)) as client:
        yield client


def recommend(client, **asked):
    answer = client.post("/recommend", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def items(answer, person=0):
    return [found["item"] for found in answer["results"][person]["items"]]


def test_the_recommendations_of_the_runtime(client, exports):
    histories = [["i1", "i5"], ["unheard", "i2"], []]
    answer = recommend(client, histories=histories, k=4, shares=True)
    expected = Runtime(exports / "one").recommend(histories, 4, shares=True)
    assert answer["branches"] == ["id", "text", "image"]
    assert [result["by"] for result in answer["results"]] == ["model", "model", "popularity"]
    assert [result["n_unknown"] for result in answer["results"]] == [0, 1, 0]
    for person in range(3):
        assert items(answer, person) == expected.items[person].tolist()
    for person in range(2):
        entries = answer["results"][person]["items"]
        scores = [entry["score"] for entry in entries]
        np.testing.assert_allclose(scores, expected.scores[person], rtol=1e-6)
        shares = [[*entry["shares"].values()] for entry in entries]
        np.testing.assert_allclose(shares, expected.shares[person], rtol=1e-6)
        assert [*entries[0]["shares"]] == ["id", "text", "image", "repeats"]
    popular = answer["results"][2]["items"][0]
    assert (popular["score"], popular["shares"]) == (None, None)


def test_one_history_is_a_list_of_one(client):
    one = recommend(client, history=["i1", "i5"])
    assert one == recommend(client, histories=[["i1", "i5"]])
    assert len(items(one)) == 10


def test_what_may_be_recommended(client):
    asked = {"history": ["i1"], "k": 15}
    assert len(items(recommend(client, **asked))) == 14
    assert "i1" in items(recommend(client, **asked, exclude_seen=False))
    some = recommend(client, **asked, only=["i3", "i4", "i5", "x", "y"], exclude=["i4", "z"])
    assert sorted(items(some)) == ["i3", "i5"]
    assert some["n_unknown"] == {"exclude": 1, "only": 2}
    assert items(recommend(client, **asked, only=["i3"], exclude=["i3"])) == []


def test_weights_are_those_of_the_runtime(client, exports):
    weights = {"text": 3.0, "id": 0.0}
    expected = Runtime(exports / "one").recommend([["i1"]], 5, weights=weights)
    assert items(recommend(client, history=["i1"], k=5, weights=weights)) == [*expected.items[0]]


def test_titles_and_pictures(client):
    entries = recommend(client, history=["i1"], k=15, pictures=True)["results"][0]["items"]
    by_item = {entry["item"]: entry for entry in entries}
    assert by_item["i3"]["title"] == "Film 3"
    assert by_item["i3"]["picture"].startswith("data:image/jpeg;base64,")
    assert by_item["i13"]["picture"] is None
    assert recommend(client, history=["i1"])["results"][0]["items"][0]["picture"] is None


def test_an_item(client):
    found = client.get("/items/i3").json()
    assert (found["item"], found["title"]) == ("i3", "Film 3")
    assert found["n_chosen"] > 0 and found["picture"]
    answer = client.get("/items/unheard")
    assert answer.status_code == 404
    assert answer.json() == {
        "error": "The export has no such item.",
        "remedy": "GET /items finds items.",
    }


def test_items_are_found_by_title(client):
    found = client.get("/items", params={"query": "FILM 1", "limit": 3}).json()["items"]
    assert len(found) == 3 and all("Film 1" in entry["title"] for entry in found)
    every = client.get("/items", params={"limit": 100}).json()["items"]
    counts = [client.get(f"/items/{entry['item']}").json()["n_chosen"] for entry in every]
    assert len(every) == 15 and counts == sorted(counts, reverse=True)


def test_an_item_is_found_by_its_id(client):
    found = client.get("/items", params={"query": "I7", "limit": 1}).json()["items"]
    assert [entry["item"] for entry in found] == ["i7"]


def test_a_request_without_a_body_is_said(client):
    answer = client.post("/recommend")
    assert answer.status_code == 422 and answer.json()["error"] == "The request has no body."


def test_similar_items_are_the_nearest_by_cosine(client, exports):
    runtime = Runtime(exports / "one")
    vectors = runtime.scoring.index.rows(np.arange(16))
    for branch, columns in ((None, slice(None)), ("text", slice(8, 16))):
        part = vectors[:, columns]
        cosine = part @ part[runtime.number_of["i3"]]
        cosine /= np.linalg.norm(part, axis=1).clip(1e-9) * np.linalg.norm(
            part[runtime.number_of["i3"]]
        )
        cosine[[0, runtime.number_of["i3"]]] = -2
        best = np.argsort(-cosine)[:4]
        asked = {"k": 4} | ({} if branch is None else {"branch": branch})
        found = client.get("/similar/i3", params=asked).json()["items"]
        assert [entry["item"] for entry in found] == [*runtime.items[best]]
        np.testing.assert_allclose([e["similarity"] for e in found], cosine[best], rtol=1e-5)


def test_an_item_without_a_picture_is_similar_to_none_by_image(client):
    found = client.get("/similar/i3", params={"branch": "image", "k": 100}).json()["items"]
    assert {entry["item"] for entry in found} <= {f"i{n}" for n in range(10)}
    assert client.get("/similar/i12", params={"branch": "image"}).json()["items"] == []


def test_health_names_the_export(client, loaded):
    expected = {"status": "ok", "export": loaded.current.fingerprint, "n_items": 15}
    assert client.get("/health").json() == expected


def test_without_an_export_it_says_so(tmp_path):
    with TestClient(create_app(Exports(tmp_path))) as client:
        for answer in (client.get("/health"), client.post("/recommend", json={"history": []})):
            assert answer.status_code == 503 and answer.headers["retry-after"] == "2"
            assert answer.json()["error"] == "No export is loaded."


def test_metrics_count_what_was_answered(client):
    recommend(client, histories=[["i1", "x", "y"], []])
    client.get("/items/i1")
    client.get("/items/x")
    text = client.get("/metrics").text
    for line in (
        'recbole_mm_requests_total{method="POST",path="/recommend",status="200"} 1.0',
        'recbole_mm_requests_total{method="GET",path="/items/{item:path}",status="404"} 1.0',
        'recbole_mm_request_seconds_count{path="/recommend"} 1.0',
        'recbole_mm_histories_total{by="model"} 1.0',
        'recbole_mm_histories_total{by="popularity"} 1.0',
        "recbole_mm_unknown_items_total 2.0",
        "recbole_mm_items 15.0",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "there is no history"),
        ({"history": [], "histories": [[]]}, "both history and histories are given"),
        ({"history": "i1"}, "history: Input should be a valid list, not 'i1'"),
        ({"history": [1]}, "history.0: Input should be a valid string, not 1"),
        ({"history": ["i1"], "k": 0}, "k: Input should be greater than or equal to 1, not 0"),
        ({"history": ["i1"], "k": "5"}, "k: Input should be a valid integer, not '5'"),
        ({"history": ["i1"], "K": 5}, "K is nothing that can be asked for"),
        ({"history": ["i1"] * 5001}, "history: List should have at most 5000 items"),
        ({"histories": [[]] * 1000, "k": 21}, "21,000 recommendations are asked for"),
        ({"histories": [[]] * 30, "pictures": True}, "300 pictures are asked for"),
        ({"history": ["i1"], "only": ["x"]}, "None of the items of only is known"),
        ({"history": ["i1"], "weights": {"txt": 1}}, "'txt', which is no branch that scores"),
        ({"history": ["i1"], "weights": {"text": -1}}, "weights.text: Input should be greater"),
        (
            {"history": ["i1"], "weights": {"id": 0, "text": 0, "image": 0}},
            "All branches have the weight 0.",
        ),
    ],
)
def test_what_cannot_be_is_said(client, asked, said):
    answer = client.post("/recommend", json=asked)
    assert answer.status_code == 422
    assert answer.json().keys() == {"error", "remedy"} and said in answer.json()["error"]
    assert answer.json()["remedy"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"\xff", 400),
        (b'{"history": ["\\ud800"]}', 422),
        (b'{"\\ud800": 1}', 422),
        (b'{"history": [], "k": ' + b"9" * 5000 + b"}", 400),
        (b'{"history": [], "weights": {"text": NaN}}', 422),
        (b'{"history": [], "weights": {"text": 1e999}}', 422),
        (b"[" * 100_000, 400),
        (b"[" * (MAX_BODY + 1), 413),
    ],
)
def test_bodies_that_are_no_request(client, body, status):
    headers = {"content-type": "application/json"}
    answer = client.post("/recommend", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.json().keys() == {"error", "remedy"}


def test_a_body_that_does_not_say_what_it_is(client):
    answer = client.post("/recommend", content=b'{"history": ["i1"]}')
    assert (answer.status_code, answer.json()) == (
        415,
        {
            "error": "The request does not say that its body is JSON.",
            "remedy": "Send the header `Content-Type: application/json`.",
        },
    )


def test_a_body_that_does_not_say_how_long_it_is_is_cut_off(client):
    parts = (b" " * (1 << 20) for _ in range(5))
    answer = client.post("/recommend", content=parts, headers={"content-type": "application/json"})
    assert "content-length" not in answer.request.headers
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [("GET", "/nothing", 404), ("GET", "/recommend", 405), ("GET", "/items?limit=101", 422)],
)
def test_other_addresses(client, method, address, status):
    answer = client.request(method, address)
    assert answer.status_code == status and answer.json().keys() == {"error", "remedy"}


def test_a_failure_tells_nothing_of_the_machine(loaded, monkeypatch, capsys):
    def fail(*arguments):
        raise RuntimeError("in /etc/secret")

    monkeypatch.setattr("recbole_mmdistill.service.answers.find_items", fail)
    with TestClient(create_app(loaded)) as client:
        answer = client.get("/items")
    assert answer.status_code == 500 and "secret" not in answer.text
    assert "Unexpected RuntimeError: in /etc/secret" in capsys.readouterr().err


def test_too_many_requests_are_sent_away(loaded, monkeypatch):
    monkeypatch.setattr("recbole_mmdistill.service.pool.Pool.__init__.__defaults__", (-1,))
    with TestClient(create_app(loaded, threads=1)) as client:
        answer = client.get("/items")
    assert answer.status_code == 503 and answer.json()["error"] == "Too many requests wait."


@pytest.mark.parametrize(
    "header", [None, "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \u00ff", TOKEN]
)
def test_without_the_token_nothing_of_the_items_is_told(loaded, header):
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    with TestClient(create_app(loaded, token=TOKEN)) as client:
        for address in ("/items", "/items/i1", "/similar/i1", "/recommend", "/metrics", "/x"):
            answer = client.get(address, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        for address in ("/", "/health", "/openapi.json"):
            assert client.get(address, headers=headers).status_code == 200


def test_with_the_token(loaded):
    headers = {"authorization": f"Bearer {TOKEN}"}
    with TestClient(create_app(loaded, token=TOKEN), headers=headers) as client:
        assert client.get("/items/i1").status_code == 200
        assert "HTTPBearer" in client.get("/openapi.json").text


def test_on_loopback_a_page_of_another_name_is_refused(loaded):
    app = create_app(loaded, hosts=["localhost", "127.0.0.1", "[::1]"])
    with TestClient(app) as client:
        for host in ("localhost", "127.0.0.1:8080", "[::1]:8080", "[::1]"):
            assert client.get("/health", headers={"host": host}).status_code == 200
        for host in ("evil.example", "evil.example:8080", "", "127.0.0.1.evil.example"):
            assert client.get("/health", headers={"host": host}).status_code == 400


def test_the_page_fetches_nothing_from_elsewhere(client):
    page = client.get("/").text
    assert not re.search(r"<link|<iframe|<script src|@import|https?:", page)
    assert "default-src 'none'" in page and "connect-src 'self'" in page
    assert HOSTILE not in page


def test_every_answer_is_described(client):
    described = client.get("/openapi.json").json()
    assert described["paths"].keys() == {
        "/recommend",
        "/items",
        "/items/{item}",
        "/similar/{item}",
        "/health",
        "/metrics",
    }
    assert "HTTPValidationError" not in json.dumps(described)
