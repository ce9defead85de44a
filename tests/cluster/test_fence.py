"""How hosts are switched off, as a cluster file says it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cluster.cluster_files import loaded, refused

from hotfoot.cluster import Fence, Host
from hotfoot.cluster.fence import Ipmi, Redfish
from hotfoot.cluster.validation import cluster_json, cluster_schema

HOSTS = "hosts: [{name: n1, address: 10.77.0.11}, {name: n2, address: 'fd00::2'}]\n"
LOGIN = "user: hotfoot, password_file: secret"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "secret").touch(0o600)
    return tmp_path


def test_placeholders_are_filled_inside_words() -> None:
    fence = Fence(command=("fence", "--to", "{host}-bmc.example.org", "-a={address}"))
    assert fence.of("n1", "10.0.0.1").command == ("fence", "--to", "n1-bmc.example.org", "-a=10.0.0.1")


def test_redfish_for_all_hosts(folder: Path) -> None:
    (folder / "ca.pem").touch()
    redfish = (
        f'{{address: "https://{{host}}-bmc:8443/", {LOGIN}, system: "/redfish/v1/Systems/{{host}}", ca_file: ca.pem}}'
    )
    text = f"fence: {{redfish: {redfish}, timeout: 90s}}\n{HOSTS}"
    for cluster in (loaded(folder, text), loaded(folder, text)):  # judged, then remembered
        fence = cluster.fence_of(cluster.host("n2"))
        assert fence is not None
        assert fence.timeout_s == 90
        assert fence.redfish == Redfish(
            address="https://n2-bmc:8443",
            user="hotfoot",
            password_file=folder / "secret",
            system="/redfish/v1/Systems/n2",
            ca_file=folder / "ca.pem",
        )


def test_ipmi_for_all_hosts_and_another_way_for_one(folder: Path) -> None:
    own = "hosts: [{name: n1, address: a, fence: {command: [off]}}, {name: n2, address: b}]\n"
    cluster = loaded(folder, f'fence: {{ipmi: {{address: "bmc-{{address}}", {LOGIN}}}}}\n{own}')
    assert cluster.fence_of(cluster.host("n1")) == Fence(command=("off",))
    ipmi = Ipmi(address="bmc-b", port=623, user="hotfoot", password_file=folder / "secret")
    assert cluster.fence_of(cluster.host("n2")) == Fence(ipmi=ipmi)


def test_an_ipv6_address_is_in_brackets_in_a_url_alone(folder: Path) -> None:
    for way, address, filled in (
        ("redfish", "https://{address}", "https://[fd00::2]"),
        ("ipmi", "{address}", "fd00::2"),
    ):
        cluster = loaded(folder, f'fence: {{{way}: {{address: "{address}", {LOGIN}}}}}\n{HOSTS}')
        fence = cluster.fence_of(cluster.host("n2"))
        assert fence is not None
        assert getattr(fence, way).address == filled


def test_a_fence_is_one_way(folder: Path) -> None:
    redfish = f'redfish: {{address: "https://{{host}}", {LOGIN}}}'
    assert refused(folder, f"fence: {{command: [off], {redfish}}}\n{HOSTS}") == [
        "1: fence cannot have both command and redfish."
    ]
    assert refused(folder, "fence: {timeout: 1m}\n" + HOSTS) == ["1: fence needs one of command, redfish and ipmi."]
    own = "hosts:\n  - {name: n1, address: a}\n  - {name: n2, address: b, fence: {}}\n"
    assert refused(folder, own) == ["3: host n2: fence needs one of command, redfish and ipmi."]


def test_no_bmc_is_that_of_two_hosts(folder: Path) -> None:
    same = (
        "switches the same machine for n2 as for n1: put {host} into its address, or give each host a fence of its own."
    )
    for way, address in (("redfish", "https://bmc"), ("ipmi", "bmc")):
        fence = f'fence: {{{way}: {{address: "{address}", {LOGIN}}}}}'
        assert refused(folder, f"{fence}\n{HOSTS}") == [f"1: fence {same}"]
        assert loaded(folder, f"{fence}\nhosts: [{{name: n1, address: a}}]\n").fence is not None
        own = "".join(f"  - {{name: {name}, address: {name}, {fence}}}\n" for name in ("n1", "n2"))
        assert refused(folder, f"hosts:\n{own}") == [f"3: host n2: fence {same}"]
    system = f'fence: {{redfish: {{address: "https://bmc", {LOGIN}, system: "/redfish/v1/Systems/{{host}}"}}}}\n'
    assert loaded(folder, system + HOSTS).fence is not None


@pytest.mark.parametrize(
    ("fence", "sentence"),
    [
        (
            f"redfish: {{address: 'http://{{host}}', {LOGIN}}}",
            "fence.redfish.address must be https:// and a host, such as https://{host}-bmc.example.org, not "
            '"http://{host}".',
        ),
        (
            f"redfish: {{address: 'https://root:word@bmc', {LOGIN}}}",
            'fence.redfish.address must be without a user: "user" and "password_file" say who logs in.',
        ),
        (
            f"redfish: {{address: 'https://{{name}}', {LOGIN}}}",
            "fence.redfish.address may have {host} and {address} in it, not {name}.",
        ),
        (
            f"redfish: {{address: 'https://{{host}}', system: /redfish/v1/Chassis/1, {LOGIN}}}",
            "fence.redfish.system must be the path of a system, such as /redfish/v1/Systems/1, not "
            '"/redfish/v1/Chassis/1".',
        ),
        (
            f"redfish: {{address: 'https://{{host}}', verify: false, {LOGIN}}}",
            'fence.redfish: unknown key "verify"; known here: address, user, password_file, system, ca_file.',
        ),
        (
            f"ipmi: {{address: 'https://{{host}}', {LOGIN}}}",
            'fence.ipmi.address must be an IP address or a DNS name, such as {host}-bmc.example.org, not "https://{host}".',
        ),
        (
            "ipmi: {address: '{host}', user: abcdefghijklmnopq, password_file: secret}",
            'fence.ipmi.user must be at most 16 characters long, as IPMI has it, not "abcdefghijklmnopq".',
        ),
        ("ipmi: {address: '{host}', user: a}", 'fence.ipmi lacks the key "password_file".'),
        (
            "ipmi: {address: '{host}', user: a, password_file: none}",
            "fence.ipmi.password_file: there is no file {folder}/none.",
        ),
        (
            "redfish: {address: 'https://{host}', user: a, password_file: open}",
            "fence.redfish.password_file: others may read {folder}/open, which holds a secret: "
            "`chmod 600 {folder}/open`.",
        ),
        (
            f"redfish: {{address: 'https://{{host}}', ca_file: none, {LOGIN}}}",
            "fence.redfish.ca_file: there is no file {folder}/none.",
        ),
    ],
)
def test_one_mistake_one_sentence(folder: Path, fence: str, sentence: str) -> None:
    (folder / "open").touch()
    (folder / "open").chmod(0o644)
    assert refused(folder, f"fence: {{{fence}}}\n{HOSTS}") == [f"1: {sentence.replace('{folder}', str(folder))}"]


def test_what_is_wrong_with_the_file_of_one_host_names_the_host(folder: Path) -> None:
    own = "hosts: [{name: n1, address: a, fence: {ipmi: {address: bmc, user: a, password_file: none}}}]\n"
    assert refused(folder, own) == [f"1: host n1: fence.ipmi.password_file: there is no file {folder}/none."]


def test_the_schema_says_that_it_is_one_way() -> None:
    fence = cluster_schema()["$defs"]["Fence"]
    assert fence["oneOf"] == [{"required": ["command"]}, {"required": ["redfish"]}, {"required": ["ipmi"]}]


def test_what_is_shown_of_a_cluster_has_the_file_of_the_password_alone(folder: Path) -> None:
    (folder / "secret").write_text("blue horse 7\n")
    cluster = loaded(folder, f"fence: {{ipmi: {{address: '{{host}}', {LOGIN}}}}}\n{HOSTS}")
    shown = json.loads(cluster_json(cluster))
    assert shown["fence"]["ipmi"]["password_file"] == str(folder / "secret")
    assert "blue horse 7" not in cluster_json(cluster) + repr(cluster)
    assert Host(name="n1", address="a").fence is None
