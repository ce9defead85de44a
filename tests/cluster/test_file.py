# ruff: noqa: E501
from __future__ import annotations

import json
import os
import re
from dataclasses import FrozenInstanceError
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.cluster import load
from hotfoot.cluster.validation import cluster_from
from hotfoot.errors import ExitStatus, HotfootError

HOSTS = "hosts: [{name: n1, address: 10.77.0.11}]\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "hotfoot.yaml"
    path.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
    return path


def mistakes(folder: Path, text: str | bytes) -> list[str]:
    write(folder, text)
    with pytest.raises(HotfootError) as caught:
        load(None, folder)
    assert caught.value.status is ExitStatus.USAGE
    return str(caught.value).splitlines()


def test_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "ssh").mkdir()
    for name, mode in (("id", 0o600), ("known_hosts", 0o644)):
        (tmp_path / "ssh" / name).touch(mode)
    (tmp_path / "pki").mkdir()
    for name in ("cacert.pem", "clientcert.pem", "clientkey.pem"):
        (tmp_path / "pki" / name).touch()
    path = write(
        tmp_path,
        """\
        name: lab
        ssh: {user: root, port: 22, key: ssh/id, known_hosts: ssh/known_hosts, sudo: false}
        libvirt: {transport: tls, pki: pki, port: 16514}
        migration: {network: 10.77.0.0/24}
        storage:
          - {path: /var/lib/nova/instances/, type: glusterfs}
        policy: {bandwidth: 800Mbit/s, native_tls: yes, parallel: 4, compress: true, max_downtime_ms: 200}
        hosts:
          - {name: n1, address: 10.77.0.11, migration_address: 10.77.0.111, ssh: {user: admin, sudo: true}}
          - {name: n2, address: 10.77.0.12}
          - {name: n3, address: N3.example.org.}
        """,
    )
    cluster = load(Path("hotfoot.yaml"), tmp_path)
    assert cluster == load(path, Path("/")) == load(None, tmp_path)
    n1, n2, n3 = cluster.hosts
    assert cluster.libvirt.pki == tmp_path / "pki"
    assert (cluster.ssh_of(n1).user, cluster.ssh_of(n1).sudo, cluster.ssh_of(n1).port) == ("admin", True, 22)
    assert cluster.ssh_of(n1).key == cluster.ssh_of(n2).key == tmp_path / "ssh" / "id"
    assert (cluster.ssh_of(n2).user, cluster.ssh_of(n2).sudo) == ("root", False)
    assert [cluster.migration_address_of(host) for host in (n1, n2, n3)] == [
        "10.77.0.111",
        "10.77.0.12",
        None,
    ]
    assert cluster.policy.bandwidth_bytes_per_s == 100_000_000
    assert cluster.policy.native_tls is True
    assert [(s.path, s.shared) for s in cluster.storage] == [("/var/lib/nova/instances", True)]
    assert n3.address == "n3.example.org"


