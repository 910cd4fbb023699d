"""A server that the tests of a file share."""

import pytest


@pytest.fixture(scope="module")
def server():
    from serve.serving import served  # needs the extra 'serve', without which the files skip themselves

    with served() as server:
        yield server
