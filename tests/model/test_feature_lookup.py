import torch

from recbole_mmdistill.model.feature_lookup import FeatureTable, SourceEmbedding, Whitening
from tests.model.builders import N_ITEMS, features


def test_a_look_up_gives_each_item_its_own_vector_and_zeros_where_missing():
    source = features(1, missing=[3])
    source.row_of_item = torch.tensor([-1, 4, 2, -1, 1, 3, 5, 6, 7])
    values, mask = FeatureTable(source)(torch.tensor([2, 3, 1]))
    assert torch.equal(values[0], source.values[2])
    assert torch.equal(values[2], source.values[4])
    assert values[1].abs().sum() == 0
    assert mask[:, 0].tolist() == [True, False, True]


def test_the_dtype_is_that_of_the_file():
    values, _ = FeatureTable(features(1))(torch.tensor([1]))
    assert values.dtype == torch.float16


def test_features_are_neither_parameters_nor_buffers():
    embedding = SourceEmbedding(features(1, dim=5), hidden_size=4, whitening_dim=3)
    numel = {name: tensor.numel() for name, tensor in embedding.state_dict().items()}
    assert numel == {
        "placeholder": 4,
        "whiten.mean": 5,
        "whiten.components": 5 * 3,
        "project.weight": 3 * 4,
        "project.bias": 4,
    }


def test_whitened_vectors_are_centred_and_uncorrelated_and_of_length_one_on_average():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(500, 6, generator=generator) @ torch.randn(6, 6, generator=generator) + 3
    white = Whitening(vectors, 4)(vectors)
    assert white.shape == (500, 4)
    torch.testing.assert_close(white.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(white.T @ white / 500, torch.eye(4) / 4, atol=1e-3, rtol=0)


def test_directions_without_variance_are_not_blown_up():
    vectors = torch.randn(50, 2) @ torch.randn(2, 6)
    white = Whitening(vectors, 6)(vectors)
    assert white.shape == (50, 2)
    assert white.abs().max() < 10


def test_standardising_keeps_every_dimension():
    vectors = torch.randn(500, 6) * torch.tensor([1.0, 2, 3, 4, 5, 6]) + 7
    torch.testing.assert_close(
        Whitening(vectors, 0)(vectors).std(0), torch.full((6,), 6**-0.5), atol=0.01, rtol=0
    )


def test_a_missing_item_gets_the_placeholder_and_no_key():
    embedding = SourceEmbedding(features(1, missing=[3], n_tokens=3), 4, 3)
    torch.nn.init.normal_(embedding.placeholder)
    tokens, mask = embedding(torch.tensor([3, 2]))
    assert torch.equal(tokens[0, 0], embedding.placeholder)
    assert mask.tolist() == [[False] * 3, [True] * 3]


def test_reduced_features_have_any_width():
    embedding = SourceEmbedding(features(1, missing=[3]), 4, 3)
    for dim in (2, 3, 7):
        reduced = embedding.reduced(torch.arange(N_ITEMS), dim)
        assert reduced.shape == (N_ITEMS, dim)
        assert reduced[3].abs().sum() == 0
        assert reduced[2].abs().sum() > 0
