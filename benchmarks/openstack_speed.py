"""``make bench-openstack``: Hotfoot and the `openstack` command on the same real cloud, in the same run, by turns.

Three things: the list of all servers (`hotfoot ls` and `openstack server list --all-projects --long`), the time from
the command to Nova's accepted request, and the whole of a live migration. Prints a table, keeps the figures in
benchmarks/results/openstack-speed.json, and ends with 0 when every goal is met, 1 when one is missed, 2 when nothing
could be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Run as a file, so that Python looks beside it; the benchmark's modules are `benchmarks.*`.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_lab import HOTFOOT, INSTANCE, NAME, raised_lab
from benchmarks.figures import Goal, spread
from benchmarks.keeping import keep
from benchmarks.machine_description import machine_description
from benchmarks.nova_door import NovaDoor, nova_door
from benchmarks.stopping import stop_as_by_ctrl_c
from benchmarks.timed_command import timed
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from hotfoot.errors import HotfootError

LEAST_OF_LIST = 3.0
MOST_OF_REQUEST = 1.0
MOST_OF_MIGRATION = 1.0
_RESULT = "openstack-speed"
_CLIENT = "python-openstackclient"
_MICROVERSION = "2.96"
_OF_MACHINE = ("date", "cpu", "cores", "load_average", "kernel", "python", "hotfoot")
_BATCH = 50
_SETTLED_S = 120.0
_AT_REST_S = 300.0
"""For how long the cloud may go on working after its last server was made, before the lists are timed all the same."""
_UNDER_WAY = ("accepted", "queued", "preparing", "running", "post-migrating")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured, in seconds, one entry per round: ``client`` is the `openstack` command."""

    servers: int
    hosts: int
    list_client_s: tuple[float, ...]
    list_hotfoot_s: tuple[float, ...]
    request_client_s: tuple[float, ...]
    request_hotfoot_s: tuple[float, ...]
    migration_client_s: tuple[float, ...]
    migration_hotfoot_s: tuple[float, ...]


def goals(figures: Figures) -> tuple[Goal, ...]:
    """Judge by the median of the ratios within each round, as what loads the machine loads both."""

    def ratio(over: Sequence[float], under: Sequence[float]) -> float:
        return spread([one / other for one, other in zip(over, under, strict=True)]).median

    listed = ratio(figures.list_client_s, figures.list_hotfoot_s)
    asked = ratio(figures.request_hotfoot_s, figures.request_client_s)
    moved = ratio(figures.migration_hotfoot_s, figures.migration_client_s)
    return (
        Goal(
            what="list of all servers, openstack to hotfoot (median ratio, at least)",
            limit=LEAST_OF_LIST,
            measured=listed,
            met=listed >= LEAST_OF_LIST,
        ),
        Goal(
            what="command to Nova's accepted request, hotfoot to openstack (median ratio)",
            limit=MOST_OF_REQUEST,
            measured=asked,
            met=asked <= MOST_OF_REQUEST,
        ),
        Goal(
            what="whole live migration, hotfoot to openstack --wait (median ratio)",
            limit=MOST_OF_MIGRATION,
            measured=moved,
            met=moved <= MOST_OF_MIGRATION,
        ),
    )


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """The cloud, both commands, and the environment of either."""

    cloud: Connection
    client: str
    environment: Mapping[str, str]
    door: NovaDoor

    def by_hotfoot(self, *words: str) -> list[str]:
        return [HOTFOOT, words[0], "--cloud", "lab", *words[1:]]

    def by_client(self, *words: str) -> list[str]:
        return [self.client, "--os-cloud", "lab", "--os-compute-api-version", _MICROVERSION, *words]

    def host(self) -> str:
        return str(self.cloud.compute.find_server(INSTANCE, ignore_missing=False).compute_host)

    def settle(self) -> None:
        """Wait until Nova has ended the migration, and the instance is as before."""
        uuid = self.cloud.compute.find_server(INSTANCE, ignore_missing=False).id
        end = time.monotonic() + _SETTLED_S
        while time.monotonic() < end:
            server = self.cloud.compute.get_server(uuid)
            records = self.cloud.compute.migrations(instance_uuid=uuid)
            if server.status == "ACTIVE" and not server.task_state and not _any_under_way(records):
                return
            time.sleep(0.5)
        raise HotfootError(f"the migration of {INSTANCE} did not end, or left it in another state.")


def _any_under_way(records: Iterator[Any]) -> bool:
    return any(record.status in _UNDER_WAY for record in records)


@contextmanager
def _client(venv: Path | None) -> Iterator[str]:
    """Give the `openstack` command, of a virtual environment of its own."""
    with tempfile.TemporaryDirectory() as folder:
        if venv is None:
            venv = Path(folder) / "venv"
            _say(f"installing {_CLIENT} into a virtual environment that is removed at the end")
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([venv / "bin" / "pip", "install", "-qq", _CLIENT], check=True)
        yield str(venv / "bin" / "openstack")


