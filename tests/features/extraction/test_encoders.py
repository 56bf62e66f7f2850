"""What every encoder has to do, and what each does by itself."""

import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import BertTokenizerFast

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features.extraction import (
    TextEncoder,
    TimmEncoder,
    VisionTower,
    image_encoder,
)
from recbole_mmdistill.features.extraction.encoder import Encoder, Failure
from tests.features.extraction.builders import TIMM_MODEL, WORDS


def picture(number):
    pixels = np.random.default_rng(number).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def encode(encoder, inputs):
    return encoder.encode(encoder.prepare(inputs))


class EncoderTests:
    """The conformance suite: a kind of encoder is a subclass that says how to make one."""

    inputs: tuple[bytes, ...]
    dim: int

    @pytest.fixture
    def make(self, request):
        raise NotImplementedError

    @pytest.mark.parametrize("pooling", ["mean", "cls"])
    def test_one_vector_of_length_one_for_each_input(self, make, pooling):
        vectors = encode(make(pooling=pooling), self.inputs)
        assert [vector.shape for vector in vectors] == [(1, self.dim)] * len(self.inputs)
        assert all(vector.dtype == np.float16 for vector in vectors)
        lengths = [np.linalg.norm(vector.astype(float)) for vector in vectors]
        assert lengths == pytest.approx([1] * len(self.inputs), abs=2e-3)

    @pytest.mark.parametrize("pooling", ["mean", "cls", "tokens"])
    def test_vectors_do_not_depend_on_the_batch(self, make, pooling):
        encoder = make(pooling=pooling)
        together = encode(encoder, self.inputs)
        for data, vector in zip(self.inputs, together):
            (alone,) = encode(encoder, [data])
            assert alone == pytest.approx(vector, abs=2e-3)

    def test_different_inputs_have_different_vectors(self, make):
        vectors = encode(make(), self.inputs)
        assert len({vector.tobytes() for vector in vectors}) == len(self.inputs)

    def test_tokens_are_more_than_one(self, make):
        for vectors in encode(make(pooling="tokens"), self.inputs):
            assert vectors.ndim == 2 and len(vectors) > 1 and vectors.shape[1] == self.dim

    def test_a_second_one_gives_the_same_and_the_same_hashes(self, make):
        one, two = make(), make()
        assert encode(one, self.inputs)[0].tobytes() == encode(two, self.inputs)[0].tobytes()
        assert one.input_hash(b"x") == two.input_hash(b"x")
        assert len(one.input_hash(b"x")) == 16

    def test_the_hash_tells_inputs_and_settings_apart(self, make):
        settings = [{}, {"pooling": "tokens"}, {"normalize": False}, {"precision": "bfloat16"}]
        hashes = {make(**kw).input_hash(data) for kw in settings for data in (b"x", b"y")}
        assert len(hashes) == 2 * len(settings)

    def test_untrained_it_says_so_and_is_another(self, make):
        trained, untrained = make(), make(untrained=True)
        assert untrained.weights_hash == "untrained" != trained.weights_hash
        assert untrained.input_hash(b"x") != trained.input_hash(b"x")
        vector, again = (encode(make(untrained=True), self.inputs)[0] for _ in range(2))
        assert vector.tobytes() == again.tobytes()
        assert vector.tobytes() != encode(trained, self.inputs)[0].tobytes()

    def test_making_an_untrained_one_leaves_the_random_numbers_alone(self, make):
        torch.manual_seed(5)
        expected = torch.rand(1)
        torch.manual_seed(5)
        encode(make(untrained=True), self.inputs)
        assert torch.rand(1) == expected

    def test_lengths_are_kept_if_asked(self, make):
        (vector,) = encode(make(normalize=False), self.inputs[:1])
        assert abs(np.linalg.norm(vector.astype(float)) - 1) > 0.01

    def test_half_precision_is_near(self, make):
        single = encode(make(), self.inputs)
        half = encode(make(precision="bfloat16"), self.inputs)
        for one, other in zip(single, half):
            assert (one.astype(float) * other.astype(float)).sum() > 0.99

    def test_what_prepares_can_be_sent_to_another_process(self, make):
        prepare = pickle.loads(pickle.dumps(make().prepare))
        assert len(prepare(self.inputs)) == len(self.inputs)

    def test_numbers_that_are_not_finite_are_a_failure_of_that_input(self, make, monkeypatch):
        encoder = make()
        forward = encoder.forward

        def with_a_nan(model, prepared):
            first, *others = forward(model, prepared)
            return [first * float("nan"), *others]

        monkeypatch.setattr(encoder, "forward", with_a_nan)
        first, *others = encode(encoder, self.inputs)
        assert first == Failure("was encoded as numbers not finite")
        assert not any(isinstance(other, Failure) for other in others)

    @pytest.mark.parametrize("option", [{"device": "abacus"}, {"precision": "int3"}])
    def test_devices_and_precisions_are_checked(self, make, option):
        (name,) = option
        with pytest.raises(UserError, match=f"--{name} is"):
            make(**option)


