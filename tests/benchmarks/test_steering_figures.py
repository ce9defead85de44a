from __future__ import annotations

from benchmarks.steering_figures import NOVA, End, as_text, goals, rows

MIB = 2**20


def end(way: str, guest: str, total_ms: int, downtime_ms: int | None = 100, *, waited_out: bool = False) -> End:
    return End(
        way=way,
        guest=guest,
        finished=downtime_ms is not None,
        waited_out=waited_out,
        total_ms=total_ms,
        downtime_ms=downtime_ms,
        sent_bytes=MIB,
        iterations=3,
        actions=(),
        reason=None,
    )


def measured(ends: list[End]) -> dict[str, tuple[float, bool]]:
    return {what: (value, value <= limit) for what, value, limit in goals(ends)}


def test_on_a_guest_that_converges_the_best_of_all_is_the_measure() -> None:
    guest = "converges by itself"
    found = measured([end("hotfoot balanced", guest, 9000), end(NOVA, guest, 6000), end("x", guest, 1, None)])
    assert found[f"{guest}: time of hotfoot balanced to the best of all"] == (1.5, False)
    assert found[f"{guest}: share that hotfoot balanced did not finish"] == (0.0, True)


def test_on_a_guest_that_does_not_nova_is_the_measure() -> None:
    guest = "outruns the link"
    ours, theirs = end("hotfoot balanced", guest, 9000, 500), end(NOVA, guest, 180_000, None, waited_out=True)
    found = measured([ours, theirs])
    assert found[f"{guest}: hotfoot balanced to Nova, time"] == (0.05, True)
    assert found[f"{guest}: hotfoot balanced to Nova, finished by Nova alone"] == (-1.0, True)
    assert f"{guest}: hotfoot balanced to Nova, downtime" not in found
    assert "> 180.0" in as_text([ours, theirs])


def test_what_hotfoot_gave_up_and_nova_finished_is_a_miss() -> None:
    guest = "outruns the link"
    found = measured([end("hotfoot balanced", guest, 10, None), end(NOVA, guest, 100)])
    assert found[f"{guest}: hotfoot balanced to Nova, finished by Nova alone"] == (1.0, False)


def test_rows_are_medians_of_the_rounds() -> None:
    (row,) = rows([end("a", "g", total_ms) for total_ms in (1000, 9000, 2000)])["g"]
    assert (row["total_s"], row["finished"], row["sent_mib"]) == (2.0, 1.0, 1.0)
