"""The page in a real Chromium: by eye, by axe, by keyboard, on a phone, in the dark; calm, crowded, hostile, broken."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from builders import finding, queue_stats, report, session, snapshot, verdict
from page_kit import TOKEN, Visitor, Watch, fresh, large_report, large_settings, settings_of, watching_for
from playwright.async_api import Browser, expect

from gradewatch.model import (
    Action,
    ActionKind,
    Claimed,
    Code,
    Finish,
    FinishKind,
    Job,
    JobError,
    JobRef,
    JobState,
    Known,
    NewJob,
    NewSession,
    PaperResult,
    Severity,
    Unknown,
    Verdict,
)

PAPERS = 30
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
HOSTILE = [
    '<img src=x onerror="window.hacked=1">',
    "</td></table><script>window.hacked=1</script>",
    '"onmouseover="window.hacked=1" x=\'',
    "javascript:window.hacked=1",
    "line one\nline two\r\n\ttabbed",
    "bell\x07 null\x00 escape\x1b[31m",
    "🦊👩‍👩‍👧‍👦 Ünïcödé 教室",
    "right\u202eto\u202cleft",
    "x" * 10_240,
    "W" * 10_240,
    "\ud83e half an emoji",
    "__proto__",
    "${7*7}{{7*7}}",
    " ",
]

LISTEN = """() => {
  const place = document.getElementById("announce");
  window.said = [];
  const listen = new MutationObserver(() => said.push(place.textContent));
  listen.observe(place, { childList: true, characterData: true, subtree: true });
}"""
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


async def grading(store: Any, jobs: int = 3, done: int = 12) -> list[Job]:
    """Jobs of thirty papers held by one worker; twelve papers of the first are done."""
    papers = [{"name": f"{n + 1:02}-student.pdf", "sha256": "0" * 64, "size": 1} for n in range(PAPERS)]
    await store.submit([NewJob("grade", {"papers": papers}, progress_total=PAPERS) for _ in range(jobs)])
    worker = await store.open_session(NewSession("worker-1", ("default",), jobs, "host-1", 77, "0.1.0"))
    claimed = await store.claim(worker, ["default"], ["grade"], jobs)
    for index in range(done):
        await store.save_paper(Claimed(claimed[0].id, claimed[0].token), paper(index))
    return claimed


def paper(index: int) -> PaperResult:
    name = f"{index + 1:02}-student.pdf"
    if index == 4:
        return PaperResult(index, name, "needs_review", 6.5, 10.0, {})
    if index == 9:
        return PaperResult(index, name, "failed", None, 10.0, {}, JobError("paper_unreadable", "the file is no PDF"))
    return PaperResult(index, name, "graded", 7.0, 10.0, {})


def held(job: Job) -> JobRef:
    return JobRef(
        job.id, job.queue, job.kind, JobState.RUNNING, job.token, 1, 3, 0, job.session_id, job.run_at, job.started_at
    )


async def take_back(store: Any, jobs: list[Job], sweep: str = "sweep-of-two") -> None:
    actions = [
        Action(ActionKind.REQUEUE, "default", Code.WORKER_NOT_RUNNING, "its worker is silent for 16 s", job=held(job))
        for job in jobs
    ]
    await store.repair(actions, sweep=sweep, by="host-1:4711:ab12")


async def fail(store: Any, job: Job, message: str = "the rubric asks for Q3, which no paper has") -> None:
    await store.finish([Finish(Claimed(job.id, job.token), FinishKind.FAIL, error=JobError("rubric", message))])


def calm(jobs: list[Job], number: int = 1, **changes: Any) -> Any:
    one = session(jobs[0].session_id or "", name="worker-1", slots=3, busy=len(jobs)) if jobs else session()
    stats = [queue_stats(), queue_stats("urgent", pending=0, running=0, oldest_pending_at=None)]
    seen = snapshot(stats, sessions=[one], mono=time.monotonic())
    return fresh(number, of=seen, **{"verdicts": [verdict(one)]} | changes)


# ---------------------------------------------------------------- reading


async def test_a_calm_day(store: Any, watch: Watch, visitor: Visitor) -> None:
    jobs = await grading(store)
    watch.publish(calm(jobs))
    await visitor.open(watch.url + "/")
    await visitor.sees("All is well: 3 jobs wait, 2 jobs run, 1 worker alive")
    await visitor.sees("worker-1", "#workers")
    await visitor.sees("12/30", "#workers")
    await expect(visitor.page.locator("#workers tbody")).to_contain_text(re.compile(r"\d s ago"))
    await expect(visitor.page.locator("#queues tbody")).to_contain_text(re.compile(r"[45]\d s of 5 min"))
    await visitor.sees("12/30", "#jobs")
    assert await visitor.page.title() == "Gradewatch"
    assert await visitor.barriers() == []
    await visitor.shot("calm-light")
    await visitor.page.emulate_media(color_scheme="dark")
    assert await visitor.barriers() == []
    await visitor.shot("calm-dark")
    assert {url.split("/")[2] for url in visitor.asked} == {watch.url.split("/")[2]}, "an asset came from elsewhere"


async def test_an_incident_is_told_as_it_happens_and_ends(store: Any, watch: Watch, visitor: Visitor) -> None:
    jobs = await grading(store)
    watch.publish(calm(jobs))
    await visitor.open(watch.url + "/")
    await visitor.sees("All is well")
    lost = session(jobs[0].session_id or "", name="worker-1")
    silent = verdict(lost, Verdict.SUSPECT, "no beat for 17.0 s (limit 15 s); nothing proves its death")
    found = [finding(summary="No worker is running for default"), finding(Code.CLOCK_SKEW, severity=Severity.WARNING)]
    watch.publish(calm(jobs, 2, verdicts=[silent], findings=found))
    await visitor.sees("No worker is running for default", "h1")
    await visitor.sees("the last beat is 120 s old", ".cause")
    await visitor.sees("start a worker", ".fix")
    await visitor.sees("suspect", "#workers tbody")
    await visitor.sees("Found:", "#timeline")
    assert await visitor.page.title() == "CRITICAL · Gradewatch"
    assert "No worker is running" in await visitor.page.text_content("#announce")
    assert await visitor.barriers() == []
    await visitor.shot("incident-light")
    await visitor.page.emulate_media(color_scheme="dark")
    assert await visitor.barriers() == []
    await visitor.shot("incident-dark")

    await take_back(store, jobs[:2])
    watch.publish(calm(jobs, 3))
    await visitor.sees("All is well", "h1")
    await visitor.sees("Taken back: 2 jobs", "#timeline")
    await visitor.sees("Over:", "#timeline")
    assert await visitor.page.title() == "Gradewatch"


async def test_on_a_phone(store: Any, watch: Watch, browser: Browser) -> None:
    jobs = await grading(store)
    await fail(store, jobs[1])
    watch.publish(calm(jobs, findings=[finding(summary="No worker is running for default")]))
    phone = await Visitor.arrive(browser, **PHONE)
    for path, shot in (("/", "phone-incident"), (f"/jobs/{jobs[0].id}", "phone-job")):
        await phone.open(watch.url + path)
        assert await phone.page.evaluate("document.documentElement.scrollWidth") == 390, "it can be scrolled sideways"
        sizes = await phone.page.evaluate(
            "[...document.querySelectorAll('button, select, input')].map((e) => e.getBoundingClientRect().height)"
        )
        assert min(sizes) >= 40, "too small for a thumb"
        assert await phone.barriers() == []
        await phone.shot(shot)
    await phone.page.emulate_media(color_scheme="dark")
    await phone.open(watch.url + "/")
    await phone.shot("phone-dark", full=False)
    await phone.leave()
    assert phone.complaints == []


async def test_a_jobs_own_page_goes_on_by_itself(store: Any, watch: Watch, visitor: Visitor) -> None:
    jobs = await grading(store)
    watch.publish(calm(jobs))
    await visitor.open(watch.url + "/")
    await visitor.page.click("#workers a.id >> nth=0")
    await visitor.page.wait_for_url("**/jobs/*")
    job_id = visitor.page.url.rpartition("/")[2]
    assert job_id in [job.id for job in jobs]
    await visitor.open(f"{watch.url}/jobs/{jobs[0].id}")
    await visitor.sees("12/30", "#job")
    await visitor.sees("10 graded, 1 for a person to look at, 1 failed, 18 to come", "#papers")
    await visitor.sees("the file is no PDF", "#papers")
    await visitor.sees("30-student.pdf", "#papers")
    assert await visitor.barriers() == []
    await visitor.shot("job-light")
    await store.save_paper(Claimed(jobs[0].id, jobs[0].token), paper(12))
    await visitor.sees("13/30", "#job")
    await visitor.sees("11 graded", "#papers")
    await fail(store, jobs[0])
    watch.publish(calm(jobs, 2))
    await visitor.sees("the rubric asks for Q3, which no paper has", "#job")
    await visitor.page.emulate_media(color_scheme="dark")
    assert await visitor.barriers() == []
    await visitor.shot("job-dark")


async def test_the_page_of_no_job_says_so(watch: Watch, visitor: Visitor) -> None:
    watch.publish()
    await visitor.open(watch.url + "/jobs/gone")
    await visitor.sees("there is no job gone")
    assert await visitor.barriers() == []
    await visitor.forgive("404")


async def test_with_1000_workers_and_100_queues_little_is_shown_until_it_is_asked_for(
    store: Any, visitor: Visitor
) -> None:
    settings = large_settings()
    async with watching_for(visitor, store, settings) as watch:
        watch.publish(large_report(settings))
        await visitor.open(watch.url + "/")
        await visitor.sees("12 of 100 queues, the gravest first.")
        await visitor.sees("20 of 1,000 workers, the gravest first.")
        rows = visitor.page.locator("#workers tbody tr")
        assert await rows.count() == 20
        assert await visitor.page.locator("#queues tbody tr").count() == 12
        assert await visitor.page.locator("#queues tbody tr").first.inner_text() != ""
        assert "dead" in await rows.first.inner_text()
        assert await visitor.barriers() == []
        await visitor.shot("large")
        await visitor.page.fill("#filter-workers", "grader-0123")
        await visitor.sees("grader-0123.eu-west.example", "#workers")
        assert await rows.count() == 1
        await visitor.page.fill("#filter-workers", "")
        await visitor.sees("20 of 1,000 workers, the gravest first.")
        await visitor.page.click("#all-workers")
        await expect(visitor.page.locator("#workers tbody tr")).to_have_count(1000)
        watch.publish(large_report(settings, number=2))
        await visitor.sees("cycle 2", "#foot")
        assert await rows.count() == 1000
        await visitor.page.click("#all-workers")
        assert await rows.count() == 20
        await visitor.page.fill("#filter-queues", "school-09")
        await expect(visitor.page.locator("#queues tbody tr")).to_have_count(10)
        await visitor.page.fill("#filter-queues", "")
        await visitor.page.click("#all-queues")
        await expect(visitor.page.locator("#queues tbody tr")).to_have_count(100)


async def test_hostile_texts_are_shown_as_text_and_never_run(store: Any, visitor: Visitor) -> None:
    settings = settings_of(*(text for text in HOSTILE), token=TOKEN)
    sessions = [session(str(n), name=text, host=text, queues=(text,)) for n, text in enumerate(HOSTILE)]
    found = [
        finding(subject=text, queue=text, summary=f"summary {text}", evidence=(text,), fix=text, command=text)
        for text in HOSTILE
    ]
    names = [{"name": text} for text in HOSTILE]
    ids = await store.submit([NewJob("grade", {"papers": names}, queue="default", progress_total=len(HOSTILE))])
    own = await store.open_session(NewSession("w", ("default",), 9, "h", 1, "0"))
    (job,) = await store.claim(own, ["default"], ["grade"], 1)
    for index, text in enumerate(HOSTILE[:-4]):
        result = PaperResult(index, text, "failed", None, 1.0, {}, JobError("odd", text))
        await store.save_paper(Claimed(job.id, job.token), result)
    await fail(store, job, "".join(HOSTILE[:7]))
    async with watching_for(visitor, store, settings) as watch:
        watch.publish(
            fresh(
                of=snapshot([queue_stats(text) for text in HOSTILE], sessions=sessions, mono=time.monotonic()),
                verdicts=[verdict(one, Verdict.DEAD, one.name) for one in sessions],
                findings=found,
            )
        )
        for path in ("/", f"/jobs/{ids[0]}"):
            await visitor.open(watch.url + path)
            shown = await visitor.text("body")
            assert '<img src=x onerror="window.hacked=1">' in shown
            assert "⟨U+202E⟩" in shown
            pictures = "␇␀␛" if path == "/" else "␇\ufffd␛"  # what comes from a store holds no NUL any more
            assert [picture for picture in pictures if picture not in shown] == []
            assert "🦊👩" in shown
            assert "x" * 500 not in shown
            assert await visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                "it is pushed wide"
            )
            assert await visitor.page.evaluate("window.hacked") is None
            assert await visitor.page.locator("main img, main script, main iframe").count() == 0
            assert await visitor.barriers() == []
            await visitor.shot(f"hostile-{'job' if 'jobs' in path else 'overview'}")


async def test_a_screen_reader_is_told_of_changes_and_not_of_figures(watch: Watch, visitor: Visitor) -> None:
    watch.publish(findings=[finding()])
    await visitor.open(watch.url + "/")
    await visitor.page.evaluate(LISTEN)
    for number in (2, 3):
        watch.publish(number=number, findings=[finding(summary=f"no live worker for {number}0 s")])
        await visitor.sees(f"no live worker for {number}0 s", "h1")
    assert await visitor.page.evaluate("said") == []
    watch.publish(number=4)
    await visitor.sees("All is well", "h1")
    (said,) = await visitor.page.evaluate("said")
    assert said.startswith("All is well")
    live = await visitor.page.evaluate(
        "[...document.querySelectorAll('[aria-live], [role=status], [role=alert], [role=log]')].map((e) => e.id)"
    )
    assert sorted(live) == ["announce", "notice"], "nothing else on the page speaks unasked"
    landmarks = await visitor.page.evaluate(
        "['header', 'main', 'footer'].map((t) => document.querySelectorAll(t).length)"
    )
    assert landmarks == [1, 1, 1]
    assert (
        await visitor.page.evaluate("[...document.querySelectorAll('h1, h2')].map((e) => e.tagName).join('')")
        == "H1H2H2H2H2"
    )


async def test_without_scripts_it_still_says_how_things_are(watch: Watch, browser: Browser) -> None:
    watch.publish(findings=[finding()])
    plain = await Visitor.arrive(browser, java_script_enabled=False)
    await plain.page.goto(watch.url + "/")
    for text in ("no live worker serves the queue", "the last beat is 120 s old", "start a worker"):
        await plain.sees(text)
    assert "load it again" in await plain.text("noscript")
    await plain.shot("no-scripts")
    await plain.context.close()
    assert plain.complaints == []


# ---------------------------------------------------------------- when something is away


async def test_the_store_away_is_said_with_the_time_and_the_last_figures_stay(watch: Watch, visitor: Visitor) -> None:
    watch.publish()
    await visitor.open(watch.url + "/")
    await visitor.sees("All is well")
    gone = Unknown("the database is locked", time.monotonic(), Code.STORE_UNREACHABLE)
    lost = snapshot([gone], mono=time.monotonic(), store=gone, workers=gone, control=gone)
    told = finding(
        Code.STORE_UNREACHABLE, "store", summary="The store cannot be used", evidence=("the database is locked",)
    )
    watch.publish(of=lost, number=2, verdicts=[], findings=[told], leader=False)
    await visitor.sees("The store cannot be used", "h1")
    await visitor.sees("The store has not answered since")
    await visitor.sees("worker-s1", "#workers")
    row = visitor.page.locator("#queues tbody tr", has_text="default")
    await expect(row).to_contain_text(re.compile(r"read \d+ s ago"))
    await expect(row).to_contain_text(re.compile(r"[45]\d s of 5 min"))
    assert await visitor.barriers() == []
    await visitor.shot("store-away")
    watch.publish(number=3)
    await visitor.sees("All is well", "h1")
    assert await visitor.page.get_by_text("The store has not answered since").count() == 0


async def test_a_broken_stream_is_said_and_opened_again(watch: Watch, visitor: Visitor) -> None:
    watch.publish()
    await visitor.open(watch.url + "/")
    await visitor.sees("Live", "#live")
    await watch.stop()
    await visitor.sees("Not live", "#live")
    await visitor.sees("trying again", "#live")
    await visitor.sees("How things are is not known: the watch does not answer", "h1")
    await visitor.sees("The watch cannot be reached from here. The last it said: All is well", ".cause")
    assert await visitor.page.title() == "UNKNOWN · Gradewatch"
    assert "Data is old" in await visitor.page.text_content("#announce")
    await expect(visitor.page.locator("#live")).to_contain_text(re.compile(r"[1-9]\d* s old"))
    assert await visitor.barriers() == []
    await visitor.shot("stream-broken", full=False)
    await watch.start_again()
    watch.publish(findings=[finding()])
    await visitor.sees("no live worker serves the queue", "h1")
    await visitor.sees("Live", "#live")
    assert await visitor.page.title() == "CRITICAL · Gradewatch"
    await visitor.forgive("net::ERR_")


async def test_a_full_house_is_asked_instead_of_listened_to(
    watch: Watch, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch allows only so many streams; a page that gets none still goes on."""
    monkeypatch.setattr("gradewatch.board.MAX_SUBSCRIBERS", 0)
    watch.publish()
    await visitor.open(watch.url + "/")
    await visitor.sees("The live stream broke. The page asks by itself meanwhile.")
    watch.publish(number=2, findings=[finding()])
    await visitor.sees("no live worker serves the queue", "h1")
    await visitor.forgive("503")


