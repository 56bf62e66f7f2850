"""The job: nothing lost, nothing twice, nothing at another's place."""

import csv
import os
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from recbole_mmdistill import signals
from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features import open_features, write_features
from recbole_mmdistill.features.extraction import Inputs, TextEncoder, TimmEncoder, extract
from recbole_mmdistill.features.extraction.encoder import Encoder
from recbole_mmdistill.features.extraction.job import TooSlow, report_path
from recbole_mmdistill.features.extraction.journal import Journal
from recbole_mmdistill.features.pictures import UnreadablePicture
from recbole_mmdistill.features.source import FeatureInfo
from tests.features.extraction.builders import (
    TIMM_MODEL,
    forked,
    pictures,
    texts,
    write_pictures,
)


class Words(Inputs):
    """Inputs given as they are: a str, None, or an exception that reading them raises."""

    source_fields = ("word",)
    treatment = "none"

    def __init__(self, words):
        self.words = list(words.values())
        self.item_tokens = np.empty(len(words), dtype=object)
        self.item_tokens[:] = list(words)

    def read(self, row):
        word = self.words[row]
        if isinstance(word, Exception):
            raise word
        return None if word is None else word.encode()

    def place(self, row):
        return f"word {row}"


def split(inputs):
    return [data.split() for data in inputs]


class Lengths(Encoder):
    """A word's vector is its length and its first letter's number; it counts what it encodes."""

    def __init__(self, name="lengths", by_length=False, tokens=False):
        super().__init__(name, "0f" * 32, "none", {}, normalize=False)
        self.by_length = by_length
        self.tokens = tokens
        self.batches = []

    @property
    def prepare(self):
        return split

    def load(self):
        return torch.nn.Identity()

    def forward(self, model, prepared):
        self.batches.append([b" ".join(words).decode() for words in prepared])
        rows = [[(len(word), word[0]) for word in words] for words in prepared]
        return [torch.tensor(row if self.tokens else row[:1]) for row in rows]


def vectors_of(path):
    source = open_features(path)
    return dict(zip(source.item_tokens.tolist(), source.values.tolist()))


def report_of(path):
    with open(report_path(path), newline="") as file:
        return [tuple(row) for row in csv.reader(file, delimiter="\t")][1:]


OUTPUT = Path("toy.text.safetensors")


def test_every_item_gets_its_vector_in_the_order_of_items():
    encoder = Lengths()
    summary = extract("text", Words({"x": "bb", "y": "a", "z": "ccc"}), encoder, OUTPUT)
    assert vectors_of(OUTPUT) == {"x": [[2, 98]], "y": [[1, 97]], "z": [[3, 99]]}
    assert (summary.items, summary.done, summary.encoded, summary.kept) == (3, 3, 3, 0)
    info = open_features(OUTPUT).info
    assert info == FeatureInfo("text", "lengths", "0f" * 32, "none", "none; ", ("word",))
    assert sorted(os.listdir()) == ["toy.text.report.tsv", "toy.text.safetensors"]


def test_missing_and_failed_items_are_left_out_and_reported():
    words = {"x": "bb", "y": None, "z": UnreadablePicture("is damaged"), "w": "a"}
    summary = extract("text", Words(words), Lengths(), OUTPUT)
    assert vectors_of(OUTPUT) == {"x": [[2, 98]], "w": [[1, 97]]}
    assert (summary.done, summary.missing, summary.failed) == (2, 1, 1)
    assert report_of(OUTPUT) == [
        ("y", "missing", "word 1", "has no input"),
        ("z", "failed", "word 2", "is damaged"),
    ]


def test_an_input_that_many_items_have_is_encoded_once():
    encoder = Lengths()
    summary = extract("text", Words(dict.fromkeys("vwxyz", "same")), encoder, OUTPUT)
    assert encoder.batches == [["same"]]
    assert vectors_of(OUTPUT) == {item: [[4, 115]] for item in "vwxyz"}
    assert (summary.done, summary.encoded) == (5, 1)


def test_inputs_of_like_length_share_a_batch_the_longest_first():
    encoder = Lengths(by_length=True)
    words = {str(i): "a" * length for i, length in enumerate([1, 9, 2, 8, 3])}
    extract("text", Words(words), encoder, OUTPUT, batch_size=2)
    lengths = [[len(word) for word in batch] for batch in encoder.batches]
    assert lengths == [[9, 8], [3, 2], [1]]
    assert [int(v[0][0]) for v in vectors_of(OUTPUT).values()] == [1, 9, 2, 8, 3]


