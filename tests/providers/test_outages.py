"""Providers that are down, slow, broken or refuse: jobs wait, say why, lose nothing, and are charged for nothing."""

from __future__ import annotations

import asyncio
import random

import pytest
from provider_kit import Kit, marks, scan, until

from gradewatch.model import Code, JobState
from gradewatch.worker.providers import gate as gates
from gradewatch.worker.providers import waiting


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute of waiting in a second."""
    monkeypatch.setattr(gates.Gate.__init__, "__kwdefaults__", {"first": 0.05, "longest": 0.4, "rests": (0.1, 2.0)})
    monkeypatch.setattr(waiting.Waiting.__init__, "__kwdefaults__", {"tick": 0.1})
    monkeypatch.setattr(waiting, "SHORTEST", 0.02)


DOWN = ["503", "500", "reset", "html", "truncated"]


@pytest.mark.parametrize("mode", DOWN)
@pytest.mark.parametrize("provider", ["groq", "google"])
async def test_an_outage_costs_no_paper_and_at_most_one_call_more_for_each(kit: Kit, provider: str, mode: str) -> None:
    fake = getattr(kit, provider)
    kit.set(papers=4)
    kit.tell_papers_apart()
    job_id = await kit.submit(kit.scans(12))
    async with kit.worker():
        await until(lambda: fake.answered >= 4, "some papers are through")
        fake.mode = mode
        name = "groq" if provider == "groq" else "vision"
        assert name in await kit.status(job_id, f"waiting for {name}")
        await until(lambda: fake.checks >= 4, "it was checked again and again")
        [told] = await kit.store.troubles()
        assert (told.provider, told.problem) == (name, Code.PROVIDER_UNAVAILABLE)
        job = await kit.job(job_id)
        assert (job.state, job.attempt, job.error) == (JobState.RUNNING, 1, None)
        fake.mode = "ok"
        papers = await kit.done(job_id)
    assert marks(papers) == [5.0] * 12
    assert {paper.status for paper in papers.values()} == {"graded"}
    assert fake.calls <= 12 + 4, "only what was in flight was asked twice"
    assert len(fake.by_content) == 12
    assert max(fake.by_content.values()) <= 2
    assert await kit.store.troubles() == []


async def test_a_provider_that_hangs_is_left_at_the_deadline_and_told_so(kit: Kit) -> None:
    kit.set(provider_timeout=0.3)
    kit.groq.mode, kit.groq.check_mode = "hang", "503"
    async with kit.worker():
        job_id = await kit.submit(kit.scans(1))
        await kit.status(job_id, "waiting for groq")
        kit.groq.mode = kit.groq.check_mode = "ok"
        await kit.done(job_id)
    assert kit.metric("provider_requests_total", provider="groq", outcome="timeout") == 1


@pytest.mark.parametrize("provider", ["groq", "google"])
async def test_a_call_that_hangs_is_really_cancelled_with_its_job(kit: Kit, provider: str) -> None:
    fake = getattr(kit, provider)
    fake.mode = "hang" if provider == "google" else "ok"
    fake.seconds = 3600.0
    async with kit.worker():
        await kit.submit(kit.scans(1))
        await until(lambda: fake.in_flight == 1, "the call is in flight")
    await until(lambda: fake.in_flight == 0 and fake.cancelled == 1, "the server sees it go")


@pytest.mark.parametrize("mode", ["503", "reset", "429", "402", "403"])
@pytest.mark.parametrize("provider", ["groq", "google"])
async def test_a_partial_outage_costs_no_paper_more_than_one_call(
    kit: Kit, provider: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The free check passes, and what is paid for fails: papers that have not failed yet find out when it is over."""
    # A paper begins in less than a rest, as it does with ten seconds.
    rests = {"first": 0.05, "longest": 0.4, "rests": (5.0, 10.0)}
    monkeypatch.setattr(gates.Gate.__init__, "__kwdefaults__", rests)
    fake = getattr(kit, provider)
    kit.set(papers=4)
    kit.tell_papers_apart()
    job_id = await kit.submit(kit.scans(20))
    async with kit.worker():
        await until(lambda: fake.answered >= 4, "some papers are through")
        fake.mode, fake.check_mode = mode, "ok"
        before = fake.calls
        await kit.status(job_id, "waiting for " + ("groq" if provider == "groq" else "vision"))
        await until(lambda: fake.calls >= before + 4 + 3, "those in flight failed, and three tries")
        assert fake.calls - before <= len(fake.by_content), "no paper twice"
        fake.mode = "ok"
        papers = await kit.done(job_id)
    assert marks(papers) == [5.0] * 20
    assert len(fake.by_content) == 20
    assert max(fake.by_content.values()) <= 2
    assert await kit.store.troubles() == []


