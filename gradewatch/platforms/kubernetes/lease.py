"""The lease of the acting watch as a Lease of coordination.k8s.io.

No two machines' clocks are compared: another's lease has ended when this process has seen it unchanged for as long as
it says it lasts, by its own monotonic clock, counted from the answer that showed it. Who holds it counts from before it
asked (remediation/lease.py), so that it stops acting first. Every write carries the resource version it rests on.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gradewatch.errors import AccessDenied, StoreError, StoreUnavailable
from gradewatch.model import LeaseGrant
from gradewatch.platforms.kubernetes.api import Api, Json
from gradewatch.platforms.kubernetes.faults import ApiError

TRIES = 3  # reads and writes of one call: a conflict may be our own write of which we never heard
SHARE = 3.0  # a call takes at most this part of the lease's time: it must not outlast its own margin
FIRST_WAIT = 0.25  # seconds after a failure in which the server is not asked again; doubles up to a sixth of the lease


@dataclass(frozen=True, slots=True)
class _Seen:
    """Which version of the lease was last read, and when it first was. Versions are never used again."""

    version: str
    mono: float


class KubernetesLeases:
    """ports.Leases. `at_once`: for one cycle only, which cannot wait to see whether a lease that is not there was
    deleted under somebody who still acts."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        *,
        at_once: bool = False,
        mono: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._api, self._name, self._at_once, self._mono = api, name, at_once, mono
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._rng = rng or random.Random()
        self._seen: _Seen | None = None
        self._failures, self._retry_at = 0, float("-inf")
        self._error: StoreError | None = None

    async def acquire(self, name: str, holder: str, ttl: float) -> LeaseGrant | None:
        """Take or renew; None while somebody else holds it. Raises store errors, at once while it is too early to ask
        again after one."""
        if self._error is not None and self._mono() < self._retry_at:
            raise self._error
        try:
            async with asyncio.timeout(ttl / SHARE):
                grant = await self._try(holder, ttl)
        except TimeoutError as error:
            raise self._failed(
                StoreUnavailable(f"Lease {self._name}: no answer within {ttl / SHARE:g} s"), ttl
            ) from error
        except ApiError as error:
            raise self._failed(_store_error(error, self._name), ttl) from error
        self._failures, self._error = 0, None
        return LeaseGrant(name, holder, grant, ttl) if grant else None

    async def release(self, name: str, holder: str) -> None:
        """Leave it without a holder, so that another need not wait. Nothing, where somebody else has it."""
        try:
            for _ in range(TRIES):
                lease = await self._read()
                if lease is None or _spec(lease).get("holderIdentity") != holder:
                    return
                if await self._write(lease, {"holderIdentity": "", "leaseDurationSeconds": 1}) is not None:
                    return
        except ApiError as error:
            raise _store_error(error, self._name) from error

    # ---------------------------------------------------------------- inside

    async def _try(self, holder: str, ttl: float) -> int | None:
        """The term, where the lease is ours now."""
        for _ in range(TRIES):
            lease = await self._read()
            unchanged = self._observe(lease)
            if lease is None:
                written = await self._create(self._held(holder, ttl, {}) if self._at_once else _vacant(ttl))
            elif unchanged < self._to_wait(_spec(lease), holder, ttl):
                return None
            else:
                written = await self._write(lease, self._held(holder, ttl, _spec(lease)))
            if written is not None and _spec(written).get("holderIdentity") == holder:
                self._observe(written)
                return _term(_spec(written))
        raise ApiError(f"Lease {self._name} was changed by others {TRIES} times while it was written", 409)

    def _to_wait(self, spec: Json, holder: str, ttl: float) -> float:
        """Seconds for which this lease must have stood unchanged before it may be ours."""
        other = spec.get("holderIdentity") or ""
        if other == holder or (not other and (self._at_once or _term(spec) > 0)):
            return 0.0  # our own, or one that its holder gave back
        return _lasts(spec, ttl)

    def _observe(self, lease: Json | None) -> float:
        """Seconds for which this process has seen the lease as it is now."""
        version = "" if lease is None else str((lease.get("metadata") or {}).get("resourceVersion") or "")
        if self._seen is None or self._seen.version != version:
            self._seen = _Seen(version, self._mono())
        return self._mono() - self._seen.mono

    def _held(self, holder: str, ttl: float, spec: Json) -> dict[str, Any]:
        now, term = _stamp(), _term(spec)
        mine = spec.get("holderIdentity") == holder
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": math.ceil(ttl),
            "renewTime": now,
            "acquireTime": (spec.get("acquireTime") if mine else None) or now,
            "leaseTransitions": max(1, term if mine else term + 1),
        }

    async def _read(self) -> Json | None:
        try:
            return await self._api.get(f"{self._collection}/{self._name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def _create(self, spec: Json) -> Json | None:
        """None where somebody else has made it meanwhile."""
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": spec,
        }
        return await self._guarded("POST", self._collection, body)

    async def _write(self, lease: Json, changes: Json) -> Json | None:
        """None where somebody else has changed it meanwhile. What others have put into it stays."""
        body = {**lease, "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {**_spec(lease), **changes}}
        return await self._guarded("PUT", f"{self._collection}/{self._name}", body)

    async def _guarded(self, method: str, path: str, body: Json) -> Json | None:
        try:
            return await self._api.request(method, path, body=body)
        except ApiError as error:
            if error.status == 409 or (method == "PUT" and error.status == 404):
                return None
            raise

    def _failed(self, error: StoreError, ttl: float) -> StoreError:
        wait = min(ttl / 6.0, FIRST_WAIT * 2.0**self._failures)
        self._failures = min(self._failures + 1, 20)
        self._error, self._retry_at = error, self._mono() + wait * self._rng.uniform(0.5, 1.0)
        return error


def _vacant(ttl: float) -> Json:
    """A lease that was not there may have been deleted under somebody who still acts. So it is made without a holder
    first, and taken once it has stood for as long as any holder may go on."""
    return {"holderIdentity": "", "leaseDurationSeconds": math.ceil(ttl), "leaseTransitions": 0}


def _spec(lease: Json) -> Json:
    spec = lease.get("spec")
    return spec if isinstance(spec, dict) else {}


def _lasts(spec: Json, ttl: float) -> float:
    """Seconds a holder may go on without renewing; as long as ours, where it does not say."""
    seconds = spec.get("leaseDurationSeconds")
    return float(seconds) if isinstance(seconds, int) and seconds > 0 else ttl


def _term(spec: Json) -> int:
    term = spec.get("leaseTransitions")
    return term if isinstance(term, int) else 0


def _stamp() -> str:
    """For people only."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _store_error(error: ApiError, name: str) -> StoreError:
    text = f"Lease {name} cannot be kept, so this watch does not act: {error}"
    if error.refused:
        return AccessDenied(f"{text} `gradewatch doctor` names the rights that are missing.")
    return StoreUnavailable(text)