def test_items_of_different_numbers_of_tokens_are_padded_and_masked():
    extract("text", Words({"x": "aa b", "y": "c"}), Lengths(tokens=True), OUTPUT)
    source = open_features(OUTPUT)
    assert source.values.tolist() == [[[2, 97], [1, 98]], [[1, 99], [0, 0]]]
    assert source.token_mask.tolist() == [[True, True], [True, False]]
    encoder = Lengths(tokens=True)
    extract("text", Words({"z": "d e f", "y": "c", "x": "aa b"}), encoder, OUTPUT)
    assert encoder.batches == [["d e f"]]  # the others come from the old file, without padding
    assert open_features(OUTPUT).token_mask.sum(1).tolist() == [3, 1, 2]
    assert open_features(OUTPUT).values[2, :2].tolist() == [[2, 97], [1, 98]]


def test_only_what_changed_is_encoded_again():
    extract("text", Words({"x": "bb", "y": "a", "z": "ccc"}), Lengths(), OUTPUT)
    encoder = Lengths()
    summary = extract("text", Words({"new": "e", "z": "ccc", "y": "dd"}), encoder, OUTPUT)
    assert encoder.batches == [["e", "dd"]]
    assert (summary.encoded, summary.kept) == (2, 1)
    assert vectors_of(OUTPUT) == {"new": [[1, 101]], "z": [[3, 99]], "y": [[2, 100]]}


def test_nothing_changed_nothing_done():
    words = Words({"x": "bb", "y": None})
    extract("text", words, Lengths(), OUTPUT)
    before = OUTPUT.stat()
    encoder = Lengths()
    summary = extract("text", words, encoder, OUTPUT)
    assert encoder.batches == [] and encoder._model is None
    assert (summary.encoded, summary.kept, summary.missing) == (0, 1, 1)
    assert (OUTPUT.stat().st_ino, OUTPUT.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_encoder_encodes_all_again():
    words = Words({"x": "bb", "y": "a"})
    extract("text", words, Lengths(), OUTPUT)
    encoder = Lengths()
    encoder._key += b"another"
    extract("text", words, encoder, OUTPUT)
    assert encoder.batches == [["bb", "a"]]


def test_another_name_for_the_same_encoder_encodes_nothing_and_is_recorded():
    words = Words({"x": "bb", "y": "a"})
    extract("text", words, Lengths(), OUTPUT)
    encoder = Lengths(name="better name")
    extract("text", words, encoder, OUTPUT)
    assert encoder.batches == []
    assert open_features(OUTPUT).info.encoder == "better name"


def test_a_damaged_old_file_is_not_believed():
    words = Words({"x": "bb", "y": "a"})
    extract("text", words, Lengths(), OUTPUT)
    good = OUTPUT.read_bytes()
    values = np.array([[2, 98], [1, 97]], dtype=np.float16).tobytes()
    for damaged in (good[:-5], good.replace(values, values[::-1]), b"", b"no feature file"):
        assert damaged != good
        OUTPUT.write_bytes(damaged)
        encoder = Lengths()
        extract("text", words, encoder, OUTPUT)
        assert encoder.batches == [["bb", "a"]]
        assert OUTPUT.read_bytes() == good


def test_a_feature_file_from_elsewhere_is_replaced():
    write_features(OUTPUT, torch.zeros(1, 2), ["x"], FeatureInfo("text"))
    extract("text", Words({"x": "bb"}), Lengths(), OUTPUT)
    assert vectors_of(OUTPUT) == {"x": [[2, 98]]}


def test_no_item_at_all():
    words = {"x": None, "y": UnreadablePicture("is damaged")}
    with pytest.raises(UserError, match=r"No text of the 2 items could be encoded \(1 failed\)"):
        extract("text", Words(words), Lengths(), OUTPUT)
    assert os.listdir() == ["toy.text.report.tsv"]


def test_an_input_that_changes_meanwhile_costs_that_item():
    class Restless(Words):
        def read(self, row):
            data = super().read(row)
            self.words[row] += "!" if row == 0 else ""
            return data

    extract("text", Restless({"x": "bb", "y": "a"}), Lengths(), OUTPUT)
    assert vectors_of(OUTPUT) == {"y": [[1, 97]]}
    assert report_of(OUTPUT) == [("x", "failed", "word 0", "changed while it was being read")]


class Forgetful(Lengths):
    """Memory suffices for two inputs at once."""

    error: Exception = torch.cuda.OutOfMemoryError("CUDA out of memory")
    at_most = 2

    def forward(self, model, prepared):
        if len(prepared) > self.at_most:
            self.batches.append(f"{len(prepared)} are too many")
            raise self.error
        return super().forward(model, prepared)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: not enough memory"),
    ],
)
def test_out_of_memory_halves_the_batch_and_goes_on(error):
    encoder = Forgetful()
    encoder.error = error
    words = {str(i): "abcdefghij"[: i + 1] for i in range(10)}
    extract("text", Words(words), encoder, OUTPUT, batch_size=8)
    assert encoder.batches[:2] == ["8 are too many", "4 are too many"]
    assert [len(batch) for batch in encoder.batches[2:]] == [2] * 5
    assert vectors_of(OUTPUT) == {str(i): [[i + 1, 97]] for i in range(10)}


