import pytest
import torch

from recbole_mmdistill.model import SEQUENCE_ENCODERS
from recbole_mmdistill.model.build import keyword_arguments
from tests.model.builders import config
from tests.model.contracts import SequenceEncoderContract


def build(name, **options):
    torch.manual_seed(0)
    arguments = keyword_arguments(SEQUENCE_ENCODERS, name, config(**options), max_length=6)
    return SEQUENCE_ENCODERS[name](**arguments)


class TestEverySequenceEncoder(SequenceEncoderContract):
    @pytest.fixture(params=sorted(SEQUENCE_ENCODERS))
    def encoder(self, request):
        return build(request.param).eval()


def test_dropout_only_in_training():
    encoder = build("sasrec", hidden_dropout_prob=0.5, attn_dropout_prob=0.5)
    history = torch.randn(2, 6, 8)
    assert not torch.equal(encoder(history), encoder(history))
    encoder.eval()
    assert torch.equal(encoder(history), encoder(history))