@pytest.mark.parametrize("provider", ["groq", "google"])
async def test_a_lone_paper_tries_once_itself_and_then_rests(kit: Kit, provider: str) -> None:
    fake = getattr(kit, provider)
    fake.mode, fake.check_mode = "503", "ok"
    async with kit.worker():
        job_id = await kit.submit(kit.scans(1))
        await until(lambda: fake.calls >= 2, "it has tried")
        began = asyncio.get_running_loop().time()
        fake.mode = "ok"
        await kit.done(job_id)
    assert asyncio.get_running_loop().time() - began > 1.5
    assert fake.calls == 3


async def test_one_request_that_fails_while_others_pass_is_blamed_itself(kit: Kit) -> None:
    real = kit.groq.enter

    def enter(content: str) -> str:
        mode = real(content)
        return "500" if content == "Q1 poison" else mode

    kit.groq.enter = enter  # type: ignore[method-assign]
    texts = iter(["Q1 poison", *["Q1 gravity and mass"] * 200])
    kit.google.text = lambda content, number: next(texts)
    kit.groq.seconds = 0.1
    kit.set(papers=2)
    async with kit.worker():
        papers = await kit.done(await kit.submit(kit.scans(20)))
    statuses = [papers[index].status for index in sorted(papers)]
    assert statuses.count("failed") == 1
    failed = next(paper for paper in papers.values() if paper.status == "failed")
    assert failed.error is not None
    assert (failed.error.code, "by hand" in failed.error.message) == ("provider_refused", True)


@pytest.mark.parametrize(("provider", "mode"), [("groq", "401"), ("groq", "403"), ("google", "401"), ("google", "403")])
async def test_a_refused_key_fails_no_job(kit: Kit, provider: str, mode: str) -> None:
    fake = getattr(kit, provider)
    fake.mode = mode
    variable = "GROQ_API_KEY" if provider == "groq" else "GOOGLE_CLOUD_VISION_CREDENTIALS_JSON"
    async with kit.worker():
        job_id = await kit.submit(kit.scans(3))
        assert variable in await kit.status(job_id, "waiting for")
        [told] = await kit.store.troubles()
        assert (told.variable, told.problem) == (variable, Code.CREDENTIAL_INVALID)
        assert variable in told.fix
        assert (await kit.job(job_id)).state is JobState.RUNNING
        fake.mode = "ok"  # the operator has it allowed again
        assert marks(await kit.done(job_id)) == [5.0] * 3
    assert await kit.store.troubles() == []


@pytest.mark.parametrize("mode", ["wrong", "expired", "500"])
async def test_a_token_that_cannot_be_had_fails_no_job(kit: Kit, mode: str) -> None:
    kit.google.token_mode = mode
    async with kit.worker():
        job_id = await kit.submit(kit.scans(2))
        await kit.status(job_id, "waiting for vision")
        [told] = await kit.store.troubles()
        expected = Code.PROVIDER_UNAVAILABLE if mode == "500" else Code.CREDENTIAL_INVALID
        assert told.problem is expected
        assert kit.google.calls == 0
        kit.google.token_mode = "ok"
        await kit.done(job_id)


async def test_a_malformed_key_makes_jobs_wait_and_says_what_is_wrong(kit: Kit) -> None:
    kit.environ["GOOGLE_CLOUD_VISION_CREDENTIALS_JSON"] = "eyJ0eXBlIjogInNlcnZpY2"
    async with kit.worker():
        job_id = await kit.submit(kit.scans(1))
        assert "neither JSON nor base64" in await kit.status(job_id, "waiting for vision")
    assert (await kit.job(job_id)).attempt == 0


async def test_the_wait_is_taken_off_the_jobs_clock(kit: Kit) -> None:
    kit.groq.mode = "503"
    async with kit.worker():
        job_id = await kit.submit(kit.scans(1))
        await kit.status(job_id, "waiting for groq")

        async def credited() -> bool:
            [job] = await kit.store.overdue("default", JobState.RUNNING, 0.0, kinds=None, limit=9)
            return job.waited > 3.0

        await until(credited, "three seconds are credited")
        assert await kit.store.overdue("default", JobState.RUNNING, 2.9, kinds=None, limit=9) == []
        kit.groq.mode = "ok"
        await kit.done(job_id)
    assert "waiting" not in (await kit.job(job_id)).status_message


# ---------------------------------------------------------------- too many at once


@pytest.mark.parametrize("provider", ["groq", "google"])
async def test_a_limit_of_the_provider_is_found_and_kept_to(kit: Kit, provider: str) -> None:
    fake = getattr(kit, provider)
    fake.most, fake.seconds = 3, 0.1
    kit.set(papers=8)
    async with kit.worker():
        papers = await kit.done(await kit.submit(kit.scans(30)))
    assert marks(papers) == [5.0] * 30
    assert fake.refused <= 10, "one burst, and hardly anything after it"


