import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.readiness.libvirt_hosts import recorded

from hotfoot.readiness.libvirt_conf import Value, read
from hotfoot.readiness.libvirt_keys import DAEMON_CONF, QEMU_CONF

NAMES = st.from_regex(r"\A[a-z][a-z0-9_]{0,12}\Z")
TEXTS = st.text(st.characters(blacklist_characters="\"'\n\r", blacklist_categories=("Cs", "Cc")), max_size=20)
SCALARS = st.integers(-(10**6), 10**6) | TEXTS
VALUES = SCALARS | st.lists(SCALARS, max_size=4).map(tuple)


def written(value: Value) -> str:
    if isinstance(value, tuple):
        return "[ " + ",\n  # between\n  ".join(written(each) for each in value) + " ]"
    return str(value) if isinstance(value, int) else f'"{value}"'


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_reads_back_what_is_written(values: dict[str, Value]) -> None:
    text = "# a comment\n\n" + "".join(f"  {name} = {written(value)} # why\n" for name, value in values.items())
    settings = read(text)
    assert settings.problem == ""
    assert dict(settings.values) == values


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    read(text)


def test_the_last_of_two_counts_and_has_its_line() -> None:
    settings = read('user = "root"\n\n# user = "nobody"\nuser = \'qemu\'')
    assert settings.text("user") == "qemu"
    assert settings.lines["user"] == 4


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('vnc_listen "0.0.0.0"\n', 1, '"="'),
        ("user = root\n", 1, "neither a number"),
        ('a = 1\nb = "x" y\n', 2, "comment"),
        ('namespaces = [ "mount"\n', 2, '"," or "]"'),
        ('user = "root\n', 1, "neither a number"),
        ("= 1\n", 1, "name"),
    ],
)
def test_says_what_libvirt_cannot_read(text: str, line: int, said: str) -> None:
    problem = read(text).problem
    assert problem.startswith(f"line {line}: ")
    assert said in problem


@pytest.mark.parametrize(("name", "keys"), [("debian13-qemu.conf", QEMU_CONF), ("debian13-libvirtd.conf", DAEMON_CONF)])
def test_every_example_of_a_real_file_is_known(name: str, keys: dict[str, str]) -> None:
    text = recorded(name)
    assert dict(read(text).values) == {}
    examples = {
        line[1:].partition("=")[0].strip() for line in text.splitlines() if line.startswith("#") and " = " in line[:45]
    }
    settings = {each for each in examples if each.replace("_", "").isalnum() and each.islower() and " " not in each}
    assert len(settings) > 30
    assert settings - set(keys) == set()
