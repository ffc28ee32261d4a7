"""The page as it leaves the server: what it says before any script has run, how it is sealed, and how large it is."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import re
import time
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from builders import finding, report, session, snapshot, verdict
from page_kit import Watch, fresh, large_report, large_settings, watching

from gradewatch.http.page.assets import assets
from gradewatch.model import Known, NewJob, NewSession

STATIC = Path(__file__).parents[2] / "gradewatch" / "http" / "page" / "static"
HOSTILE = "</script><script>alert(1)</script><!--<script>\"'&\u2028\ud83e"


class Outline(HTMLParser):
    """What a browser would make of it, roughly: elements, attributes, and the texts of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: dict[str, str] = {}
        self.texts: list[str] = []
        self._script = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._script = dict(attrs).get("id") or "src" if tag == "script" else ""

    def handle_endtag(self, tag: str) -> None:
        self._script = ""

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        elif data.strip():
            self.texts.append(data.strip())


async def get(url: str, *, gzipped: bool = True, **headers: str) -> tuple[int, Any, bytes]:
    """Status, headers, and the body as it went over the wire."""
    headers = {"Accept-Encoding": "gzip" if gzipped else "identity"} | headers
    async with aiohttp.ClientSession(auto_decompress=False) as http, http.get(url, headers=headers) as answer:
        return answer.status, answer.headers, await answer.read()


async def html_of(url: str) -> Outline:
    _, _, body = await get(url, gzipped=False)
    return Outline(body.decode())


def busy_minutes(one: Any) -> list[Any]:
    """The same watch for a quarter of an hour, its queues growing and shrinking: the sparklines are full."""
    reports = []
    for number in range(60):
        mono = one.snapshot.mono + 15.0 * (number - 59)
        queues = {
            name: Known(
                replace(known.value, stats=replace(known.value.stats, pending=(number * at * 7919) % 997)), mono
            )
            for at, (name, known) in enumerate(one.snapshot.queues.items())
        }
        reports.append(replace(one, number=number, snapshot=replace(one.snapshot, mono=mono, queues=queues)))
    return reports


async def test_it_says_how_things_are_before_any_script_has_run(watch: Watch) -> None:
    watch.publish(findings=[finding(fix="start <b>one</b> & see")])
    page = await html_of(watch.url + "/")
    for text in ("Critical", "no live worker serves the queue", "the last beat is 120 s old", "start <b>one</b> & see"):
        assert text in page.texts
    state = json.loads(page.scripts["overview"])
    assert state["health"]["sentence"] == "no live worker serves the queue"
    assert [queue["name"] for queue in state["queues"]] == ["default", "urgent"]


async def test_nothing_in_it_runs_but_its_own_files(watch: Watch) -> None:
    """The policy forbids inline scripts, and styles but for the one sheet that it knows; here is none to be stopped."""
    watch.publish()
    status, headers, body = await get(watch.url + "/", gzipped=False)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    page = Outline(body.decode())
    [style] = re.findall(r"<style>(.*?)</style>", body.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert page.tags["style"] == 1
    assert [name for _, name, _ in page.attributes if name == "style" or name.startswith("on")] == []
    linked = [value for _, name, value in page.attributes if name in ("src", "href")]
    assert linked
    assert [value for value in linked if "//" in value or value.startswith("data:")] == []
    assert set(page.scripts) == {"page", "overview"}
    assert ("script", "type", "module") in page.attributes
    assert page.tags["script"] == 3


async def test_no_name_can_leave_the_block_that_carries_it(store: Any, watch: Watch) -> None:
    one = session(name=HOSTILE, host=HOSTILE)
    found = finding(subject=HOSTILE, summary=HOSTILE, evidence=(HOSTILE,), fix=HOSTILE, command=HOSTILE)
    watch.publish(of=snapshot(sessions=[one]), verdicts=[verdict(one, evidence=HOSTILE)], findings=[found])
    for path in ("/", "/jobs/%3C%2Fscript%3E%3Cscript%3Ealert(1)"):
        page = await html_of(watch.url + path)
        assert page.tags["script"] == 3
        state = json.loads(page.scripts["overview"])
        assert state["workers"]["workers"][0]["name"] == HOSTILE
        assert state["health"]["sentence"] == HOSTILE


async def test_its_files_are_kept_for_good_under_a_name_that_changes_with_them(watch: Watch) -> None:
    page = await html_of(watch.url + "/")
    paths = sorted({v for _, n, v in page.attributes if n in ("src", "href") and v.startswith("page/")})
    assert {path.rsplit("/", 1)[1] for path in paths} == {
        f.name for f in STATIC.iterdir() if f.suffix in (".js", ".svg")
    }
    for path in paths:
        status, headers, body = await get(f"{watch.url}/{path}")
        assert status == 200
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert (headers["Content-Encoding"], headers["Vary"]) == ("gzip", "Accept-Encoding")
        _, plain_headers, plain = await get(f"{watch.url}/{path}", gzipped=False)
        assert "Content-Encoding" not in plain_headers
        assert gzip.decompress(body) == plain == (STATIC / path.rsplit("/", 1)[1]).read_bytes()
        status, _, body = await get(f"{watch.url}/{path}", **{"If-None-Match": headers["ETag"]})
        assert (status, body) == (304, b"")


@pytest.mark.parametrize("path", ["page/0000/main.js", "page/{d}/shell.html", "page/{d}/..%2Fassets.py", "page/{d}/x"])
async def test_no_other_file_is_given(watch: Watch, path: str) -> None:
    status, headers, _ = await get(f"{watch.url}/{path.format(d=assets().digest)}")
    assert (status, headers["Cache-Control"]) == (404, "no-store")


def test_every_module_that_is_imported_is_there_and_used() -> None:
    """Without a build step nobody else would tell of a misspelt import."""
    sources = {file.name: file.read_text() for file in STATIC.glob("*.js")}
    imported = {name: re.findall(r'from "\./([^"]+)"', source) for name, source in sources.items()}
    assert {one for names in imported.values() for one in names} | {"main.js"} == set(sources)
    for source in sources.values():
        for names, module in re.findall(r'import \{ ([^}]+) \} from "\./([^"]+)"', source):
            for name in names.split(", "):
                assert re.search(
                    rf"^export (?:async )?(?:function|const|class) {name.split(' as ')[0]}\b", sources[module], re.M
                )
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "localStorage",
    ):
        assert not [name for name, source in sources.items() if word in source], word