async def test_a_tab_that_nobody_sees_gives_its_stream_back(watch: Watch, visitor: Visitor) -> None:
    watch.publish()
    await visitor.open(watch.url + "/")
    await visitor.sees("Live", "#live")
    await visitor.page.evaluate(HIDE, True)
    deadline = time.monotonic() + 10
    while watch.board.subscribers and time.monotonic() < deadline:
        watch.publish()  # the first write after the goodbye finds it
        await visitor.page.wait_for_timeout(20)
    assert watch.board.subscribers == 0
    await visitor.page.evaluate(HIDE, False)
    await visitor.sees("Live", "#live")
    assert watch.board.subscribers == 1


# ---------------------------------------------------------------- doing


async def focus(visitor: Visitor) -> str:
    """What has the focus, and whether that can be seen."""
    told: str = await visitor.page.evaluate(
        """() => { const e = document.activeElement; const style = getComputedStyle(e);
        return `${e.id || e.textContent.trim()}${style.outlineStyle === "none" ? " (unseen)" : ""}`; }"""
    )
    return told


async def tab_to(visitor: Visitor, target: str) -> None:
    for _ in range(60):
        await visitor.page.keyboard.press("Tab")
        if await focus(visitor) == target:
            return
    raise AssertionError(f"sixty times Tab does not lead to {target}; it is at {await focus(visitor)}")


