"""A dataset appears whole or not at all, is not overwritten unasked, and can be trained on."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from recbole_mmdistill.cli import main
from recbole_mmdistill.intake import importing
from recbole_mmdistill.intake.destination import destination
from recbole_mmdistill.intake.engine import Engine
from tests.intake.importing import imported, refused, written
from tests.integration.builders import SMALL


@pytest.fixture(autouse=True)
def clicks():
    Path("clicks.csv").write_text("user,item\na,x\n")


def everything():
    return sorted(str(path) for path in Path("dataset").rglob("*"))


def test_nothing_else_is_left():
    imported("clicks.csv")
    assert everything() == [
        "dataset/shop",
        "dataset/shop/shop.import.json",
        "dataset/shop/shop.inter",
    ]


def test_a_dataset_is_replaced_only_if_that_is_asked_for(capsys):
    Path("items.csv").write_text("item,title\nx,Cup\n")
    imported("clicks.csv", "--items=items.csv")
    Path("dataset/shop/images").mkdir()
    Path("clicks.csv").write_text("user,item\na,y\n")
    assert "There is a dataset dataset/shop" in refused(capsys, "clicks.csv", "--dataset=shop")
    assert written()[0][1] == "x"
    assert imported("clicks.csv", "--overwrite")[0][1] == "y"
    # The old items go, for they are not of these rows; what else lies there stays.
    assert not Path("dataset/shop/shop.item").exists()
    assert Path("dataset/shop/images").is_dir()


def test_a_folder_with_pictures_takes_a_dataset():
    Path("dataset/shop/images").mkdir(parents=True)
    assert len(imported("clicks.csv")) == 1


def test_the_name_is_the_source_s(capsys):
    Path("my clicks (2).csv.gz").write_bytes(Path("clicks.csv").read_bytes())
    assert main(["import", "my clicks (2).csv.gz", "--data_path=a/b"]) == 0
    assert Path("a/b/my_clicks_2/my_clicks_2.inter").is_file()
    assert "--dataset=my_clicks_2 --data_path=a/b" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["../shop", "a/b", "", ".", ".shop", "a b", "a*", "ml-100k"])
def test_a_name_that_cannot_be_one_is_refused(capsys, name):
    assert "ataset" in refused(capsys, "clicks.csv", f"--dataset={name}")


def test_a_place_that_cannot_be_written_is_refused(capsys):
    Path("file").write_text("")
    assert "cannot be written" in refused(capsys, "clicks.csv", "--data_path=file")
    assert "cannot be written" in refused(capsys, "clicks.csv", "--data_path=file/below")


def test_two_imports_of_one_dataset_do_not_mix(capsys):
    with destination("shop", Path("dataset"), overwrite=False):
        assert main(["import", "clicks.csv", "--dataset=shop"]) == 2
        assert "Another import makes this dataset" in capsys.readouterr().err
    assert len(imported("clicks.csv")) == 1


def stuck(ready):
    """Import in a process of its own, which waits when the first file has been written."""
    write = importing.Interactions.write

    def write_and_wait(*words):
        write(*words)
        ready.set()
        time.sleep(60)

    importing.Interactions.write = write_and_wait
    sys.exit(main(["import", "clicks.csv", "--dataset=shop"]))


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_an_import_that_is_stopped_leaves_no_dataset(how, code):
    fork = multiprocessing.get_context("fork")  # a new interpreter takes seconds to import torch
    ready = fork.Event()
    process = fork.Process(target=stuck, args=(ready,))
    process.start()
    assert ready.wait(60)
    os.kill(process.pid, how)
    process.join()
    assert process.exitcode == code
    assert not Path("dataset/shop").exists()
    assert len(imported("clicks.csv")) == 1
    assert everything()[0] == "dataset/shop"


def test_ctrl_c_ends_a_long_statement_at_once():
    # A shell starts what it runs in the background with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    with Engine(Path("scratch")) as engine, pytest.raises(KeyboardInterrupt):
        timer.start()
        engine.run("SELECT count(*) FROM range(1000000000000) a(x) WHERE hash(x) = 8", label="long")
    signal.signal(signal.SIGINT, before)


def test_the_result_is_trained_on(capsys):
    rows = [f"u{u},i{(u * 7 + k * 3) % 11},{100 * k + u}" for u in range(12) for k in range(6)]
    Path("clicks.csv").write_text("\n".join(["customer,sku,at", *rows]) + "\n")
    imported("clicks.csv", "--time=at")
    Path("small.yaml").write_text(yaml.safe_dump({**SMALL, "modalities": []}))
    assert main(["run", "--dataset=shop", "--config_files=small.yaml"]) == 0
    assert "Test of IDMMDistill on shop" in capsys.readouterr().out
