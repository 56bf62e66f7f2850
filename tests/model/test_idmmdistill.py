import copy
import io

import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.model import ITEM_ENCODERS, SEQUENCE_ENCODERS, IDMMDistill, losses
from recbole_mmdistill.model.losses import CombinationLoss, ramp
from recbole_mmdistill.model.network import Network
from tests.model.builders import N_ITEMS, config, dataset, features, model, prefixes, windows

HISTORIES = [[1, 2, 3, 4, 5], [6, 7, 8], [2, 4], [8, 1, 3, 5]]


def total(recommender, batch):
    return sum(recommender.calculate_loss(batch))


@pytest.mark.parametrize("backbone", sorted(SEQUENCE_ENCODERS))
@pytest.mark.parametrize("candidates", ["full", "in_batch"])
def test_loss_on_windows_equals_loss_on_prefixes(backbone, candidates):
    recommender = model(sequence_encoder=backbone, train_candidates=candidates)
    if candidates == "in_batch":
        # A history's own items are no negatives: a window knows all of them, a prefix only those
        # before it. So compare where nothing is repeated or left over.
        histories = [[1, 2], [3, 4], [5, 6]]
    else:
        histories = HISTORIES
    torch.testing.assert_close(
        total(recommender, windows(*histories)), total(recommender, prefixes(*histories))
    )


@torch.no_grad()
def test_the_order_of_the_batch_does_not_matter():
    recommender = model()
    torch.testing.assert_close(
        total(recommender, windows(*HISTORIES)), total(recommender, windows(*HISTORIES[::-1]))
    )


def served(*histories, width=None):
    """Histories as a service has them, of any length and padded to any width."""
    width = width or max(map(len, histories))
    return Interaction(
        {
            "item_id_list": torch.tensor([[*h] + [0] * (width - len(h)) for h in histories]),
            "item_length": torch.tensor([len(h) for h in histories]),
            "item_id": torch.tensor([5] * len(histories)),
        }
    )


@pytest.mark.parametrize("backbone", sorted(SEQUENCE_ENCODERS))
@torch.no_grad()
def test_of_a_long_history_the_last_items_are_read(backbone):
    recommender = model(sequence_encoder=backbone, MAX_ITEM_LIST_LENGTH=6)
    recommender.network.repeat_bias.weight.fill_(0.3)
    long = [8, 3, 3, 7, 1, 2, 3, 4, 5, 6, 2]
    batch = served(long, [4, 2], [], long[:7], width=15)
    expected = torch.cat(
        [recommender.full_sort_predict(served(h)) for h in (long[-6:], [4, 2], long[1:7])]
    )
    scores = recommender.full_sort_predict(batch)
    torch.testing.assert_close(scores[[0, 1, 3]], expected)
    torch.testing.assert_close(recommender.predict(batch), scores[:, 5])


@torch.no_grad()
def test_after_an_empty_history_all_items_have_the_score_0():
    recommender = model()
    for batch in (served([], width=6), served([], []), served([], width=1)):
        assert recommender.full_sort_predict(batch).abs().sum() == 0
        assert recommender.predict(batch).abs().sum() == 0


@pytest.mark.parametrize("length", [3, -1])
def test_a_length_beyond_the_history_is_refused(length):
    batch = served([1, 2])
    batch["item_length"].fill_(length)
    with pytest.raises(UserError, match=rf"from {length} to {length}, but they are 2 wide"):
        model().full_sort_predict(batch)


@torch.no_grad()
def test_padding_does_not_matter():
    recommender = model()
    batch = windows(*HISTORIES)
    padded = copy.deepcopy(batch)
    for field in ("item_id_list", "target_item_id_list"):
        padded[field] = torch.nn.functional.pad(batch[field], (0, 2))
    torch.testing.assert_close(total(recommender, batch), total(recommender, padded))
    short, long = prefixes([1, 2, 3]), prefixes([1, 2, 3], [4, 5, 6, 7, 8])
    torch.testing.assert_close(
        recommender.full_sort_predict(short), recommender.full_sort_predict(long)[:2]
    )