async def test_pause_and_resume_by_keyboard_alone(store: Any, watch: Watch, visitor: Visitor) -> None:
    watch.publish()
    await visitor.open(watch.url + "/")
    keys = visitor.page.keyboard
    await keys.press("Tab")
    assert await focus(visitor) == "Skip to content"
    await tab_to(visitor, "hold")
    await keys.press("Enter")
    await visitor.sees("Pause repairs?", "dialog")
    assert await visitor.barriers() == []
    await visitor.shot("dialog", full=False)
    assert await focus(visitor) == "ask-for"
    await keys.type("1 hour")
    await tab_to(visitor, "ask-reason")
    await keys.type("deploy")
    await tab_to(visitor, "ask-token")
    await keys.type(TOKEN)
    await keys.press("Enter")
    await visitor.sees("Repairs are paused until", "#notice")
    pause = (await store.control({})).pause
    assert (pause.reason, pause.by, (pause.until - pause.started_at).total_seconds()) == ("deploy", "http", 3600)
    assert await focus(visitor) == "hold"
    assert await visitor.page.evaluate("[localStorage.length, document.cookie]") == [0, ""]

    now = time.monotonic()
    watch.publish(of=snapshot(mono=now, control=Known(await store.control({}), now)), number=2)
    await visitor.sees("Repairs paused until", ".health")
    await visitor.sees("Resume repairs", "#hold")
    assert await focus(visitor) == "hold", "the focus survived what came in"
    await keys.press("Enter")
    await visitor.sees("Resume repairs?", "dialog")
    assert await visitor.page.locator("#ask-token").count() == 0, "the token is kept in this tab"
    await keys.press("Enter")
    await visitor.sees("Repairs go on.", "#notice")
    assert (await store.control({})).pause is None
    await keys.press("Tab")
    assert await focus(visitor) == "forget"
    await keys.press("Enter")
    assert await visitor.page.evaluate("sessionStorage.length") == 0


