"""What is typed, and how a mistake ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recbole_mmdistill import __version__
from recbole_mmdistill.cli import main
from recbole_mmdistill.errors import UserError
from recbole_mmdistill.failures import explain
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
    assert "Test of" not in captured.out
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


def fails_with(monkeypatch, error):
    def fail(request, verbose):
        raise error

    monkeypatch.setattr("recbole_mmdistill.cli.run.run_request", fail)


def test_ctrl_c_is_no_traceback(capsys, monkeypatch):
    fails_with(monkeypatch, KeyboardInterrupt)
    assert main(WORDS) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("a\n  b. "), "Unexpected ValueError: a b. Run again with --debug"),
        (AssertionError(), "Unexpected AssertionError. Run again with --debug"),
        (RecursionError("too deep"), "Unexpected RecursionError: too deep."),
        (ValueError("x" * 9999), f"Unexpected ValueError: {'x' * 297}..."),
        (MemoryError(), "Memory does not suffice. Take smaller batches"),
        (RuntimeError("CUDA out of memory. Tried"), "suffice (CUDA out of memory. Tried)."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "not suffice"),
        (OSError(28, "No space left on device", "a/b"), "no space left to write a/b: No space"),
        (OSError(27, "File too large", "a/b"), "no space left to write a/b: File too large"),
        (RuntimeError("[enforce fail at x.cc:6] . unexpected pos 8 vs 0"), "no space left"),
        (PermissionError(13, "Permission denied", "a/b"), "no right to use a/b: Permission denied"),
        (OSError(30, "Read-only file system", "a/b"), "no right to use a/b: Read-only"),
        (NotADirectoryError(20, "Not a directory", "a/b"), "refuses a/b: Not a directory"),
        (
            ModuleNotFoundError("No", name="wandb"),
            "needs the package wandb, which is",
        ),
        (ModuleNotFoundError("No", name="faiss.x"), "Say `pip install faiss-cpu`."),
        (
            ModuleNotFoundError("No", name="matplotlib.pyplot"),
            'Say `pip install "recbole-mmdistill[benchmark]"`.',
        ),
        (UserError("This is wrong.", "Change it."), "error: This is wrong. Change it."),
    ],
)
def test_whatever_goes_wrong_is_a_line_and_code_2(capsys, monkeypatch, error, said):
    fails_with(monkeypatch, error)
    line = refused(capsys)
    assert line.startswith("error: ") and said in line


def test_a_full_disk_is_known_by_what_it_caused():
    try:
        try:
            raise OSError(28, "No space left on device", "a/b")
        except OSError:
            raise RuntimeError("file write failed") from None
    except RuntimeError as error:
        assert "no space left to write a/b" in str(explain(error))


def test_debug_shows_the_traceback(capsys, monkeypatch):
    fails_with(monkeypatch, ValueError("odd"))
    assert main(["--debug", *WORDS]) == 2
    said = capsys.readouterr().err
    assert "Traceback" in said and "in fail\n" in said
    assert said.splitlines()[-1].startswith("error: Unexpected ValueError: odd.")


def typed(*words, **options):
    command = [sys.executable, str(ROOT / "run_recbole_mm.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, **options)


@pytest.mark.slow
def test_two_processes_report_the_branches_too():
    done = typed(*WORDS[1:], "--nproc=2", "--eval_batch_size=8", "--show_progress=True")
    assert done.returncode == 0, done.stderr
    *_, title, _, whole, by_id, by_text = done.stdout.splitlines()
    assert title.startswith("Test of IDMMDistill on small, 1 epochs")
    assert [whole.split()[0], by_id.split()[0], by_text.split()[0]] == ["all", "id", "text"]
    assert done.stdout.count("The number of users: 13") == 1
    *_, epoch = done.stderr.splitlines()
    assert epoch.startswith("Epoch 1/1: loss")


@pytest.mark.slow
@pytest.mark.parametrize("nproc", [1, 2])
def test_a_mistake_found_while_running_is_no_traceback(nproc):
    done = typed(*WORDS[1:], "--modalities=[image]", f"--nproc={nproc}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "small.image.safetensors" in done.stderr


def command(*words, stdout=subprocess.PIPE):
    full = [sys.executable, "-m", "recbole_mmdistill.cli", *words]
    return subprocess.run(full, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60)


def test_help_does_not_wait_for_slow_libraries():
    code = (
        "import sys; from recbole_mmdistill.cli import main; main(['run', '--help']); "
        "sys.exit(bool({'torch', 'recbole', 'pandas', 'numpy'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_what_the_benchmark_needs_is_asked_for_when_it_is_needed(capsys, monkeypatch):
    for name in [*sys.modules]:
        if name.startswith(("recbole_mmdistill.evaluation", "matplotlib.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["benchmark", "--help"]) == 0
    assert main(["benchmark", "none.yaml"]) == 2
    assert 'pip install "recbole-mmdistill[benchmark]"' in capsys.readouterr().err


def test_an_output_that_nobody_reads_is_no_error():
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as nobody:
        done = command("--help", stdout=nobody)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_an_output_on_a_full_disk_is_an_error():
    with open("/dev/full", "w") as full:
        done = command("--help", stdout=full)
    assert done.returncode == 2
    assert done.stderr.startswith("error: There is no space left to write the output")
