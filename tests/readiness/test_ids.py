"""The choice of numbers: never one that is somebody else's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hotfoot.readiness.ids import Role, choose

HOSTS = ("n1", "n2", "n3")


def _roles(numbers: dict[str, dict[str, int]], *names: str, **declared: int) -> list[Role]:
    return [
        Role(
            key=name,
            names={host: name for host, each in numbers.items() if name in each},
            declared=declared.get(name),
        )
        for name in names
    ]


def _chosen(numbers: dict[str, dict[str, int]], **declared: int) -> dict[str, int | None]:
    roles = _roles(numbers, "nova", "qemu", **declared)
    return {key: choice.number for key, choice in choose(roles, numbers).items()}


def test_what_all_agree_on_stays() -> None:
    numbers = {host: {"nova": 108, "qemu": 64055, "root": 0} for host in HOSTS}
    assert _chosen(numbers) == {"nova": 108, "qemu": 64055}


def test_most_hosts_keep_their_number() -> None:
    numbers = {"n1": {"nova": 108}, "n2": {"nova": 110}, "n3": {"nova": 110}}
    assert _chosen(numbers)["nova"] == 110


def test_of_equals_the_one_with_processes_stays() -> None:
    numbers = {"n1": {"nova": 108}, "n2": {"nova": 110}}
    role = Role(key="nova", names={"n1": "nova", "n2": "nova"}, busy=frozenset({"n2"}))
    assert choose([role], numbers)["nova"].number == 110


def test_swapped_numbers_are_both_kept_by_most_hosts() -> None:
    numbers = {
        "n1": {"nova": 110, "qemu": 108},
        "n2": {"nova": 108, "qemu": 110},
        "n3": {"nova": 108, "qemu": 110},
    }
    assert _chosen(numbers) == {"nova": 108, "qemu": 110}


def test_what_all_agree_on_is_not_taken_by_those_who_do_not() -> None:
    numbers = {"n1": {"nova": 109, "qemu": 110}, "n2": {"nova": 110}, "n3": {"nova": 110}}
    assert _chosen(numbers) == {"nova": 109, "qemu": 110}


def test_a_number_that_somebody_else_has_on_any_host_is_not_taken() -> None:
    numbers = {"n1": {"nova": 108}, "n2": {"nova": 108}, "n3": {"nova": 109, "backup": 108}}
    assert _chosen(numbers)["nova"] == 109


def test_a_free_number_is_found_where_none_of_the_own_will_do() -> None:
    numbers = {"n1": {"nova": 108, "a": 109}, "n2": {"nova": 109, "b": 108}}
    number = _chosen(numbers)["nova"]
    assert number is not None
    assert 100 <= number <= 999


def test_a_declared_number_that_is_taken_is_refused_with_the_owner() -> None:
    numbers = {"n1": {"nova": 108}, "n2": {"nova": 108, "backup": 500}}
    choice = choose(_roles(numbers, "nova", nova=500), numbers)["nova"]
    assert choice.number is None
    assert choice.taken == {"n2": "backup"}


def test_a_declared_number_that_another_role_gives_up_is_taken() -> None:
    numbers = {"n1": {"nova": 108, "qemu": 109}, "n2": {"nova": 108, "qemu": 109}}
    assert _chosen(numbers, nova=109, qemu=108) == {"nova": 109, "qemu": 108}


def test_root_s_number_is_never_chosen() -> None:
    numbers = {"n1": {"nova": 0}, "n2": {"nova": 110}}
    assert _chosen(numbers)["nova"] == 110


_NAMES = ("nova", "qemu", "a", "b", "c")
_TABLES = st.dictionaries(
    st.sampled_from(HOSTS),
    st.dictionaries(st.sampled_from(_NAMES), st.integers(0, 6).map(lambda number: number and 99 + number), max_size=5),
    min_size=1,
)


@given(_TABLES)
def test_a_new_number_is_free_on_all_hosts_or_given_up_there(numbers: dict[str, dict[str, int]]) -> None:
    roles = _roles(numbers, "nova", "qemu")
    chosen = choose(roles, numbers)
    assert chosen == choose(roles, numbers)
    found = [choice.number for choice in chosen.values() if choice.number is not None]
    assert len(found) == len(set(found))
    for role in roles:
        number = chosen[role.key].number
        now = {numbers[host][name] for host, name in role.names.items()}
        if now == {number}:
            continue  # it stays
        for names in numbers.values():
            assert not [name for name, each in names.items() if each == number and name not in ("nova", "qemu")]