@torch.no_grad()
def test_text_and_image_scores_do_not_move_when_every_id_changes():
    recommender = model(user_encoder="separate")
    batch = prefixes(*HISTORIES)
    with recommender.scoring_with(["text", "image"]):
        before = recommender.full_sort_predict(batch)
        recommender.network.id_embedding.weight.normal_()
        assert torch.equal(before, recommender.full_sort_predict(batch))
    with recommender.scoring_with(["id"]):
        ids = recommender.full_sort_predict(batch)
        recommender.network.id_embedding.weight.normal_()
        assert not torch.allclose(ids, recommender.full_sort_predict(batch))


@torch.no_grad()
def test_the_mean_of_branch_scores_is_one_dot_product_of_the_joined_tables():
    complete = {"text": features(1), "image": features(2)}
    complete["text"].present[0] = complete["image"].present[0] = True
    recommender = model(complete)
    batch = prefixes(*HISTORIES)
    single = []
    for branch in recommender.branches:
        with recommender.scoring_with([branch]):
            single.append(recommender.full_sort_predict(batch))
    user = recommender(batch["item_id_list"], batch["item_length"])
    assert user.shape == (len(batch), 3 * 8)
    torch.testing.assert_close(torch.stack(single).mean(0), user @ recommender.score_table().T)
    torch.testing.assert_close(torch.stack(single).mean(0), recommender.full_sort_predict(batch))


@torch.no_grad()
def test_a_user_s_text_score_of_an_item_does_not_move_when_the_item_s_id_changes():
    recommender = model()
    batch = prefixes([1, 2, 3], [4, 5])
    with recommender.scoring_with(["text"]):
        before = recommender.full_sort_predict(batch)
        recommender.network.id_embedding.weight[8].normal_()
        torch.testing.assert_close(before, recommender.full_sort_predict(batch))


@pytest.mark.parametrize("fused_loss", [True, False])
@pytest.mark.parametrize("candidates", ["full", "in_batch", "sampled"])
def test_the_factor_of_new_items_is_learned_without_moving_anything_else(
    monkeypatch, candidates, fused_loss
):
    def step(loss_of_new_items):
        if not loss_of_new_items:
            zero = torch.zeros(())
            monkeypatch.setattr(CombinationLoss, "of_new_items", lambda *arguments: zero)
        recommender = model(
            train_candidates=candidates, n_negatives=4, fused_loss=fused_loss
        ).train()
        loss = total(recommender, windows(*HISTORIES))
        loss.backward()
        random_numbers_after = torch.rand(3)
        gradients = {name: p.grad for name, p in recommender.named_parameters()}
        return (
            loss,
            random_numbers_after,
            gradients,
            gradients.pop("network.combination.log_missing_factor"),
        )

    monkeypatch.setattr(losses, "NEW_ITEM_SHARE", 0.5)
    loss, random_numbers, gradients, factors = step(loss_of_new_items=True)
    other_loss, other_random_numbers, other_gradients, other_factors = step(False)
    assert loss == other_loss
    assert torch.equal(random_numbers, other_random_numbers)
    torch.testing.assert_close(gradients, other_gradients, rtol=0, atol=0)
    assert torch.equal(factors[1:], other_factors[1:])
    assert factors[0] != 0
    assert other_factors[0] == 0


def test_the_factor_of_new_items_is_the_one_that_predicts_best_without_ids(monkeypatch):
    monkeypatch.setattr(losses, "NEW_ITEM_SHARE", 1.0)
    complete = {"text": features(1), "image": features(2)}
    recommender = model(complete, repeat_bias=False)
    rows, batch = prefixes(*HISTORIES), windows(*HISTORIES)

    def learn(parameters, lr, n_steps):
        optimizer = torch.optim.Adam(parameters, lr=lr)
        for _ in range(n_steps):
            optimizer.zero_grad()
            total(recommender, batch).backward()
            optimizer.step()

    learn(recommender.parameters(), lr=0.01, n_steps=20)  # so that the scores tell something
    combination = recommender.network.combination
    learn([combination.log_missing_factor], lr=0.1, n_steps=100)

    @torch.no_grad()
    def cross_entropy(factor):
        with recommender.scoring_with(["text", "image"]):
            scores = recommender.full_sort_predict(rows)[:, 1:]
        sharpness = combination.log_sharpness.exp()
        return torch.nn.functional.cross_entropy(factor * sharpness * scores, rows["item_id"] - 1)

    learned = combination.log_missing_factor[0].exp().item()
    assert cross_entropy(learned) < min(cross_entropy(0.8 * learned), cross_entropy(1.25 * learned))


