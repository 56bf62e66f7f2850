"""IDMMDistill: the ID-aware multi-modal transformer with online distillation, in RecBole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor

from ..data.parts import TARGET_POSITION, TARGET_ROW
from ..errors import UserError
from . import device
from .averaging import WeightAverage, left_by_decay
from .build import build_network, build_objective, build_sampler, start_of_ids
from .by_histories import resolve_by_histories
from .candidates import Catalogue
from .earlier import stack_branches
from .item_encoder import ID
from .options import check_options
from .positions import Positions, find_positions, last_items, positions_at
from .recorded import RecordedSteps
from .rows import RowEmbedding
from .scoring import Scorer, ScorerCache
from .widths import BranchTensor


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
       items; the final score is their weighted mean (:class:`.combine.Combination`). An item that
       the history holds gets a learned bias in every branch (``repeat_bias``).
    4. Every position of a history predicts its next item, in every branch, and the branches are
       distilled into one another (``losses``, ``kd_*``, section 3.4).
    5. Evaluation reads a running average of the weights (``weight_average``) and all items'
       vectors, computed once; neither changes the weights that are trained.

    In evaluation mode a change of the weights by hand is seen by the next prediction, but what is
    changed must be what is read: with ``weight_average`` these are the averages. A change through
    ``.data`` is not seen, see :class:`.scoring.ScorerCache`.

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
    network : Network
        All that is trained.
    objective : Objective
        The losses.
    weight_average : WeightAverage or None
        The averages.

    Raises
    ------
    UserError
        An option has no sense, or the dataset is not one that carries features.
    """

    input_type = InputType.POINTWISE
    training_counts = ("train_count",)  # what a checkpoint fills with 0 for new tokens

    train_count: Tensor
    train_steps: Tensor

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        features = getattr(dataset, "item_features", None)
        if features is None:
            raise UserError(
                f"{type(self).__name__} got a {type(dataset).__name__}, which has no features.",
                "Import recbole_mmdistill before RecBole creates the dataset.",
            )
        resolve_by_histories(config, dataset.targets_per_user)
        check_options(config, features)
        self.TARGET_SEQ = "target_" + self.ITEM_SEQ
        self.network = build_network(config, features, self.n_items)
        self.branches = self.network.branches
        self.sampler = build_sampler(config, self.n_items)
        self.objective = build_objective(config, self.branches)
        self._recorded = RecordedSteps(self.network, self.objective, self.sampler)
        self._records_steps = bool(config["cuda_graph"])
        # The counts are part of what was learned, the rest follows from them and the dataset.
        target = dataset.inter_feat[self.POS_ITEM_ID]
        self.register_buffer("train_count", torch.bincount(target, minlength=self.n_items))
        self.register_buffer("_trained_items", torch.empty(0), persistent=False)
        self.register_buffer("_pool", torch.empty(0), persistent=False)
        self.register_buffer("_present", torch.empty(0), persistent=False)
        self.register_buffer("_targets", self.train_count > 0, persistent=False)
        self._derive_from_counts()
        self.register_load_state_dict_pre_hook(stack_branches)
        self.register_load_state_dict_post_hook(lambda model, _: model._read_counts())
        # RecBole's trainer never tells a model the epoch, and a run may be resumed: so the model
        # counts its own steps, and keeps the count in its checkpoint.
        self.steps_per_epoch = max(1, dataset.steps_per_epoch(config["train_batch_size"]))
        self.register_buffer("train_steps", torch.zeros((), dtype=torch.long))
        self._n_steps = 0  # the same number, which the host need not ask a GPU for
        decay = float(config["weight_average"])
        self.weight_average = WeightAverage(self.network, decay) if decay else None
        self.register_state_dict_pre_hook(lambda model, *_: model._complete_average())
        self._scorers = ScorerCache()
        self._scoring: tuple[int, ...] = tuple(range(len(self.branches)))

    def _read_counts(self) -> None:
        self._derive_from_counts()
        self._n_steps = int(self.train_steps)

    def _derive_from_counts(self) -> None:
        """Find the items that training saw, and each branch's items with its source."""
        is_trained = self.train_count > 0
        on = is_trained.device
        present = {name: x.to(on) for name, x in self.network.features_present().items()}
        present[ID] = is_trained  # an ID that was never trained is no source
        always = torch.ones_like(is_trained)
        always[0] = False
        self._trained_items = is_trained.nonzero().flatten()
        self._pool = (is_trained | self._targets).nonzero().flatten()
        self._present = torch.stack([present.get(name, always) for name in self.branches])
        self._recorded.clear()

    @property
    def catalogue(self) -> Catalogue:
        """What the training split says of the items."""
        return Catalogue(self._trained_items, self.train_count, self._present, self._pool)

    # Training

    def train(self, mode: bool = True) -> IDMMDistill:
        """Switch to training or evaluation; what evaluation had computed is dropped."""
        if hasattr(self, "_scorers"):
            self._scorers.drop()
            self._average_last_step()
            self._recorded.look()
        return super().train(mode)

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        """Loss of a batch of windows, or of RecBole's rows (``train_sequences: prefixes``).

        In training mode it changes two things: the step counter, and the running average, which
        takes in the weights that the optimiser made of the step before.

        Parameters
        ----------
        interaction : Interaction
            ``item_id_list`` ``[B, T]`` and ``target_item_id_list`` ``[B, T]``, 0 where a position
            has no target; or RecBole's ``item_id_list``, ``item_length`` and ``item_id``.

        Returns
        -------
        tuple of Tensor
            Cross entropies, distillation, and other losses one by one, each times its weight at
            this step. RecBole logs each and minimises the sum.
        """
        if self.training:
            self._average_last_step()
        item_seq, target_seq, positions = self._item_and_target(interaction)
        step = self._n_steps
        epoch = step / self.steps_per_epoch
        terms: tuple[Tensor, ...] | None = None
        if self._records_steps and self.training:
            terms = self._recorded(item_seq, target_seq, positions, self.catalogue, epoch, step)
        if terms is None:
            scores = self.network.score_step(
                item_seq, target_seq, positions, self.sampler, self.catalogue, epoch, step
            )
            terms = self.objective(scores).terms
        if self.training:
            if self.weight_average is not None:
                self.weight_average.before_change(self.network)
            self._n_steps += 1
            self.train_steps += 1
        return terms

    def _average_last_step(self) -> None:
        average = self.weight_average
        if average is not None and average.taken < self._n_steps:
            average.update(self.network)

    def _complete_average(self) -> None:
        if self.weight_average is not None:
            self.weight_average.complete(self.network)

    def _item_and_target(self, interaction: Interaction) -> tuple[Tensor, Tensor, Positions]:
        """Histories and the next item at each of their positions, ``[B, T]`` each, and where."""
        item_seq = interaction[self.ITEM_SEQ]
        if self.TARGET_SEQ in interaction:
            target_seq = interaction[self.TARGET_SEQ]
            if TARGET_ROW in interaction and not device.on_host(target_seq):
                where = interaction[TARGET_ROW], interaction[TARGET_POSITION]
                return item_seq, target_seq, positions_at(target_seq, *where)
            return item_seq, target_seq, find_positions(target_seq)
        target_seq = torch.zeros_like(item_seq)
        last = interaction[self.ITEM_SEQ_LEN] - 1
        target_seq.scatter_(1, last[:, None], interaction[self.POS_ITEM_ID][:, None])
        if device.on_host(target_seq):
            return item_seq, target_seq, find_positions(target_seq)
        row = torch.arange(len(last), device=last.device)
        return item_seq, target_seq, positions_at(target_seq, row, last)

    def start_items(self, config: Any, first: int) -> None:
        """Let items have the IDs that training would leave them if nobody had chosen them.

        These are those with which it would begin, as far as its weight decay leaves them.

        Parameters
        ----------
        config : recbole.config.Config
            The options.
        first : int
            Number of the first of them; all behind it follow.
        """
        if self.network.id_embedding is None:
            return
        start = start_of_ids(self.network, config)[first:]
        per_step, average = 1.0, self.weight_average
        in_rows = isinstance(self.network.id_embedding, RowEmbedding)
        if config["learner"] in ("adamw", "sgd") and not in_rows:
            rate = config["id_learning_rate"] or config["learning_rate"]
            per_step -= rate * config["weight_decay"]
        left = left_by_decay(
            int(self.train_steps), per_step, 0.0 if average is None else average.decay
        )
        with torch.no_grad():
            self.network.id_embedding.weight[first:] = start * left[0]
            if average is not None:
                average.average_of("id_embedding.weight")[first:] = start * left[1]

    # Prediction

    def encode_items(self, item: Tensor) -> BranchTensor:
        """Encode items: ids ``[n_items]`` to vectors ``[n_branches, n_items, width]``.

        In stacks where the branches' widths differ, see :mod:`.widths`.
        """
        return self.network.encode_items(item)

    @property
    def scorer(self) -> Scorer:
        """What predictions are made with: the averages, except in training mode."""
        return self._scorers.get((*self.parameters(), *self.buffers()), self._make_scorer)

    def _make_scorer(self) -> Scorer:
        network, average = self.network, self.weight_average
        if average is not None and average.taken > 0 and not self.training:
            network = average.averaged(network)
        return Scorer(network, self.catalogue)

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
        """All items' vectors of the scoring branches side by side, times the branches' weights.

        One search in this table finds what the branches' weighted mean score would, but for the
        bias of the history's own items.

        Returns
        -------
        Tensor
            ``[n_items, sum of the scoring branches' widths]``.
        """
        return self.scorer.table(self._scoring)

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
            ``[B, sum of the scoring branches' widths]``.

        Raises
        ------
        UserError
            A length is below 0 or beyond T.
        """
        item_seq, item_seq_len = last_items(item_seq, item_seq_len, self.max_seq_length)
        return self.scorer.user_states(item_seq, item_seq_len, self._scoring)

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items, ``[B, n_items]``; histories of any length, see :meth:`forward`."""
        item_seq, length = self._histories(interaction)
        scorer, chosen = self.scorer, self._scoring
        scores = scorer.user_states(item_seq, length, chosen) @ scorer.table(chosen).T
        bias = scorer.repeat_bias(item_seq, length, chosen)
        if bias is not None:
            scores.scatter_add_(1, item_seq, bias.to(scores.dtype))
        return scores

    def predict(self, interaction: Interaction) -> Tensor:
        """Scores of one item for each row, ``[B]``; histories of any length."""
        item_seq, length = self._histories(interaction)
        item = interaction[self.ITEM_ID]
        scorer, chosen = self.scorer, self._scoring
        score = (scorer.user_states(item_seq, length, chosen) * scorer.table(chosen)[item]).sum(-1)
        bias = scorer.repeat_bias(item_seq, length, chosen)
        if bias is not None:
            score = score + bias.masked_fill(item_seq != item[:, None], 0).sum(-1)
        return score

    def _histories(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """What scores are made of: the last items of each history, and their number."""
        item_seq, length = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        return last_items(item_seq, length, self.max_seq_length)
