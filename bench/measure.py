"""Measures peers: one setup of processors, one authority and upstream, and a fresh process of a peer for each run."""

import base64
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import machine
from authority import Authority
from load import one_request, wrk
from peers import SCENARIOS, render

READY_SECONDS = 15


@dataclass(frozen=True)
class Setup:
    """How many workers a peer gets, on which processors, and where load and upstream run."""

    workers: int
    proxy_cpus: tuple
    load_cpus: tuple

    @classmethod
    def of(cls, workers, cpus):
        """The load keeps the last processor to itself, unless the peer needs all of them."""
        if len(cpus) < 2 or workers > len(cpus):
            raise SystemExit(f"{workers} workers are too many for {len(cpus)} processors; at least 2 are needed")
        alone = workers < len(cpus)
        return cls(workers, tuple(cpus[:workers]), tuple(cpus[-1:] if alone else cpus))

    @property
    def shared(self):
        """Whether load and upstream use the peer's processors too."""
        return bool(set(self.proxy_cpus) & set(self.load_cpus))

    def title(self):
        """Heading of its tables."""
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        load = "which load and upstream share" if self.shared else f"load and upstream on {named(self.load_cpus)}"
        return f"{workers} on {named(self.proxy_cpus)}, {load}"


def measure_setup(args, setup, programs, peers):
    """Starts authority and upstream, measures all peers; returns the runs and the ceilings by scenario."""
    os.sched_setaffinity(0, setup.load_cpus)  # the harness and the authority stay off the peer's processor
    names = ["authority_port", "upstream_port", "admin_port", "plain_port", "inject_port"]
    values = dict(zip(names, machine.free_ports(len(names))))
    values["token"] = base64.urlsafe_b64encode(random.randbytes(1275)).decode()  # 1700 characters
    with tempfile.TemporaryDirectory(prefix="vicar-bench-") as folder:
        values |= {"folder": folder, "workers": setup.workers}
        config = render("upstream.conf", folder, values)
        command = [programs["nginx"], "-p", folder, "-c", config]
        with Authority(values["authority_port"], values["token"]) as authority, \
                machine.Process("upstream", command, setup.load_cpus, folder) as upstream:
            bench = Bench(args, setup, programs, folder, authority, values)
            bench.check_upstream(upstream)
            ceilings = {scenario.name: bench.ceiling(scenario) for scenario in SCENARIOS}
            return bench.measure_all(peers), ceilings


