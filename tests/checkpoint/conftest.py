"""What the tests of hostile files share."""

import pytest


@pytest.fixture
def canary(tmp_path):
    """A file that a payload would make; it must not be there in the end."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()
