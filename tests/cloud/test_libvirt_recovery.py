"""libvirt's states and reasons of the halves of a post-copy migration, by their numbers in libvirt-domain.h."""

from __future__ import annotations

import pytest

from hotfoot.cloud.libvirt_recovery import post_copy_of
from hotfoot.migration.proof import PostCopy

RUNNING, PAUSED, SHUT_OFF = 1, 3, 5


@pytest.mark.parametrize(
    ("state", "reason", "post_copy"),
    [
        (RUNNING, 10, PostCopy.UNDER_WAY),
        (RUNNING, 11, PostCopy.BROKEN),
        (PAUSED, 12, PostCopy.UNDER_WAY),
        (PAUSED, 13, PostCopy.BROKEN),
        (RUNNING, 2, None),  # migrated
        (PAUSED, 2, None),  # migrating
        (PAUSED, 10, None),  # crashed
        (SHUT_OFF, 4, None),  # migrated
    ],
)
def test_only_the_states_of_post_copy_say_that_the_memory_is_split(
    state: int, reason: int, post_copy: PostCopy | None
) -> None:
    assert post_copy_of(state, reason) is post_copy