def test_what_takes_longer_than_is_allowed_ends_and_goes_on_later():
    words = Words({"x": "bb", "y": "a", "z": "ccc"})
    with pytest.raises(TooSlow, match="2 of 3 inputs are left"):
        extract("text", words, Lengths(), OUTPUT, batch_size=1, seconds=0)
    assert not OUTPUT.exists()
    summary = extract("text", words, Lengths(), OUTPUT, batch_size=1, seconds=600)
    assert (summary.done, summary.encoded, summary.kept) == (3, 2, 1)


def test_memory_for_not_even_one_input_is_a_sentence():
    encoder = Forgetful()
    encoder.at_most = 0
    with pytest.raises(UserError, match="Memory does not suffice to encode a single input"):
        extract("text", Words({"x": "bb", "y": "a"}), encoder, OUTPUT)
    assert os.listdir() == []


def test_other_errors_are_not_taken_for_want_of_memory():
    encoder = Forgetful()
    encoder.error = RuntimeError("shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes"):
        extract("text", Words({"x": "a", "y": "b", "z": "c"}), encoder, OUTPUT)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rounds=st.lists(
        st.dictionaries(
            st.text("xyz", min_size=1, max_size=2),
            st.one_of(st.none(), st.text("abc", min_size=1, max_size=3)),
            min_size=1,
            max_size=8,
        ),
        min_size=1,
        max_size=4,
    ),
    batch_size=st.integers(1, 4),
    by_length=st.booleans(),
)
def test_after_any_history_each_item_has_the_vector_of_its_own_input(rounds, batch_size, by_length):
    OUTPUT.unlink(missing_ok=True)
    seen = set()
    for words in rounds:
        encoder = Lengths(by_length=by_length)
        expected = {item: [[len(w), ord(w[0])]] for item, w in words.items() if w}
        if not expected:
            continue
        extract("text", Words(words), encoder, OUTPUT, batch_size)
        assert vectors_of(OUTPUT) == expected
        encoded = [word for batch in encoder.batches for word in batch]
        assert len(encoded) == len(set(encoded)) and not set(encoded) & seen
        seen = {word for word in words.values() if word}


class Killed(BaseException):
    """What no handler of errors catches."""


@pytest.mark.parametrize("after", range(5))
def test_stopped_after_any_batch_the_file_is_the_same_to_the_bit(after):
    words = Words({str(i): "abcdefghij"[i] * (i % 3 + 1) for i in range(10)})
    whole = Path("whole.text.safetensors")
    extract("text", words, Lengths(by_length=True), whole, batch_size=3)

    class Stopped(Lengths):
        def forward(self, model, prepared):
            if len(self.batches) == after:
                raise Killed
            return super().forward(model, prepared)

    first = Stopped(by_length=True)
    if after < 4:
        with pytest.raises(Killed):
            extract("text", words, first, OUTPUT, batch_size=3)
        assert not OUTPUT.exists()
    second = Lengths(by_length=True)
    extract("text", words, second, OUTPUT, batch_size=3)
    assert len(first.batches) + len(second.batches) == 4
    assert OUTPUT.read_bytes() == whole.read_bytes()


class Slow(Lengths):
    """Two milliseconds for a batch."""

    def forward(self, model, prepared):
        time.sleep(0.002)
        return super().forward(model, prepared)


WORDS = {f"i{n}": "abcdefghij"[n % 10] * (1 + n % 23) + str(n) for n in range(150)}
WORDS |= {"missing": None, "bad": UnreadablePicture("is damaged"), "same": WORDS["i7"]}


def in_a_process(output, num_workers=0):
    """Extract WORDS in a process of its own, and give its number."""
    child = os.fork()
    if child == 0:
        try:
            signals.install()  # as in the command, its workers die with it
            extract("text", Words(WORDS), Slow(), output, batch_size=4, num_workers=num_workers)
            os._exit(0)
        finally:
            os._exit(1)
    os.setpgid(child, child)
    return child


@pytest.fixture
def killed_children():
    """Numbers of processes whose own processes end with the test: some outlive them for ever."""
    children = []
    yield children
    for child in children:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)