async def test_retry_after_is_honoured(kit: Kit) -> None:
    kit.groq.mode, kit.groq.retry_after = "429", "1.5"
    async with kit.worker():
        job_id = await kit.submit(kit.scans(1))
        await until(lambda: kit.groq.calls == 1, "it was turned away")
        kit.groq.mode = "ok"
        began = asyncio.get_running_loop().time()
        assert "rate limited until" in await kit.status(job_id, "waiting for groq")
        await kit.done(job_id)
    assert asyncio.get_running_loop().time() - began > 1.2
    assert kit.groq.calls == 2


@pytest.mark.parametrize("provider", ["groq", "google"])
async def test_a_used_up_quota_is_its_own_trouble(kit: Kit, provider: str) -> None:
    fake = getattr(kit, provider)
    fake.mode, fake.check_mode = "402", "402"
    async with kit.worker():
        job_id = await kit.submit(kit.scans(2))
        assert "out of quota" in await kit.status(job_id, "waiting for")
        [told] = await kit.store.troubles()
        assert told.problem is Code.PROVIDER_RATE_LIMITED
        assert "quota" in told.message
        fake.mode = fake.check_mode = "ok"
        await kit.done(job_id)


# ---------------------------------------------------------------- answers that make no sense


async def test_a_model_that_answers_nonsense_fails_the_paper_after_three_tries(kit: Kit) -> None:
    kit.groq.mode = "malformed"
    async with kit.worker():
        papers = await kit.done(await kit.submit(kit.scans(1)))
    assert papers[0].status == "failed"
    assert kit.groq.calls == 3
    assert kit.metric("provider_tokens_total", provider="groq", direction="output") == 3 * 120


# ---------------------------------------------------------------- chains and budgets


async def test_the_next_of_the_chain_takes_over_and_each_result_says_who(kit: Kit) -> None:
    kit.set(grading=("groq", "rubric"))
    kit.groq.mode = "503"
    async with kit.worker():
        papers = await kit.done(await kit.submit(kit.scans(4)))
        assert {paper.detail["graded_by"] for paper in papers.values()} == {"rubric"}
        assert marks(papers) == [5.0] * 4
        [told] = await kit.store.troubles()
        assert told.provider == "groq"
        kit.groq.mode = "ok"
        await until(lambda: _graded_by_groq(kit), "the first of the chain is asked again")
    assert await kit.store.troubles() == []


async def _graded_by_groq(kit: Kit) -> bool:
    papers = await kit.done(await kit.submit([scan(kit.folder, f"{random.random()}.pdf")]))
    return bool(papers[0].detail["graded_by"] == "groq")


async def test_a_refused_key_turns_to_the_next_at_once(kit: Kit) -> None:
    kit.set(grading=("groq", "rubric"))
    kit.groq.mode = "401"
    async with kit.worker():
        papers = await kit.done(await kit.submit(kit.scans(3)))
    assert {paper.detail["graded_by"] for paper in papers.values()} == {"rubric"}


async def test_a_spent_job_budget_ends_the_asking(kit: Kit) -> None:
    from gradewatch.config import ProviderBudget

    kit.set(budget=ProviderBudget(calls_per_job=6), papers=1)
    async with kit.worker():
        papers = await kit.done(await kit.submit(kit.scans(5)))
    assert (kit.google.calls + kit.groq.calls) == 6
    assert [papers[n].status for n in range(5)] == ["graded"] * 3 + ["failed"] * 2
    error = papers[4].error
    assert error is not None
    assert (error.code, "worker.budget" in error.message) == ("budget_spent", True)


async def test_a_spent_token_budget_turns_to_the_next(kit: Kit) -> None:
    from gradewatch.config import ProviderBudget

    kit.set(budget=ProviderBudget(tokens_per_job=4000), grading=("groq", "rubric"), papers=1)
    async with kit.worker():
        papers = await kit.done(await kit.submit(kit.scans(8)))
    by = [papers[n].detail["graded_by"] for n in range(8)]
    assert by[0] == "groq"
    assert by[-1] == "rubric"
    assert by.count("groq") * 820 <= 4000


async def test_a_spent_day_makes_jobs_wait(kit: Kit) -> None:
    from gradewatch.config import ProviderBudget

    kit.set(budget=ProviderBudget(calls_per_day=0))
    async with kit.worker():
        job_id = await kit.submit(kit.scans(1))
        await kit.status(job_id, "waiting for the next day")
    assert kit.google.calls == 0
