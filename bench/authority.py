"""A token authority for the benchmark: one client, one opaque token, counted requests."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from machine import LOOPBACK

WANTED = {"grant_type": ["client_credentials"], "client_id": ["bench"], "client_secret": ["bench"]}


class Authority:
    """Answers POST /token on loopback until the `with` block ends."""

    def __init__(self, port, token):
        self.requests = 0
        self.answer = json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 3600}).encode()
        self.server = ThreadingHTTPServer((LOOPBACK, port), self._handler())
        self.server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def _handler(self):
        authority = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                authority.requests += 1
                form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
                fits = self.path == "/token" and WANTED.items() <= form.items()
                self.reply(200, authority.answer) if fits else self.reply(400, b'{"error":"invalid_request"}')

            def reply(self, status, body):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Silent: the harness counts instead."""

        return Handler
