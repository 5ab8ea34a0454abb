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
HIT_TOLERANCE_PERCENT = 0.1


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


def measure_setup(args, setup, programs, peers, scenarios, tokens):
    """Starts authority and upstream, measures all peers; returns the runs and the ceilings by scenario."""
    os.sched_setaffinity(0, setup.load_cpus)  # the harness and the authority stay off the peer's processor
    names = ["authority_port", "upstream_port", "admin_port", *(scenario.port for scenario in SCENARIOS)]
    values = dict(zip(names, machine.free_ports(len(names))))
    values["token"] = base64.urlsafe_b64encode(random.randbytes(1275)).decode()  # 1700 characters
    values |= tokens.values() if tokens else {"jwt_header": "none"}
    with tempfile.TemporaryDirectory(prefix="vicar-bench-") as folder:
        values |= {"folder": folder, "workers": setup.workers}
        config = render("upstream.conf", folder, values)
        command = [programs["nginx"], "-p", folder, "-c", config]
        with Authority(values["authority_port"], values["token"]) as authority, \
                machine.Process("upstream", command, setup.load_cpus, folder) as upstream:
            bench = Bench(args, setup, programs, folder, authority, values, tokens)
            bench.check_upstream(upstream)
            ceilings = {scenario.name: bench.ceiling(scenario) for scenario in scenarios}
            return bench.measure_all(peers, scenarios), ceilings


