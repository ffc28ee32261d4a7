"""Any platform behind an endpoint of somebody's own: told by a signed POST what to restart, and why."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence

import structlog

from gradewatch.errors import Conflict, PlatformError
from gradewatch.model import Action, Target
from gradewatch.platforms.asking import Answer, NoAnswer, ask
from gradewatch.platforms.unseen import Unseen

log = structlog.get_logger(__name__)

WHO = "The restart webhook"
SIGNATURE, TIMESTAMP, KEY = "X-Gradewatch-Signature", "X-Gradewatch-Timestamp", "Idempotency-Key"
TRIES = 2  # for one restart, under one key: the second where the first may not have arrived
PASSING = (502, 503, 504)


def signed(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over timestamp, dot and body, so that neither can be changed or replayed later."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class WebhookPlatform:
    """`timeout` seconds are for all tries of one restart together. `age` is Unseen's."""

    kind = "webhook"

    def __init__(
        self,
        url: str,
        names: Sequence[str],
        *,
        queues: tuple[str, ...],
        secret: str,
        timeout: float = 12.0,
        age: float = 0.0,
    ) -> None:
        self._url, self._secret, self._timeout = url, secret, timeout
        self._queue = queues[0] if queues else ""
        self._unseen = {name: Unseen(name, queues, age=age) for name in names}

    async def targets(self) -> Sequence[Target]:
        """Nothing is asked: nobody there tells whether a worker runs."""
        return tuple(unseen.target() for unseen in self._unseen.values())

    async def restart(self, target: str, incarnation: str) -> str:
        """Any 2xx means that it is done or will be. Raises Conflict for 409, and where this watch has restarted it
        since; PlatformError."""
        return await self._restart(target, incarnation, "")

    async def restart_for(self, action: Action) -> str:
        return await self._restart(action.target or "", action.incarnation, f"{action.reason.value}: {action.message}")

    async def _restart(self, target: str, incarnation: str, reason: str) -> str:
        unseen = self._unseen.get(target)
        if unseen is None:
            raise PlatformError(f"There is no target {target!r} here, only: {', '.join(self._unseen)}")
        if unseen.incarnation != incarnation:
            raise Conflict(f"{target} is no longer {incarnation}: it was restarted meanwhile")
        told = {"target": target, "incarnation": incarnation, "queue": self._queue, "reason": reason}
        _judge(await self._post(json.dumps(told, ensure_ascii=False).encode()), target)
        return unseen.restarted()

    def on_event(self, wake: Callable[[], None]) -> None:
        """It calls nobody back."""

    async def _post(self, body: bytes) -> Answer:
        key, deadline = str(uuid.uuid4()), time.monotonic() + self._timeout
        for attempt in range(1, TRIES + 1):
            last = attempt == TRIES or deadline - time.monotonic() < self._timeout / 2
            try:
                answer = await ask(
                    "POST", self._url, who=WHO, timeout=max(0.1, deadline - time.monotonic()), body=body,
                    headers=self._headers(key, body),
                )  # fmt: skip
            except NoAnswer as error:
                if last or time.monotonic() >= deadline:
                    raise
                log.info("restart webhook asked again, under the same key", error=str(error))
                continue
            if last or answer.status not in PASSING:
                return answer
        raise AssertionError("the last try returns or raises")

    def _headers(self, key: str, body: bytes) -> Mapping[str, str]:
        timestamp = str(int(time.time()))
        return {
            "Content-Type": "application/json",
            KEY: key,
            TIMESTAMP: timestamp,
            SIGNATURE: signed(self._secret, timestamp, body),
        }


def _judge(answer: Answer, target: str) -> None:
    status = answer.status
    if 200 <= status < 300:
        return
    if status == 409:
        raise Conflict(f"{WHO} says that {target} is no longer that incarnation (409)")
    if 300 <= status < 400:
        raise PlatformError(f"{WHO} redirects ({status}), which is not followed: set platform.url to where it leads")
    meaning = {
        401: "it does not accept the signature: is GRADEWATCH_WEBHOOK_SECRET the same on both sides?",
        403: "it forbids this: is GRADEWATCH_WEBHOOK_SECRET the same on both sides?",
        404: "there is nothing at that path: look at platform.url",
        429: "it was asked too often",
    }.get(status, "it failed" if status >= 500 else "it refused")
    raise PlatformError(f"{WHO} answered {status}, {meaning}: {answer.said}")
