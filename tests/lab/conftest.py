"""One lab for most lab tests; a machine that cannot run it skips them with the reason, and fails them in CI."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.lab.command import ended
from tests.lab.labs import TestLab, raised
from tests.lab.tree import differences
from tests.lab.workbench import NAME, Bench, listing

from hotfoot.lab import machine, storage


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test below this folder, and skip them all with a reason where a lab cannot run.

    Most of the fault matrix is left out unless ``-m`` names it.
    """
    if "matrix" not in str(config.option.markexpr):
        left_out = [item for item in items if item.get_closest_marker("matrix")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.lab)
    reasons = machine.obstacles() if here else []
    if reasons and os.environ.get("CI"):
        pytest.exit(f"CI must run the lab tests, and this machine cannot: {reasons[0]}", returncode=1)
    for item in here if reasons else []:
        item.add_marker(pytest.mark.skip(reason=f"this machine cannot run a lab: {reasons[0]}"))


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    """No command outlives the test that started it."""
    with ended():
        yield


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where Hotfoot keeps its journal for the tests of a module that ask for this."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def lab() -> Iterator[TestLab]:
    """Three hosts over TLS with shared storage, and two instances, one of them busy."""
    if reason := storage.obstacle("glusterfs"):
        pytest.skip(reason)
    with raised("test", "--hosts", "3", "--instances", "2", "--rate", "20", "--area", "64") as lab:
        yield lab


@pytest.fixture(scope="session")
def block_lab() -> Iterator[TestLab]:
    """Three hosts over SSH with no shared storage, and one busy instance."""
    options = ("--hosts", "3", "--instances", "1", "--transport", "ssh", "--storage", "none", "--rate", "20")
    with raised("block", *options) as lab:
        yield lab


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Two hosts on which plans are carried out."""
    with raised(NAME, "--hosts", "2", "--instances", "0") as lab:
        yield Bench(lab, tmp_path_factory.mktemp("applier"))


@pytest.fixture
async def whole(bench: Bench) -> AsyncIterator[Bench]:
    """The test's runs are taken back at its end, and n1 is then as before."""
    before = listing(bench)
    yield bench
    await bench.all_back()
    assert differences(before, listing(bench)) == []
