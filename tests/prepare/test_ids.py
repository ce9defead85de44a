"""Who is in the way of renumbering, and who goes by itself."""

from __future__ import annotations

import pytest

from hotfoot.prepare.on_host.ids import leaves_by_itself


@pytest.mark.parametrize(
    ("name", "unit", "leaves"),
    [
        ("systemd", "init.scope", True),
        ("(sd-pam)", "init.scope", True),
        ("(ystemctl)", "user@511.service", True),  # seen at a logout, before it became systemctl
        ("sleep", "init.scope", False),
        ("sleep", "session-3.scope", False),
        ("qemu-system-x86", "libvirtd.service", False),
        ("sleep", "run-u7.service", False),
    ],
)
def test_only_what_a_user_s_manager_is_made_of_goes_by_itself(name: str, unit: str, leaves: bool) -> None:
    assert leaves_by_itself(name, unit) is leaves
