"""``recbole-mm serve``: what it listens to, and how it ends."""

import http.client
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from recbole_mmdistill.cli import main
from tests.markdown import DOCS, blocks
from tests.service.builders import TOKEN
from tests.service.running import command, running

pytest.importorskip("uvicorn", reason='needs "recbole-mmdistill[serve]"')
pytest.importorskip("fastapi", reason='needs "recbole-mmdistill[serve]"')
pytest.importorskip("onnxscript", reason='needs "recbole-mmdistill[export]"')

SLOW = """
from recbole_mmdistill.service import answers
def slow(*arguments):
    print("begun", flush=True)
    time.sleep(1)
    return {"items": []}
answers.find_items = slow
"""


def get(address, **headers):
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_it_serves_without_torch_and_recbole(exports):
    with running(exports / "one") as (address, _):
        assert address.startswith("http://127.0.0.1:")
        assert get(f"{address}/health")["n_items"] == 15
        body = json.dumps({"history": ["i1"], "k": 3}).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{address}/recommend", body, headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert len(json.load(answer)["results"][0]["items"]) == 3
            assert "server" not in answer.headers


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_command_of_the_docs_asks(exports):
    (asking,) = (block for block in blocks(DOCS / "serving.md", "bash") if "curl" in block)
    with running(exports / "one") as (address, _):
        asking = asking.replace("http://127.0.0.1:8080", address)
        done = subprocess.run(asking, shell=True, capture_output=True, text=True, timeout=20)
    (result,) = json.loads(done.stdout)["results"]
    assert len(result["items"]) == 3 and result["items"][0]["shares"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_runs(exports, number):
    answers = []
    with running(exports / "one", first=SLOW) as (address, process):
        thread = threading.Thread(target=lambda: answers.append(get(f"{address}/items")))
        thread.start()
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        thread.join()
        assert answers == [{"items": []}]
        assert process.wait(timeout=20) == 0
        assert "Traceback" not in process.stderr.read()


def ask_until_refused(port, answered, lost):
    """Send a request as soon as the last one is answered, over a connection that is kept."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    while True:
        try:
            connection.request("GET", "/similar/i1")
            answered.append(connection.getresponse().read())
        except ConnectionRefusedError:
            return
        except (OSError, http.client.HTTPException) as error:
            lost.append(repr(error))
            return


def test_no_request_is_lost_at_the_end(exports):
    answered, lost = [], []
    with running(exports / "one") as (address, process):
        asked = int(address.rpartition(":")[2]), answered, lost
        threads = [threading.Thread(target=ask_until_refused, args=asked) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(answered) < 200:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert process.wait(timeout=20) == 0
    assert lost == []


def test_a_token_from_a_file(exports):
    Path("token.txt").write_text(TOKEN + "\n")
    with running(exports / "one", "--token_file=token.txt") as (address, _):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(f"{address}/items/i1")
        assert get(f"{address}/items/i1", Authorization=f"Bearer {TOKEN}")["item"] == "i1"


def test_others_may_ask_if_that_is_said(exports):
    with running(exports / "one", "--host=0.0.0.0", "--without_token") as (address, _):
        port = address.rpartition(":")[2]
        assert get(f"http://127.0.0.1:{port}/health", Host="shop.example")["status"] == "ok"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host=0.0.0.0"], "--host is 0.0.0.0, which others can reach, and no token"),
        (["--host=::"], "--host is ::, which others can reach, and no token"),
        (["--host=no.such.host.invalid"], "which is no address"),
        (["--host=192.0.2.1", "--without_token"], "Nothing can listen at port 8080 of 192.0.2.1"),
        (["--port=65536"], "--port is 65536"),
        (["--port=-1"], "--port: -1 is not 0 or more"),
        (["--threads=0"], "--threads: 0 is not 1 or more"),
        (["--token_file=absent.txt"], "absent.txt, which cannot be read (No such file"),
        (["--token_file=short.txt"], "short.txt, which does not hold one word of 16 to 4096"),
        (["--token_file=words.txt"], "words.txt, which does not hold one word"),
        (["--token_file=binary.txt"], "binary.txt, which cannot be read (it is no ASCII)"),
    ],
)
def test_what_cannot_be_is_said(exports, words, said, capsys):
    Path("short.txt").write_text("secret\n")
    Path("words.txt").write_text("a token of several words\n")
    Path("binary.txt").write_bytes(b"\xff" * 20)
    assert main(["serve", str(exports / "one"), *words]) == 2
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith("error: ") and said in complaint


def test_what_is_no_export_is_refused(capsys):
    assert main(["serve", "absent"]) == 2
    assert "absent is no export" in capsys.readouterr().err


def test_a_port_that_is_taken_is_refused(exports, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(exports / "one"), f"--port={port}"]) == 2
    assert f"Nothing can listen at port {port} of 127.0.0.1" in capsys.readouterr().err


def test_a_missing_package_is_one_sentence(exports):
    first = "sys.modules['uvicorn'] = None"
    done = subprocess.run(
        command(exports / "one", first=first), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: The service needs the package uvicorn, which is not installed. "
        'Say `pip install "recbole-mmdistill[serve]"`.\n'
    )
