"""Whoever Alertmanager tells: an HTTP server for webhooks, Slack and PagerDuty, and a mail server. Both only listen."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Told:
    """What arrived, in order: (path, JSON body) by HTTP, and mails."""

    http: str = ""
    smtp: str = ""
    posts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)

    def at(self, path: str) -> list[dict[str, Any]]:
        return [body for where, body in list(self.posts) if where == path]

    def pages(self, action: str) -> list[dict[str, Any]]:
        """PagerDuty's events of one kind: trigger or resolve."""
        return [event for event in self.at("/pagerduty") if event["event_action"] == action]


@contextmanager
def listening() -> Iterator[Told]:
    told = Told()

    class Http(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.posts.append((self.path, body))
            self.send_response(202 if self.path == "/pagerduty" else 200)
            self.end_headers()
            self.wfile.write(b'{"status": "success"}')

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Smtp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                verb = line.strip().upper()
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    data = b"".join(iter(self.rfile.readline, b".\r\n")).replace(b"\r\n..", b"\r\n.")
                    told.mails.append(message_from_bytes(data, policy=policy.default))
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    return

    http, smtp = ThreadingHTTPServer(("127.0.0.1", 0), Http), socketserver.ThreadingTCPServer(("127.0.0.1", 0), Smtp)
    for server in (http, smtp):
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    told.http = f"http://127.0.0.1:{http.server_address[1]}"
    told.smtp = f"127.0.0.1:{smtp.server_address[1]}"
    try:
        yield told
    finally:
        for server in (http, smtp):
            server.shutdown()
            server.server_close()


def globals_for(told: Told, folder: Path) -> dict[str, Any]:
    """Alertmanager's globals, so that every receiver of the example leads here."""
    (folder / "slack-url").write_text(f"{told.http}/slack")
    return {
        "resolve_timeout": "5m",
        "smtp_smarthost": told.smtp,
        "smtp_from": "gradewatch@example.com",
        "smtp_require_tls": False,
        "slack_api_url_file": str(folder / "slack-url"),
        "pagerduty_url": f"{told.http}/pagerduty",
    }


def receiver_for(told: Told, folder: Path, watch: str = "", token: str = "") -> Any:
    """Each receiver of the example with its secrets and addresses replaced, and its texts as they are."""
    (folder / "token").write_text(token)
    (folder / "key").write_text("a-routing-key")

    def receiver(one: dict[str, Any]) -> dict[str, Any]:
        for pagerduty in one.get("pagerduty_configs", ()):
            pagerduty["routing_key_file"] = str(folder / "key")
        for webhook in one.get("webhook_configs", ()):
            webhook["url"] = f"{watch or told.http}/api/alerts" if one["name"] == "gradewatch" else f"{told.http}/ping"
            if "http_config" in webhook:
                webhook["http_config"]["authorization"]["credentials_file"] = str(folder / "token")
        return one

    return receiver
