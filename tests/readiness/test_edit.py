"""Edits change what they name, and not one byte besides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.readiness.edit import Edit, EnsureLine, RemoveKey, RemoveLines, SetKey, apply, value_of

NOVA = """# written by hand
[DEFAULT]
my_ip = 10.0.0.1   # kept as it is

# how guests run
[libvirt]
virt_type=kvm
# the old way
live_migration_flag = VIR_MIGRATE_LIVE, VIR_MIGRATE_TUNNELLED

[vnc]
server_listen: 10.0.0.1
"""

QEMU = """#user = "libvirt-qemu"
cgroup_device_acl = [
    "/dev/null",
    "/dev/full"
]
# end
"""


class TestIniFiles:
    def test_a_new_key_stands_below_the_last_one_of_its_section(self) -> None:
        text = apply(NOVA, [SetKey(section="libvirt", key="cpu_mode", value="custom")])
        assert "VIR_MIGRATE_TUNNELLED\ncpu_mode = custom\n\n[vnc]" in text
        assert text.replace("cpu_mode = custom\n", "") == NOVA

    def test_a_value_is_replaced_where_it_stands(self) -> None:
        text = apply(NOVA, [SetKey(section="vnc", key="server_listen", value="0.0.0.0")])
        assert value_of(text, "server_listen", "vnc") == "0.0.0.0"
        assert text.splitlines()[:-1] == NOVA.splitlines()[:-1]

    def test_a_section_that_is_not_there_is_added(self) -> None:
        text = apply(NOVA, [SetKey(section="image_cache", key="subdirectory_name", value="_base_n1")])
        assert text.startswith(NOVA)
        assert value_of(text, "subdirectory_name", "image_cache") == "_base_n1"

    def test_a_removed_key_leaves_its_neighbours(self) -> None:
        text = apply(NOVA, [RemoveKey(section="libvirt", key="live_migration_flag")])
        assert value_of(text, "live_migration_flag", "libvirt") is None
        assert "virt_type=kvm\n# the old way\n\n[vnc]" in text

    def test_an_option_given_twice_is_understood(self) -> None:
        twice = "[filter]\nname = a\nname = b\n"
        assert apply(twice, [SetKey(section="other", key="x", value="1")]).startswith(twice)

    def test_what_is_no_ini_file_is_refused(self) -> None:
        with pytest.raises(ValueError, match="not an INI file"):
            apply("key without a section = 1\n", [SetKey(section="a", key="b", value="c")])


class TestFilesOfLibvirt:
    def test_a_key_is_set_below_its_commented_example(self) -> None:
        text = apply(QEMU, [SetKey(key="user", value='"qemu"')])
        assert text.startswith('#user = "libvirt-qemu"\nuser = "qemu"\n')

    def test_a_list_over_several_lines_is_one_value(self) -> None:
        text = apply(QEMU, [SetKey(key="cgroup_device_acl", value='[ "/dev/null" ]')])
        assert text == '#user = "libvirt-qemu"\ncgroup_device_acl = [ "/dev/null" ]\n# end\n'
        assert apply(QEMU, [RemoveKey(key="cgroup_device_acl")]) == '#user = "libvirt-qemu"\n# end\n'

    def test_the_last_of_several_settings_counts_and_one_is_left(self) -> None:
        text = "a = 1\nb = 2\na = 3\n"
        assert value_of(text, "a") == "3"
        assert apply(text, [SetKey(key="a", value="3")]) == "a = 3\nb = 2\n"

    def test_a_key_that_begins_like_another_is_not_taken_for_it(self) -> None:
        assert apply("user_x = 1\n", [SetKey(key="user", value="2")]) == "user_x = 1\nuser = 2\n"


class TestLines:
    def test_a_line_is_added_once(self) -> None:
        edit = EnsureLine(line="10.0.0.1 n1")
        assert apply("127.0.0.1 localhost", [edit, edit]) == "127.0.0.1 localhost\n10.0.0.1 n1\n"

    def test_it_takes_the_place_of_what_it_replaces(self) -> None:
        edit = EnsureLine(line="b = 2", instead_of=r"^b\b")
        assert apply("a\nb = 1\nc\nb = 9\n", [edit]) == "a\nb = 2\nc\n"

    def test_lines_are_removed_by_pattern(self) -> None:
        assert apply("127.0.1.1 n1\n10.0.0.1 n1\n", [RemoveLines(matching=r"^127\.0\.1\.1\s")]) == "10.0.0.1 n1\n"


WORDS = st.text("abcdefgh_", min_size=1, max_size=8)
EDITS = st.one_of(
    st.builds(SetKey, section=st.none() | WORDS, key=WORDS, value=WORDS),
    st.builds(RemoveKey, section=WORDS, key=WORDS),
    st.builds(RemoveKey, section=st.none(), key=WORDS),
    st.builds(EnsureLine, line=WORDS.map(lambda word: f"# {word}")),
)
SECTIONS = st.dictionaries(WORDS, st.dictionaries(WORDS, WORDS, max_size=3), max_size=3)


def keys_text(keys: dict[str, str]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in keys.items())


@given(SECTIONS, EDITS)
def test_the_same_edit_again_changes_nothing(sections: dict[str, dict[str, str]], edit: Edit) -> None:
    bare = isinstance(edit, SetKey | RemoveKey) and edit.section is None
    headers = {name: "" if bare else f"[{name}]\n" for name in sections}
    text = "".join(headers[name] + keys_text(keys) for name, keys in sections.items())
    once = apply(text, [edit])
    assert apply(once, [edit]) == once
    if isinstance(edit, SetKey):
        assert value_of(once, edit.key, edit.section) == edit.value