@torch.no_grad()
def test_each_branch_scores_the_items_that_have_its_source_by_0_on_average():
    recommender = model(branch_weights={"id": 0, "text": 0, "image": 1})
    scores = recommender.full_sort_predict(prefixes(*HISTORIES))
    with_image = [1, 2, 4, 5, 6, 8]
    assert scores[:, with_image].abs().min() > 0
    torch.testing.assert_close(scores[:, with_image].mean(1), torch.zeros(len(scores)))
    assert scores[:, [3, 7]].abs().max() == 0  # neither for nor against them


@torch.no_grad()
def test_predict_gives_the_full_sort_s_score_of_the_item():
    recommender = model()
    batch = prefixes(*HISTORIES)
    scores = recommender.full_sort_predict(batch)
    row = torch.arange(len(batch))
    torch.testing.assert_close(recommender.predict(batch), scores[row, batch["item_id"]])


@pytest.fixture
def encoded(monkeypatch):
    """The items that were encoded, call by call."""
    calls = []
    encode = Network.encode_items
    monkeypatch.setattr(
        Network, "encode_items", lambda *given: (calls.append(given[1]), encode(*given))[1]
    )
    return calls


@torch.no_grad()
def test_the_items_are_encoded_once_for_an_evaluation(encoded):
    recommender = model()
    batch = prefixes(*HISTORIES)
    for _ in range(3):
        recommender.full_sort_predict(batch)
        recommender.predict(batch)
        recommender.branch_scores(batch)
    assert len(encoded) == 1
    recommender.train()
    recommender.eval()
    recommender.full_sort_predict(batch)
    assert len(encoded) == 2


def test_items_are_encoded_once_per_distinct_item_of_a_batch(encoded):
    recommender = model(train_candidates="in_batch")
    recommender.calculate_loss(windows([1, 2, 3], [1, 2, 3], [3, 1]))
    assert [sorted(items.tolist()) for items in encoded] == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("item", "sequence", "n_tokens"),
    [
        *((item, "sasrec", 3) for item in sorted(ITEM_ENCODERS)),
        *(("late", sequence, 1) for sequence in sorted(SEQUENCE_ENCODERS)),
    ],
)
def test_every_encoder_learns_a_tiny_set_by_heart(item, sequence, n_tokens):
    text, image = features(1, n_tokens=n_tokens), features(2, missing=[3], n_tokens=n_tokens)
    recommender = model(
        {"text": text, "image": image},
        item_encoder=item,
        sequence_encoder=sequence,
        kd_weight=0.0,
        hidden_size=16,
    ).train()
    # In the image branch the target 3, which has no image, does not count; all others do.
    batch = windows([1, 2, 4, 5, 3], [6, 7, 8, 1], [3, 6, 5])
    optimizer = torch.optim.AdamW(recommender.parameters(), lr=0.02, weight_decay=0.0)
    first = total(recommender, batch).item()
    for _ in range(100):
        optimizer.zero_grad()
        loss = total(recommender, batch)
        loss.backward()
        optimizer.step()
        if loss.item() < 0.01 * first:
            break
    assert loss.item() < 0.01 * first


@pytest.mark.parametrize("candidates", ["full", "in_batch", "sampled"])
def test_ce_and_kd_add_up_to_what_is_differentiated(candidates):
    torch.manual_seed(1)
    recommender = model(train_candidates=candidates, n_negatives=4, kd_ramp_epochs=0).train()
    torch.manual_seed(1)
    ce, kd = recommender.calculate_loss(windows(*HISTORIES))
    assert ce.item() > 0
    assert kd.item() > 0
    (ce + kd).backward()
    assert all(p.grad is not None for p in recommender.parameters())


