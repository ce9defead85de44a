"""The CPU added to the text of a cluster file: nothing else changes, whatever its form."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.cluster import load
from hotfoot.cluster.declare_cpu import with_cpu
from hotfoot.cluster.text import read_text, replace_text
from hotfoot.cluster.yaml_lines import read_document
from hotfoot.errors import HotfootError

HOSTS = "hosts:\n  - {name: n1, address: 10.77.0.11}  # the first\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HOSTS, f"{HOSTS}cpu:\n  model: EPYC-Rome\n  features: [aes, -svm]\n"),
        (HOSTS.rstrip("\n"), f"{HOSTS}cpu:\n  model: EPYC-Rome\n  features: [aes, -svm]\n"),
        (HOSTS.replace("\n", "\r\n"), None),
        (f"\ufeff{HOSTS}", None),
        (f"---\n{HOSTS}...\n", f"---\n{HOSTS}cpu:\n  model: EPYC-Rome\n  features: [aes, -svm]\n...\n"),
        (f"cpu: # all of them\n{HOSTS}", f"cpu: {{model: EPYC-Rome, features: [aes, -svm]}} # all of them\n{HOSTS}"),
        (f"cpu: {{}}\n{HOSTS}", f"cpu: {{model: EPYC-Rome, features: [aes, -svm]}}\n{HOSTS}"),
        (
            f"cpu: {{instances: true}} # yes\n{HOSTS}",
            f"cpu: {{model: EPYC-Rome, features: [aes, -svm], instances: true}} # yes\n{HOSTS}",
        ),
        (
            f"cpu:\n    # why\n    instances: true\n\n{HOSTS}",
            f"cpu:\n    # why\n    model: EPYC-Rome\n    features: [aes, -svm]\n    instances: true\n\n{HOSTS}",
        ),
        ("{hosts: [n1]}", "{cpu: {model: EPYC-Rome, features: [aes, -svm]}, hosts: [n1]}"),
    ],
)
def test_only_the_cpu_is_added(text: str, expected: str | None) -> None:
    after = with_cpu(text, "EPYC-Rome", ("aes", "-svm"))
    assert expected is None or after == expected
    before = read_document(text).value
    cpu = {**(before.get("cpu") or {}), "model": "EPYC-Rome", "features": ["aes", "-svm"]}
    assert read_document(after).value == {**before, "cpu": cpu}
    assert ("\r\n" in text) is ("\r\n" in after)
    assert "\n" not in after.replace("\r\n", "") or "\r\n" not in text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"cpu: {{model: EPYC}}\n{HOSTS}", "it has cpu.model already"),
        (f"cpu: {{features: [aes]}}\n{HOSTS}", "it has cpu.features already"),
        (f"x: &x {{instances: true}}\ncpu: *x\n{HOSTS}", "declare the model by hand"),
        (f"cpu: &x {{instances: true}}\nx: *x\n{HOSTS}", "declare the model by hand"),
        (f"cpu: ~\n{HOSTS}", "holds no keys"),
        (f"cpu: [a]\n{HOSTS}", "holds no keys"),
        ("- a\n", "holds no keys"),
        ("a: [\n", "bracket"),
    ],
)
def test_what_cannot_be_added_to_is_left_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        with_cpu(text, "EPYC-Rome", ())


@given(
    st.lists(
        st.sampled_from(["name: rack1\n", "\n", "# a comment\n", "policy: {parallel: 2}\n", "cpu:\n"]), unique=True
    ),
    st.lists(st.from_regex(r"-?[a-z][a-z0-9_.-]{0,12}", fullmatch=True), max_size=60),
)
def test_any_features_come_back_and_every_line_stays(around: list[str], features: list[str]) -> None:
    text = "".join(around) + HOSTS
    after = with_cpu(text, "Skylake-Server-v4", features)
    assert read_document(after).value["cpu"]["features"] == features
    kept = iter(after.splitlines())
    assert all(line in kept for line in text.splitlines() if not line.startswith("cpu:"))


def test_a_model_that_reads_as_a_number_stays_a_name() -> None:
    assert read_document(with_cpu(HOSTS, "486", ())).value["cpu"]["model"] == "486"


def test_what_was_added_is_what_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "hotfoot.yaml"
    file.write_text(HOSTS)
    was = read_text(file)
    replace_text(file, with_cpu(was.text, "EPYC-Rome", ("-svm",)), was.sha256)
    assert (load(file, tmp_path).cpu.model, load(file, tmp_path).cpu.features) == ("EPYC-Rome", ("-svm",))
    assert load(file, tmp_path).cpu.instances is False


def test_a_file_is_replaced_at_once_with_its_mode_and_through_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "hotfoot.yaml"
    real.write_bytes(b"name: a\r\n")
    real.chmod(0o640)
    link.symlink_to("real.yaml")
    replace_text(link, "name: b\r\n", read_text(link).sha256)
    assert link.is_symlink()
    assert real.read_bytes() == b"name: b\r\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hotfoot.yaml", "real.yaml"]


def test_a_file_that_was_changed_meanwhile_is_left(tmp_path: Path) -> None:
    file = tmp_path / "hotfoot.yaml"
    file.write_text("name: a\n")
    was = read_text(file)
    file.write_text("name: mine\n")
    with pytest.raises(HotfootError, match="was changed since it was read"):
        replace_text(file, "name: b\n", was.sha256)
    assert file.read_text() == "name: mine\n"
    assert [path.name for path in tmp_path.iterdir()] == ["hotfoot.yaml"]