class TestTextEncoder(EncoderTests):
    inputs = (b"the heat", b"star wars , the crime . 1 2 3 4", b"crime")
    dim = 8

    @pytest.fixture
    def make(self, bert):
        return lambda **settings: TextEncoder(str(bert), **settings)

    def test_tokens_are_the_real_ones_alone(self, make):
        encoder = make(pooling="tokens")
        vectors = encode(encoder, self.inputs)
        assert [len(vector) for vector in vectors] == [4, 12, 3]  # with [CLS] and [SEP]
        assert encoder.lengths(self.inputs) == [4, 12, 3]

    def test_texts_are_cut_at_the_length_given(self, make):
        assert make(max_length=5).lengths(self.inputs) == [4, 5, 3]

    def test_layers_differ(self, make):
        vectors = [encode(make(layer=layer), self.inputs[:1])[0] for layer in (0, 1, 2, -1)]
        assert len({vector.tobytes() for vector in vectors}) == 3
        assert vectors[2].tobytes() == vectors[3].tobytes()

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ({"layer": 3}, r"--layer is 3, but .* has 2 layers\. .* from -3 to 2"),
            ({"max_length": 33}, r"--max_length is 33, but .* reads 3 to 32 tokens"),
            ({"max_length": 2}, "--max_length is 2"),
        ],
    )
    def test_options_are_held_against_the_model(self, make, option, message):
        with pytest.raises(UserError, match=message):
            make(**option)

    def test_a_changed_tokenizer_changes_the_hashes(self, bert, tmp_path):
        copy = copy_of(bert, tmp_path)
        before = TextEncoder(str(copy)).input_hash(b"x")
        tokenizer = copy / "tokenizer_config.json"
        tokenizer.write_text(tokenizer.read_text() + "\n")
        assert TextEncoder(str(copy)).input_hash(b"x") != before

    def test_a_folder_without_a_tokenizer_is_refused(self, bert, tmp_path):
        copy = copy_of(bert, tmp_path)
        for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
            (copy / name).unlink(missing_ok=True)
        with pytest.raises(UserError, match=r"knows 0 words: its vocabulary file .* is absent"):
            TextEncoder(str(copy))

    def test_the_tokenizer_of_another_model_is_refused(self, bert, tmp_path):
        copy = copy_of(bert, tmp_path)
        words = [*WORDS, *(f"word{number}" for number in range(9))]
        (copy / "vocab.txt").write_text("\n".join(words))
        BertTokenizerFast(str(copy / "vocab.txt")).save_pretrained(copy)
        with pytest.raises(UserError, match=r"numbers its words up to 30, but the model knows 22"):
            TextEncoder(str(copy))

    def test_texts_of_another_language_are_refused_or_warned_of(self, make, caplog):
        for data, share in {b"the heat": 0, b"the heat of all": 0.5}.items():
            encoder = make()
            encoder.lengths([data])
            encoder.check_inputs()
            assert (f"{share:.0%} of the words are unknown" in caplog.text) == (share > 0)
        encoder.lengths(["злато мина войны кит".encode()] * 9)
        with pytest.raises(UserError, match=r"9\d% of the words are unknown to the tokenizer"):
            encoder.check_inputs()

    def test_the_name_recorded_has_no_folders_of_this_machine(self, make, bert):
        assert make().name == bert.name

    def test_absent_weights_are_never_replaced_by_random_ones(self, bert, tmp_path):
        copy = copy_of(bert, tmp_path)
        weights = load_file(copy / "model.safetensors")
        del weights["encoder.layer.0.output.dense.weight"]
        save_file(weights, copy / "model.safetensors", {"format": "pt"})
        with pytest.raises(UserError, match=r"lack 1 tensors .* such as encoder\.layer\.0"):
            encode(TextEncoder(str(copy)), self.inputs)
        (copy / "model.safetensors").unlink()
        with pytest.raises(UserError, match=r"holds no \*\.safetensors.*--untrained"):
            TextEncoder(str(copy))
        assert TextEncoder(str(copy), untrained=True).weights_hash == "untrained"

    def test_torch_files_are_read_as_weights_alone(self, bert, tmp_path):
        copy = copy_of(bert, tmp_path)
        state = load_file(copy / "model.safetensors")
        (copy / "model.safetensors").unlink()
        torch.save(state, copy / "pytorch_model.bin")
        (vector,) = encode(TextEncoder(str(copy)), self.inputs[:1])
        assert vector.tobytes() == encode(TextEncoder(str(bert)), self.inputs[:1])[0].tobytes()
        torch.save({**state, "code": Evil()}, copy / "pytorch_model.bin")
        with pytest.raises(UserError, match="cannot be loaded"):
            encode(TextEncoder(str(copy)), self.inputs)
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("content", [b"", b"{", b'{"model_type": "no-such-model"}'])
    def test_a_damaged_configuration_is_a_sentence(self, bert, tmp_path, content):
        copy = copy_of(bert, tmp_path)
        (copy / "config.json").write_bytes(content)
        with pytest.raises(UserError, match="cannot be loaded"):
            TextEncoder(str(copy))

    @pytest.mark.parametrize("content", [b"", b"cut", b"\xff" * 100])
    def test_damaged_weights_are_a_sentence(self, bert, tmp_path, content):
        copy = copy_of(bert, tmp_path)
        (copy / "model.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="cannot be loaded"):
            encode(TextEncoder(str(copy)), self.inputs)


class TestTimmEncoder(EncoderTests):
    inputs = (picture(1), picture(2), picture(3))
    dim = 64

    @pytest.fixture
    def make(self, vit):
        def make(untrained=False, **settings):
            weights = None if untrained else vit
            return TimmEncoder(TIMM_MODEL, weights, untrained=untrained, **settings)

        return make

    def test_the_pooling_is_the_model_s_own(self, make):
        assert make().pooling == "class token"
        assert TimmEncoder("test_efficientnet.r160_in1k", untrained=True).pooling.startswith("mean")

    @pytest.mark.parametrize("model", ["test_efficientnet.r160_in1k", "test_convnext.r160_in1k"])
    def test_networks_without_a_class_token(self, model):
        with pytest.raises(UserError, match="has no class token"):
            TimmEncoder(model, pooling="cls", untrained=True)
        (vector,) = encode(TimmEncoder(model, untrained=True), self.inputs[:1])
        (tokens,) = encode(TimmEncoder(model, pooling="tokens", untrained=True), self.inputs[:1])
        assert len(vector) == 1
        assert len(tokens) == 25

    def test_half_weights_are_computed_with_in_full(self, vit, tmp_path):
        half = {key: tensor.half() for key, tensor in load_file(vit).items()}
        save_file(half, tmp_path / "half.safetensors")
        (vector,) = encode(TimmEncoder(TIMM_MODEL, tmp_path / "half.safetensors"), self.inputs[:1])
        (expected,) = encode(TimmEncoder(TIMM_MODEL, vit), self.inputs[:1])
        assert vector == pytest.approx(expected, abs=2e-3)

    def test_torch_files_are_read_as_weights_alone(self, vit, tmp_path):
        state = load_file(vit)
        torch.save({"state_dict": state}, tmp_path / "vit.pth")
        (vector,) = encode(TimmEncoder(TIMM_MODEL, tmp_path / "vit.pth"), self.inputs[:1])
        assert (
            vector.tobytes() == encode(TimmEncoder(TIMM_MODEL, vit), self.inputs[:1])[0].tobytes()
        )
        torch.save({"state_dict": state, "code": Evil()}, tmp_path / "evil.pth")
        with pytest.raises(UserError, match="does not hold the weights"):
            encode(TimmEncoder(TIMM_MODEL, tmp_path / "evil.pth"), self.inputs)
        assert not (tmp_path / "ran").exists()

    def test_weights_of_another_model_are_refused(self, vit, tmp_path):
        state = load_file(vit)
        cases = {
            "lacks 1 tensors, such as norm.weight": {
                key: tensor for key, tensor in state.items() if key != "norm.weight"
            },
            "has besides 1 tensors, such as extra": {**state, "extra": torch.zeros(1)},
            "size mismatch": {**state, "norm.weight": torch.zeros(3)},
        }
        for message, tensors in cases.items():
            save_file(tensors, tmp_path / "other.safetensors")
            encoder = TimmEncoder(TIMM_MODEL, tmp_path / "other.safetensors")
            with pytest.raises(UserError, match=message):
                encode(encoder, self.inputs)

    def test_weights_without_the_head_suffice(self, vit, tmp_path):
        state = {key: t for key, t in load_file(vit).items() if not key.startswith("head.")}
        save_file(state, tmp_path / "headless.safetensors")
        (vector,) = encode(
            TimmEncoder(TIMM_MODEL, tmp_path / "headless.safetensors"), self.inputs[:1]
        )
        assert (
            vector.tobytes() == encode(TimmEncoder(TIMM_MODEL, vit), self.inputs[:1])[0].tobytes()
        )

    def test_what_does_not_exist_is_named(self, vit, tmp_path):
        with pytest.raises(UserError, match=r"no model 'vit_tine_patch16_224'.*near it: vit_tiny"):
            TimmEncoder("vit_tine_patch16_224", vit)
        with pytest.raises(UserError, match="no weights file"):
            TimmEncoder(TIMM_MODEL, tmp_path / "absent")

    def test_crop_modes_differ(self, make):
        modes = [None, "center", "squash", "border"]
        vectors = [encode(make(crop_mode=mode), self.inputs[:1])[0].tobytes() for mode in modes]
        assert vectors[0] == vectors[1]
        assert len(set(vectors)) == 3


class TestVisionTower(EncoderTests):
    inputs = (picture(1), picture(2), picture(3))
    dim = 8

    @pytest.fixture
    def make(self, clip):
        return lambda **settings: VisionTower(str(clip), **settings)

    def test_it_is_what_a_folder_means(self, clip):
        assert isinstance(image_encoder(str(clip)), VisionTower)

    def test_the_class_token_is_the_one_that_clip_projects(self, clip):
        from transformers import AutoImageProcessor, CLIPModel

        image = Image.open(io.BytesIO(self.inputs[0]))
        pixels = AutoImageProcessor.from_pretrained(clip)(images=image, return_tensors="pt")
        with torch.inference_mode():
            tower = CLIPModel.from_pretrained(clip).eval().vision_model
            pooled = tower(**pixels).pooler_output[0]
        (vector,) = encode(VisionTower(str(clip)), self.inputs[:1])
        assert vector[0] == pytest.approx((pooled / pooled.norm()).numpy(), abs=2e-3)

    def test_a_model_of_texts_is_refused(self, bert):
        with pytest.raises(
            UserError, match=r"The image processor in .* cannot be loaded.*a model of images"
        ):
            VisionTower(str(bert))

    @pytest.mark.parametrize("option", [{"weights": "x"}, {"crop_mode": "squash"}])
    def test_timm_s_options_are_refused(self, clip, option):
        (name,) = option
        with pytest.raises(UserError, match=f"--{name} is given, but"):
            image_encoder(str(clip), **option)


class TestOnAMachineWithoutNetwork:
    """Where the hub cannot be reached: one sentence, soon, and never random weights."""

    @pytest.fixture(autouse=True)
    def offline(self, monkeypatch):
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    @pytest.mark.parametrize("make", [TextEncoder, VisionTower])
    def test_a_name_of_the_hub(self, make):
        message = r"'no-one/no-bert' is not on this machine .*hf download no-one/no-bert"
        with pytest.raises(UserError, match=message):
            make("no-one/no-bert")

    def test_a_name_of_timm_s(self):
        message = r"'vit_tiny_patch16_224' is not on this machine .*--weights"
        with pytest.raises(UserError, match=message):
            TimmEncoder("vit_tiny_patch16_224")

    def test_a_name_of_the_hub_that_is_in_its_cache(self, bert, tmp_path, monkeypatch):
        from huggingface_hub import constants

        snapshot = tmp_path / "models--some-one--bert" / "snapshots" / ("0" * 40)
        copy_of(bert, snapshot)
        (tmp_path / "models--some-one--bert" / "refs").mkdir()
        (tmp_path / "models--some-one--bert" / "refs" / "main").write_text("0" * 40)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        assert TextEncoder("some-one/bert").name == "some-one/bert"


def test_paths_that_do_not_exist_are_no_names():
    for name in ("./bert", "/no/such/bert", "a/b/c"):
        with pytest.raises(UserError, match=f"There is no folder {name}"):
            TextEncoder(name)


def test_every_kind_has_its_conformance_suite():
    tested = {name.removeprefix("Test") for name in globals() if name.startswith("Test")}
    ours = [kind for kind in Encoder.__subclasses__() if kind.__module__.startswith("recbole_mm")]
    assert ours and {kind.__name__ for kind in ours} <= tested


class Evil:
    """What a file would run that is unpickled."""

    def __reduce__(self):
        return open, ("ran", "w")


def copy_of(folder, into):
    into.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        (into / file.name).write_bytes(file.read_bytes())
    return into