def test_distillation_reaches_only_the_student_when_the_teacher_is_detached():
    def gradients(**options):
        options |= {"item_encoder": "late", "user_encoder": "separate", "kd_ramp_epochs": 0}
        recommender = model(**options).train()
        total(recommender, windows(*HISTORIES)).backward()
        return [
            torch.cat(
                [grad.flatten() for grad in recommender.network.user_encoder.gradients_of(branch)]
            )
            for branch in range(3)
        ]

    untaught = gradients(kd_weight=0.0)
    taught = gradients(kd_weight=5.0, kd_pairs=[["id", "text"]], kd_detach_teacher=True)
    both = gradients(kd_weight=5.0, kd_pairs=[["id", "text"]], kd_detach_teacher=False)
    torch.testing.assert_close(taught[0], untaught[0])
    torch.testing.assert_close(taught[2], untaught[2])
    assert not torch.allclose(taught[1], untaught[1])
    assert not torch.allclose(both[0], untaught[0])


def distillation_share(recommender, batch):
    """What the distillation weighs in a step, next to its full weight."""
    steady = copy.deepcopy(recommender)
    steady.objective.losses["kd"].ramp_epochs = 0.0
    return (recommender.calculate_loss(batch)[1] / steady.calculate_loss(batch)[1]).item()


def test_the_ramp_counts_the_model_s_own_steps_and_goes_on_after_a_resume():
    recommender = model(kd_ramp_epochs=4).train()  # two steps an epoch
    batch = windows(*HISTORIES)
    shares = [distillation_share(recommender, batch) for _ in range(3)]
    assert shares == pytest.approx([ramp(epoch, 4) for epoch in (0.0, 0.5, 1.0)])

    file = io.BytesIO()
    torch.save(recommender.state_dict(), file)
    file.seek(0)
    resumed = model(seed=9, kd_ramp_epochs=4).train()
    resumed.load_state_dict(torch.load(file))
    assert distillation_share(resumed, batch) == pytest.approx(ramp(1.5, 4))


def test_a_loss_in_evaluation_mode_is_no_step():
    recommender = model()
    recommender.calculate_loss(windows(*HISTORIES))
    assert recommender.train_steps == 0


@torch.no_grad()
def test_a_checkpoint_restores_every_score_and_holds_no_features():
    recommender = model(seed=1)
    other = model(seed=2)
    batch = prefixes(*HISTORIES)
    assert not torch.allclose(recommender.full_sort_predict(batch), other.full_sort_predict(batch))
    other.load_state_dict(recommender.state_dict())
    assert torch.equal(recommender.full_sort_predict(batch), other.full_sort_predict(batch))
    shapes = [tuple(t.shape) for t in recommender.state_dict().values()]
    assert (N_ITEMS, 1, 5) not in shapes and (N_ITEMS, 5) not in shapes


