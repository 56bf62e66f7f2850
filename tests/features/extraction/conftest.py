"""Tiny encoders, made once."""

import pytest

from tests.features.extraction.builders import tiny_bert, tiny_clip, tiny_vit


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def vit(tmp_path_factory):
    return tiny_vit(tmp_path_factory.mktemp("vit") / "vit.safetensors")
