import pytest

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.serving.models import adapt
from tests.serving.builders import MODELS, save_checkpoint, write_files
from tests.serving.contracts import ScoringModelContract


class TestEveryModel(ScoringModelContract):
    @pytest.fixture(params=MODELS)
    def model(self, request):
        write_files()
        return save_checkpoint(request.param)[1]


def test_another_model_is_named():
    with pytest.raises(UserError, match=r"old\.pth is a model dict, .* IDMMDistill, ODMT, SASRec"):
        adapt({}, "old.pth")