@pytest.mark.parametrize("candidates", ["full", "sampled"])
def test_the_same_seed_gives_the_same_training(candidates):
    def train():
        recommender = model(
            seed=3, train_candidates=candidates, hidden_dropout_prob=0.2, n_negatives=4
        ).train()
        optimizer = torch.optim.AdamW(recommender.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            total(recommender, windows(*HISTORIES)).backward()
            optimizer.step()
        return recommender.state_dict()

    first, second = train(), train()
    assert all(torch.equal(first[name], second[name]) for name in first)


@torch.no_grad()
@pytest.mark.parametrize(("modalities", "is_random"), [(None, True), ({}, False)])
def test_sources_are_dropped_in_training_where_there_are_several(modalities, is_random):
    recommender = model(modalities, source_dropout_prob=0.5).train()
    first, second = (total(recommender, windows(*HISTORIES)) for _ in range(2))
    assert (first != second) == is_random


@pytest.mark.parametrize("item", sorted(ITEM_ENCODERS))
def test_mixed_precision_gives_nearly_the_same_loss(item):
    recommender = model(item_encoder=item)
    exact = total(recommender, windows(*HISTORIES))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = total(recommender, windows(*HISTORIES))
    assert mixed.item() == pytest.approx(exact.item(), rel=0.02)
    mixed.backward()
    assert all(torch.isfinite(p.grad).all() for p in recommender.parameters())


@pytest.mark.parametrize(
    ("modalities", "branches"),
    [
        ({}, ["id"]),
        ({"text": features(1)}, ["id", "text"]),
        ({"text": features(1), "image": features(2)}, ["id", "text", "image"]),
    ],
)
def test_sources_are_switched_on_step_by_step(modalities, branches):
    recommender = model(modalities).train()
    assert recommender.branches == branches
    total(recommender, windows(*HISTORIES)).backward()
    assert all(p.grad is not None for p in recommender.parameters())


def test_the_id_can_be_left_out():
    recommender = model(use_id=False).train()
    assert recommender.branches == ["text", "image"]
    total(recommender, windows(*HISTORIES)).backward()
    assert torch.isfinite(recommender.full_sort_predict(prefixes(*HISTORIES))).all()


@pytest.mark.parametrize("how", ["text", "mean"])
@pytest.mark.parametrize("hidden_size", [4, 16])  # the features have 5 components
def test_the_ids_can_start_from_the_features(how, hidden_size):
    network = model(id_init=how, hidden_size=hidden_size).network
    weight = network.id_embedding.weight
    assert weight.shape == (N_ITEMS, hidden_size)
    assert weight[0].abs().sum() == 0
    assert weight[1:].std().item() == pytest.approx(0.02, rel=0.3)
    names = ["text", "image"] if how == "mean" else [how]
    parts = [network.source_embedding[n].reduced(torch.arange(N_ITEMS), 16) for n in names]
    both = torch.stack([part.any(1) for part in parts]).all(0)  # items that lack none
    filled = min(hidden_size, 5)
    nearness = torch.cosine_similarity(weight[:, :filled], sum(parts)[:, :filled])
    assert nearness[both].tolist() == pytest.approx([1.0] * int(both.sum()))


def test_the_rest_of_an_id_is_drawn_if_features_fill_less_than_half():
    def start(seed, hidden_size=16):
        options = config(id_init="text", hidden_size=hidden_size, seed=seed)
        return IDMMDistill(options, dataset()).network.id_embedding.weight[1:]

    first, again, other = start(1), start(1), start(2)
    assert torch.equal(first, again)
    assert torch.cosine_similarity(first[:, :5], other[:, :5]).min() > 0.99999
    assert not torch.isclose(first[:, 5:], other[:, 5:]).any()
    assert first[:, 5:].std().item() == pytest.approx(first[:, :5].std().item(), rel=0.5)
    assert first.std().item() == pytest.approx(0.02, rel=0.1)
    assert not start(1, hidden_size=10)[:, 5:].any()


def test_a_deep_copy_shares_the_features_and_computes_its_own_table():
    recommender = model()
    copied = copy.deepcopy(recommender)
    assert (
        copied.network.source_embedding["text"].table
        is recommender.network.source_embedding["text"].table
    )
    with torch.no_grad():
        copied.network.id_embedding.weight.add_(1)
        batch = prefixes(*HISTORIES)
        assert not torch.equal(
            copied.full_sort_predict(batch), recommender.full_sort_predict(batch)
        )


def test_all_that_is_wrong_with_the_options_is_said_at_once():
    with pytest.raises(UserError) as error:
        model(item_encoder="imtt", n_heads=3, kd_pairs=[["id", "txt"]], hidden_dropout_prob=1.5)
    message = str(error.value)
    assert "item_encoder is 'imtt'" in message and "near it: imt" in message
    assert "hidden_size 8 is not a multiple of n_heads 3" in message
    assert "['id', 'txt']" in message
    assert "hidden_dropout_prob is 1.5" in message


def test_an_unknown_branch_is_refused():
    with pytest.raises(UserError, match="Choose from id, text, image"):
        with model().scoring_with(["audio"]):
            pass


def test_a_dataset_without_features_is_refused():
    plain = dataset()
    del plain.item_features
    with pytest.raises(UserError, match="IDMMDistill got a SimpleNamespace, which has no features"):
        IDMMDistill(config(), plain)
