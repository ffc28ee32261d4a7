"""Whole jobs through both SDKs, over real sockets: what is used, what it costs, what is never bought twice."""

from __future__ import annotations

from pathlib import Path

from provider_kit import Kit, marks, scan, until
from structlog.testing import capture_logs


async def test_a_job_is_read_by_vision_and_graded_by_groq(kit: Kit) -> None:
    async with kit.worker():
        papers = await kit.done(await kit.submit([*kit.scans(2, pages=2), scan(kit.folder, "photo.png")]))
    assert marks(papers) == [5.0, 5.0, 5.0]
    for paper in papers.values():
        assert (paper.status, paper.detail["source"], paper.detail["graded_by"]) == ("graded", "vision", "groq"), paper
        assert paper.detail["questions"][0]["matched"] == ["gravity", "mass"]
    assert (kit.google.calls, kit.groq.calls, kit.google.tokens) == (3, 3, 1)
    assert kit.metric("provider_requests_total", provider="vision", outcome="ok") == 3
    assert kit.metric("provider_requests_total", provider="groq", outcome="ok") == 3
    assert kit.metric("provider_tokens_total", provider="groq", direction="input") == 3 * 700
    assert kit.metric("provider_request_seconds_count", provider="groq") == 3


async def test_a_long_pdf_goes_in_pieces_of_five_pages(kit: Kit) -> None:
    async with kit.worker():
        papers = await kit.done(await kit.submit([scan(kit.folder, "long.pdf", pages=12)]))
    assert papers[0].detail["pages"] == 12
    assert sorted(len(request.requests[0].pages) for request in kit.google.requests) == [2, 5, 5]


async def test_the_order_of_pages_survives_their_being_read_at_once(kit: Kit) -> None:
    kit.google.text = lambda content, number: f"Q1 page {number} of a piece"
    kit.google.seconds = 0.02
    async with kit.worker():
        papers = await kit.done(await kit.submit([scan(kit.folder, "long.pdf", pages=7)]))
    lines = papers[0].detail["text"].splitlines()
    assert lines == [f"Q1 page {n} of a piece" for n in (1, 2, 3, 4, 5, 1, 2)]


async def test_what_is_asked_of_vision(kit: Kit) -> None:
    kit.set(language_hints=("de",))
    async with kit.worker():
        await kit.done(await kit.submit([scan(kit.folder, "photo.png"), scan(kit.folder, "a.pdf")]))
    for request in kit.google.requests:
        [one] = request.requests
        assert [feature.type_.name for feature in one.features] == ["DOCUMENT_TEXT_DETECTION"]
        assert list(one.image_context.language_hints) == ["de"]


async def test_identical_pages_are_bought_once_within_a_job_and_ever_after(kit: Kit) -> None:
    kit.google.seconds = 0.05
    same = scan(kit.folder, "same.png")
    async with kit.worker():
        papers = await kit.done(await kit.submit([same] * 6))
        assert kit.google.calls == 1, "six papers at once, one purchase"
        assert marks(papers) == [5.0] * 6
        await kit.done(await kit.submit([same]))
    async with kit.worker():
        await kit.done(await kit.submit([same]))
        assert kit.google.calls == 1, "another process finds it in the store"
        kit.set(language_hints=("de",))
    async with kit.worker():
        await kit.done(await kit.submit([same]))
    assert kit.google.calls == 2, "other options read something else"


async def test_papers_of_one_job_run_at_once_up_to_the_setting(kit: Kit) -> None:
    kit.set(papers=3)
    kit.google.seconds = 0.1
    async with kit.worker():
        await kit.done(await kit.submit(kit.scans(9)))
    assert kit.google.peak == 3


async def test_a_worker_that_takes_over_buys_nothing_that_was_paid_for(kit: Kit) -> None:
    kit.google.seconds = kit.groq.seconds = 0.05
    kit.set(papers=2, drain=0.01)
    job_id = await kit.submit(kit.scans(10))
    async with kit.worker():
        await until(lambda: _graded(kit, job_id, 4), "four papers are graded")
    graded = len(await kit.store.papers(job_id))
    asked = kit.groq.calls
    assert 4 <= graded < 10
    async with kit.worker():
        papers = await kit.done(job_id)
    assert marks(papers) == [5.0] * 10
    assert {paper.times_written for paper in papers.values()} == {1}
    assert kit.groq.calls - asked == 10 - graded
    assert max(kit.google.by_content.values()) <= 2
    assert sum(kit.google.by_content.values()) <= 12, "at most the two pages in flight were bought again"


async def _graded(kit: Kit, job_id: str, count: int) -> bool:
    return len(await kit.store.papers(job_id)) >= count


async def test_the_logs_hold_no_key_no_token_and_no_word_of_a_student(kit: Kit, tmp_path: Path) -> None:
    kit.google.text = lambda content, number: "Q1 gravity says Zebediah Quux"
    with capture_logs() as logs:
        async with kit.worker():
            await kit.done(await kit.submit(kit.scans(2)))
            kit.groq.mode = "401"
            job_id = await kit.submit([scan(kit.folder, "other.pdf")])
            await kit.status(job_id, "waiting for groq")
            kit.groq.mode = "ok"
            await kit.done(job_id)
    assert any(line["event"] == "provider in trouble" for line in logs)
    text = str(logs)
    for secret in (kit.environ["GROQ_API_KEY"], "ya29", "PRIVATE KEY", "Zebediah"):
        assert secret not in text, secret


async def test_without_a_key_nothing_is_asked_of_anybody(kit: Kit) -> None:
    from gradewatch.app.providers import usable

    assert usable(kit.settings, {}) == ()
    kit.environ = {name: value for name, value in kit.environ.items() if "ENDPOINT" in name or "URL" in name}
    pdf = Path(__file__).parents[2] / "examples" / "exam" / "papers" / "01-ada-moreno.pdf"
    async with kit.worker():
        papers = await kit.done(await kit.submit([pdf]))
    assert (papers[0].detail["source"], papers[0].detail["graded_by"]) == ("text layer", "rubric")
    assert (kit.google.calls, kit.groq.calls, kit.google.tokens, kit.groq.checks) == (0, 0, 0, 0)
