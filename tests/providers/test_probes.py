"""Each thing that can be wrong with a credential or a provider is its own finding, told without spending anything."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from fake_google import FakeGoogle
from fake_groq import KEY, FakeGroq
from provider_kit import Kit, until

from gradewatch.config import Settings, WatchSettings, WorkerSettings
from gradewatch.model import Code, CredentialFacts
from gradewatch.probes.environment import chosen, read_credentials, vision_key
from gradewatch.probes.providers import ProviderProbe, check_groq, check_vision

VISION, GROQ = "GOOGLE_CLOUD_VISION_CREDENTIALS_JSON", "GROQ_API_KEY"


def form(**environ: str) -> CredentialFacts:
    [fact] = read_credentials(environ)
    return fact


# ---------------------------------------------------------------- by looking


@pytest.mark.parametrize("variable", [VISION, GROQ])
@pytest.mark.parametrize("value", ["", "  \n"])
def test_set_but_empty_is_missing(variable: str, value: str) -> None:
    fact = form(**{variable: value})
    assert (fact.problem, fact.variable) == (Code.CREDENTIAL_MISSING, variable)
    assert variable in fact.fix


def test_named_by_the_settings_and_not_set_is_missing_and_else_not_missed() -> None:
    [fact] = read_credentials({}, ["groq", "rubric", "local"])
    assert (fact.problem, fact.variable, GROQ in fact.fix) == (Code.CREDENTIAL_MISSING, GROQ, True)
    assert read_credentials({}) == ()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("AIzaSy-some-browser-key", "neither JSON nor base64"),
        ('{"type": "service_account"', "neither JSON nor base64"),
        ("[1]", "not a key file"),
        (base64.b64encode(b'{"client_email": "a@b"}').decode(), "lacks private_key, token_uri"),
        ('{"client_email": "a", "token_uri": "b", "private_key": "nnMIIE"}', "line ends were lost"),
        ("/no/such/key.json", "names a file that cannot be read"),
    ],
)
def test_a_malformed_vision_key_says_how_and_never_shows_itself(value: str, says: str) -> None:
    fact = form(**{VISION: value})
    assert fact.problem is Code.CREDENTIAL_INVALID
    assert says in fact.message
    assert VISION in fact.message
    assert value not in fact.message + fact.fix or value.startswith("[")


@pytest.mark.parametrize("value", ["sk-proj-abcdef", "gsk_abc def", '"gsk_abcdef"', "gsk_abcdéf"])
def test_a_malformed_groq_key(value: str) -> None:
    fact = form(**{GROQ: value})
    assert fact.problem is Code.CREDENTIAL_INVALID
    assert value not in fact.message + fact.fix


def test_a_key_is_taken_raw_as_base64_and_from_a_file(google: FakeGoogle, tmp_path: Path) -> None:
    raw = google.credentials
    file = tmp_path / "key.json"
    file.write_text(raw)
    wrapped = base64.encodebytes(raw.encode()).decode()  # with line ends, as base64 without -w0 gives it
    for value in (raw, base64.b64encode(raw.encode()).decode(), wrapped, str(file)):
        assert vision_key({VISION: value}) == json.loads(raw)
    assert vision_key({}) is None


def test_who_is_chosen() -> None:
    both = {VISION: "x", GROQ: "y"}
    assert chosen({}, (), ()) == ()
    assert chosen(both, (), ()) == ("vision", "groq")
    assert chosen(both, ("local",), ("rubric",)) == ()
    assert chosen({}, ("vision", "local"), ()) == ("vision",)
    assert chosen({GROQ: " "}, (), ()) == ()


# ---------------------------------------------------------------- by asking, free of charge


@pytest.fixture
def environ(google: FakeGoogle, groq: FakeGroq) -> dict[str, str]:
    return {
        VISION: google.credentials,
        "GOOGLE_CLOUD_VISION_ENDPOINT": google.endpoint,
        GROQ: KEY,
        "GROQ_BASE_URL": groq.url,
    }


async def test_all_is_well(environ: Mapping[str, str], google: FakeGoogle, groq: FakeGroq) -> None:
    assert (await check_groq(environ), await check_vision(environ)) == (None, None)
    assert (groq.checks, google.tokens) == (1, 1)
    assert (groq.calls, google.calls) == (0, 0), "nothing was spent"


@pytest.mark.parametrize(
    ("mode", "code", "says"),
    [
        ("401", Code.CREDENTIAL_INVALID, "refused GROQ_API_KEY"),
        ("403", Code.CREDENTIAL_INVALID, "forbids"),
        ("402", Code.PROVIDER_RATE_LIMITED, "quota"),
        ("429", Code.PROVIDER_RATE_LIMITED, "quota"),
        ("500", Code.PROVIDER_UNAVAILABLE, "answered 500"),
        ("html", Code.PROVIDER_UNAVAILABLE, "a page that is not its own"),
        ("reset", Code.PROVIDER_UNAVAILABLE, "not reached"),
        ("hang", Code.PROVIDER_UNAVAILABLE, "no answer in time"),
    ],
)
async def test_groq_in_trouble(
    environ: Mapping[str, str], groq: FakeGroq, mode: str, code: Code, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradewatch.probes.providers.DEADLINE", 0.5)
    groq.mode = mode
    fact = await check_groq(environ)
    assert fact is not None
    assert (fact.problem, fact.variable) == (code, GROQ)
    assert says in fact.message
    assert fact.fix
    assert KEY not in str(fact)


@pytest.mark.parametrize(
    ("mode", "code", "says"),
    [
        ("wrong", Code.CREDENTIAL_INVALID, "it is wrong, or was deleted"),
        ("expired", Code.CREDENTIAL_INVALID, "it has expired"),
        ("hang", Code.PROVIDER_UNAVAILABLE, "not reached"),
    ],
)
async def test_googles_token_service_decides(
    environ: Mapping[str, str], google: FakeGoogle, mode: str, code: Code, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradewatch.probes.providers.DEADLINE", 1.0)
    google.token_mode = mode
    fact = await check_vision(environ)
    assert fact is not None
    assert (fact.problem, fact.variable) == (code, VISION)
    assert says in fact.message
    assert "PRIVATE" not in str(fact)


async def test_vision_out_of_reach(environ: dict[str, str], google: FakeGoogle) -> None:
    await google.down()
    fact = await check_vision(environ)
    assert fact is not None
    assert fact.problem is Code.PROVIDER_UNAVAILABLE


async def test_a_damaged_private_key_is_told_before_google_is_asked(
    environ: dict[str, str], google: FakeGoogle
) -> None:
    key = json.loads(google.credentials)
    key["private_key"] = "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----\n"
    fact = await check_vision({**environ, VISION: json.dumps(key)})
    assert fact is not None
    assert (fact.problem, google.tokens) == (Code.CREDENTIAL_INVALID, 0)


# ---------------------------------------------------------------- now and then


async def test_it_is_asked_at_the_start_and_then_only_now_and_then(
    environ: Mapping[str, str], groq: FakeGroq, google: FakeGoogle
) -> None:
    probe = ProviderProbe(environ, Settings())
    groq.mode = "401"
    first = await probe.read()
    assert {fact.problem for fact in first} == {None}, "the first look does not wait"
    await until(lambda: groq.checks == google.tokens == 1, "both were asked")
    await until(lambda: probe._checking is None, "the check is over")
    for _ in range(50):
        facts = await probe.read()
    assert {fact.problem for fact in facts if fact.problem} == {Code.CREDENTIAL_INVALID}
    assert groq.checks == 1


async def test_the_end_of_a_trouble_is_seen(environ: Mapping[str, str], groq: FakeGroq) -> None:
    settings = replace(Settings(), watch=WatchSettings(provider_check=0.2))
    probe = ProviderProbe(environ, settings)
    groq.mode = "500"

    async def troubled() -> bool:
        return any(fact.problem for fact in await probe.read())

    async def well() -> bool:
        return not await troubled()

    await until(troubled, "the trouble is seen")
    groq.mode = "ok"
    await until(well, "its end is seen")


async def test_a_single_look_waits_for_its_answer(environ: Mapping[str, str], groq: FakeGroq) -> None:
    groq.mode = "401"
    facts = await ProviderProbe(environ, Settings(), single=True).read()
    assert [fact.variable for fact in facts if fact.problem] == [GROQ]


async def test_a_provider_that_nobody_uses_is_not_asked(
    environ: Mapping[str, str], groq: FakeGroq, google: FakeGoogle
) -> None:
    settings = replace(Settings(), worker=WorkerSettings(ocr=("local",), grading=("rubric",)))
    assert all(fact.problem is None for fact in await ProviderProbe(environ, settings, single=True).read())
    assert (groq.checks, google.tokens) == (0, 0)


async def test_what_a_worker_met_becomes_a_finding_of_the_watch_and_goes(kit: Kit) -> None:
    from gradewatch import app
    from gradewatch.config import StoreSettings

    settings = replace(kit.settings, store=StoreSettings(url=f"sqlite:///{kit.store.path}"))
    kit.groq.mode, kit.groq.check_mode = "503", "ok"
    async with kit.worker():
        job_id = await kit.submit([*kit.scans(2)])
        await kit.status(job_id, "waiting for groq")
        report = await app.look(settings, environ={})
        [finding] = [f for f in report.diagnosis.findings if f.code is Code.PROVIDER_UNAVAILABLE]
        assert finding.subject == GROQ
        assert finding.summary.startswith("Groq cannot be used")
        kit.groq.mode = "ok"
        await kit.done(job_id)
    report = await app.look(settings, environ={})
    assert not report.diagnosis.has(Code.PROVIDER_UNAVAILABLE)