def test_the_least_file(tmp_path: Path) -> None:
    write(tmp_path, HOSTS)
    cluster = load(None, tmp_path)
    assert cluster.libvirt.transport == "tls"
    assert cluster.ssh_of(cluster.host("n1")).user is None
    assert cluster.migration_address_of(cluster.host("n1")) is None
    with pytest.raises(FrozenInstanceError):
        cluster.hosts[0].name = "n2"  # type: ignore[misc]


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    write(
        tmp_path,
        """\
        ssh: &access {user: admin, port: 2222}
        hosts:
          - {name: n1, address: 10.0.0.1, ssh: *access}
          - name: n2
            address: 10.0.0.2
            ssh: {<<: *access, port: 22}
        """,
    )
    cluster = load(None, tmp_path)
    assert (cluster.ssh_of(cluster.host("n2")).user, cluster.ssh_of(cluster.host("n2")).port) == ("admin", 22)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ['1: the file is empty; it needs at least the key "hosts".']),
        ("# only a comment\n", ['1: the file is empty; it needs at least the key "hosts".']),
        ("just words", ['1: the file must hold keys such as "hosts:", not "just words".']),
        ("name: lab\n", ['1: the file lacks the key "hosts".']),
        ("hosts: []\n", ["1: hosts needs at least one entry."]),
        ("\nhosts:\n", ["2: hosts has no value."]),
        ("hosts: {n1: {}}\n", ['1: hosts must be a list, each entry after "- ", not a group of keys.']),
        ("hosts: [n1]\n", ['1: host number 1 must be a group of keys ("key: value"), not "n1".']),
        ("hosts:\n- {name: n1}\n", ['2: host n1 lacks the key "address".']),
        ("hosts:\n- {address: n1}\n", ['2: host number 1 lacks the key "name".']),
        (
            "hosts:\n- name: n1\n  address: 10.77\n",
            ["3: host n1: address must be text, not 10.77: put it in quotes."],
        ),
        (
            HOSTS + "libvirt: {transport: ssh}\nmigration: {user: nova}\n",
            [
                "3: migration.user is nova, but with transport ssh the hosts' libvirt logs in itself, as root; "
                "leave the key out."
            ],
        ),
        (
            HOSTS + "controllers: [admin.example.org]\n",
            ['2: controllers entry 1 must be an IP address or a network, not "admin.example.org".'],
        ),
        (
            HOSTS + "controllers: [10.0.0.9, 10.0.0.1/24]\n",
            [
                "2: controllers entry 2 must be the address of a network, not of one host: write 10.0.0.0/24 instead "
                'of "10.0.0.1/24".'
            ],
        ),
        (HOSTS + "polcy: {}\n", ['2: unknown key "polcy"; did you mean "policy"?']),
        (
            HOSTS + "fence: {command: [off, '{name}']}\n",
            ["2: fence.command.1 may have {host} and {address} in it, not {name}."],
        ),
        (HOSTS + "fence: {command: []}\n", ["2: fence.command needs at least one entry."]),
        (
            HOSTS + "Zebra: {}\n",
            [
                '2: unknown key "Zebra"; known here: '
                "name, ssh, libvirt, migration, storage, ceph, iscsi, identity, cpu, policy, policies, policy_of, "
                "rules, balance, journal, fence, controllers, openstack, hosts."
            ],
        ),
        (
            HOSTS + "policy: {bandwith: 1Gbit/s}\n",
            ['2: policy: unknown key "bandwith"; did you mean "bandwidth"?'],
        ),
        (
            HOSTS + "policy:\n  bandwidth: 800\n",
            ["3: policy.bandwidth must be a rate with its unit, such as 800Mbit/s or 1Gbit/s or 100MiB/s."],
        ),
        (
            HOSTS + "policy: {bandwidth: 1kbit/s}\n",
            ["2: policy.bandwidth must be at least 1Mbit/s; leave the key out for no limit."],
        ),
        (HOSTS + "policy: {parallel: many}\n", ['2: policy.parallel must be a whole number, not "many".']),
        (HOSTS + "policy: {parallel: true}\n", ["2: policy.parallel must be a whole number, not true."]),
        (HOSTS + "policy: {parallel: 256}\n", ["2: policy.parallel must be at most 255, not 256."]),
        (HOSTS + "policy: {max_downtime_ms: 0}\n", ["2: policy.max_downtime_ms must be at least 1, not 0."]),
        (
            HOSTS + "policy: {deadline: 10}\n",
            ["2: policy.deadline must be a duration with its unit, such as 500ms or 90s or 10m or 2h."],
        ),
        (
            HOSTS + "policy: {base: gentel}\n",
            ["2: policy.base must name one of gentle, balanced, must-finish, large-memory, not gentel."],
        ),
        (
            HOSTS + "policies: [{name: gentle}]\n",
            ["2: there is a built-in policy named gentle."],
        ),
        (
            HOSTS + "policies: [{name: night}]\npolicy_of: {vm1: nigth}\n",
            ["3: policy_of.vm1 must name one of gentle, balanced, must-finish, large-memory, night, not nigth."],
        ),
        (
            HOSTS + "policy: {steps: [throttle, postcopy]}\n",
            [
                '2: policy.steps.1 must be downtime-limit, throttle, post-copy or pause, not "postcopy"; '
                "did you mean post-copy?"
            ],
        ),
        (HOSTS + "policy: {compress: 3}\n", ["2: policy.compress must be true or false, not 3."]),
        (HOSTS + "ssh: {port: 70000}\n", ["2: ssh.port must be at most 65535, not 70000."]),
        (
            HOSTS + "ssh: {user: -oProxyCommand=x}\n",
            ['2: ssh.user must be a user name, not "-oProxyCommand=x".'],
        ),
        (
            HOSTS + "libvirt: {transport: tsl}\n",
            ['2: libvirt.transport must be tls, ssh or tcp, not "tsl"; did you mean tls?'],
        ),
        (
            HOSTS + "libvirt: {transport: ssh, port: 22}\n",
            ["2: libvirt.port is only for transport tls and tcp; the port of sshd is ssh.port."],
        ),
        (
            HOSTS + "libvirt:\n  transport: tcp\n  pki: /\n",
            ["4: libvirt.pki is only for transport tls, but the transport is tcp."],
        ),
        (
            HOSTS + "migration: {network: 10.77.0.5/24}\n",
            [
                '2: migration.network must be the address of a network, not of one host: write 10.77.0.0/24 instead of "10.77.0.5/24".'
            ],
        ),
        (
            HOSTS + "storage: [{path: instances, type: nfs}]\n",
            ['2: storage entry 1: path must be an absolute path on the hosts, not "instances".'],
        ),
        (
            HOSTS + "storage:\n- {path: /a, type: nfs}\n- {path: /a/, type: local}\n",
            ["4: storage /a is declared twice, first in line 3."],
        ),
        (HOSTS + "name: a\nname: b\n", ['3: the key "name" is given twice, first in line 2.']),
        (HOSTS + "name: !python/object x\n", ['2: tags such as "!python/object" have no meaning here.']),
        (HOSTS + "? [a, b]\n: c\n", ["2: a key must be plain text."]),
        (
            "hosts: [{name: n1, address: 10.0.0.300}]\n",
            ['1: host n1: address must be an IP address or a DNS name, not "10.0.0.300".'],
        ),
        (
            "hosts: [{name: n1, address: 0.0.0.0}]\n",
            ['1: host n1: address must be an address that other hosts can reach, not "0.0.0.0".'],
        ),
        (
            "hosts: [{name: n 1, address: 10.0.0.3}]\n",
            ['1: host n 1: name must be made of letters, digits, ".", "_" and "-", not "n 1".'],
        ),
    ],
)
def test_one_mistake_one_sentence(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = mistakes(tmp_path, text)
    assert [line.removeprefix("hotfoot.yaml:") for line in found if "there is no" not in line] == expected


def test_all_mistakes_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        """\
        sssh: {}
        libvirt: {transport: tcp, pki: pki}
        migration: {network: 10.77.0.0/24}
        hosts:
          - {name: n1, address: 10.77.0.11}
          - {name: n1, address: 10.77.0.12, migration_address: 10.78.0.1}
          - {name: n3, adress: 10.77.0.13}
          - {name: n4, address: 10.77.0.11, ssh: {port: x}}
          - {name: n5, address: n4}
        """,
    )
    assert found == [
        'hotfoot.yaml:1: unknown key "sssh"; did you mean "ssh"?',
        "hotfoot.yaml:2: libvirt.pki is only for transport tls, but the transport is tcp.",
        "hotfoot.yaml:6: a second host is named n1, as the one in line 5.",
        "hotfoot.yaml:6: host n1: migration_address 10.78.0.1 is outside migration.network 10.77.0.0/24.",
        'hotfoot.yaml:7: host n3 lacks the key "address".',
        'hotfoot.yaml:7: host n3: unknown key "adress"; did you mean "address"?',
        "hotfoot.yaml:8: host n4: address 10.77.0.11 belongs already to host n1 in line 5.",
        'hotfoot.yaml:8: host n4: ssh.port must be a whole number, not "x".',
        "hotfoot.yaml:9: host n5: address n4 is the name of the host in line 8.",
    ]


