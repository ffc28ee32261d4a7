"""What workers remember of providers: pages already read, what was spent, what troubles were met."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from gradewatch.errors import Conflict
from gradewatch.model import Allowance, Claimed, Code, CredentialFacts, PageText
from gradewatch.stores.sqlite import rows
from gradewatch.stores.sqlite.reader import Reader
from gradewatch.stores.sqlite.writer import Writer

_TODAY = "'day:' || strftime('%Y-%m-%d', gw_now() / 1000000, 'unixepoch')"
_SPEND = f"""
INSERT INTO spending (scope, calls, tokens, at) VALUES (:job, :calls, :tokens, gw_now()),
  ({_TODAY}, :calls, :tokens, gw_now())
ON CONFLICT (scope) DO UPDATE SET
  calls = calls + excluded.calls, tokens = max(0, tokens + excluded.tokens), at = excluded.at
"""
_SPENT = f"SELECT scope, calls, tokens FROM spending WHERE scope IN (:job, {_TODAY})"
_TROUBLE = """
INSERT OR REPLACE INTO provider_troubles (provider, variable, code, message, fix, until)
VALUES (?, ?, ?, ?, ?, gw_now() + ?)
"""


class ProviderMemory:
    """The ports PageCache, Spending and Troubles, and credit_wait, over the store's two lanes."""

    _writer: Writer
    _reader: Reader

    async def credit_wait(self, claim: Claimed, seconds: float) -> None:
        await self._writer.run(lambda c: credit_wait(c, claim, seconds))

    async def pages(self, keys: Sequence[str]) -> dict[str, PageText]:
        return await self._reader.run(lambda c: pages(c, keys))

    async def keep_page(self, key: str, page: PageText) -> None:
        parameters = (key, rows.text(page.text), page.confidence)
        await self._writer.run(
            lambda c: c.execute("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, gw_now())", parameters)
        )

    async def reserve(self, job_id: str, tokens: int, *, per_job: Allowance, per_day: Allowance) -> str:
        return await self._writer.run(lambda c: reserve(c, job_id, tokens, per_job, per_day))

    async def settle(self, job_id: str, tokens: int) -> None:
        await self._writer.run(lambda c: _spend(c, job_id, 0, tokens))

    async def tell_trouble(self, fact: CredentialFacts, *, lasts: float) -> None:
        words = tuple(
            rows.text(word) for word in (fact.provider, fact.variable, fact.problem or "", fact.message, fact.fix)
        )
        await self._writer.run(lambda c: c.execute(_TROUBLE, (*words, rows.micros(lasts))))

    async def clear_trouble(self, provider: str) -> None:
        await self._writer.run(lambda c: c.execute("DELETE FROM provider_troubles WHERE provider = ?", (provider,)))

    async def troubles(self) -> list[CredentialFacts]:
        return await self._reader.run(troubles)


def credit_wait(connection: sqlite3.Connection, claim: Claimed, seconds: float) -> None:
    changed = connection.execute(
        "UPDATE jobs SET waited = max(waited, ?) WHERE id = ? AND state = 'running' AND token = ?",
        (rows.micros(seconds), claim.id, claim.token),
    ).rowcount
    if not changed:
        raise Conflict(f"Job {claim.id} is no longer held with token {claim.token}: stop working on it.")


def pages(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, PageText]:
    found = connection.execute(
        "SELECT key, text, confidence FROM pages WHERE key IN (SELECT value FROM json_each(?))", (rows.dump_list(keys),)
    )
    return {row["key"]: PageText(row["text"], row["confidence"]) for row in found}


def reserve(connection: sqlite3.Connection, job_id: str, tokens: int, per_job: Allowance, per_day: Allowance) -> str:
    """Count one call and its expected tokens, unless that would pass an allowance: then which, "job" or "day"."""
    spent = {row["scope"]: row for row in connection.execute(_SPENT, {"job": f"job:{job_id}"})}
    for scope, row in spent.items():
        kind = "job" if scope.startswith("job:") else "day"
        allowed = per_job if kind == "job" else per_day
        if row["calls"] + 1 > allowed.calls or row["tokens"] + tokens > allowed.tokens:
            return kind
    for kind, allowed in (("job", per_job), ("day", per_day)):
        if allowed.calls < 1 or tokens > allowed.tokens:
            return kind
    _spend(connection, job_id, 1, tokens)
    return ""


def _spend(connection: sqlite3.Connection, job_id: str, calls: int, tokens: int) -> None:
    connection.execute(_SPEND, {"job": f"job:{job_id}", "calls": calls, "tokens": tokens})


def troubles(connection: sqlite3.Connection) -> list[CredentialFacts]:
    found = connection.execute("SELECT * FROM provider_troubles WHERE until > gw_now() ORDER BY provider")
    return [
        CredentialFacts(row["variable"], row["provider"], Code(row["code"]), row["message"], row["fix"])
        for row in found
    ]
