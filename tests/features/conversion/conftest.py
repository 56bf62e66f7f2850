import pytest

from tests.features.conversion.builders import write


@pytest.fixture
def ours(tmp_path):
    return write(tmp_path / "ours.text.safetensors")