async def test_requeue_by_keyboard_alone(store: Any, watch: Watch, visitor: Visitor) -> None:
    jobs = await grading(store, 2)
    await fail(store, jobs[1])
    watch.publish(calm(jobs))
    await visitor.open(watch.url + "/")
    await visitor.page.focus(f'button[data-id="{jobs[1].id}"]')
    await visitor.page.keyboard.press("Enter")
    await visitor.sees("back into its queue?", "dialog")
    await tab_to(visitor, "ask-token")
    await visitor.page.keyboard.type(TOKEN)
    await visitor.page.keyboard.press("Enter")
    await visitor.sees("waits in its queue again.", "#notice")
    job = await store.job(jobs[1].id)
    assert (job.state, job.error) == (JobState.PENDING, None)
    row = visitor.page.locator(f'#jobs tr[data-key="{jobs[1].id}"]')
    await row.get_by_text("pending").wait_for()


async def test_escape_gives_up_and_changes_nothing(store: Any, watch: Watch, visitor: Visitor) -> None:
    watch.publish()
    await visitor.open(watch.url + "/")
    await visitor.page.focus("#hold")
    await visitor.page.keyboard.press("Enter")
    await visitor.sees("Pause repairs?", "dialog")
    await visitor.page.keyboard.press("Escape")
    await visitor.page.wait_for_selector("dialog", state="hidden")
    assert await focus(visitor) == "hold"
    assert (await store.control({})).pause is None


