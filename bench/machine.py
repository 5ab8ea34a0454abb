"""Processes, processors, ports and memory, as Linux shows them under /proc.

Everything the harness starts goes through `Process`, which is ended by its pid, with its children.
"""

import os
import random
import signal
import socket
import subprocess
from pathlib import Path

LOOPBACK = "127.0.0.1"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Below the range from which the kernel takes source ports, so that no connection can sit on one of ours.
PORTS = range(20000, 32000)


def free_ports(count):
    """Different ports on which nothing listens."""
    found = []
    for port in random.sample(PORTS, 1000):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise SystemExit("no free ports on loopback")


def processors():
    """The processors that this process was allowed to use when it started."""
    return sorted(os.sched_getaffinity(0))


def processor_model():
    """The processor's name, e.g. for the header of a table."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return os.uname().machine


def busy_seconds(cpus):
    """Time these processors did not idle: processes, interrupts, and what the host took."""
    names = {f"cpu{cpu}" for cpu in cpus}
    total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name in names:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            total += user + nice + system + irq + softirq + steal
    return total / TICKS_PER_SECOND


class Process:
    """A started program, pinned to processors, whose output goes to a log file."""

    def __init__(self, name, command, cpus, folder):
        self.name = name
        self.log = Path(folder) / f"{name.replace(' ', '-')}.log"
        pinned = ["taskset", "-c", ",".join(map(str, cpus)), *map(str, command)]
        with self.log.open("wb") as output:
            # taskset replaces itself by the program, so the pid is the program's.
            self.popen = subprocess.Popen(
                pinned, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=clean_environment(folder), start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def running(self):
        """Whether it has not ended."""
        return self.popen.poll() is None

    def last_words(self):
        """The end of its log, for an error message."""
        return self.log.read_text(errors="replace")[-1500:].strip()

    def pids(self):
        """Its own pid and those of all its descendants."""
        parents = {pid: int(fields[1]) for pid, fields in all_stats()}
        family = [self.popen.pid]
        for pid in family:
            family += [child for child, parent in parents.items() if parent == pid]
        return family

    def cpu_seconds(self):
        """User and system time of all threads and children so far, ended ones included."""
        family = set(self.pids())
        ticks = sum(sum(map(int, fields[11:15])) for pid, fields in all_stats() if pid in family)
        return ticks / TICKS_PER_SECOND

    def resident_mib(self):
        """Sum of VmRSS over the family; memory that two processes share counts twice."""
        return sum(resident_kib(pid) for pid in self.pids()) / 1024

    def stop(self):
        """SIGTERM; after three seconds, or for children left behind, SIGKILL by pid."""
        self.popen.terminate()
        try:
            self.popen.wait(3)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(3)
        # The process led a session of its own, so whoever is still in it is its child, not a stranger.
        for pid in [pid for pid, fields in all_stats() if int(fields[3]) == self.popen.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def all_stats():
    """(pid, fields after the name) of every process: state, parent, group, session, ..."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue  # it ended while we looked
            yield int(entry), text.rpartition(")")[2].split()


def resident_kib(pid):
    """VmRSS of one process, 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


def clean_environment(folder):
    """No proxy settings, no log settings: only what a program needs to start."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LC_ALL": "C"}
