"""The whole ``recbole-mm extract`` against its bare encoder, and its memory as the catalogue grows.

The bare encoder runs over the same batches, already decoded or tokenised, in a process of its own;
its time is that of its forward passes alone, without imports, weights or files. Of texts it is
measured twice: in the file's order, as a loop over the titles would run it, and with texts of one
length together, as the command runs it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from .report import compare

_BATCH = 64
_SMALL, _LARGE = 5_000, 50_000
_TINY = "test_vit.r160_in1k"


def measure_time(rounds: int, data: Path, weights: Path, minilm: Path) -> list[dict[str, Any]]:
    """Measure the seconds of both sides, in turn.

    Parameters
    ----------
    rounds : int
        Runs of each side.
    data : pathlib.Path
        The folder ``movielens-small``, with ``images/``.
    weights : pathlib.Path
        Of timm's ``vit_tiny_patch16_224``.
    minilm : pathlib.Path
        The folder of a BERT.

    Returns
    -------
    list of dict
        Name, both sides' spread, ratio, target and whether it is reached.
    """
    with tempfile.TemporaryDirectory() as folder:
        where = ["--dataset=movielens-small", f"--data_path={data.parent}"]
        image = ["--modality=image", "--encoder=vit_tiny_patch16_224", f"--weights={weights}"]
        text = ["--modality=text", "--fields=title,release_year,genres", f"--encoder={minilm}"]
        seconds: dict[str, list[float]] = {}
        for number in tqdm(range(rounds), desc="rounds"):
            for name, words in (("image", image), ("text", text)):
                output = Path(folder) / f"{number}.{name}.safetensors"
                started = time.perf_counter()
                _command([*where, *words, f"--output={output}"])
                seconds.setdefault(name, []).append(time.perf_counter() - started)
                for key, value in _bare(name, data, weights, minilm).items():
                    seconds.setdefault(key, []).append(value)
        return [
            compare("posters with ViT-Tiny, seconds", seconds["image"], seconds["pictures"], 1.15),
            compare(
                "titles with MiniLM, seconds; bare encoder in the file's order",
                seconds["text"],
                seconds["in order"],
                1.05,
            ),
            compare(
                "titles with MiniLM, seconds; bare encoder by length",
                seconds["text"],
                seconds["by length"],
                1.05,
            ),
        ]


def _command(words: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "recbole_mmdistill.cli", "extract", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True)


def _bare(name: str, *paths: Path) -> dict[str, float]:
    command = [sys.executable, "-m", __name__, name, *map(str, paths)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _run_bare(name: str, data: Path, weights: Path, minilm: Path) -> dict[str, float]:
    """Time the forward passes alone."""
    from ..features.atomic import ItemTable
    from ..features.extraction import Pictures, Template, TextEncoder, Texts, TimmEncoder
    from ..features.pictures import PictureFolder

    table = ItemTable(data / "movielens-small.item")
    if name == "image":
        pictures = Pictures(PictureFolder(data / "images"), table.item_tokens)
        files = [file for row in range(len(table)) if (file := pictures.read(row)) is not None]
        encoder = TimmEncoder("vit_tiny_patch16_224", weights)
        pixels = [
            torch.from_numpy(np.stack(encoder.prepare(files[first : first + _BATCH]))).float()
            for first in range(0, len(files), _BATCH)
        ]
        model = encoder.load()
        normal = [(batch - encoder._mean) / encoder._std for batch in pixels]
        return {"pictures": _time(lambda: [model.forward_features(batch) for batch in normal])}
    fields = Template.of_fields("title,release_year,genres")
    texts = Texts(table, fields)
    raw = [text for row in range(len(table)) if (text := texts.read(row)) is not None]
    reader = TextEncoder(str(minilm))
    model = reader.load()
    lengths = reader.lengths(raw)
    orders = {
        "in order": range(len(raw)),
        "by length": sorted(range(len(raw)), key=lambda i: -lengths[i]),
    }
    result = {}
    for key, order in orders.items():
        ids = reader.prepare([raw[i] for i in order])
        batches = [
            reader._tokenizer.pad({"input_ids": ids[first : first + _BATCH]}, return_tensors="pt")
            for first in range(0, len(ids), _BATCH)
        ]
        result[key] = _time(lambda batches=batches: [model(**batch) for batch in batches])
    return result


@torch.inference_mode()
def _time(run: Any) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure_memory(rounds: int, minilm: Path) -> list[dict[str, Any]]:
    """Measure the command's peak memory for a small and a large catalogue, in turn.

    Parameters
    ----------
    rounds : int
        Runs of each size.
    minilm : pathlib.Path
        The folder of a BERT.

    Returns
    -------
    list of dict
        As :func:`measure_time`; the large catalogue is the command, the small one the bare side.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _memory(rounds, Path(folder), minilm)


def _memory(rounds: int, folder: Path, minilm: Path) -> list[dict[str, Any]]:
    weights = folder / "tiny.safetensors"
    _write_tiny(weights)
    peaks: dict[tuple[str, int], list[float]] = {}
    for n_items in (_SMALL, _LARGE):
        _write_catalogue(folder / "made", f"made-{n_items}", n_items)
    for _ in range(rounds):
        for n_items in (_SMALL, _LARGE):
            where = [f"--dataset=made-{n_items}", f"--data_path={folder / 'made'}"]
            for modality, words in (
                ("image", [f"--encoder={_TINY}", f"--weights={weights}"]),
                ("text", ["--fields=title", f"--encoder={minilm}", "--max_length=8"]),
            ):
                output = folder / f"{n_items}.{modality}.safetensors"
                output.unlink(missing_ok=True)
                peak = _peak([*where, f"--modality={modality}", *words, f"--output={output}"])
                peaks.setdefault((modality, n_items), []).append(peak)
    return [
        compare(
            f"peak memory, MiB, {modality}: {_LARGE} items against {_SMALL}",
            peaks[modality, _LARGE],
            peaks[modality, _SMALL],
            1.10,
        )
        for modality in ("image", "text")
    ]


def _peak(words: list[str]) -> float:
    """Run the command; MiB that its main process had at most."""
    command = [sys.executable, "-m", "recbole_mmdistill.cli", "extract", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0.0

    def watch() -> None:
        nonlocal peak
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            lines = status.read_text().splitlines() if status.exists() else []
            found = [line for line in lines if line.startswith("VmHWM")]
            peak = max([peak, *(int(line.split()[1]) / 1024 for line in found)])
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    watcher.join()
    assert code == 0
    return peak


def _write_tiny(path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model(_TINY).state_dict(), path)


def _write_catalogue(folder: Path, name: str, n_items: int) -> None:
    """Write items with a text of their own and a small picture of their own."""
    images = folder / name / "images"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["item_id:token\ttitle:token_seq"]
    for number in range(n_items):
        words = " ".join(str(word) for word in rng.integers(0, 10**6, 30))
        lines.append(f"i{number}\t{number} {words}")
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"i{number}.png")
    (folder / name / f"{name}.item").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    kind, *given = sys.argv[1:]
    print(json.dumps(_run_bare(kind, *map(Path, given))))