@contextmanager
def _lab(cluster: Path | None, fake_hosts: int) -> Iterator[Path]:
    """Give the folder of a lab: that of a cluster file, or of a new one that is removed at the end."""
    if cluster is not None:
        yield cluster.parent
        return
    up = ["--openstack", "--fake-hosts", str(fake_hosts), "--hosts", "2", "--instances", "1", "--memory", "128"]
    with raised_lab([*up, "--rate", "5"]) as told:
        yield Path(told["cluster_file"]).parent


@contextmanager
def _bench(lab: Path, client: str) -> Iterator[_Bench]:
    """Put a door before Nova, and a clouds.yaml that leads both commands through it."""
    own = lab / "clouds.yaml"
    config = OpenStackConfig(config_files=[str(own)], load_envvars=False)
    cloud = Connection(config=config.get_one("lab"))
    behind = urlsplit(str(cloud.compute.get_endpoint()))
    if behind.hostname is None or behind.port is None:
        raise HotfootError(f"the lab's Nova has no address that a door can lead to: {behind.geturl()}.")
    cloud.compute.default_microversion = _MICROVERSION
    with tempfile.TemporaryDirectory() as folder, nova_door(behind.hostname, behind.port, "127.0.0.1") as door:
        entry = {**config.get_one("lab").config}
        file = Path(folder) / "clouds.yaml"
        file.touch(0o600)
        auth = {key: value for key, value in entry["auth"].items() if value is not None}
        cloud_entry = {
            "auth": auth,
            "region_name": entry.get("region_name"),
            "compute_endpoint_override": f"{door.url}{behind.path}",
        }
        file.write_text(json.dumps({"clouds": {"lab": cloud_entry}}))
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "HOTFOOT_"))}
        environment |= {"OS_CLIENT_CONFIG_FILE": str(file), "NO_COLOR": "1"}
        yield _Bench(cloud=cloud, client=client, environment=environment, door=door)


def _fill(cloud: Connection, wanted: int, minutes: float) -> int:
    """Make servers on the hosts of the fake driver until there are enough or the time is over; return how many are."""
    cloud.set_compute_quotas(cloud.current_project.id, instances=-1, cores=-1, ram=-1)
    image = next(iter(cloud.image.images(name=f"lab-{INSTANCE}")), None) or next(iter(cloud.image.images()))
    flavor = cloud.get_flavor("bench") or cloud.create_flavor("bench", 64, 1, 0)
    real = [each for each in cloud.compute.services(binary="nova-compute") if not each.host.startswith("fake")]
    for each in real:
        cloud.compute.disable_service(each, disabled_reason="only the hosts of the fake driver are filled")
    end = time.monotonic() + 60 * minutes
    try:
        while (there := _count(cloud)) < wanted and time.monotonic() < end:
            count = min(_BATCH, wanted - there)
            cloud.compute.create_server(
                name="bench", image_id=image.id, flavor_id=flavor.id, networks="none", min_count=count
            )
            while any(_building(cloud)) and time.monotonic() < end:
                time.sleep(1)
            _say(f"{_count(cloud)} of {wanted} servers")
        while any(_building(cloud)):
            time.sleep(1)
    finally:
        for each in real:
            cloud.compute.enable_service(each)
    return _count(cloud)


def _rest() -> None:
    """Wait until the machine is about idle: else what the benchmark itself has had made is timed with the lists."""
    end = time.monotonic() + _AT_REST_S
    while os.getloadavg()[0] > 1.0 and time.monotonic() < end:
        time.sleep(5)


def _building(cloud: Connection) -> Iterator[Any]:
    found: Iterator[Any] = cloud.compute.servers(details=False, all_projects=True, status="BUILD")
    return found


def _count(cloud: Connection) -> int:
    return sum(1 for _ in cloud.compute.servers(details=False, all_projects=True))


def _lists(bench: _Bench, rounds: int) -> tuple[list[float], list[float]]:
    hotfoot, client = bench.by_hotfoot("ls"), bench.by_client("server", "list", "--all-projects", "--long")
    shown = [len(timed(argv, bench.environment).out.splitlines()) for argv in (hotfoot, client)]
    if min(shown) < _count(bench.cloud):
        raise HotfootError(f"the lists are not of all servers: {shown[0]} and {shown[1]} lines.")
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for way in (0, 1) if number % 2 else (1, 0):
            taken[way].append(timed((client, hotfoot)[way], bench.environment).elapsed_ms / 1000)
        _say(f"list {number + 1} of {rounds}: openstack {taken[0][-1]:.2f} s, hotfoot {taken[1][-1]:.2f} s")
    return taken