def test_one_address_in_two_spellings(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "hosts:\n- {name: a, address: 'fd00::1'}\n- {name: b, address: 'FD00:0::1'}\n")
    assert found == ["hotfoot.yaml:3: host b: address fd00::1 belongs already to host a in line 2."]


def test_a_host_may_use_its_own_address_twice_and_its_own_name(tmp_path: Path) -> None:
    write(tmp_path, "hosts: [{name: n1, address: n1, migration_address: n1}]")
    assert load(None, tmp_path).hosts[0].address == "n1"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name: a\n\thosts: []\n", 2, "a tab is used for indentation"),
        ("name: @a\n", 1, "put the text in quotes"),
        ("name: a: b\n", 1, 'a ":" stands where none can'),
        ("name: 'a\nhosts: []\n", 1, "quotation mark that opens here is not closed"),
        ("name: a\nhosts: [{name: n1,\n", 3, "a bracket or brace before it is not closed"),
        ("name: a\nhosts: [{name: n1\n", 2, "bracket or brace that opens here is not closed"),
        ("name: *other\n", 1, "undefined alias 'other'"),
        ("name: a\n---\nname: b\n", 2, "a second document begins here"),
        ("- a\nname: b\n", 2, "check its indentation"),
        ("name: a\nx: \x07\n", 2, "control character"),
        ("a: &a [*a]\n", 1, "levels deep"),
        ("[" * 5000, 1, "nested too deeply"),
        (b"name: \xff\xfe\n", 1, "not text in UTF-8"),
        ("name: lab\n".encode("utf-16"), 1, "not text in UTF-8"),
        (b"\x7fELF\x02\x01\x01" + bytes(200), 1, "control character"),
    ],
)
def test_what_is_no_yaml(tmp_path: Path, text: str | bytes, line: int, words: str) -> None:
    (found,) = mistakes(tmp_path, text)
    assert found.startswith(f"hotfoot.yaml:{line}: ")
    assert words in found