class Bench:
    """Everything that lives as long as one setup: folder, ports, authority, upstream."""

    def __init__(self, args, setup, programs, folder, authority, values, tokens):
        self.args, self.setup, self.programs = args, setup, programs
        self.folder, self.authority, self.values, self.tokens = folder, authority, values, tokens
        self.runs = []

    def measure_all(self, peers, scenarios):
        """Every round: each scenario, all peers one after the other, in turning order."""
        for turn in range(self.args.rounds):
            for scenario in scenarios:
                able = [(place, peer) for place, peer in enumerate(peers) if peer.takes_part(scenario)]
                for place, peer in rotated(able, turn):
                    run = self.measure(peer, scenario)
                    run |= {"round": turn, "order": SCENARIOS.index(scenario) * len(peers) + place}
                    self.runs.append(run)
                    tell(run, self.args.rounds)
        return self.runs

    def measure(self, peer, scenario):
        """One fresh process: start, verify, warm up, load, stop."""
        run = {"peer": peer.label, "scenario": scenario.name, "workers": self.setup.workers, "problem": None}
        started = time.monotonic()
        command = peer.command(self.folder, self.values, scenario)
        with machine.Process(peer.label, command, self.setup.proxy_cpus, self.folder) as process:
            try:
                self.wait_until_right(process, scenario)
                run["start_ms"] = (time.monotonic() - started) * 1000
                time.sleep(0.3)
                run["rss_idle_mib"] = process.resident_mib()
                sent = self.load(scenario, self.args.warmup)["requests"] + 2 * self.args.connections
                run |= self.measured_load(process, peer, scenario, sent)
                run["problem"] = complaint(run) or self.token_complaint(run, scenario, sent)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                run["problem"] = str(error)
                print(process.last_words(), file=sys.stderr)
        return run

    def wait_until_right(self, process, scenario):
        """Until the upstream, through the peer, is content with the credential."""
        port, status = self.values[scenario.port], None
        credential = f"Bearer {self.values['token']}" if scenario.verifies else None
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and process.running():
            status = one_request(port, scenario.path, credential)
            if status == 200:
                break
            time.sleep(0.002)
        else:
            ended = "" if process.running() else ", the process ended"
            raise RuntimeError(f"never answered 200 (last status {status}{ended})")
        if scenario.replaces_credential and one_request(port, scenario.path, "Bearer of-the-caller") != 200:
            raise RuntimeError("the caller's own credential was not replaced")
        if scenario.verifies:
            self.check_verification(port, scenario)

    def check_verification(self, port, scenario):
        """A good token must arrive as it was sent, and a peer that lets a bad one pass must not look fast."""
        if one_request(port, "/check", f"Bearer {self.tokens.probes['good']}") != 200:
            raise RuntimeError("the caller's good token did not arrive as it was sent")
        statuses = {"missing": one_request(port, scenario.path)}
        for name, token in self.tokens.probes.items():
            statuses[name] = one_request(port, scenario.path, f"Bearer {token}")
        # RFC 6750 says 401 for all of them; Envoy says 403 to a wrong audience.
        wanted = {"missing": [401], "good": [200], "flipped": [401], "expired": [401], "for somebody else": [401, 403]}
        wrong = {name: status for name, status in statuses.items() if status not in wanted[name]}
        if wrong:
            raise RuntimeError(f"tokens are not judged as they should be: {wrong}")

    def measured_load(self, process, peer, scenario, sent):
        """The counted seconds: the peer's processor time over the requests that wrk saw answered."""
        lookups = peer.lookups(self.values["admin_port"]) if scenario.verifies else []
        fetched, cpu = self.authority.requests, process.cpu_seconds()
        busy, clock = machine.busy_seconds(self.setup.proxy_cpus), time.monotonic()
        counted = self.load(scenario, self.args.seconds, sent)
        cpu, wall = process.cpu_seconds() - cpu, time.monotonic() - clock
        busy = machine.busy_seconds(self.setup.proxy_cpus) - busy
        if scenario.verifies:
            after = peer.lookups(self.values["admin_port"])
            counted["lookup_hits"], counted["lookup_misses"] = (now - then for now, then in zip(after, lookups))
            counted["hit_percent"] = 100 * counted["lookup_hits"] / max(1, sum(after) - sum(lookups))
        return counted | {
            "cpu_us": cpu * 1e6 / max(counted["requests"], 1),
            "rps": counted["requests"] / counted["seconds"],
            # Not over `wall`: before its clock starts, wrk takes its time to read tokens.
            "busy_percent": 100 * cpu / max(counted["seconds"], 0.001),
            "neighbour_percent": None if self.setup.shared else max(0, 100 * (busy - cpu) / wall),
            "rss_loaded_mib": process.resident_mib(),
            "fetched_tokens": self.authority.requests - fetched,
        }

    def load(self, scenario, seconds, sent=0):
        return wrk(self.programs["wrk"], self.setup.load_cpus, self.values[scenario.port], scenario.path,
                   seconds, self.args.connections, tokens=self.rotation(scenario, sent))

    def ceiling(self, scenario):
        """Requests per second of load and upstream with no peer between them."""
        headers = [f"Authorization: Bearer {self.values['token']}"] if scenario.replaces_credential else []
        counted = wrk(self.programs["wrk"], self.setup.load_cpus, self.values["upstream_port"], scenario.path,
                      2, self.args.connections, headers, self.rotation(scenario, 0))
        return counted["requests"] / counted["seconds"]

    def rotation(self, scenario, sent):
        """Which tokens wrk sends: always the same few, or those that come after the `sent` ones."""
        if not scenario.verifies:
            return ()
        if scenario.rotation:
            return self.tokens.file, 0, scenario.rotation
        return self.tokens.file, min(sent, self.tokens.count - 1), self.tokens.count

    def token_complaint(self, run, scenario, sent):
        """Why a run did not verify anew, or find again, what it should; None when it did."""
        if not scenario.verifies:
            return None
        if not scenario.rotation and sent + run["requests"] > self.tokens.count:
            return f"{self.tokens.count} tokens are too few for {sent + run['requests']} requests"
        if abs(run["hit_percent"] - scenario.hit_percent) > HIT_TOLERANCE_PERCENT:
            return f"{run['hit_percent']:.1f} % of the tokens had been verified before"
        if run["lookup_hits"] + run["lookup_misses"] < run["requests"]:
            return "fewer tokens were looked for than requests answered"
        return None

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
