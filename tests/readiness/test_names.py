"""Names: what a host's answers and its /etc/hosts come to, and that the edits mend it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hotfoot.cluster import Cluster
from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness import hosts_file
from hotfoot.readiness.edit import apply
from hotfoot.readiness.facts import Facts, HostFacts, NameFact, Text
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.judge import judge
from hotfoot.readiness.names import TOPIC
from hotfoot.readiness.plan import plan

ADDRESSES = {"n1": "10.0.0.1", "n2": "10.0.0.2", "n3": "10.0.0.3"}
RIGHT = "127.0.0.1 localhost\n10.0.0.1 n1\n10.0.0.2 n2\n10.0.0.3 n3\n"


def _cluster(**more: object) -> Cluster:
    hosts = [{"name": name, "address": address} for name, address in ADDRESSES.items()]
    return cluster_from({"hosts": hosts, **more})


def _host(
    name: str, text: str, *, dns: dict[str, str] | None = None, hostname: str = "", addresses: tuple[str, ...] = ()
) -> HostFacts:
    """Return a host that resolves as glibc does with "hosts: files dns"."""
    lines = hosts_file.parse(text)
    resolved = {}
    for each in ADDRESSES:
        from_file = tuple(line.address for line in lines if each in line.names)
        resolved[each] = from_file or tuple(filter(None, [(dns or {}).get(each, "")]))
    return HostFacts(
        host=name,
        names=NameFact(
            hostname=hostname or name, fqdn=name, resolved=resolved, addresses=(ADDRESSES[name], *addresses)
        ),
        files={hosts_file.PATH: Text(path=hosts_file.PATH, exists=True, content=text, mode=0o644, sha256="0")},
    )


def _facts(n1: HostFacts, **texts: str) -> Facts:
    return Facts(hosts=(n1, *(_host(name, texts.get(name, RIGHT)) for name in ("n2", "n3"))))


def _found(facts: Facts, cluster: Cluster | None = None) -> tuple[Finding, ...]:
    return judge(cluster or _cluster(), facts, [TOPIC])


def _codes(facts: Facts, cluster: Cluster | None = None) -> list[tuple[str, str]]:
    return [(finding.code, finding.host) for finding in _found(facts, cluster)]


def _mended(facts: Facts) -> Facts:
    """Return the facts of hosts on which /etc/hosts is what the plan writes."""
    written = {each.host: each.new_text for each in plan(_found(facts), facts).changes}
    return Facts(
        hosts=tuple(_host(host.host, written.get(host.host) or host.text(hosts_file.PATH)) for host in facts.hosts)
    )


def test_hosts_that_find_each_other_are_right() -> None:
    assert _codes(_facts(_host("n1", RIGHT))) == []


def test_a_dns_that_answers_right_needs_no_file() -> None:
    assert _codes(_facts(_host("n1", "127.0.0.1 localhost\n", dns=ADDRESSES))) == []


def test_names_that_do_not_resolve_are_told_together_and_written() -> None:
    facts = _facts(_host("n1", "127.0.0.1 localhost\n10.0.0.1 n1\n"))
    (finding,) = _found(facts)
    assert (finding.code, finding.severity, finding.peer) == ("names.unresolved", Severity.BLOCKS, None)
    assert "n2 and n3" in finding.what
    assert _mended(facts).hosts[0].text(hosts_file.PATH) == RIGHT
    assert _codes(_mended(facts)) == []


def test_debians_own_name_on_loopback_moves_with_its_full_name() -> None:
    text = "127.0.0.1 localhost\n127.0.1.1 n1.example.org n1\n10.0.0.2 n2\n10.0.0.3 n3\n"
    facts = _facts(_host("n1", text))
    (finding,) = _found(facts)
    assert (finding.code, finding.severity) == ("names.own-name-on-loopback", Severity.DANGEROUS)
    assert "127.0.1.1" in finding.evidence
    mended = _mended(facts)
    assert "127.0.0.1 localhost\n10.0.0.1 n1.example.org n1\n10.0.0.2 n2\n" in mended.hosts[0].text(hosts_file.PATH)
    assert _codes(mended) == []


def test_a_full_name_is_kept_where_the_right_line_lacks_it_and_not_said_twice() -> None:
    mended = _mended(_facts(_host("n1", RIGHT + "127.0.1.1 n1.example.org n1\n")))
    assert mended.hosts[0].text(hosts_file.PATH) == f"{RIGHT}10.0.0.1 n1.example.org n1\n"
    full = RIGHT.replace("10.0.0.1 n1", "10.0.0.1 n1.example.org n1")
    mended = _mended(_facts(_host("n1", full + "127.0.1.1 n1.example.org n1\n")))
    assert mended.hosts[0].text(hosts_file.PATH) == full


def test_of_a_silent_host_other_addresses_are_not_called_wrong() -> None:
    facts = Facts(hosts=(_host("n1", RIGHT + "192.168.0.2 n2\n"), _host("n3", RIGHT)))
    assert _codes(facts) == []


def test_other_names_of_a_line_stay_with_its_comment() -> None:
    text = RIGHT.replace("127.0.0.1 localhost\n10.0.0.1 n1\n", "127.0.0.1 localhost n1 me # mine\n")
    mended = _mended(_facts(_host("n1", text)))
    assert mended.hosts[0].text(hosts_file.PATH).splitlines() == [
        "127.0.0.1 localhost me # mine",
        "10.0.0.2 n2",
        "10.0.0.3 n3",
        "10.0.0.1 n1",
    ]


def test_a_name_that_leads_to_another_host_blocks_and_says_to_which() -> None:
    facts = _facts(_host("n1", RIGHT.replace("10.0.0.2 n2", "10.0.0.3 n2")))
    (finding,) = _found(facts)
    assert (finding.code, finding.host, finding.peer) == ("names.wrong-address", "n1", "n2")
    assert "n2 leads to n3" in finding.what
    assert _codes(_mended(facts)) == []


def test_a_peer_on_loopback_blocks() -> None:
    facts = _facts(_host("n1", RIGHT.replace("10.0.0.2 n2", "127.0.0.1 n2")))
    assert _codes(facts) == [("names.peer-on-loopback", "n1")]
    assert _codes(_mended(facts)) == []


def test_two_lines_of_one_name_are_reduced_to_the_right_one() -> None:
    facts = _facts(_host("n1", RIGHT + "10.9.9.9 n2\n"))
    assert _codes(facts) == [("names.wrong-address", "n1")]
    assert _mended(facts).hosts[0].text(hosts_file.PATH) == RIGHT


def test_a_line_that_contradicts_the_answer_is_found_and_taken_out() -> None:
    host = _host("n1", RIGHT)
    text = RIGHT + "10.9.9.9 n2\n"
    facts = _facts(host.model_copy(update={"files": _host("n1", text).files}))
    (found,) = _found(facts)
    assert (found.code, found.severity) == ("names.contradicting-lines", Severity.DANGEROUS)
    assert _mended(facts).by_name["n1"].text(hosts_file.PATH) == RIGHT


def test_another_address_of_the_same_host_is_told_apart_from_a_wrong_one() -> None:
    n1 = _host("n1", RIGHT.replace("10.0.0.2", "192.168.0.2"))
    n2 = _host("n2", RIGHT, addresses=("192.168.0.2",))
    assert _codes(Facts(hosts=(n1, n2, _host("n3", RIGHT)))) == [("names.undeclared-address", "n1")]


def test_ipv6_beside_the_declared_address_is_fine() -> None:
    n1 = _host("n1", RIGHT + "2001:db8::2 n2\n")
    n2 = _host("n2", RIGHT, addresses=("2001:db8::2",))
    assert _codes(Facts(hosts=(n1, n2, _host("n3", RIGHT)))) == []


def test_a_migration_address_is_as_good_as_the_management_address() -> None:
    hosts = enumerate(_cluster().hosts, start=1)
    cluster = replace(_cluster(), hosts=tuple(replace(host, migration_address=f"10.1.0.{n}") for n, host in hosts))
    text = RIGHT.replace("10.0.0.2", "10.1.0.2")
    seen = [_host(name, text, addresses=(f"10.1.0.{n}",)) for n, name in enumerate(ADDRESSES, start=1)]
    assert _codes(Facts(hosts=tuple(seen)), cluster) == []


def test_a_migration_address_that_the_host_lacks_blocks() -> None:
    cluster = _cluster()
    first = replace(cluster.hosts[0], migration_address="10.1.0.1")
    cluster = replace(cluster, hosts=(first, *cluster.hosts[1:]))
    assert _codes(_facts(_host("n1", RIGHT)), cluster) == [("names.address-not-here", "n1")]


def test_a_host_outside_the_migration_network_blocks() -> None:
    cluster = _cluster(migration={"network": "10.1.0.0/24"})
    hosts = [_host(name, RIGHT, addresses=(f"10.1.0.{n}",)) for n, name in enumerate(("n1", "n2"), start=1)]
    facts = Facts(hosts=(*hosts, _host("n3", RIGHT)))
    assert _codes(facts, cluster) == [("names.no-migration-address", "n3")]


def test_an_address_of_another_host_is_found() -> None:
    n3 = _host("n3", RIGHT, addresses=("10.0.0.1",))
    (finding,) = _found(Facts(hosts=(_host("n1", RIGHT), _host("n2", RIGHT), n3)))
    assert (finding.code, finding.host, finding.peer) == ("names.address-on-two-hosts", "n3", "n1")


def test_a_host_that_calls_itself_otherwise_is_found() -> None:
    facts = _facts(_host("n1", RIGHT).model_copy(update={"names": NameFact(hostname="web", fqdn="web")}))
    (finding,) = _found(facts)
    assert (finding.code, finding.severity, finding.changes) == ("names.hostname", Severity.DANGEROUS, ())


def test_a_full_host_name_is_the_same_name() -> None:
    assert _codes(_facts(_host("n1", RIGHT, hostname="n1.example.org"))) == []


def test_localhost_is_no_host_name() -> None:
    names = NameFact(hostname="localhost", fqdn="localhost")
    facts = _facts(_host("n1", RIGHT).model_copy(update={"names": names}))
    assert _codes(facts) == [("names.localhost", "n1")]


def test_two_hosts_of_one_host_name_block() -> None:
    twin = NameFact(hostname="n2", fqdn="n2")
    facts = _facts(_host("n1", RIGHT).model_copy(update={"names": twin}))
    assert ("names.hostname-twice", "n2") in _codes(facts)


def test_dns_names_as_addresses_are_judged_by_what_most_hosts_resolve() -> None:
    cluster = cluster_from({"hosts": [{"name": name, "address": f"{name}.example.org"} for name in ADDRESSES]})
    full = {f"{name}.example.org": (address,) for name, address in ADDRESSES.items()}
    short = {name: (address,) for name, address in ADDRESSES.items()}

    def host(name: str, **other: tuple[str, ...]) -> HostFacts:
        resolved = {**full, **short, **other}
        return HostFacts(host=name, names=NameFact(hostname=name, resolved=resolved, addresses=(ADDRESSES[name],)))

    right = Facts(hosts=tuple(host(name) for name in ADDRESSES))
    assert _codes(right, cluster) == []
    wrong = Facts(hosts=(host("n1", n2=("10.0.0.3",)), host("n2"), host("n3")))
    assert _codes(wrong, cluster) == [("names.wrong-address", "n1")]


def test_what_a_host_could_not_tell_is_not_judged() -> None:
    assert _codes(Facts(hosts=(HostFacts(host="n1"),))) == []


_WORDS = st.sampled_from(["n1", "n2", "n3", "N2", "n1.example.org", "n2.example.org", "localhost", "other"])
_LINES = st.builds(
    lambda address, names, comment: " ".join([address, *names]) + comment,
    st.sampled_from(["127.0.0.1", "127.0.1.1", "10.0.0.1", "10.0.0.2", "10.0.0.9", "::1", "fe80::1", "# 10.0.0.1"]),
    st.lists(_WORDS, min_size=1, max_size=4),
    st.sampled_from(["", " # a comment"]),
)


@given(st.lists(_LINES, max_size=8))
def test_edits_give_each_name_its_address_and_no_other_and_take_nothing_else(lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    mended = apply(text, hosts_file.edits(text, ADDRESSES))
    after = hosts_file.parse(mended)
    for name, address in ADDRESSES.items():
        assert {line.address for line in after if name in map(str.lower, line.names)} == {address}
    kept = {"localhost", "other"}
    before = {(line.address, name) for line in hosts_file.parse(text) for name in line.names if name in kept}
    assert {(line.address, name) for line in after for name in line.names if name in kept} == before
    assert hosts_file.edits(mended, ADDRESSES) == ()
    assert [line for line in mended.splitlines() if line.startswith("#")] == [
        line for line in text.splitlines() if line.startswith("#")
    ]


TEMPLATE = "/etc/cloud/templates/hosts.debian.tmpl"
TEMPLATE_TEXT = (
    "## template:jinja\n# Your system has configured 'manage_etc_hosts' as True.\n"
    "127.0.1.1 {{fqdn}} {{hostname}}\n127.0.0.1 localhost\n"
)


def _by_cloud_init(text: str, template: str) -> HostFacts:
    n1 = _host("n1", text)
    file = Text(path=TEMPLATE, exists=True, content=template, mode=0o644, sha256="0")
    return n1.model_copy(update={"files": {**n1.files, TEMPLATE: file}})


def test_names_that_cloud_init_would_undo_go_into_its_template_too() -> None:
    written = "# Your system has configured 'manage_etc_hosts' as True.\n127.0.1.1 n1.x n1\n127.0.0.1 localhost\n"
    facts = _facts(_by_cloud_init(written + "10.0.0.2 n2\n10.0.0.3 n3\n", TEMPLATE_TEXT))
    assert {code for code, _ in _codes(facts)} == {"names.own-name-on-loopback", "names.lost-at-boot"}
    texts = {each.step.path: each.new_text or "" for each in plan(_found(facts), facts).changes if each.new_text}  # type: ignore[union-attr]
    assert "{{" not in texts[TEMPLATE]
    after = _by_cloud_init(texts[hosts_file.PATH], texts[TEMPLATE])
    assert _codes(_facts(after)) == []
    rebooted = _host("n1", texts[TEMPLATE])
    assert _codes(_facts(rebooted)) == []
