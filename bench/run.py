#!/usr/bin/env python3
"""Measures Vicar against Envoy and nginx on this machine, over loopback: `python3 bench/run.py`.

A small authority hands out one token; nginx as the upstream answers 200 only to a request that carries exactly that
token (or none, in pass-through), so a peer that does not inject cannot look fast. Each peer runs alone on its
processor, with a fresh process per run; load and upstream have another. Rounds interleave the peers, so that a slow
minute of the machine hits all of them, and ratios are taken within a round. See bench/README.md.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

import install
import machine
import report
from measure import Setup, measure_setup
from peers import SCENARIOS, Peer
from tokens import Tokens

BENCH = Path(__file__).resolve().parent
REPOSITORY = BENCH.parent
KINDS = ["vicar", "envoy", "nginx"]
# Tokens to sign for each second of load that never sends one twice; a run that needs more is invalid.
FRESH_PER_SECOND = 30_000
NEIGHBOUR_PERCENT = 5  # of a processor; more of it used by others is worth a warning


def main():
    """Finds the peers, measures each setup, prints and stores the result."""
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every `finally` runs
    cpus = machine.processors()
    setups = [Setup.of(workers, cpus) for workers in ([1, 2] if args.compare_layouts else [args.workers])]
    try:
        programs = install.debian_programs(args.install)
        peers, skipped = find_peers(args, programs)
        scenarios, signer, missing = find_scenarios(args)
    except install.Absent as error:
        raise SystemExit(str(error)) from None
    lines = header(args, programs, peers, skipped + missing)
    print("\n".join(lines), flush=True)
    runs = []
    with ExitStack() as stack:
        tokens = signed_tokens(args, scenarios, signer, stack)
        for setup in setups:
            measured, ceilings = measure_setup(args, setup, programs, peers, scenarios, tokens)
            print_setup(setup, measured, [peer.label for peer in peers], ceilings)
            runs += measured
    print("\nRaw figures:", store(lines, runs).relative_to(REPOSITORY))
    return 1 if any(run["problem"] for run in runs) else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vicar", default=REPOSITORY / "target/release/vicar", metavar="PATH", help="Vicar's binary")
    parser.add_argument("--vicar-also", type=labelled, action="append", default=[], metavar="LABEL=PATH",
                        help="one more build of Vicar")
    parser.add_argument("--only", type=peer_kinds, metavar="LIST", help="peers to measure: vicar,envoy,nginx")
    parser.add_argument("--scenarios", type=scenario_keys, metavar="LIST",
                        help=f"what to measure: {','.join(scenario.key for scenario in SCENARIOS)}")
    parser.add_argument("--layout", choices=["per_worker", "shared"], default="per_worker", help="runtime.layout")
    parser.add_argument("--workers", type=bounded(1, 64), default=1, help="workers of every peer (default 1)")
    parser.add_argument("--compare-layouts", action="store_true",
                        help="both layouts of Vicar, with 1 and with 2 workers; other peers only with --only")
    parser.add_argument("--rounds", type=bounded(1, 50), default=5, help="default 5")
    parser.add_argument("--seconds", type=bounded(1, 60), default=5, help="of each measured run (default 5)")
    parser.add_argument("--warmup", type=bounded(1, 30), default=2, help="seconds before each run (default 2)")
    parser.add_argument("--connections", type=bounded(1, 1024), default=64, help="default 64")
    parser.add_argument("--no-install", dest="install", action="store_false", help="only find peers")
    args = parser.parse_args()
    args.scenarios = args.scenarios or (
        ["plain", "inject"] if args.compare_layouts else [scenario.key for scenario in SCENARIOS])
    args.only = args.only or (["vicar"] if args.compare_layouts else KINDS)
    return args


def peer_kinds(text):
    kinds = text.split(",")
    if not set(kinds) <= set(KINDS):
        raise argparse.ArgumentTypeError(f"choose from {','.join(KINDS)}")
    return kinds


def scenario_keys(text):
    keys, known = text.split(","), [scenario.key for scenario in SCENARIOS]
    if not set(keys) <= set(known):
        raise argparse.ArgumentTypeError(f"choose from {','.join(known)}")
    return keys


def labelled(text):
    label, _, path = text.partition("=")
    if not label or not path:
        raise argparse.ArgumentTypeError("LABEL=PATH")
    return label, path


def bounded(low, high):
    def number(text):
        if not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{low} to {high}")
        return int(text)
    return number


def find_peers(args, programs):
    """The peers to measure, Vicar first, and a line for each that cannot be had."""
    peers, skipped = [], []
    if "vicar" in args.only:
        builds = [("vicar", args.vicar), *args.vicar_also]
        layouts = ["per_worker", "shared"] if args.compare_layouts else [args.layout]
        peers += [Peer(f"{label} {layout}" if args.compare_layouts else label, "vicar", install.vicar(path), layout)
                  for label, path in builds for layout in layouts]
    if "envoy" in args.only:
        try:
            peers.append(Peer("envoy", "envoy", install.envoy(args.install)))
        except install.Absent as error:
            skipped.append(f"Skipped: envoy ({error}).")
    if "nginx" in args.only:
        peers.append(Peer("nginx", "nginx", programs["nginx"]))
    if not peers:
        raise install.Absent(" ".join(skipped))
    return peers, skipped


def find_scenarios(args):
    """The scenarios to measure, what signs tokens for them, and a line when nothing does."""
    scenarios = [scenario for scenario in SCENARIOS if scenario.key in args.scenarios]
    if not any(scenario.verifies for scenario in scenarios):
        return scenarios, None, []
    try:
        return scenarios, install.signer(args.install), []
    except install.Absent as error:
        scenarios = [scenario for scenario in scenarios if not scenario.verifies]
        if not scenarios:
            raise
        return scenarios, None, [f"Skipped: scenarios with callers' tokens ({error})."]


def signed_tokens(args, scenarios, signer, stack):
    """Tokens for the scenarios that need any, in a folder that lives as long as `stack`."""
    needed = [scenario.rotation or (args.warmup + args.seconds) * FRESH_PER_SECOND
              for scenario in scenarios if scenario.verifies]
    if not needed:
        return None
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vicar-bench-tokens-"))
    return Tokens.sign(signer, folder, max(needed))


def header(args, programs, peers, skipped):
    """What was measured, with what, on what."""
    versions = {peer.label: install.version(peer.version_command()) for peer in peers}
    versions |= {f"{role} ({name})": install.version([programs[name], "-v"])
                 for role, name in [("upstream", "nginx"), ("load", "wrk")]}
    layout = f", layout {args.layout}" if "vicar" in args.only and not args.compare_layouts else ""
    lines = [
        f"Vicar at {commit()}, {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, "
        f"{len(machine.processors())} × {machine.processor_model()}, Linux {os.uname().release}",
        "; ".join(f"{label}: {short(version)}" for label, version in versions.items()),
        f"{args.connections} connections, {args.rounds} rounds of {args.seconds} s after {args.warmup} s warm-up; "
        f"median (min–max){layout}",
    ]
    stale = [peer.label for peer in peers if peer.kind == "vicar" and older_than_sources(peer.binary)]
    lines += [f"WARNING: {label} is older than the sources; build again." for label in stale]
    return lines + skipped


def commit():
    """The checked-out commit, with `-dirty` when files differ from it."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True)
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else "no commit yet"


