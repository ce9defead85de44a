"""How all tests are run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

# A busy machine makes an example slow, which says nothing about the code.
settings.register_profile("hotfoot", deadline=None)
settings.load_profile("hotfoot")


@pytest.fixture(scope="session", autouse=True)
def _state_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What Hotfoot keeps for its user is kept apart from what it keeps for the one who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