@pytest.mark.parametrize("wrong", ["wrong", "ключ-🔑", '"<b>'])
async def test_a_wrong_token_is_said_and_can_be_put_right(
    store: Any, watch: Watch, visitor: Visitor, wrong: str
) -> None:
    watch.publish()
    await visitor.open(watch.url + "/")
    await visitor.page.click("#hold")
    await visitor.page.fill("#ask-reason", "kept while the token is corrected")
    await visitor.page.fill("#ask-token", wrong)
    await visitor.page.click("dialog button[type=submit]")
    await visitor.sees("This token is not the one the watch was given. Nothing was changed.", "dialog")
    assert await visitor.page.get_attribute("#ask-token", "aria-invalid") == "true"
    assert await focus(visitor) == "ask-token"
    assert await visitor.barriers() == []
    await visitor.shot("token-wrong", full=False)
    assert (await store.control({})).pause is None
    assert await visitor.page.evaluate("sessionStorage.length") == 0
    await visitor.page.fill("#ask-token", TOKEN)
    await visitor.page.keyboard.press("Enter")
    await visitor.sees("Repairs are paused until", "#notice")
    assert (await store.control({})).pause.reason == "kept while the token is corrected"
    await visitor.forgive("401")


async def test_a_sweep_is_undone(store: Any, watch: Watch, visitor: Visitor) -> None:
    jobs = await grading(store)
    await take_back(store, jobs[:2])
    watch.publish(calm(jobs))
    await visitor.open(watch.url + "/")
    await visitor.sees("Taken back: 2 jobs", "#timeline")
    await visitor.page.click("#timeline button")
    await visitor.sees("sweep-of-two", "dialog")
    await visitor.page.fill("#ask-token", TOKEN)
    await visitor.page.click("dialog button[type=submit]")
    await visitor.sees("2 jobs put back.", "#notice")
    await visitor.sees("2 changes undone", "#timeline")
    entries = await store.audit(sweep="sweep-of-two")
    assert [bool(entry.undone_at) for entry in entries if entry.action == "requeue"] == [True, True]


