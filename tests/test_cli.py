"""What is typed, and how a mistake ends."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recbole_mmdistill import __version__
from recbole_mmdistill.cli import main
from tests.integration.builders import SMALL, write_dataset

ROOT = Path(__file__).parents[1]
WORDS = ["run", "--dataset=small", "--config_files=small.yaml"]


@pytest.fixture(autouse=True)
def small():
    write_dataset()
    Path("small.yaml").write_text(yaml.safe_dump(SMALL))


def refused(capsys, *words):
    assert main([*WORDS, *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_a_run_ends_with_the_table(capsys):
    assert main([*WORDS, "--model=IDMMDistill", "--n_layers", "1"]) == 0
    *_, title, header, whole, by_id, by_text = capsys.readouterr().out.splitlines()
    assert title.startswith("Test of IDMMDistill on small, 1 epochs")
    assert header.split() == ["ndcg@5", "hit@5"]
    assert [whole.split()[0], by_id.split()[0], by_text.split()[0]] == ["all", "id", "text"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model=Nothing"], "there is no model 'Nothing'"),
        (["--model=../SASRec"], "model is '../SASRec', which is no name"),
        (["--kd_wait=1"], "there is no option 'kd_wait'"),
        (["--item_encoder=imtt"], "item_encoder is 'imtt'"),
        (["--modalities=[text,image]"], "small.image.safetensors"),
        (["--kd_weight=1", "--kd_weight=2"], "--kd_weight is given twice"),
        (["stray"], "'stray' is no option"),
        (["--epochs"], "--epochs has no value"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(capsys, words, message):
    line = refused(capsys, *words)
    assert line.startswith("error: ") and message in line
    assert not Path("saved").exists()


def test_an_unknown_verb(capsys):
    assert main(["fly"]) == 2
    assert "no verb 'fly'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        ([], "usage: recbole-mm <verb>"),
        (["--help"], "usage: recbole-mm <verb>"),
        (["run"], "usage: recbole-mm run"),
        (["run", "-h"], "usage: recbole-mm run"),
    ],
)
def test_help(capsys, words, begins):
    assert main(words) == 0
    assert capsys.readouterr().out.startswith(begins)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"recbole-mm {__version__}\n"


def test_a_value_arrives_whole_whatever_signs_it_has(capsys):
    assert main([*WORDS, "--checkpoint_dir=a=b=c"]) == 0
    assert list(Path("a=b=c").glob("IDMMDistill-*.pth"))


@pytest.mark.parametrize("key", ["learning_rate", "kd_pairs", "checkpoint_dir", "metrics"])
def test_nothing_typed_is_evaluated(capsys, key):
    try:
        main([*WORDS, f"--{key}=open('evaluated', 'w')"])
    except Exception as error:  # whatever becomes of such a value
        print(error)
    assert not Path("evaluated").exists()


def test_ctrl_c_is_no_traceback(capsys, monkeypatch):
    def interrupt(request):
        raise KeyboardInterrupt

    monkeypatch.setattr("recbole_mmdistill.cli.run.run", interrupt)
    assert main(WORDS) == 130
    assert capsys.readouterr().err == "interrupted\n"


def typed(*words):
    command = [sys.executable, str(ROOT / "run_recbole_mm.py"), *WORDS[1:], *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


def test_two_processes_report_the_branches_too():
    done = typed("--nproc=2", "--eval_batch_size=8")
    assert done.returncode == 0, done.stderr
    *_, title, _, whole, by_id, by_text = done.stdout.splitlines()
    assert title.startswith("Test of IDMMDistill on small, 1 epochs")
    assert [whole.split()[0], by_id.split()[0], by_text.split()[0]] == ["all", "id", "text"]


@pytest.mark.parametrize("nproc", [1, 2])
def test_a_mistake_found_while_running_is_no_traceback(nproc):
    done = typed("--modalities=[image]", f"--nproc={nproc}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "small.image.safetensors" in done.stderr
