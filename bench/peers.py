"""The proxies under test: their configuration files, their commands, and what each scenario asks of them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from load import one_answer

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Scenario:
    """What is sent to which port of a peer. The upstream answers 200 only when the credential is right."""

    key: str  # names it in options, and the peer's port
    name: str
    path: str  # upstream location that judges the credential
    replaces_credential: bool = False  # whether a credential of the caller must be replaced
    verifies: bool = False  # whether callers' tokens are sent, and must be verified
    rotation: Optional[int] = None  # how many tokens are sent in turn; None: never the same one twice
    envoy_cache: str = ""  # a line of Envoy's configuration

    @property
    def port(self):
        """Key of the peer's port."""
        return f"{self.key}_port"

    @property
    def hit_percent(self):
        """How much of the peer's look-ups of verified tokens must find something."""
        return 100 if self.rotation else 0


SCENARIOS = [
    Scenario("plain", "pass-through", "/bare"),
    Scenario("inject", "cached injection", "/check", replaces_credential=True),
    # Envoy's cache is off unless it is asked for, and then holds 100 tokens unless told otherwise.
    Scenario("cached", "verified, cached", "/verified", verifies=True, rotation=1000,
             envoy_cache="jwt_cache_config: { jwt_cache_size: 2000 }"),
    Scenario("fresh", "verified, never seen", "/verified", verifies=True),
]

# Where a peer counts its look-ups of verified tokens: path of its admin port, then hits and misses.
LOOKUPS = {
    "vicar": ("/metrics", *(rf'^vicar_verified_token_lookups_total{{result="{result}"}} (\d+)'
                            for result in ("hit", "miss"))),
    "envoy": ("/stats?filter=jwt_cache", r"jwt_cache_hit: (\d+)", r"jwt_cache_miss: (\d+)"),
}


@dataclass(frozen=True)
class Peer:
    """One proxy: a row of the table."""

    label: str
    kind: str  # vicar | envoy | nginx
    binary: Path
    layout: str = "per_worker"

    def takes_part(self, scenario):
        """Whether it can do what the scenario asks; nginx cannot verify tokens."""
        return self.kind in LOOKUPS or not scenario.verifies

    def command(self, folder, values, scenario):
        """Writes the configuration file and returns the command that runs it."""
        form = "conf" if self.kind == "nginx" else "yaml"
        name = f"{self.kind}-verify.{form}" if scenario.verifies else f"{self.kind}.{form}"
        more = {"layout": self.layout, "port": values[scenario.port], "envoy_cache": scenario.envoy_cache}
        config = render(name, folder, values | more)
        return {
            "vicar": [self.binary, "run", "-c", config],
            "nginx": [self.binary, "-p", folder, "-c", config],
            "envoy": [
                self.binary, "-c", config, "--concurrency", values["workers"], "--log-level", "warn",
                "--disable-hot-restart", "--service-node", "bench", "--service-cluster", "bench",
            ],
        }[self.kind]

    def lookups(self, admin_port):
        """How often it looked for a verified token and found it, and did not, since it started."""
        path, *patterns = LOOKUPS[self.kind]
        _, text = one_answer(admin_port, path)
        found = [re.search(pattern, text, re.MULTILINE) for pattern in patterns]
        if not all(found):
            raise RuntimeError(f"no counters of look-ups at {path}")
        return [int(match.group(1)) for match in found]

    def version_command(self):
        """Prints the version."""
        return [self.binary, "-v" if self.kind == "nginx" else "--version"]


def render(name, folder, values):
    """Fills the template of this name; returns the file's path."""
    target = Path(folder) / name
    target.write_text((TEMPLATES / f"{name}.tmpl").read_text() % values)
    return target
