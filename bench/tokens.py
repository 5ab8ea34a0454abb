"""The callers' tokens: signed once before anything is measured, sent by every run."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ISSUER = "https://issuer.example"  # a name only; nobody connects to it
AUDIENCE = "api://bench"
SIGNER = Path(__file__).parent / "sign.py"
PATIENCE = 900  # seconds to sign them all


@dataclass(frozen=True)
class Tokens:
    """Signed tokens in a folder, the key set that verifies them, and tokens to check a peer with."""

    file: Path
    count: int
    jwks_file: Path
    probes: dict

    @classmethod
    def sign(cls, python, folder, count):
        """Signs `count` different tokens; a fraction of a millisecond each, on all processors."""
        print(f"Signing {count} tokens ...", file=sys.stderr, flush=True)
        started, folder = time.monotonic(), Path(folder)
        subprocess.run([python, SIGNER, folder, str(count), ISSUER, AUDIENCE], check=True, timeout=PATIENCE)
        print(f"  took {time.monotonic() - started:.0f} s", file=sys.stderr)
        probes = json.loads((folder / "probes.json").read_text())
        return cls(folder / "tokens.txt", count, folder / "jwks.json", probes)

    def values(self):
        """What the templates of verifying peers and of the upstream need."""
        good = self.probes["good"]
        return {
            "issuer": ISSUER, "audience": AUDIENCE, "jwks_file": self.jwks_file,
            "jwks": self.jwks_file.read_text(), "token": good, "jwt_header": good.partition(".")[0],
        }
