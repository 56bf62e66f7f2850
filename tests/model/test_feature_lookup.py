import torch

from recbole_mmdistill.model.feature_lookup import FeatureTable, SourceEmbedding
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


def test_a_sample_holds_real_tokens_alone():
    source = features(1, missing=[3], n_tokens=2)
    sample = FeatureTable(source).sample(1000)
    real = [(item, token) for item in (1, 2, 4, 5, 6, 7, 8) for token in range(2 - item % 2)]
    expected = torch.stack([source.values[at] for at in real]).double()
    assert torch.equal(torch.from_numpy(next(sample.rows())), expected)
    assert len(FeatureTable(source).sample(4)) < len(sample)


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


def test_normalized_features_have_length_1_before_they_are_projected():
    embedding = SourceEmbedding(features(1, missing=[3]), 3, 3, normalize=True)
    torch.nn.init.eye_(embedding.project.weight)
    torch.nn.init.zeros_(embedding.project.bias)
    tokens, _ = embedding(torch.tensor([1, 2, 3]))
    torch.testing.assert_close(tokens[:2].norm(dim=-1), torch.ones(2, 1))
    assert torch.equal(tokens[2, 0], embedding.placeholder)