def _move(bench: _Bench, *, by_client: bool) -> tuple[float, float]:
    """Move the instance to the other host; return the seconds to the accepted request, and to the command's end."""
    destination = "n2" if bench.host() == "n1" else "n1"
    if by_client:
        argv = bench.by_client("server", "migrate", "--live-migration", "--host", destination, "--wait", INSTANCE)
    else:
        argv = bench.by_hotfoot("migrate", INSTANCE, destination, "--no-forecast", "--json")
    bench.door.accepted_s.clear()
    began_s = time.monotonic()
    timed(argv, bench.environment)
    ended_s = time.monotonic()
    if not bench.door.accepted_s or bench.host() != destination:
        raise HotfootError(f"`{' '.join(argv)}` ended well, and {INSTANCE} is not on {destination}.")
    bench.settle()
    return bench.door.accepted_s[0] - began_s, ended_s - began_s


def _moves(bench: _Bench, pairs: int) -> tuple[tuple[list[float], list[float]], tuple[list[float], list[float]]]:
    """Return the times to the accepted request and the whole times, of the client and of Hotfoot."""
    requests: tuple[list[float], list[float]] = ([], [])
    wholes: tuple[list[float], list[float]] = ([], [])
    for by_client in (True, False):
        _move(bench, by_client=by_client)  # once to warm up
    for number in range(pairs):
        for by_client in (True, False) if number % 2 else (False, True):
            request_s, whole_s = _move(bench, by_client=by_client)
            requests[not by_client].append(request_s)
            wholes[not by_client].append(whole_s)
        _say(
            f"pair {number + 1} of {pairs}: request {requests[0][-1]:.2f} and {requests[1][-1]:.2f} s, whole"
            f" {wholes[0][-1]:.2f} and {wholes[1][-1]:.2f} s (openstack and hotfoot)"
        )
    return requests, wholes


def _measure(options: argparse.Namespace) -> Figures:
    with (
        _client(options.client_venv) as client,
        _lab(options.cluster, options.fake_hosts) as folder,
        _bench(folder, client) as bench,
    ):
        requests, wholes = _moves(bench, options.pairs)
        servers = _fill(bench.cloud, options.servers, options.minutes)
        _rest()
        lists = _lists(bench, options.rounds)
        return Figures(
            servers=servers,
            hosts=sum(1 for _ in bench.cloud.compute.services(binary="nova-compute")),
            list_client_s=tuple(lists[0]),
            list_hotfoot_s=tuple(lists[1]),
            request_client_s=tuple(requests[0]),
            request_hotfoot_s=tuple(requests[1]),
            migration_client_s=tuple(wholes[0]),
            migration_hotfoot_s=tuple(wholes[1]),
        )


def _print(figures: Figures, found: Sequence[Goal], machine: Mapping[str, Any]) -> None:
    print(
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_average']}; {figures.servers} servers on"
        f" {figures.hosts} hosts"
    )
    print(f"{'least / median / most':>40}  {'openstack':>22}  {'hotfoot':>22}")
    for what, client_s, hotfoot_s in (
        ("list of all servers (s)", figures.list_client_s, figures.list_hotfoot_s),
        ("to the accepted request (s)", figures.request_client_s, figures.request_hotfoot_s),
        ("whole live migration (s)", figures.migration_client_s, figures.migration_hotfoot_s),
    ):
        cells = [
            " / ".join(f"{each:.2f}" for each in asdict(spread(taken)).values()) for taken in (client_s, hotfoot_s)
        ]
        print(f"{what:40}  {cells[0]:>22}  {cells[1]:>22}")
    for goal in found:
        print(f"{'pass' if goal.met else 'MISS'}  {goal.what}  {goal.measured:.3g}  goal {goal.limit:g}")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description="Hotfoot and the openstack command on the same cloud.")
    parser.add_argument("--fake-hosts", type=int, default=50, help="hosts of Nova's fake driver beside two real ones")
    parser.add_argument("--cluster", type=Path, help="measure on the lab of this cluster file instead of a new one")
    parser.add_argument("--servers", type=int, default=1000, help="how many servers to make [default: 1000]")
    parser.add_argument("--minutes", type=float, default=15, help="for how long at most they are made [default: 15]")
    parser.add_argument("--rounds", type=int, default=7, help="how often the list is asked for [default: 7]")
    parser.add_argument("--pairs", type=int, default=6, help="pairs of live migrations [default: 6]")
    parser.add_argument("--client-venv", type=Path, help=f"a virtual environment with {_CLIENT} [default: made]")
    options = parser.parse_args()
    stop_as_by_ctrl_c()
    try:
        figures = _measure(options)
    except (HotfootError, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"bench: stopped; the lab {NAME} is gone.", file=sys.stderr)
        sys.exit(130)
    found = goals(figures)
    machine = machine_description("none", "none", "")
    kept = {
        "machine": {key: machine[key] for key in _OF_MACHINE},
        **asdict(figures),
        "goals": [asdict(goal) for goal in found],
    }
    keep(_RESULT, kept)
    _print(figures, found, machine)
    sys.exit(0 if all(goal.met for goal in found) else 1)


if __name__ == "__main__":
    main()
