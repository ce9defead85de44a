"""Which hosts look at which others, so that a proof stays affordable on many hosts: pure."""

from __future__ import annotations

from collections.abc import Sequence

Pair = tuple[str, str]
"""(source, destination), or (reader, writer): who looks, and at whom."""

ALL_PAIRS_UP_TO = 12
"""Up to so many hosts each looks at each other: 132 pairs."""
ALL_TOKENS_UP_TO = 50
"""Up to so many hosts each reads each other's token, which is a matter of milliseconds."""
_REFERENCES = 3


def connection_pairs(hosts: Sequence[str]) -> list[Pair]:
    """Return who connects to whom.

    Up to 12 hosts: each to each other. Beyond, a ring with strides: host number i looks at number i + 1, i + 2,
    i + 4, i + 8 ... (round the end). So each host looks at, and is looked at by, the same number k of others
    (k = 4 for 13 hosts, 10 for 1,000), near ones and far ones in the order of the cluster file, and no group of hosts
    is apart from the rest, which stride 1 alone ensures.

    A source's destinations come in the order of their distance from it, so that not all begin with the same one.
    """
    count = len(hosts)
    strides = list(range(1, count))
    if count > ALL_PAIRS_UP_TO:
        strides = [1 << power for power in range(count.bit_length()) if 1 << power < count]
    return [(hosts[i], hosts[(i + stride) % count]) for i in range(count) for stride in strides]


def token_pairs(hosts: Sequence[str]) -> list[Pair]:
    """Return who reads whose token: each each other's up to 50 hosts.

    Beyond, the pairs of ``connection_pairs``, and each host and the first three of the list one another's: hosts that
    see the same token as a third see the same files.
    """
    if len(hosts) <= ALL_TOKENS_UP_TO:
        return [(reader, writer) for reader in hosts for writer in hosts if reader != writer]
    references = hosts[:_REFERENCES]
    star = [pair for host in hosts for each in references if each != host for pair in ((host, each), (each, host))]
    return list(dict.fromkeys([*connection_pairs(hosts), *star]))