def older_than_sources(binary):
    newest = max(path.stat().st_mtime for path in (REPOSITORY / "src").rglob("*.rs"))
    return Path(binary).stat().st_mtime < newest


def print_setup(setup, runs, labels, ceilings):
    print(f"\n### {setup.title()}\n\n{report.results_table(runs)}\n")
    ratios = report.ratio_table(runs, labels)
    if ratios:
        print(f"Ratios, taken within each round:\n\n{ratios}\n")
    print("Without a proxy:", "; ".join(f"{name} {rps:.0f} requests/s" for name, rps in ceilings.items()) + ".")
    disturbed = [run for run in runs if (run.get("neighbour_percent") or 0) > NEIGHBOUR_PERCENT]
    if disturbed:
        worst = max(run["neighbour_percent"] for run in disturbed)
        print(f"WARNING: in {len(disturbed)} of {len(runs)} runs other processes or interrupts used the peer's"
              f" processor (up to {worst:.0f} %).")
    sys.stdout.flush()


def store(lines, runs):
    """Every single run, for later comparison."""
    folder = BENCH / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"header": lines, "arguments": sys.argv[1:], "runs": runs}, indent=1) + "\n")
    return path


def short(version):
    """The number in what a version command prints."""
    found = re.search(r"\d+\.\d+\.\d+[^/\s]*", version)
    return found.group() if found else "unknown version"


if __name__ == "__main__":
    sys.exit(main())
