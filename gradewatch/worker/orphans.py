"""Claims that the store made and whose answer got lost: held by this worker's session, known to no job here.

Without this, such a job would wait, running nowhere, until start_to_close.
"""

from __future__ import annotations

from collections.abc import Iterable

from gradewatch.model import Claimed


class Orphans:
    """Tells an orphan from a claim whose answer is still under way.

    A claim seen without a job was made by a call that had begun by then. If it is seen again, still without a job,
    once every call begun by then has ended, nobody is going to run it. Claim calls are made one at a time.
    """

    def __init__(self) -> None:
        self._begun = 0
        self._ended = 0
        self._suspects: dict[Claimed, int] = {}

    def claim_begins(self) -> None:
        self._begun += 1

    def claim_ended(self) -> None:
        self._ended = self._begun

    def forget(self) -> None:
        """Another session: its claims are other claims."""
        self._suspects.clear()

    def seen(self, unknown: Iterable[Claimed]) -> list[Claimed]:
        """From the held claims of one beat's reply that no job here knows, those proved to be orphans."""
        before, self._suspects = self._suspects, {claim: self._begun for claim in unknown}
        orphans = [claim for claim in self._suspects if claim in before and before[claim] <= self._ended]
        for claim in self._suspects.keys() & before.keys():
            self._suspects[claim] = before[claim]
        return orphans