def test_killed_at_random_moments_the_file_is_the_same_to_the_bit(killed_children):
    whole, killed = Path("whole.text.safetensors"), Path("killed.text.safetensors")
    started = time.monotonic()
    assert os.waitpid(in_a_process(whole), 0)[1] == 0
    duration = time.monotonic() - started
    journal = Path(f".{killed.name}.partial")
    rng = np.random.default_rng()
    kills = done = ends = 0
    while kills < 20 or ends < 3:
        child = in_a_process(killed, num_workers=kills % 3 if kills < 20 else 0)
        if kills < 20:
            time.sleep(duration * rng.uniform(0, 0.7))
            os.kill(child, signal.SIGKILL)
            killed_children.append(child)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            kills += 1
            assert not killed.exists() or killed.read_bytes() == whole.read_bytes()
            if kills % 2 and not killed.exists():
                with Journal(journal) as found:
                    now = len(list(found.outcomes()))
                assert now >= done  # nothing done was lost
                done = now
            continue
        assert status == 0
        assert killed.read_bytes() == whole.read_bytes()
        assert report_of(killed) == report_of(whole)
        assert not list(Path().glob(f"{journal.name}*"))
        ends, done = ends + 1, 0
        killed.unlink()
    assert [row[:2] for row in report_of(whole)] == [("missing", "missing"), ("bad", "failed")]


def test_a_second_process_on_the_same_file_is_refused():
    with Journal(Path(f".{OUTPUT.name}.partial")):
        assert forked(lambda: extract("text", Words(WORDS), Lengths(), OUTPUT)) == 2
    said = Path("said").read_text()
    assert said.startswith(f"Another process is making {OUTPUT.name} in . right now.")
    assert os.listdir() == ["said"]


def test_a_full_disk_is_a_sentence_and_room_lets_it_go_on():
    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        extract("text", Words(WORDS), Lengths(), OUTPUT, batch_size=4)

    assert forked(work) == 2
    assert "cannot be written" in Path("said").read_text()
    assert not OUTPUT.exists()
    summary = extract("text", Words(WORDS), Lengths(), OUTPUT, batch_size=4)
    assert summary.done == 151 and 0 < summary.kept < 150
    assert sorted(os.listdir()) == ["said", "toy.text.report.tsv", OUTPUT.name]


def test_batch_sizes_and_processes_do_not_change_the_vectors(vit, tmp_path):
    tokens = [str(number) for number in range(70)]
    folder = write_pictures(tmp_path / "images", tokens)
    found = {}
    for batch_size, num_workers in ((1, 0), (64, 2)):
        path = Path(f"{batch_size}.image.safetensors")
        encoder = TimmEncoder(TIMM_MODEL, vit)
        extract("image", pictures(folder, tokens), encoder, path, batch_size, num_workers)
        found[batch_size] = open_features(path)
    assert found[1].item_tokens.tolist() == found[64].item_tokens.tolist() == tokens
    assert torch.allclose(found[1].values, found[64].values, atol=2e-3)


def test_texts_of_batch_sizes_1_and_64_are_the_same(bert, tmp_path):
    titles = {str(n): " ".join("the heat crime star wars".split()[: n % 5 + 1]) for n in range(70)}
    found = []
    for batch_size in (1, 64):
        path = Path(f"{batch_size}.text.safetensors")
        inputs = texts(tmp_path / "toy.item", titles)
        extract("text", inputs, TextEncoder(str(bert)), path, batch_size)
        found.append(open_features(path).values)
    assert torch.allclose(*found, atol=2e-3)


def test_no_vector_takes_the_place_of_a_bad_picture_s(vit, tmp_path):
    tokens = [str(number) for number in range(9)]
    folder = write_pictures(tmp_path / "images", tokens)
    whole = Path("whole.image.safetensors")
    extract("image", pictures(folder, tokens), TimmEncoder(TIMM_MODEL, vit), whole)
    (folder / "3.png").write_bytes(b"")
    (folder / "5.png").write_text("<svg/>")
    (folder / "7.png").unlink()
    some = Path("some.image.safetensors")
    extract("image", pictures(folder, tokens), TimmEncoder(TIMM_MODEL, vit), some, 4)
    before, after = vectors_of(whole), vectors_of(some)
    assert list(after) == ["0", "1", "2", "4", "6", "8"]
    assert all(np.allclose(after[token], before[token], atol=2e-3) for token in after)
    assert [row[:3] for row in report_of(some)] == [
        ("3", "failed", "3.png"),
        ("5", "failed", "5.png"),
        ("7", "missing", "7.*"),
    ]


def test_a_mended_picture_is_encoded_when_run_again(vit, tmp_path):
    folder = write_pictures(tmp_path / "images", ["a", "b"])
    good = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(good[:50])
    output = Path("toy.image.safetensors")
    extract("image", pictures(folder, ["a", "b"]), TimmEncoder(TIMM_MODEL, vit), output)
    assert list(vectors_of(output)) == ["a"]
    Image.new("RGB", (9, 9), "red").save(folder / "b.png")
    summary = extract("image", pictures(folder, ["a", "b"]), TimmEncoder(TIMM_MODEL, vit), output)
    assert list(vectors_of(output)) == ["a", "b"]
    assert (summary.encoded, summary.kept) == (1, 1)
    assert report_of(output) == []