async def test_with_1000_workers_all_of_it_is_under_100_kb(store: Any) -> None:
    settings = large_settings()
    async with watching(store, settings) as watch:
        for one in busy_minutes(large_report(settings)):
            watch.publish(one)
        _, headers, body = await get(watch.url + "/")
        assert headers["Content-Encoding"] == "gzip"
        total = len(body) + sum(len(asset.zipped) for asset in assets().by_name.values())
        assert total < 100_000
        assert len(gzip.decompress(body)) + sum(len(asset.plain) for asset in assets().by_name.values()) < 200_000
        state = json.loads(Outline(gzip.decompress(body).decode()).scripts["overview"])
        assert (state["workers"]["total"], len(state["workers"]["workers"]), len(state["queues"])) == (1000, 50, 100)


async def test_a_store_that_hangs_does_not_hold_up_the_page(store: Any) -> None:
    class Hanging:
        kind = "sqlite"

        def __getattr__(self, name: str) -> Any:
            async def hang(*_: Any, **__: Any) -> None:
                await asyncio.Event().wait()

            return hang

    async with watching(Hanging()) as watch:
        watch.publish()
        for path, expected in (("/", 200), ("/jobs/j", 200), ("/api/overview", 200)):
            began = time.monotonic()
            status, _, _ = await get(watch.url + path)
            assert (status, time.monotonic() - began < 1.5) == (expected, True), path
        page = await html_of(watch.url + "/")
        assert json.loads(page.scripts["overview"])["lookup_failed"]


async def test_a_job_that_is_not_there_is_said_on_its_page(watch: Watch) -> None:
    watch.publish()
    status, headers, body = await get(watch.url + "/jobs/nowhere", gzipped=False)
    assert (status, headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    state = json.loads(Outline(body.decode()).scripts["page"])
    assert state["problem"]["code"] == "not_found"
    status, _, _ = await get(watch.url + "/jobs/a%00b", gzipped=False)
    assert status == 400


async def test_nothing_secret_is_on_it(store: Any, watch: Watch) -> None:
    """Neither the token nor what a job's payload holds beside the papers' names."""
    payload = {"papers": [{"name": "ada.pdf", "sha256": "5" * 64, "size": 1}], "rubric": {"key": "rubric-text"}}
    [job_id] = await store.submit([NewJob("grade", payload, progress_total=1)])
    await store.open_session(NewSession("w", ("default",), 1, "h", 1, "0"))
    watch.publish(report(snapshot(mono=time.monotonic())))
    for path in ("/", f"/jobs/{job_id}", "/api/overview", f"/api/jobs/{job_id}/papers"):
        _, _, body = await get(watch.url + path, gzipped=False)
        text = body.decode()
        assert watch.settings.http.token not in text
        assert json.dumps(watch.settings.http.token)[1:-1] not in text
        assert "rubric-text" not in text
        assert "5" * 64 not in text
    assert b"ada.pdf" in body


async def test_before_the_first_cycle_it_says_so(watch: Watch) -> None:
    page = await html_of(watch.url + "/")
    assert "Unknown" in page.texts
    assert any("its first look at the queues has not ended yet" in text for text in page.texts)


async def test_a_watch_that_stopped_looking_is_the_news(watch: Watch) -> None:
    watch.publish(fresh())
    watch.board.published_mono = watch.board.mono() - 120
    page = await html_of(watch.url + "/")
    assert any(
        text.startswith("The watch itself has stopped looking: its last cycle ended 2 min ago") for text in page.texts
    )
