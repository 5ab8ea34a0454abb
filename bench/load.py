"""Sends load with wrk and single requests with http.client, to loopback only."""

import http.client
import json
import subprocess
from pathlib import Path

from machine import LOOPBACK, clean_environment

SCRIPT = Path(__file__).parent / "templates" / "wrk.lua"


def wrk(binary, cpus, port, path, seconds, connections, headers=(), tokens=()):
    """Saturates one address over kept-alive HTTP/1.1 connections; returns what wrk counted.

    `tokens` are a file, the first line to send, and how many lines to send in turn.
    """
    command = [
        "taskset", "-c", ",".join(map(str, cpus)), str(binary), "--threads", "1", "--connections", str(connections),
        "--duration", f"{seconds}s", "--script", str(SCRIPT), *(f"--header={header}" for header in headers),
        f"http://{LOOPBACK}:{port}{path}", "--", *map(str, tokens),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 20, env=clean_environment("."),
    )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    raise RuntimeError(f"wrk gave no result: {done.stdout}{done.stderr}")


def one_request(port, path, authorization=None):
    """Status of a single GET, None when nobody answers."""
    return one_answer(port, path, authorization)[0]


def one_answer(port, path, authorization=None):
    """Status and text of a single GET, `None, ""` when nobody answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", path, headers={"Authorization": authorization} if authorization else {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        return None, ""
    finally:
        connection.close()