async def test_what_somebody_else_did_first_is_said(store: Any, watch: Watch, visitor: Visitor) -> None:
    jobs = await grading(store, 1)
    await fail(store, jobs[0])
    watch.publish(calm(jobs))
    await visitor.open(watch.url + "/")
    await visitor.page.click("#jobs button[data-action=requeue]")
    await visitor.page.fill("#ask-token", TOKEN)
    await store.operate(jobs[0].id, "requeue", by="cli", sweep="s", message="somebody else")
    await visitor.page.click("dialog button[type=submit]")
    await visitor.sees("It is untouched.", "dialog")
    await visitor.forgive("409")


async def test_without_a_token_set_nothing_can_be_ordered(store: Any, visitor: Visitor) -> None:
    jobs = await grading(store)
    await fail(store, jobs[0])
    async with watching_for(visitor, store, settings_of(token="")) as watch:
        watch.publish(calm(jobs))
        await visitor.open(watch.url + "/")
        await visitor.sees("This page only reads: no token is set")
        assert await visitor.page.locator("button[data-action]").count() == 0


async def test_what_is_unfolded_typed_and_focused_stays_while_news_come_in(watch: Watch, visitor: Visitor) -> None:
    def many(number: int) -> Any:
        found = [finding(subject=str(n), summary=f"finding {n} at {number}") for n in range(4)]
        return report(snapshot(mono=time.monotonic()), number=number, findings=found)

    watch.publish(many(1))
    await visitor.open(watch.url + "/")
    await visitor.page.click("details:has-text('finding 2') summary")
    await visitor.page.select_option("#job-state", "failed")
    await visitor.page.focus("#job-state")
    for number in (2, 3):
        watch.publish(many(number))
        await visitor.sees(f"finding 0 at {number}", "h1")
    opened = await visitor.page.evaluate("[...document.querySelectorAll('details')].map((e) => e.open)")
    assert opened == [False, True, False]
    assert await focus(visitor) == "job-state"
    assert await visitor.page.input_value("#job-state") == "failed"