def test_an_alias_bomb_is_refused(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (found,) = mistakes(tmp_path, "\n".join(levels))
    assert "aliases make this file longer than 100000 values" in found


def test_files_that_are_none(tmp_path: Path) -> None:
    for path, words in (
        (
            None,
            f"there is no hotfoot.yaml in {tmp_path}: .*--cluster FILE or HOTFOOT_CLUSTER.*hotfoot lab up",
        ),
        (Path("other.yaml"), "there is no cluster file other.yaml"),
        (tmp_path, "is a folder"),
        (Path("/dev/zero"), "larger than 1 MiB"),
        (tmp_path / ("x" * 300), "cannot be read|there is no"),
    ):
        with pytest.raises(HotfootError, match=words) as caught:
            load(path, tmp_path)
        assert caught.value.status is ExitStatus.USAGE


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_an_unreadable_file(tmp_path: Path) -> None:
    write(tmp_path, HOSTS).chmod(0)
    with pytest.raises(HotfootError, match=r"hotfoot.yaml cannot be read: Permission denied"):
        load(None, tmp_path)


def test_missing_keys_and_certificates(tmp_path: Path) -> None:
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "cacert.pem").touch()
    (tmp_path / "open").touch()
    (tmp_path / "open").chmod(0o644)
    found = mistakes(
        tmp_path,
        """\
        ssh: {key: id, known_hosts: known}
        libvirt: {pki: pki}
        hosts:
          - {name: n1, address: 10.77.0.11, ssh: {key: open}}
        """,
    )
    assert found == [
        f"hotfoot.yaml:1: ssh.key: there is no file {tmp_path}/id.",
        f"hotfoot.yaml:1: ssh.known_hosts: there is no file {tmp_path}/known; `ssh-keyscan ADDRESS` prints "
        "what belongs into it, to be checked.",
        f"hotfoot.yaml:2: libvirt.pki: the folder {tmp_path}/pki has no readable clientcert.pem and no clientkey.pem.",
        f"hotfoot.yaml:4: host n1: ssh.key: others may read {tmp_path}/open, so ssh refuses it: "
        f"`chmod 600 {tmp_path}/open`.",
    ]


def test_an_unknown_host_is_answered_with_near_names() -> None:
    cluster = cluster_from({"hosts": [{"name": "compute1", "address": "a"}, {"name": "x", "address": "b"}]})
    with pytest.raises(HotfootError, match=r'no host "compute2" in cluster cluster; did you mean compute1\?'):
        cluster.host("compute2")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 70000) | st.sampled_from(["n1", "10.0.0.1", "tls", "", "-", "1Gbit/s"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "address",
                    "hosts",
                    "ssh",
                    "libvirt",
                    "port",
                    "transport",
                    "storage",
                    "policy",
                    "path",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["name", "hosts", "ssh", "libvirt", "storage", "migration", "policy"]), _VALUES))
def test_whatever_the_file_holds_it_loads_or_every_line_is_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, object]
) -> None:
    folder = tmp_path_factory.mktemp("cluster")
    write(folder, json.dumps(value, indent=1))  # JSON is YAML
    try:
        load(None, folder)
    except HotfootError as error:
        for line in str(error).splitlines():
            assert re.fullmatch(r"hotfoot\.yaml:[1-9][0-9]*: .+[.?]", line)
            assert "Input should" not in line
            assert "cannot be" not in line


@given(st.text(max_size=200))
def test_any_text_is_answered(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("cluster")
    write(folder, text.encode(errors="replace"))
    with pytest.raises(HotfootError):
        load(None, folder)
