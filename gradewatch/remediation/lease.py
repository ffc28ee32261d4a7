"""One acting watch (or one worker of those that stand by): a lease with a term, renewed with a margin. A holder that
cannot renew stops acting before its lease ends by its own monotonic clock, which it reads before it asks."""

from __future__ import annotations

import structlog

from gradewatch.errors import SchemaMismatch, StoreError
from gradewatch.model import LeaseGrant
from gradewatch.ports import Clock, Leases

log = structlog.get_logger(__name__)

NAME = "watch"


class ActingLease:
    """Holds the lease `name` while it can. `ttl` in seconds; the last third of it is margin in which we no longer act.
    `who` is what the log calls the holder."""

    def __init__(
        self,
        leases: Leases,
        holder: str,
        ttl: float,
        clock: Clock,
        *,
        in_store: bool = True,
        name: str = NAME,
        who: str = "watch",
    ) -> None:
        """`in_store`: the lease is a row of the store, so that a lease that cannot be written says that the store can
        not be written either."""
        self._leases, self.holder, self._ttl, self._clock = leases, holder, ttl, clock
        self._in_store, self.name, self._who = in_store, name, who
        self._until = float("-inf")
        self._renew_at = float("-inf")
        self.term = 0
        self.refused: StoreError | None = None  # why the last try to write the lease failed

    @property
    def store_refused(self) -> StoreError | None:
        """`refused`, where it is the store that refused."""
        return self.refused if self._in_store else None

    @property
    def held(self) -> bool:
        """May this watch act at this very moment?"""
        return self._clock.mono() < self._until

    async def keep(self) -> bool:
        """Take or renew the lease when it is time to; True while it is held. Store errors are not raised but kept in
        `refused`: a lease that cannot be renewed simply ends."""
        began = self._clock.mono()
        if self.held and began < self._renew_at:
            return True
        try:
            grant = await self._leases.acquire(self.name, self.holder, self._ttl)
        except StoreError as error:
            if self.refused is None:
                log.warning("lease not renewed", holder=self.holder, error=str(error))
            self.refused = error
            return self.held
        self.refused = None
        self._note(grant, began)
        return self.held

    async def try_write(self) -> None:
        """Find out whether the store takes writes, by one that changes nothing: giving back what nobody holds. What it
        answers is kept in `refused`."""
        if not self._in_store:
            return
        try:
            await self._leases.release(self.name, f"nobody:{self.holder}")
        except SchemaMismatch:
            self.refused = None  # whoever reads next says more of it
        except StoreError as error:
            self.refused = error
        else:
            self.refused = None

    def _note(self, grant: LeaseGrant | None, began: float) -> None:
        was = self.held
        if grant is None:
            self._until = float("-inf")
            if was:
                log.warning(f"lease lost to another {self._who}", lease=self.name, holder=self.holder, term=self.term)
            return
        if grant.term != self.term:
            log.info(f"this {self._who} acts", lease=self.name, holder=self.holder, term=grant.term)
        self.term, self._until, self._renew_at = grant.term, began + self._ttl * 2 / 3, began + self._ttl / 3

    async def release(self) -> None:
        """Give the lease back, so that another watch need not wait for it to end."""
        if not self.held:
            return
        self._until = float("-inf")
        try:
            await self._leases.release(self.name, self.holder)
        except StoreError as error:
            log.warning("lease not released; it ends by itself", holder=self.holder, error=str(error))
