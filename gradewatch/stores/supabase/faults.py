"""The one place where what comes back from Supabase, or does not, becomes the project's own error: what happened in its
text, what to do in its `fix`. None of them holds a key."""

from __future__ import annotations

import html
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gradewatch.errors import AccessDenied, Conflict, SchemaMismatch, StoreError, StoreUnavailable
from gradewatch.stores.supabase import keys
from gradewatch.stores.supabase.project import Project

_LONGEST = 240
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
WAIT = "Gradewatch goes on by itself once it is back."
TRY_AGAIN = "Nothing was written. Try again."

# By PostgREST's code or the database's SQLSTATE. {said} is the server's own sentence.
_UNAVAILABLE: Mapping[str, tuple[str, str]] = {
    "PGRST000": ("its API cannot reach the database: {said}", f"The database is restarting or overloaded. {WAIT}"),
    "PGRST001": ("its API cannot reach the database: {said}", f"The database is restarting or overloaded. {WAIT}"),
    "PGRST002": ("its API is still reading the database's schema", f"It has just started. {WAIT}"),
    "PGRST003": (
        "its API found no free connection to the database",
        "More is asked of it than it has connections for: raise the pool size of the Data API, or the compute size.",
    ),
    "53100": ("its disk is full, nothing was written", "Free some space, or enlarge the disk in the dashboard."),
    "53200": ("the database is out of memory, nothing was written", "Try again, or give it more."),
    "53300": ("the database takes no more connections", "Close some, or raise the compute size."),
    "55P03": (
        "a lock that somebody else holds was waited for in vain, nothing was written",
        "If it lasts, find who holds it: SELECT * FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'.",
    ),
    "57014": ("the statement took too long and was broken off, nothing was written", "Try again."),
    "57P01": ("the database is being shut down or restarted", WAIT),
    "57P02": ("the database crashed and is recovering", WAIT),
    "57P03": ("the database is starting up or recovering", WAIT),
    "25006": (
        "the database is read-only, as Supabase makes it when its disk is full, or as a read replica is",
        "Free or enlarge the disk in the dashboard, and point store.url to the primary.",
    ),
    "40001": ("another transaction came between", TRY_AGAIN),
    "40P01": ("two transactions waited for one another and this one gave way", TRY_AGAIN),
}
_SCHEMA = frozenset({"42P01", "42703", "42883", "42804", "3F000", "PGRST200", "PGRST202", "PGRST203", "PGRST204",
                     "PGRST205", "PGRST106"})  # fmt: skip
_DENIED = frozenset({"42501", "28000", "28P01", "PGRST300", "PGRST301", "PGRST302", "PGRST303"})


@dataclass(frozen=True)
class Answer:
    """A response that is no good answer: its status, type and the first part of its body."""

    status: int
    content_type: str
    body: bytes

    @property
    def fields(self) -> Mapping[str, Any]:
        """The body as a JSON object; nothing where it is none."""
        try:
            said = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return said if isinstance(said, dict) else {}

    @property
    def page(self) -> bool:
        return "html" in self.content_type or self.body.lstrip()[:1] == b"<"


