"""``make bench-forecast``: migrations in a lab, each forecast first, then measured: how right was the forecast?

From idle guests to such that do not converge, over three link rates, of 128 MiB to 1 GiB, that write in turn, at
random, or in a hot part and a rest. Prints a table, keeps all figures and samples in
benchmarks/results/forecast-accuracy.json, and ends with 0 when every goal is met, 1 when one is missed, 2 when nothing
could be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

# Run as a file, so that Python looks beside it; the benchmark's modules are `benchmarks.*`.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_lab import hotfoot, raised_lab
from benchmarks.forecast_errors import Trial, as_text, goals
from benchmarks.forecast_settings import Setting, pick
from benchmarks.keeping import RESULTS, keep
from benchmarks.stopping import stop_as_by_ctrl_c

from hotfoot.cli.session import throughput_probe, with_libvirt
from hotfoot.cloud.libvirt_cloud import LibvirtCloud
from hotfoot.cluster import Cluster
from hotfoot.errors import HotfootError
from hotfoot.migration.options import MigrationOptions
from hotfoot.migration.policy import BUILT_IN
from hotfoot.migration.prepare import Request, prepare
from hotfoot.migration.run import Run
from hotfoot.migration.sample import JobSample
from hotfoot.migration.survey import Survey

_RESULT = "forecast-accuracy"
_HOSTS = ("n1", "n2")
_REST_S = 2.0
_INSTANCE = "vm1"
_UP = ("--hosts", "2", "--instances", "0")


def _earlier(settings: Sequence[Setting]) -> list[Trial]:
    """Return what an earlier run has kept of these settings."""
    file = RESULTS / f"{_RESULT}.json"
    kept = [Trial(**told) for told in json.loads(file.read_text())["trials"]] if file.exists() else []
    return [trial for trial in kept if _setting_of(trial) in settings]


def _setting_of(trial: Trial) -> Setting:
    return Setting(trial.memory_mib, trial.link, trial.rate_mib, trial.area_mib, trial.pattern)


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


async def _move(cluster: Cluster, cloud: LibvirtCloud, setting: Setting) -> Trial:
    options = MigrationOptions(policy=BUILT_IN["gentle"])
    survey = Survey(cloud, throughput_probe(cluster))
    preparation = await prepare(cloud, Request(instance=_INSTANCE, options=options), survey)
    order, told, measured = preparation.verdict.order, preparation.forecast, preparation.measured
    if order is None or told is None or measured is None:
        raise HotfootError(" ".join(preparation.verdict.obstacles) or str(preparation.no_forecast))
    samples: list[JobSample] = []
    run = Run(cloud, preparation.verdict, order, None, samples.append, lambda _action: None, _say)
    result = await run.execute()
    return Trial(
        memory_mib=setting.memory_mib,
        link=setting.link,
        rate_mib=setting.rate_mib,
        area_mib=setting.area_mib,
        pattern=setting.pattern,
        measured=asdict(measured),
        forecast=told.as_json(),
        result=result.as_json(),
        samples=tuple(asdict(sample) for sample in samples),
    )


def _measure(name: str, settings: Sequence[Setting]) -> Iterator[Trial]:
    if not settings:
        return
    with raised_lab(_UP, name) as told:
        memory = 0
        for n, setting in enumerate(settings, 1):
            if setting.memory_mib != memory:
                if memory:
                    hotfoot("lab", "instance", "kill", _INSTANCE, "--name", name)
                memory = setting.memory_mib
                hotfoot("lab", "instance", "add", _INSTANCE, "--name", name, "--memory", str(memory))
            for host in _HOSTS:
                hotfoot("lab", "shape", host, setting.link, "--name", name)
            load = ("--rate", str(setting.rate_mib), "--area", str(setting.area_mib), "--pattern", setting.pattern)
            hotfoot("lab", "instance", "load", _INSTANCE, "--name", name, *load)

            async def work(cluster: Cluster, cloud: LibvirtCloud, setting: Setting = setting) -> Trial:
                await asyncio.sleep(_REST_S)
                return await _move(cluster, cloud, setting)

            trial = with_libvirt(Path(told["cluster_file"]), work)
            _say(f"{n} of {len(settings)}: {trial.in_words()}")
            yield trial


def _kept(trials: Sequence[Trial]) -> str:
    """Write what was found so far, and return it: half an hour's work is not to be lost."""
    found = {"goals": [asdict(goal) for goal in goals(trials)], "trials": [asdict(trial) for trial in trials]}
    return keep(_RESULT, found)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description="Forecasts of migrations against what came out.")
    parser.add_argument("--moves", type=int, default=60, help="how many migrations [default: 60, all settings]")
    parser.add_argument("--resume", action="store_true", help="only what an earlier run has not come to")
    parser.add_argument("--name", default="forecast", help="the lab's name [default: forecast]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    stop_as_by_ctrl_c()
    settings = pick(options.moves)
    trials = _earlier(settings) if options.resume else []
    done = {_setting_of(trial) for trial in trials}
    try:
        for trial in _measure(options.name, [setting for setting in settings if setting not in done]):
            trials.append(trial)
            _kept(trials)
    except HotfootError as error:
        print(f"bench: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("bench: stopped.", file=sys.stderr)
    if not trials:
        sys.exit(2)
    print(_kept(trials) if options.json else as_text(trials))
    sys.exit(0 if all(goal.met for goal in goals(trials)) else 1)


if __name__ == "__main__":
    main()
