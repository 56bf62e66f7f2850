"""Exports that all tests of the service share: to make one takes seconds."""

import pytest

from tests.service.builders import make_exports


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    """A folder with the exports ``one`` and ``two``."""
    folder = tmp_path_factory.mktemp("exports")
    make_exports(folder)
    return folder