class Bench:
    """Everything that lives as long as one setup: folder, ports, authority, upstream."""

    def __init__(self, args, setup, programs, folder, authority, values):
        self.args, self.setup, self.programs = args, setup, programs
        self.folder, self.authority, self.values = folder, authority, values
        self.runs = []

    def measure_all(self, peers):
        """Every round: each scenario, all peers one after the other, in turning order."""
        for turn in range(self.args.rounds):
            for scenario in SCENARIOS:
                for place, peer in rotated(list(enumerate(peers)), turn):
                    run = self.measure(peer, scenario)
                    run |= {"round": turn, "order": SCENARIOS.index(scenario) * len(peers) + place}
                    self.runs.append(run)
                    tell(run, self.args.rounds)
        return self.runs

    def measure(self, peer, scenario):
        """One fresh process: start, verify, warm up, load, stop."""
        run = {"peer": peer.label, "scenario": scenario.name, "workers": self.setup.workers, "problem": None}
        started = time.monotonic()
        command = peer.command(self.folder, self.values)
        with machine.Process(peer.label, command, self.setup.proxy_cpus, self.folder) as process:
            try:
                self.wait_until_right(process, scenario)
                run["start_ms"] = (time.monotonic() - started) * 1000
                time.sleep(0.3)
                run["rss_idle_mib"] = process.resident_mib()
                self.load(scenario, self.args.warmup)
                run |= self.measured_load(process, scenario)
                run["problem"] = complaint(run)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                run["problem"] = str(error)
                print(process.last_words(), file=sys.stderr)
        return run

    def wait_until_right(self, process, scenario):
        """Until the upstream, through the peer, is content with the credential."""
        port, status = self.values[scenario.port], None
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and process.running():
            status = one_request(port, scenario.path)
            if status == 200:
                break
            time.sleep(0.002)
        else:
            ended = "" if process.running() else ", the process ended"
            raise RuntimeError(f"never answered 200 (last status {status}{ended})")
        if scenario.replaces_credential and one_request(port, scenario.path, "Bearer of-the-caller") != 200:
            raise RuntimeError("the caller's own credential was not replaced")

    def measured_load(self, process, scenario):
        """The counted seconds: the peer's processor time over the requests that wrk saw answered."""
        fetched, cpu = self.authority.requests, process.cpu_seconds()
        busy, clock = machine.busy_seconds(self.setup.proxy_cpus), time.monotonic()
        counted = self.load(scenario, self.args.seconds)
        cpu, wall = process.cpu_seconds() - cpu, time.monotonic() - clock
        busy = machine.busy_seconds(self.setup.proxy_cpus) - busy
        return counted | {
            "cpu_us": cpu * 1e6 / max(counted["requests"], 1),
            "rps": counted["requests"] / counted["seconds"],
            "busy_percent": 100 * cpu / wall,
            "neighbour_percent": None if self.setup.shared else max(0, 100 * (busy - cpu) / wall),
            "rss_loaded_mib": process.resident_mib(),
            "fetched_tokens": self.authority.requests - fetched,
        }

    def load(self, scenario, seconds):
        return wrk(self.programs["wrk"], self.setup.load_cpus, self.values[scenario.port], scenario.path,
                   seconds, self.args.connections)

    def ceiling(self, scenario):
        """Requests per second of load and upstream with no peer between them."""
        headers = [f"Authorization: Bearer {self.values['token']}"] if scenario.replaces_credential else []
        counted = wrk(self.programs["wrk"], self.setup.load_cpus, self.values["upstream_port"], scenario.path,
                      2, self.args.connections, headers)
        return counted["requests"] / counted["seconds"]

    def check_upstream(self, upstream):
        """The judge must tell right from wrong before it judges anyone."""
        port, right = self.values["upstream_port"], f"Bearer {self.values['token']}"
        deadline = time.monotonic() + READY_SECONDS
        while one_request(port, "/bare") != 200:
            if time.monotonic() > deadline or not upstream.running():
                raise SystemExit(f"the upstream did not start: {upstream.last_words()}")
            time.sleep(0.02)
        answers = [one_request(port, *question) for question in
                   [("/check", right), ("/check", right + "x"), ("/check",), ("/bare", right)]]
        if answers != [200, 418, 418, 418]:
            raise SystemExit(f"the upstream does not judge credentials as it should: {answers}")


def complaint(run):
    """Why a run does not count, None when it does."""
    if not run["requests"]:
        return "no request was answered"
    if run["bad_status"] or run["socket_errors"]:
        return f"{run['bad_status']} bad answers, {run['socket_errors']} socket errors"
    if run["fetched_tokens"]:
        return f"{run['fetched_tokens']} token requests while measuring: not cached"
    return None


def tell(run, rounds):
    """One line of progress."""
    figures = f"{run['cpu_us']:.1f} µs, {run['rps']:.0f}/s" if not run["problem"] else f"INVALID: {run['problem']}"
    print(f"  round {run['round'] + 1}/{rounds} {run['scenario']}, {run['peer']}: {figures}", file=sys.stderr)


def rotated(items, turn):
    """The same items, starting one later each turn."""
    start = turn % len(items)
    return items[start:] + items[:start]


def named(cpus):
    return f"processor{'s' if len(cpus) > 1 else ''} {', '.join(map(str, cpus))}"
