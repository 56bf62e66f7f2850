"""IDMMDistill: the ID-aware multi-modal transformer with online distillation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor, nn

from ..errors import UserError
from .averaging import WeightAverage
from .feature_lookup import SourceEmbedding
from .item_encoder import ID, ITEM_ENCODERS, SourceTokens
from .item_table import ItemTable
from .layers import SourceDropout, init_weights
from .losses import (
    MEAN,
    Candidates,
    Distillation,
    branch_loss,
    log_inclusion,
    parse_pairs,
    ramp,
)
from .options import FULL, IN_BATCH, LEARNED, check_options, resolve_candidates
from .positions import Positions, find_positions, last_items
from .repeats import RepeatBias
from .sequence_encoder import SEQUENCE_ENCODERS
from .user_encoder import USER_ENCODERS, UserEncoder
from .whitening import is_fitting

# Of a training step's rows and candidates, those that teach what an item without its ID is worth:
# enough for one number, and too few to be felt in the step's time.
_ROWS_OF_NEW_ITEM_LOSS = 64
_HIDDEN_SHARE = 0.05


class IDMMDistill(SequentialRecommender):
    """Each source of an item predicts on its own, and the predictions teach one another.

    Ji et al., "Online distillation-enhanced multi-modal transformer for sequential
    recommendation", ACM Multimedia 2023 (ODMT).

    1. An item encoder turns an item's ID, text and image into one vector each (``item_encoder``,
       ODMT section 3.2).
    2. A causal sequence encoder reads these vectors along a history, and each source (branch) gets
       its user state: each from an encoder of its own, as in section 3.3, or several from one
       pass over the sum of their vectors (``user_encoder``, ``sequence_encoder``).
    3. A branch's score is the dot product of user state and item vector, less its mean over the
       items; the final score is their mean (eq. 8), with learned weights if ``branch_weights``
       does not fix them. A source that an item lacks adds nothing, and the others count for more,
       by a learned factor. An item that the history holds gets a learned bias in every branch
       (``repeat_bias``).
    4. Every position of a history predicts its next item, in every branch, and the branches are
       distilled into one another (``kd_*``, section 3.4).
    5. Evaluation sees a running average of the weights (``weight_average``).

    Parameters
    ----------
    config : recbole.config.Config
        The options of properties/model/IDMMDistill.yaml.
    dataset : MultiModalSequentialDataset
        The training split.

    Attributes
    ----------
    branches : list of str
        ``id`` and the modalities, or ``all`` for an item encoder that fuses them.

    Raises
    ------
    UserError
        An option has no sense, or the dataset is not one that carries features.
    """

    input_type = InputType.POINTWISE
    training_counts = ("train_count",)  # what a checkpoint fills with 0 for new tokens

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        features = getattr(dataset, "item_features", None)
        if features is None:
            raise UserError(
                f"IDMMDistill got a {type(dataset).__name__}, which carries no features.",
                "Import recbole_mmdistill before RecBole creates the dataset.",
            )
        check_options(config, features)
        self.hidden_size: int = config["hidden_size"]
        self.train_candidates = resolve_candidates(config["train_candidates"], self.n_items)
        self.n_negatives = int(config["n_negatives"])
        self.mean_ce_weight = float(config["mean_ce_weight"])
        self.new_item_weight = float(config["new_item_weight"])
        self.kd_weight = float(config["kd_weight"])
        self.kd_ramp_epochs = float(config["kd_ramp_epochs"])
        self.kd_temperature = float(config["kd_temperature"])
        self.kd_detach_teacher: bool = config["kd_detach_teacher"]
        self.TARGET_SEQ = "target_" + self.ITEM_SEQ

        sources = ([ID] if config["use_id"] else []) + list(features)
        self.source_embedding = nn.ModuleDict(
            {
                name: SourceEmbedding(table, self.hidden_size, int(config["feature_whitening"]))
                for name, table in features.items()
            }
        )
        self.item_encoder = ITEM_ENCODERS[config["item_encoder"]](config, sources)
        self.branches = self.item_encoder.branches
        self.user_encoder = UserEncoder(
            USER_ENCODERS[config["user_encoder"]](self.branches),
            partial(SEQUENCE_ENCODERS[config["sequence_encoder"]], config),
        )
        self.source_dropout = SourceDropout(float(config["source_dropout_prob"]))
        self.repeat_bias = RepeatBias(self.max_seq_length) if config["repeat_bias"] else None
        self.apply(lambda module: init_weights(module, config["initializer_range"]))
        self.item_encoder.start()
        self.user_encoder.start()
        # Items that are no target in training: their IDs say nothing, and they are no negatives,
        # or else the modal branches would learn that what is new is never wanted. The counts are
        # part of what was learned: a checkpoint keeps them when the data has grown.
        target = dataset.inter_feat[self.POS_ITEM_ID]
        self.register_buffer("train_count", torch.bincount(target, minlength=self.n_items))
        self.register_buffer(
            "_trained_items", self.train_count.nonzero().flatten(), persistent=False
        )
        if config["use_id"]:
            self.id_embedding = nn.Embedding(self.n_items, self.hidden_size)
            self._init_id_embedding(config["id_init"], config["initializer_range"])
        self.kd_pairs = parse_pairs(config["kd_pairs"] or [], self.branches)

        # Not persistent: facts about the dataset, not things learned.
        self.register_buffer("_present", self._find_present(), persistent=False)
        self.register_load_state_dict_post_hook(IDMMDistill._see_trained_items)
        self._init_branch_weights(config["branch_weights"])
        # RecBole's trainer never tells a model the epoch, and a run may be resumed: so the model
        # counts its own steps, and keeps the count in its checkpoint.
        self.steps_per_epoch = max(1, dataset.steps_per_epoch(config["train_batch_size"]))
        self.register_buffer("train_steps", torch.zeros((), dtype=torch.long))
        decay = float(config["weight_average"])
        self.weight_average = WeightAverage(self, decay) if decay else None
        parts = [self.source_embedding, self.item_encoder]
        parts += [self.id_embedding] if config["use_id"] else []
        self._item_table = ItemTable(parts, self._build_item_table)
        self._loss_sum: Tensor | float = 0.0  # of each branch and pair, until it is taken
        self._loss_steps = 0
        self._scoring: tuple[int, ...] = tuple(range(len(self.branches)))

    # Building

    @torch.no_grad()
    def _init_id_embedding(self, how: str, std: float) -> None:
        weight = self.id_embedding.weight
        weight.normal_(std=std)
        chosen = [
            embed
            for name, embed in self.source_embedding.items()
            if how in (MEAN, name) and isinstance(embed, SourceEmbedding)
        ]
        if chosen and is_fitting():
            item = torch.arange(self.n_items)
            parts = torch.stack([embed.reduced(item, self.hidden_size) for embed in chosen])
            known = parts.abs().sum(-1) > 0
            mean = parts.sum(0) / known.sum(0).clamp(min=1)[:, None]
            mean *= std / mean[known.any(0)].std().clamp(min=1e-12)
            weight.copy_(torch.where(known.any(0)[:, None], mean, weight))
        weight[0] = 0

    def _init_branch_weights(self, given: str | dict[str, float] | None) -> None:
        """Make the branches' weights: learned ones are a softmax, and begin as equals.

        Their cross entropy is that of the final score times a learned factor: a mean of several
        scores is flatter than any of them, and weights should not have to make up for it. For the
        same reason each source has a factor by which the others make up for it where an item lacks
        it: a score of fewer sources is less of a score, and such items would hardly be ranked high.
        """
        is_learned = given == LEARNED and len(self.branches) > 1
        fixed = given if isinstance(given, dict) else {}
        wanted = torch.tensor([float(fixed.get(name, 1.0)) for name in self.branches])
        self.register_buffer("_fixed_weight", wanted, persistent=False)
        self.weight_logit = nn.Parameter(torch.zeros(len(self.branches))) if is_learned else None
        self.log_sharpness = nn.Parameter(torch.zeros(())) if is_learned else None
        self.log_stand_in = nn.Parameter(torch.zeros(len(self.branches))) if is_learned else None

    def _see_trained_items(self, _: Any = None) -> None:
        """Derive from loaded counts which items training saw."""
        self._trained_items = self.train_count.nonzero().flatten()
        self._present = self._find_present().to(self.train_count.device)

    def _find_present(self) -> Tensor:
        """Whether each item has each branch's source: bool ``[n_branches, n_items]``.

        An ID that was never trained is no source.
        """
        present: dict[str, Tensor] = {
            name: embed.table.present
            for name, embed in self.source_embedding.items()
            if isinstance(embed, SourceEmbedding)
        }
        present[ID] = torch.zeros(self.n_items, dtype=torch.bool)
        present[ID][self._trained_items.cpu()] = True
        always = torch.ones(self.n_items, dtype=torch.bool)
        return torch.stack([present.get(name, always) for name in self.branches])

    def _weights(self, branches: Sequence[int], item: Tensor) -> Tensor:
        """Weights of branches in the score of items, ``[len(branches), n_items]``.

        They sum to 1 over the branches, and are 0 where the item lacks the source: scores of a
        branch have the mean 0 over the items that have its source, so that what an item lacks
        speaks neither for nor against it. The weights of what it has are then multiplied by
        learned factors, one for each source it lacks. But for an item that training never saw its
        other sources stand in for the ID: they sum to the ID's factor times ``new_item_weight``.
        """
        return self._weights_given(
            branches, self._present[list(branches)][:, item], self.new_item_weight
        )

    def _weights_given(
        self, branches: Sequence[int], present: Tensor, new_item_weight: float
    ) -> Tensor:
        """:meth:`_weights` of items with these sources, bool ``[len(branches), n_items]``."""
        learned = self.weight_logit
        wanted = (self._fixed_weight if learned is None else learned.softmax(0))[list(branches)]
        total = wanted.sum()
        wanted = torch.where(total > 0, wanted / total.clamp(min=1e-12), 1 / len(branches))
        weights = wanted[:, None] * present
        log_factor = torch.zeros_like(wanted)
        if self.log_stand_in is not None:
            log_factor = self.log_stand_in[list(branches)]
        weights = weights * (log_factor @ (~present).float()).exp()
        for place, branch in enumerate(branches):
            if self.branches[branch] == ID:
                wanted_sum = log_factor[place].exp() * new_item_weight
                stand_in = weights * (wanted_sum / weights.sum(0).clamp(min=1e-12))
                weights = torch.where(present[place], weights, stand_in)
        return weights

    # Items

    def encode_items(self, item: Tensor) -> Tensor:
        """Encode items: ids ``[n_items]`` to vectors ``[n_branches, n_items, hidden_size]``."""
        inputs = {name: embed(item) for name, embed in self.source_embedding.items()}
        if ID in self.item_encoder.sources:
            token = self.id_embedding(item)[:, None]
            everywhere = torch.ones(token.shape[:2], dtype=torch.bool, device=item.device)
            inputs[ID] = SourceTokens(token, everywhere)
        return self.item_encoder(inputs)

    def _build_item_table(self) -> Tensor:
        """All items' vectors, ``[n_branches, n_items, hidden_size]``."""
        chunks = torch.arange(self.n_items, device=self._present.device).split(8192)
        return torch.cat([self.encode_items(chunk) for chunk in chunks], dim=1)

    def train(self, mode: bool = True) -> IDMMDistill:
        """Switch to training or evaluation (with the average weights); forget the item table."""
        if hasattr(self, "_item_table"):
            self._item_table.drop()
            if self.weight_average is not None:
                self._average_last_step()
                self.weight_average.use(not mode)
        return super().train(mode)

    def _average_last_step(self) -> None:
        """Take the weights into their average that the optimiser made of the last step's loss."""
        average = self.weight_average
        if average is not None and average.n_steps < self.train_steps:
            average.add()

    # Training

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """Loss of a batch of windows, or of RecBole's rows (``train_sequences: prefixes``).

        Parameters
        ----------
        interaction : Interaction
            ``item_id_list`` ``[B, T]`` and ``target_item_id_list`` ``[B, T]``, 0 where a position
            has no target; or RecBole's ``item_id_list``, ``item_length`` and ``item_id``.

        Returns
        -------
        tuple of Tensor
            Cross entropy, and distillation times its weight at this step. RecBole logs each and
            minimises the sum.
        """
        item_seq, target_seq = self._item_and_target(interaction)
        positions = find_positions(target_seq)
        n_candidates, item, index = self._items_of_step(item_seq, positions.target)
        vectors = self.encode_items(item)
        user = self._user_states(self.source_dropout(vectors), index[item_seq], positions)
        candidates = item[:n_candidates]
        present = self._present[:, candidates]
        sampling = self._sampling(item_seq, target_seq, positions, candidates, index)
        counts = present.float()
        if "log_q" in sampling:  # so that the sample's mean is that of the catalogue
            counts = counts * (-sampling["log_q"]).exp()
        weight = self._weights(range(len(self.branches)), candidates)
        if self.log_sharpness is not None:
            weight = weight * self.log_sharpness.exp()
        own = None
        if self.repeat_bias is not None:
            own = self.repeat_bias.own(
                item_seq, positions.row, positions.position, index, n_candidates
            )
        distillation = self._distillation()
        centred = _centred(vectors[:, :n_candidates], vectors[:, :n_candidates], counts)
        among = Candidates(
            target=index[positions.target], present=present, weight=weight, own=own, **sampling
        )
        # First, for it waits for a GPU, which has little to do yet.
        of_new_items = self._new_item_loss(user, centred, among)
        loss = branch_loss(user, centred, among, distillation, mean_ce_weight=self.mean_ce_weight)
        if self.training:
            self._average_last_step()
            self.train_steps += 1
            self._loss_sum = self._loss_sum + torch.cat([loss.ce, loss.kd])
            self._loss_steps += 1
        # One pass gives the gradient of the sum. All of it hangs on the first term: so the two
        # terms add up to the loss in value and in gradient, and RecBole can log each.
        kd = loss.kd.sum() * distillation.weight
        return loss.total + of_new_items - kd, kd

    def _item_and_target(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """Histories and the next item at each of their positions, ``[B, T]`` each."""
        item_seq = interaction[self.ITEM_SEQ]
        if self.TARGET_SEQ in interaction:
            return item_seq, interaction[self.TARGET_SEQ]
        target_seq = torch.zeros_like(item_seq)
        last = interaction[self.ITEM_SEQ_LEN] - 1
        target_seq.scatter_(1, last[:, None], interaction[self.POS_ITEM_ID][:, None])
        return item_seq, target_seq

    def _items_of_step(self, item_seq: Tensor, target: Tensor) -> tuple[int, Tensor, Tensor]:
        """Choose the items to encode: the candidates first, then what only histories hold.

        Returns
        -------
        n_candidates : int
            How many of the items are candidates.
        item : Tensor
            Distinct item ids, ``[n_encoded]``.
        index : Tensor
            Where an item id stands in ``item``, ``[n_items]``; undefined for those not in it.
        """
        if self.train_candidates == FULL:
            candidates = torch.cat([self._trained_items, target]).unique()
        elif self.train_candidates == IN_BATCH:
            candidates = target.unique()
        else:
            known = self._trained_items
            uniform = torch.randint(len(known), (self.n_negatives,), device=target.device)
            candidates = torch.cat([target, known[uniform]]).unique()
        index = torch.full((self.n_items,), -1, device=target.device)
        index[candidates] = torch.arange(len(candidates), device=target.device)
        read = item_seq.unique()
        item = torch.cat([candidates, read[index[read] < 0]])
        index[item] = torch.arange(len(item), device=target.device)
        return len(candidates), item, index

    def _sampling(
        self,
        item_seq: Tensor,
        target_seq: Tensor,
        positions: Positions,
        candidates: Tensor,
        index: Tensor,
    ) -> dict[str, Tensor]:
        """What the loss must know where the candidates are a sample of the catalogue.

        Their probability of being one, and that a history's own items are no negatives for it
        but those it has read, which are :class:`~.repeats.Own`.
        """
        if self.train_candidates == FULL:
            return {}
        n_uniform = 0 if self.train_candidates == IN_BATCH else self.n_negatives
        log_q = log_inclusion(
            self._popularity(candidates), len(positions.target), n_uniform, len(self._trained_items)
        )
        own = torch.cat([item_seq, target_seq], dim=1)
        place = index[own]
        # Padding and items that are no candidates stand where a target of the row stands.
        no_candidate = (own == 0) | (place >= len(candidates))
        exclude = torch.where(no_candidate, index[target_seq.amax(1)][:, None], place)
        return {"log_q": log_q, "exclude": exclude, "group": positions.row}

    def _popularity(self, item: Tensor) -> Tensor:
        """Share of the training's targets that items are, ``[n]``; never 0."""
        n_targets = self.train_count.sum().clamp(min=1)
        return self.train_count[item].clamp(min=1) / n_targets

    def _user_states(self, vectors: Tensor, place: Tensor, positions: Positions) -> Tensor:
        """States at the predicting positions, ``[n_branches, n_targets, hidden_size]``.

        ``vectors`` ``[n_branches, n_encoded, hidden_size]``; ``place`` ``[B, T]``, where each item
        of a history stands in them.
        """
        branches = range(len(self.branches))
        parts = []
        for group in positions.groups:
            at = group.at_row, group.at_position
            read = place[group.row, : group.seq_len]
            parts.append(self.user_encoder(vectors, read, at, branches))
        return torch.cat(parts, dim=1)

    def _new_item_loss(self, user: Tensor, item: Tensor, candidates: Candidates) -> Tensor:
        """Teach the ID's factor in :meth:`_weights`: how much an item without its ID is worth.

        Training has no item that it never saw. So some candidates' IDs are hidden from the final
        score of some rows, and its cross entropy says what factor makes up for them best. It is
        beside the point for all else, so its value is 0, its gradient goes to that factor alone,
        and it draws its random numbers apart: the model becomes what it would be without.
        """
        if self.log_stand_in is None or self.log_sharpness is None or ID not in self.branches:
            return user.new_zeros(())
        assert candidates.present is not None
        generator = torch.Generator(user.device).manual_seed(int(self.train_steps))
        draw = partial(torch.rand, generator=generator, device=user.device)
        row = draw(user.size(1)).argsort()[:_ROWS_OF_NEW_ITEM_LOSS]
        number = self.branches.index(ID)
        present = candidates.present.clone()
        present[number] &= draw(present.size(1)) >= _HIDDEN_SHARE
        weight = self._weights_given(range(len(self.branches)), present, 1.0)
        weight = (weight * self.log_sharpness.exp()).detach()
        factor = self.log_stand_in[number]
        factor = (factor - factor.detach()).exp()  # 1, since the weights have its value already
        weight = torch.where(present[number], weight, weight * factor)
        some = replace(candidates.of_rows(row), present=present, weight=weight)
        loss = branch_loss(user.detach()[:, row], item.detach(), some, ce_weight=0.0).total
        return loss - loss.detach()

    def _distillation(self) -> Distillation:
        epoch = self.train_steps.item() / self.steps_per_epoch
        return Distillation(
            self.kd_pairs if self.kd_weight > 0 else (),
            self.kd_weight * ramp(epoch, self.kd_ramp_epochs),
            self.kd_temperature,
            self.kd_detach_teacher,
        )

    def take_statistics(self) -> dict[str, float]:
        """Give the mean losses since the last time: ``loss/<branch>``, ``taught/<pair>``."""
        pairs = self._distillation().pairs
        teachers = (MEAN if teacher is None else self.branches[teacher] for teacher, _ in pairs)
        names = [f"loss/{name}" for name in self.branches]
        names += [f"taught/{t}-{self.branches[s]}" for t, (_, s) in zip(teachers, pairs)]
        total, n_steps = self._loss_sum, self._loss_steps
        self._loss_sum, self._loss_steps = 0.0, 0
        return dict(zip(names, (total / n_steps).tolist())) if isinstance(total, Tensor) else {}

    # Prediction

    def branch_scores(self, interaction: Interaction) -> dict[str, Tensor]:
        """Scores of all items by each branch, ``[B, n_items]``; -inf where one has no source."""
        scores = {}
        for name, present in zip(self.branches, self._present):
            with self.scoring_with([name]):
                score = self.full_sort_predict(interaction)
            scores[name] = score.masked_fill(~present, -torch.inf)
            scores[name][:, 0] = -torch.inf
        return scores

    @contextmanager
    def scoring_with(self, branches: Sequence[str]) -> Iterator[None]:
        """Score with these branches alone, for as long as the ``with`` block lasts.

        Parameters
        ----------
        branches : sequence of str
            Some of :attr:`branches`.

        Raises
        ------
        UserError
            A name is none of the model's branches.
        """
        unknown = [name for name in branches if name not in self.branches]
        if unknown or not branches:
            raise UserError(
                f"The model cannot score with branches {list(branches)!r}.",
                f"Choose from {', '.join(self.branches)}.",
            )
        before = self._scoring
        self._scoring = tuple(self.branches.index(name) for name in branches)
        try:
            yield
        finally:
            self._scoring = before

    def score_table(self) -> Tensor:
        """All items' vectors of the scoring branches side by side, times the branches' shares.

        One search in this table finds what the branches' weighted mean score would, but for the
        bias of the history's own items.

        Returns
        -------
        Tensor
            ``[n_items, n_scoring * hidden_size]``.
        """
        chosen, trained = list(self._scoring), self._trained_items
        vectors = self._item_table.get()[chosen]
        counts = self._present[chosen][:, trained].float()
        centred = _centred(vectors, vectors[:, trained], counts)
        everything = torch.arange(self.n_items, device=trained.device)
        weighted = centred * self._weights(chosen, everything)[..., None]
        return weighted.transpose(0, 1).flatten(1)

    def forward(self, item_seq: Tensor, item_seq_len: Tensor) -> Tensor:
        """User states of the scoring branches side by side.

        Of a history longer than ``MAX_ITEM_LIST_LENGTH`` the last items are read. The state of an
        empty one is 0, so that all items have the score 0: nothing is known of the user.

        Parameters
        ----------
        item_seq : Tensor
            Histories, ``[B, T]``, 0 = padding on the right.
        item_seq_len : Tensor
            ``[B]``, from 0 to T.

        Returns
        -------
        Tensor
            ``[B, n_scoring * hidden_size]``.

        Raises
        ------
        UserError
            A length is below 0 or beyond T.
        """
        item_seq, item_seq_len = last_items(item_seq, item_seq_len, self.max_seq_length)
        row = torch.arange(len(item_seq), device=item_seq.device)
        last = row, (item_seq_len - 1).clamp(min=0)
        states = self.user_encoder(self._item_table.get(), item_seq, last, self._scoring)
        states = states.masked_fill((item_seq_len == 0)[:, None], 0)
        return states.transpose(0, 1).flatten(1)

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items, ``[B, n_items]``; histories of any length, see :meth:`forward`."""
        item_seq, length = self._histories(interaction)
        scores = self.forward(item_seq, length) @ self.score_table().T
        if self.repeat_bias is not None:
            scores.scatter_add_(1, item_seq, self._own_bias(item_seq, length).to(scores.dtype))
        return scores

    def predict(self, interaction: Interaction) -> Tensor:
        """Scores of one item for each row, ``[B]``; histories of any length."""
        item_seq, length = self._histories(interaction)
        item = interaction[self.ITEM_ID]
        score = (self.forward(item_seq, length) * self.score_table()[item]).sum(-1)
        if self.repeat_bias is not None:
            own = self._own_bias(item_seq, length)
            score = score + own.masked_fill(item_seq != item[:, None], 0).sum(-1)
        return score

    def _histories(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """What scores are made of: the last items of each history, and their number."""
        item_seq, length = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        return last_items(item_seq, length, self.max_seq_length)

    def _own_bias(self, item_seq: Tensor, item_seq_len: Tensor) -> Tensor:
        """What the final score of each item of a history gets on top, ``[B, T]``; once for each.

        The bias is part of a branch's score, and so takes part by the branches' shares.
        """
        assert self.repeat_bias is not None
        row = torch.arange(len(item_seq), device=item_seq.device)
        bias, _ = self.repeat_bias(item_seq, row, item_seq_len - 1)
        share = self._weights(self._scoring, item_seq.flatten()).sum(0)
        return bias * share.view(bias.shape)


def _centred(vectors: Tensor, among: Tensor, counts: Tensor) -> Tensor:
    """Take the mean of each branch's vectors from them: ``[n_branches, n_items, hidden_size]``.

    A softmax does not feel it, but scores of several branches can then be added up for items
    that lack one. The mean is that of ``among`` ``[n_branches, n_known, hidden_size]``, in which
    an item counts ``counts`` ``[n_branches, n_known]`` times: 0 if it lacks the source.
    """
    share = counts / counts.sum(1, keepdim=True).clamp(min=1e-12)
    return vectors - (share[:, None] @ among)
