"""Components of a user, each one class outside the package: they keep the contracts and train."""

import pytest
import torch
from torch import nn

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.model import (
    CANDIDATES,
    ITEM_ENCODERS,
    LOSSES,
    SEQUENCE_ENCODERS,
    CandidateSampler,
    ItemEncoder,
    Loss,
    SequenceEncoder,
)
from recbole_mmdistill.model.sequence_encoder import SASRecEncoder
from recbole_mmdistill.settings import check_settings
from tests.model.builders import model, windows
from tests.model.contracts import (
    CandidateSamplerContract,
    ItemEncoderContract,
    LossContract,
    SequenceEncoderContract,
)


class DecayEncoder(SequenceEncoder):
    """Running mean of what was read, the older the less."""

    def __init__(self, *, hidden_size, decay=0.9):
        super().__init__(hidden_size=hidden_size)
        self.decay = decay
        self.output = nn.Linear(hidden_size, hidden_size)

    def forward(self, item_emb, positions=None):
        states = [item_emb[:, 0]]
        for t in range(1, item_emb.size(1)):
            states.append(self.decay * states[-1] + item_emb[:, t])
        states = self.output(torch.stack(states, dim=1))
        return states if positions is None else states[positions]


class ScaledSASRec(SASRecEncoder):
    """A shipped backbone with an option more; ``**options`` hands on those of its base class."""

    def __init__(self, *, scale=1.0, **options):
        super().__init__(**options)
        self.scale = scale

    def forward(self, item_emb, positions=None):
        return super().forward(item_emb * self.scale, positions)


class FirstTokens(ItemEncoder):
    """Each source's first real token; zero without one."""

    def forward(self, inputs):
        return torch.stack([inputs[s].tokens[:, 0] * inputs[s].mask[:, :1] for s in self.sources])


class PopularCandidates(CandidateSampler):
    """The batch's targets and the first items of the catalogue."""

    n_uniform = 0

    def __init__(self, *, count=2):
        self.count = count

    def choose(self, target, trained_items):
        return torch.cat([target, trained_items[: self.count]]).unique()


class Norm(Loss):
    """Length of the user states."""

    def forward(self, scores):
        return scores.user.square().mean()


@pytest.fixture(autouse=True)
def registered():
    added = [
        (SEQUENCE_ENCODERS, "decay", DecayEncoder),
        (SEQUENCE_ENCODERS, "scaled", ScaledSASRec),
        (ITEM_ENCODERS, "first", FirstTokens),
        (CANDIDATES, "popular", PopularCandidates),
        (LOSSES, "norm", Norm),
    ]
    for registry, name, component in added:
        registry.register(name)(component)
    yield
    for registry, name, _ in added:
        del registry[name]


class TestDecayEncoder(SequenceEncoderContract):
    @pytest.fixture
    def encoder(self):
        torch.manual_seed(0)
        return DecayEncoder(hidden_size=8).eval()


class TestFirstTokens(ItemEncoderContract):
    @pytest.fixture
    def encoder(self):
        return FirstTokens(sources=["id", "text", "image"], hidden_size=8)


class TestPopularCandidates(CandidateSamplerContract):
    @pytest.fixture
    def sampler(self):
        return PopularCandidates(count=2)


class TestNorm(LossContract):
    @pytest.fixture
    def loss(self):
        return Norm()


class TestShippedLosses(LossContract):
    @pytest.fixture(params=["ce", "mean_ce", "kd", "combination"])
    def loss(self, request):
        options = {"branches": ["id", "text", "image"], "pairs": [["id", "text"], ["mean", "id"]]}
        wanted = {"ce": ["branches"], "kd": ["branches", "pairs"]}.get(request.param, [])
        return LOSSES[request.param](**{name: options[name] for name in wanted})


OWN = {
    "item_encoder": "first",
    "sequence_encoder": "decay",
    "decay_decay": 0.5,
    "train_candidates": "popular",
    "popular_count": 3,
    "losses": ["ce", "mean_ce", "kd", "combination", "norm"],
    "norm_weight": 0.01,
}


def test_a_model_of_them_all_trains():
    recommender = model(**OWN).train()
    assert recommender.sampler.count == 3
    assert recommender.network.user_encoder.encoders[0].decay == 0.5
    optimizer = torch.optim.AdamW(recommender.parameters(), lr=0.01)
    batch = windows([1, 2, 3, 4, 5], [6, 7, 8])
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = sum(recommender.calculate_loss(batch))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_a_subclass_gets_the_options_of_its_base_class():
    recommender = model(sequence_encoder="scaled", scaled_scale=2.0, n_layers=3)
    encoder = recommender.network.user_encoder.encoders[0]
    assert (encoder.scale, len(encoder.blocks)) == (2.0, 3)


def test_the_options_of_components_are_known_by_name():
    own = {"norm_weight": 0.5, "decay_decay": 0.9, "scaled_scale": 2}
    check_settings("IDMMDistill", "shop", [("mine.yaml", own)])
    with pytest.raises(UserError, match="no option 'decay_deacy'"):
        check_settings("IDMMDistill", "shop", [("mine.yaml", {"decay_deacy": 0.9})])


def test_a_name_of_nothing_is_refused():
    with pytest.raises(
        UserError, match=r"no sequence encoder 'decays'|sequence_encoder is 'decays'"
    ):
        model(sequence_encoder="decays")