class Faults:
    """Errors of one project and one key."""

    def __init__(self, project: Project, key: str) -> None:
        self.project = project
        self._key = key

    # ---------------------------------------------------------------- nobody there, or nobody answers

    def timed_out(self, seconds: float) -> StoreUnavailable:
        return self._unavailable(
            f"no answer within {seconds:.1f} s. What was under way may or may not have been done",
            "Check the network and the project's health in the dashboard; raise store.timeout where it is merely slow.",
        )

    def transport(self, error: BaseException) -> StoreUnavailable:
        """The request did not get there, or its answer not back."""
        causes = list(_causes(error))
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return self._unavailable(
                f"its name {self.project.host} cannot be resolved",
                "Check SUPABASE_URL for a typing error and this machine's DNS; the name of a deleted project is gone.",
            )
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            return self._unavailable(
                "its certificate cannot be trusted, or something on the way breaks the encryption",
                "Check SUPABASE_URL, this machine's clock and certificates, and any proxy between.",
            )
        if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            return self._unavailable(
                "the connection was refused: nothing listens there",
                "Start it (supabase start), or correct SUPABASE_URL and its port.",
            )
        return self._unavailable(
            f"it cannot be reached, or the connection broke ({type(error).__name__}). What was under way may or may "
            "not have been done",
            f"Check the network between. {WAIT}",
        )

    # ---------------------------------------------------------------- an answer, and not a good one

    def refused(self, answer: Answer) -> StoreError:
        """An answer whose status says that it is none."""
        fields = answer.fields
        code, said = str(fields.get("code") or ""), self._said(fields)
        if answer.status == 540:
            return self._unavailable(
                "the project is paused", f"Restore it in the dashboard: {self.project.dashboard('')}. Its data is kept."
            )
        if code in _UNAVAILABLE:
            what, fix = _UNAVAILABLE[code]
            return self._unavailable(what.format(said=said), fix)
        if code in _SCHEMA:
            return self.misfit(f"it lacks what this version needs: {said}")
        if code in _DENIED or answer.status in (401, 403):
            return self._denied(answer.status, code, said)
        if code.startswith("23"):
            return Conflict(f"{self.project.shown} refused the write: {said}. The row is untouched.")
        return self._by_status(answer, code, said)

    def _by_status(self, answer: Answer, code: str, said: str) -> StoreError:
        status = answer.status
        if status == 402:
            return self._unavailable(
                f"the organisation's plan does not allow this request (status 402{': ' + said if said else ''})",
                "Look at its usage and bills in the dashboard.",
            )
        if status == 429:
            return self._unavailable("it takes no more requests just now (status 429)", "Raise worker.poll and wait.")
        if answer.page or status == 404 or status < 400:
            return self.no_api(answer)
        what = f"it failed with status {status}" + (f" ({code or 'no code'}: {said})" if said else "")
        return self._unavailable(f"{what}. What was under way may or may not have been done", f"Try again. {WAIT}")

    def no_api(self, answer: Answer) -> StoreUnavailable:
        """Something answered that is not the project's API: a page, a portal, a gateway."""
        title = _TITLE.search(answer.body.decode("utf-8", "replace"))
        what = "a web page" if answer.page else "something else"
        words = f", titled {self._clean(html.unescape(title[1]))[:60]!r}" if title else ""
        if answer.status >= 500:
            return self._unavailable(
                f"a gateway before it answered with {what} (status {answer.status}{words})",
                f"See the project's health in the dashboard, and https://status.supabase.com. {WAIT}",
            )
        return self._unavailable(
            f"{what} answered in place of its API (status {answer.status}{words})",
            "Check that SUPABASE_URL is the project's API URL (https://REF.supabase.co), and what proxy or portal "
            "stands between. This says nothing about the queue.",
        )

    def _denied(self, status: int, code: str, said: str) -> AccessDenied:
        where = f"Copy the secret key from {self.project.api_keys} into {keys.VARIABLE}, and restart this process."
        if code == "42501":
            return self.denied(
                f"the role of the key in {keys.VARIABLE} may not do that ({said})",
                "Only service_role may call Gradewatch's functions. "
                f"{where} If it is that key, run the SQL of `gradewatch migrate --print` again.",
            )
        if "expired" in said.lower() or keys.expired(self._key, time.time()):
            return self.denied(f"the key in {keys.VARIABLE} has expired", where)
        return self.denied(
            f"it does not know the key in {keys.VARIABLE} (status {status}{': ' + said if said else ''}): revoked, "
            "rotated, or of another project",
            where,
        )

    # ---------------------------------------------------------------- found by looking

    def unfit_key(self, why: str) -> AccessDenied:
        return AccessDenied(
            f"{self.project.shown}: {keys.VARIABLE} {why}. An empty answer to it would not mean an empty queue.",
            fix=f"Copy the secret key (sb_secret_…, or the legacy service_role key) from {self.project.api_keys} into "
            f"{keys.VARIABLE}, and restart this process.",
        )

    def denied(self, what: str, fix: str) -> AccessDenied:
        return AccessDenied(f"{self.project.shown}: {what}. An empty answer is not an empty queue.", fix=fix)

    def misfit(self, what: str) -> SchemaMismatch:
        return SchemaMismatch(f"{self.project.shown}: {what.rstrip('.')}.", fix=self.paste)

    @property
    def paste(self) -> str:
        return (
            f"Paste the output of `gradewatch migrate --print` into the SQL editor ({self.project.sql_editor}) and run "
            "it; or set DATABASE_URL to the project's connection string and run `gradewatch migrate`. "
            "If you just did, Supabase's API notices within seconds."
        )

    def _unavailable(self, what: str, fix: str) -> StoreUnavailable:
        return StoreUnavailable(f"{self.project.shown}: {what}.", fix=fix)

    def _said(self, fields: Mapping[str, Any]) -> str:
        return self._clean(str(fields.get("message") or fields.get("msg") or fields.get("error") or "")).rstrip(". ")

    def _clean(self, words: str) -> str:
        """A server's words on one line, the key taken out should they hold it."""
        return " ".join(words.replace(self._key, "(hidden)").split())[:_LONGEST]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that led to it; a group's parts too."""
    left, seen = [error], set[int]()
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        left += [one.__cause__, one.__context__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]
