"""The proxies under test: their configuration files, their commands, and what each scenario asks of them."""

from dataclasses import dataclass
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Scenario:
    """What is sent to which port of a peer. The upstream answers 200 only when the credential is right."""

    name: str
    port: str  # key of the peer's port
    path: str  # upstream location that judges the credential
    replaces_credential: bool  # whether a credential of the caller must be replaced


SCENARIOS = [
    Scenario("pass-through", "plain_port", "/bare", replaces_credential=False),
    Scenario("cached injection", "inject_port", "/check", replaces_credential=True),
]


@dataclass(frozen=True)
class Peer:
    """One proxy: a row of the table."""

    label: str
    kind: str  # vicar | envoy | nginx
    binary: Path
    layout: str = "per_worker"

    def command(self, folder, values):
        """Writes the configuration file and returns the command that runs it."""
        name = "nginx.conf" if self.kind == "nginx" else f"{self.kind}.yaml"
        config = render(name, folder, {**values, "layout": self.layout})
        return {
            "vicar": [self.binary, "run", "-c", config],
            "nginx": [self.binary, "-p", folder, "-c", config],
            "envoy": [
                self.binary, "-c", config, "--concurrency", values["workers"], "--log-level", "warn",
                "--disable-hot-restart", "--service-node", "bench", "--service-cluster", "bench",
            ],
        }[self.kind]

    def version_command(self):
        """Prints the version."""
        return [self.binary, "-v" if self.kind == "nginx" else "--version"]


def render(name, folder, values):
    """Fills the template of this name; returns the file's path."""
    target = Path(folder) / name
    target.write_text((TEMPLATES / f"{name}.tmpl").read_text() % values)
    return target
