"""A config as the rules see it."""

import pytest


class Config:
    """The fields of a config, as attributes."""

    def __init__(self, **fields):
        vars(self).update(fields)


@pytest.fixture
def new_config():
    return Config
