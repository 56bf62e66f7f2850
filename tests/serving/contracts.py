"""What every adapter of a model must do, as a class of tests that those of an adapter inherit."""

import numpy as np
import pytest
import torch

from recbole_mmdistill.serving.models import adapt
from tests.serving.builders import predict

HISTORIES = [[3, 1, 4, 1], [5], [9, 2, 6, 5, 3, 5, 8, 9, 7, 10]]


class ScoringModelContract:
    """Needs the fixture ``model``: of RecBole, histories up to 10 items, in evaluation mode."""

    def test_states_times_vectors_and_repeats_are_the_models_own_scores(self, model):
        adapter = adapt(model, "it")
        scores = self._states(adapter, HISTORIES) @ adapter.table(adapter.branches).T
        bias, weight = adapter.repeat_bias(), adapter.weights(adapter.branches).sum(0)
        if bias is not None:
            for row, history in enumerate(HISTORIES):
                for item in set(history):
                    distance = history[::-1].index(item)
                    scores[row, item] += bias[distance] * weight[item]
        expected = predict(model, HISTORIES)
        np.testing.assert_allclose(scores[:, 1:], expected[:, 1:], atol=1e-5)

    def test_widths_are_those_of_the_branches_parts(self, model):
        adapter = adapt(model, "it")
        whole = adapter.table(adapter.branches)
        assert whole.shape == (model.n_items, sum(adapter.widths(adapter.branches)))
        assert self._states(adapter, HISTORIES).shape[1] == whole.shape[1]

    def test_a_history_alone_has_the_state_that_it_has_among_others(self, model):
        adapter = adapt(model, "it")
        alone = torch.cat([self._states(adapter, [history]) for history in HISTORIES])
        torch.testing.assert_close(self._states(adapter, HISTORIES), alone, atol=1e-5, rtol=1e-5)

    def test_a_bias_for_every_distance(self, model):
        bias = adapt(model, "it").repeat_bias()
        assert bias is None or bias.shape == (model.max_seq_length,)

    @pytest.mark.parametrize("n_branches", [1, None])
    def test_the_reader_reads_the_items_vectors(self, model, n_branches):
        adapter = adapt(model, "it")
        branches = adapter.branches[:n_branches]
        read = adapter.read_vectors(branches)
        item_seq, length = self._read(HISTORIES)
        states = adapter.reader(branches)(read[item_seq], length)
        expected = adapter.user_states(item_seq, length, branches)
        torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-5)

    def _states(self, adapter, histories):
        return adapter.user_states(*self._read(histories), adapter.branches)

    @staticmethod
    def _read(histories):
        pad = torch.nn.utils.rnn.pad_sequence
        item_seq = pad([torch.tensor(history) for history in histories], batch_first=True)
        length = torch.tensor([len(history) for history in histories])
        return item_seq, length
