"""A real server over a real store, and a visitor with a real Chromium who notes whatever the browser complains of."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from axe_playwright_python.async_playwright import Axe
from builders import finding, queue_stats, report, session, snapshot, verdict
from playwright.async_api import Browser, BrowserContext, Page, Playwright
from real_parts import need

from gradewatch.board import Board
from gradewatch.config import HttpSettings, QueueSettings, Settings
from gradewatch.http import make_app, serve
from gradewatch.http.port import reserve
from gradewatch.http.server import Server, serve_on
from gradewatch.metrics.watch import WatchMetrics
from gradewatch.model import Code, CycleReport, Severity, Verdict

SHOTS = Path(__file__).parents[2] / ".artifacts" / "page"  # screenshots, kept for whoever wants to look
TOKEN = "page-token-0123456789"
DEADLINE = 10_000  # milliseconds for anything to appear
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# What breaks the content security policy is noted by the page itself, for the browser tells nobody else.
NOTE_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => violations.push(`${e.violatedDirective} ${e.blockedURI}`));
"""


@asynccontextmanager
async def chromium(playwright: Playwright) -> AsyncIterator[Browser]:
    """Debian's Chromium. Skips the test where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    need("Chromium", bool(found), "sudo apt-get install chromium")
    browser = await playwright.chromium.launch(executable_path=found, args=list(QUIET))
    try:
        yield browser
    finally:
        await browser.close()


class Visitor:
    """One tab. `complaints` gathers errors of scripts, the console's errors, failed requests to elsewhere and breaches
    of the content security policy; a test that expects one takes it out."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context, self.page = context, page
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on(
            "console", lambda said: self.complaints.append(f"console: {said.text}") if said.type == "error" else None
        )
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("dialog", lambda dialog: self.complaints.append(f"a dialog popped up: {dialog.message}"))

    @classmethod
    async def arrive(cls, browser: Browser, **how: Any) -> Visitor:
        context = await browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "timezone_id": "UTC", "locale": "en-GB"} | how
        )
        context.set_default_timeout(DEADLINE)
        await context.add_init_script(NOTE_VIOLATIONS)
        return cls(context, await context.new_page())

    async def leave(self) -> None:
        """May be called again."""
        if not self.page.is_closed():
            self.complaints += await self.page.evaluate("window.violations ?? []")
        await self.context.close()

    async def open(self, url: str) -> None:
        """Load a page and wait until its scripts have taken over."""
        await self.page.goto(url, wait_until="load")
        await self.page.wait_for_selector("#live")

    async def forgive(self, what: str) -> None:
        """Leave the page, and take out the complaints that the test provoked; there must be one."""
        self.complaints += await self.page.evaluate("violations")
        await self.page.goto("about:blank")
        forgiven = [one for one in self.complaints if what in one]
        assert forgiven, f"nothing of {what} in {self.complaints}"
        self.complaints = [one for one in self.complaints if what not in one]

    async def text(self, selector: str = "main") -> str:
        return await self.page.inner_text(selector)

    async def sees(self, text: str, within: str = "body") -> None:
        """Wait until that text can be read."""
        await self.page.locator(within).get_by_text(text).first.wait_for(state="visible")

    async def shot(self, name: str, *, full: bool = True) -> None:
        await self.page.screenshot(path=SHOTS / f"{name}.png", full_page=full)

    async def barriers(self) -> list[str]:
        """What axe finds against the WCAG 2.2 rules up to AA and its best practices."""
        found = await Axe().run(self.page)
        return [
            f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
            for one in found.response["violations"]
        ]


@dataclass
class Watch:
    """A watch's HTTP side over a store, with a board that the test publishes on."""

    board: Board
    store: Any
    settings: Settings
    server: Server

    @property
    def url(self) -> str:
        return self.server.url

    def publish(self, one: CycleReport | None = None, **changes: Any) -> None:
        """A report as fresh as from a cycle that has just ended."""
        self.board.publish(one or fresh(**changes))

    async def stop(self) -> None:
        await self.server.close()

    async def start_again(self, *, board: Board | None = None) -> None:
        """On the same port, as after a restart."""
        self.board = board or Board()
        host, port = self.url.removeprefix("http://").split(":")
        self.server = await serve_on(reserve(host, int(port)), _app(self.board, self.store, self.settings))


def fresh(number: int = 1, **changes: Any) -> CycleReport:
    """A report of this moment; `snapshot` by default is of one calm queue."""
    seen = changes.pop("of", None) or snapshot(mono=time.monotonic())
    return report(seen, number=number, sweep=f"sweep-{number}", wall=datetime.now(UTC), **changes)


def _app(board: Board, store: Any, settings: Settings) -> Any:
    return make_app(board, store, settings, WatchMetrics(settings, store="sqlite"))


def settings_of(*queues: str, token: str = TOKEN) -> Settings:
    named = {name: QueueSettings(name=name) for name in queues or ("default", "urgent")}
    return Settings(http=HttpSettings(token=token), queues=named)


@asynccontextmanager
async def watching(store: Any, settings: Settings | None = None) -> AsyncIterator[Watch]:
    settings = settings or settings_of()
    board = Board()
    one = Watch(board, store, settings, await serve(_app(board, store, settings), "127.0.0.1", 0))
    try:
        yield one
    finally:
        await one.server.close()


@asynccontextmanager
async def watching_for(visitor: Visitor, store: Any, settings: Settings | None = None) -> AsyncIterator[Watch]:
    """A watch that outlasts its visitor, who would else complain of a server that is gone."""
    async with watching(store, settings) as one:
        yield one
        await visitor.leave()


# ---------------------------------------------------------------- large and troubled worlds

VERDICTS = (*[Verdict.ALIVE] * 17, Verdict.SUSPECT, Verdict.STARVED, Verdict.DEAD)


def large_settings(queues: int = 100) -> Settings:
    return settings_of(*(f"school-{n:03}" for n in range(queues)))


def large_report(settings: Settings, workers: int = 1000, number: int = 1) -> CycleReport:
    """Every queue busy, one worker in twenty of each kind of trouble, a few findings."""
    names = list(settings.queues)
    stats = [queue_stats(name, pending=n % 37, running=n % 5) for n, name in enumerate(names)]
    verdicts = [
        verdict(
            session(
                f"s{n:04}",
                name=f"grader-{n:04}.eu-west.example",
                queues=(names[n % len(names)],),
                host=f"node-{n % 40}",
            ),
            VERDICTS[n % len(VERDICTS)],
            "beat 1 s ago" if n % 20 < 17 else "no beat for 48 s (limit 15 s); nothing proves its death",
        )
        for n in range(workers)
    ]
    seen = snapshot(stats, sessions=[one.session for one in verdicts], mono=time.monotonic())
    return fresh(number, of=seen, verdicts=verdicts, findings=trouble(names[:4]))


def trouble(queues: Sequence[str]) -> list[Any]:
    return [
        finding(
            Code.WORKER_NOT_RUNNING if n == 0 else Code.WORKERS_SATURATED,
            queue,
            queue=queue,
            severity=Severity.CRITICAL if n == 0 else Severity.WARNING,
            summary=f"No worker is running for {queue}"
            if n == 0
            else f"All 8 slots for {queue} are busy and work waits",
            evidence=("12 pending, the oldest eligible one for 210 s", "worker-7: killed by SIGKILL"),
            fix="Start one; if it was started, its first log lines say why it ended.",
        )
        for n, queue in enumerate(queues)
    ]
