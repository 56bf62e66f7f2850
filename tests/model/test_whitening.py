"""Principal components, against the formula on the whole matrix at once."""

import numpy as np
import pytest
import torch

from recbole_mmdistill.model import whitening
from recbole_mmdistill.model.whitening import Vectors, Whitening, without_fitting
from tests.model.builders import dataset, features, model


def as_vectors(values):
    rows = torch.arange(len(values))
    return Vectors(values[:, None], rows, torch.zeros_like(rows))


def made(n, dim, rank=None, seed=0):
    """Vectors with a mean, of a falling variance."""
    generator = torch.Generator().manual_seed(seed)
    rank = rank or dim
    directions = torch.randn(rank, dim, generator=generator)
    return torch.randn(n, rank, generator=generator) * torch.linspace(2, 0.5, rank) @ directions + 3


def plain(vectors, n_components):
    """The formula, with the whole covariance: ``[dim, n_components]``."""
    vectors = vectors.double().numpy()
    centred = vectors - vectors.mean(0)
    variance, direction = np.linalg.eigh(centred.T @ centred / len(vectors))
    variance, direction = variance[::-1][:n_components], direction[:, ::-1][:, :n_components]
    signs = np.sign(direction[np.abs(direction).argmax(0), np.arange(n_components)])
    return direction * signs / np.sqrt(variance * n_components)


@pytest.mark.parametrize(
    ("n", "dim", "n_components"), [(500, 6, 4), (300, 40, 40), (40, 300, 16), (60, 60, 12)]
)
@pytest.mark.parametrize("chunk_bytes", [1 << 23, 8 * 301])
def test_few_or_many_vectors_in_few_or_many_chunks(monkeypatch, n, dim, n_components, chunk_bytes):
    monkeypatch.setattr(whitening, "_CHUNK_BYTES", chunk_bytes)
    vectors = made(n, dim)
    fitted = Whitening(as_vectors(vectors), n_components)
    expected = plain(vectors, n_components)
    assert fitted.mean.numpy() == pytest.approx(vectors.double().mean(0).numpy(), abs=1e-5)
    assert fitted.components.numpy() == pytest.approx(expected, abs=1e-5)


def test_whitened_vectors_are_centred_and_uncorrelated_and_of_length_one_on_average():
    vectors = made(500, 6)
    white = Whitening(as_vectors(vectors), 4)(vectors)
    assert white.shape == (500, 4)
    torch.testing.assert_close(white.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(white.T @ white / 500, torch.eye(4) / 4, atol=1e-3, rtol=0)


@pytest.mark.parametrize("n", [50, 5])
def test_directions_without_variance_are_zero(n):
    vectors = made(n, 6, rank=2)
    white = Whitening(as_vectors(vectors), 6)(vectors)
    assert white.shape == (n, 6)
    assert white[:, 2:].abs().max() == 0
    assert white.square().sum(1).mean() == pytest.approx(1, abs=0.01)


def test_vectors_that_are_all_the_same_become_zero():
    vectors = torch.ones(5, 3)
    assert Whitening(as_vectors(vectors), 2)(vectors).tolist() == [[0, 0]] * 5


def test_standardising_keeps_every_dimension():
    vectors = torch.randn(500, 6) * torch.tensor([1.0, 2, 3, 4, 5, 6]) + 7
    white = Whitening(as_vectors(vectors), 0)(vectors)
    torch.testing.assert_close(white.std(0), torch.full((6,), 6**-0.5), atol=0.01, rtol=0)


class Unread(torch.Tensor):
    """Values that know their shape, and fail when a number of them is asked for."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.Tensor.__getitem__:
            raise AssertionError("the features were read")
        return super().__torch_function__(function, types, args, kwargs or {})


def unread(source):
    source.values = source.values.as_subclass(Unread)
    return source


def test_a_model_to_be_filled_reads_no_features_and_is_the_same_once_filled():
    trained = model({"text": features(1)}, id_init="mean")
    data = {"text": unread(features(1))}
    with pytest.raises(AssertionError, match="features were read"):
        model(data, id_init="mean")
    with without_fitting():
        loaded = model(data, seed=1, id_init="mean")
    assert loaded.network.source_embedding["text"].whiten.components.isnan().all()
    loaded.load_state_dict(trained.state_dict())
    for name, tensor in trained.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_fitting_is_on_again_after_an_error():
    with pytest.raises(KeyError), without_fitting():
        raise KeyError
    assert (
        not model(dataset().item_features)
        .network.source_embedding["text"]
        .whiten.mean.isnan()
        .any()
    )
