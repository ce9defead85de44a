"""A migration is forecast on real hosts: measured without a trace, told, and kept with the result."""

from __future__ import annotations

from tests.lab.labs import TestLab

from hotfoot.cloud.page_question import answer, looks_s, question


def other_host(lab: TestLab, instance: str) -> str:
    return next(host for host in lab.hosts if host != lab.where(instance))


def test_a_forecast_moves_nothing(lab: TestLab) -> None:
    source, destination = lab.where("vm2"), other_host(lab, "vm2")
    said = lab.run("forecast", "vm2", destination, "--quick", "--json")
    assert said.status == 0, said.err
    told = said.json
    assert (told["source"], told["destination"], told["problem"]) == (source, destination, None)
    for name in ("total_ms", "transferred_bytes", "iterations", "downtime_ms"):
        assert told[f"{name}_low"] <= told[name] <= told[f"{name}_high"]
    assert told["transferred_bytes"] < 256 * 2**20
    assert told["verdict"] in ("converges", "converges with help")
    assert lab.where("vm2") == source


def test_which_pages_change_is_seen_on_the_host(lab: TestLab) -> None:
    source = lab.where("vm2")
    assert source
    lab.lab("instance", "load", "vm2", "--rate", "8", "--area", "16")
    try:
        seen = answer(lab.on(source, "sh", "-c", question("vm2", 256 * 2**20, looks_s(4))))
    finally:
        lab.lab("instance", "load", "vm2", "--rate", "0", "--area", "16")
    assert seen
    assert 16 * 2**20 < seen.used_bytes < 256 * 2**20
    assert 12 * 2**20 < max(point.dirtied_bytes for point in seen.points()) < 24 * 2**20


def test_the_record_keeps_what_was_foretold(lab: TestLab) -> None:
    said = lab.run("migrate", "vm2", other_host(lab, "vm2"), "--json")
    assert said.status == 0, said.err
    assert said.json["forecast"]["total_ms"] > 0
    assert "Forecast: about" in said.err
    lab.verify("vm2")


def test_without_a_forecast_nothing_is_measured(lab: TestLab) -> None:
    said = lab.run("migrate", "vm2", other_host(lab, "vm2"), "--no-forecast", "--json")
    assert said.status == 0, said.err
    assert said.json["forecast"] is None
    assert "orecast" not in said.err


def test_what_cannot_move_is_not_forecast(lab: TestLab) -> None:
    source = lab.where("vm2")
    assert source
    said = lab.run("forecast", "vm2", source, "--json")
    assert said.status == 3
    assert "already on" in said.json["problem"]


def test_a_link_that_carries_nothing_leaves_the_move_without_a_forecast(lab: TestLab) -> None:
    """The ports of migrations are shut: the trial says so, and the nominal speed of the link stands in."""
    destination = other_host(lab, "vm2")
    rule = "nft add table inet shut; nft add chain inet shut in '{ type filter hook input priority 0; }'; "
    lab.on(destination, "sh", "-c", rule + "nft add rule inet shut in tcp dport 49152-49215 reject")
    try:
        assert lab.run("forecast", "vm2", destination, "--quick", "--json").status == 0
    finally:
        lab.on(destination, "nft", "delete", "table", "inet", "shut")
