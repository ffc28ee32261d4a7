"""Render: services restarted by its public API, their suspension and their deploys as evidence.

Render tells nothing of a service's processes, so a worker's silence is the evidence; a suspended service, or one in the
middle of a deploy, is left alone, and one without a live deploy is no matter for a restart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from gradewatch.errors import Conflict, PlatformError
from gradewatch.model import ExitCause, ExitKind, Target
from gradewatch.platforms.asking import Answer, ask
from gradewatch.platforms.unseen import Unseen

API = "https://api.render.com"
WHO = "Render's API"
REFRESH = 15.0  # seconds between two looks at one service: Render allows 400 requests a minute for a whole account
LOOK = 2.0  # seconds one request of a look may take: a probe has five
DEPLOYS = 20  # looked back over
UNDER_WAY = ("created", "queued", "build_in_progress", "update_in_progress", "pre_deploy_in_progress")
FAILED = ("build_failed", "update_failed", "pre_deploy_failed", "canceled")


@dataclass(frozen=True, slots=True)
class Facts:
    """`deploy` is the newest one's id, `status` its state; `live` says whether any deploy serves."""

    suspended: bool
    deploy: str
    status: str
    live: bool


@dataclass(slots=True)
class _Service:
    unseen: Unseen
    facts: Facts | None = None
    at: float = 0.0  # monotonic time of the look


class RenderPlatform:
    """`services` are ids (srv-…), as they stand in the dashboard's address and in RENDER_SERVICE_ID of the service.
    `age` is Unseen's."""

    kind = "render"

    def __init__(
        self,
        services: Sequence[str],
        *,
        queues: tuple[str, ...],
        key: str,
        base: str = API,
        timeout: float = 5.0,
        age: float = 0.0,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services = {service: _Service(Unseen(service, queues, age=age, mono=mono)) for service in services}
        self._base, self._timeout, self._mono = base.rstrip("/"), timeout, mono
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}

    async def targets(self) -> Sequence[Target]:
        return tuple([await self._target(name, service) for name, service in self._services.items()])

    async def restart(self, target: str, incarnation: str) -> str:
        """Raises Conflict when the service is suspended or deployed anew meanwhile; PlatformError."""
        service = self._services.get(target)
        if service is None:
            raise PlatformError(f"There is no service {target!r} here, only: {', '.join(self._services)}")
        facts = await self._look(target)
        service.facts, service.at = facts, self._mono()
        now = _target(service.unseen, facts)
        if not now.wanted:
            raise Conflict(f"{target} is suspended, or a deploy is under way ({facts.status}); it is not restarted")
        if now.incarnation != incarnation:
            raise Conflict(f"{target} is no longer {incarnation}, but {now.incarnation}")
        await self._ask("POST", target, "/restart", timeout=self._timeout)
        service.unseen.restarted()
        return _target(service.unseen, facts).incarnation

    def on_event(self, wake: Callable[[], None]) -> None:
        """Render is looked at."""

    # ---------------------------------------------------------------- inside

    async def _target(self, name: str, service: _Service) -> Target:
        if service.facts is None or self._mono() - service.at >= REFRESH:
            service.facts = await self._look(name)  # where it fails, `at` stays: what was read is not believed again
            service.at = self._mono()
        return _target(service.unseen, service.facts)

    async def _look(self, name: str) -> Facts:
        limit = min(LOOK, self._timeout)
        service = (await self._ask("GET", name, timeout=limit)).json(WHO)
        deploys = (await self._ask("GET", name, f"/deploys?limit={DEPLOYS}", timeout=limit)).json(WHO)
        return facts_of(service, deploys)

    async def _ask(self, method: str, service: str, path: str = "", *, timeout: float) -> Answer:
        url = f"{self._base}/v1/services/{quote(service, safe='')}{path}"
        answer = await ask(method, url, who=WHO, timeout=timeout, headers=self._headers)
        if 200 <= answer.status < 300:
            return answer
        raise PlatformError(f"{WHO} answered {answer.status}: {_meaning(answer, service)}")


def _meaning(answer: Answer, service: str) -> str:
    status = answer.status
    if status == 401:
        return "it does not accept RENDER_API_KEY. Make a new one in Render's account settings"
    if status == 403:
        return f"this RENDER_API_KEY may not use {service}. Use a key of a member of its workspace"
    if status == 404:
        return f"it has no service {service}, or this key does not see it. platform.targets holds ids, such as srv-…"
    if status == 429:
        after = f" Again in {answer.retry_after} s." if answer.retry_after.isdecimal() else ""
        return f"too many requests with this key.{after}"
    if status >= 500:
        return f"Render itself is in trouble; it is asked again. It said: {answer.said}"
    return answer.said


def facts_of(service: Any, deploys: Any) -> Facts:
    """Raises PlatformError where the answers are none of Render's."""
    if not isinstance(service, Mapping) or service.get("suspended") not in ("suspended", "not_suspended"):
        raise PlatformError(f"{WHO} answered with something that is no service")
    listed = [entry.get("deploy") if isinstance(entry, Mapping) else None for entry in _listed(deploys)]
    if not all(isinstance(deploy, Mapping) and {"id", "status"} <= deploy.keys() for deploy in listed):
        raise PlatformError(f"{WHO} answered with something that is no list of deploys")
    newest: Any = listed[0] if listed else {"id": "", "status": ""}
    live = any(deploy["status"] == "live" for deploy in listed if deploy)
    return Facts(service["suspended"] == "suspended", str(newest["id"]), str(newest["status"]), live)


def _listed(deploys: Any) -> list[Any]:
    return deploys if isinstance(deploys, list) else [None]


def _target(unseen: Unseen, facts: Facts) -> Target:
    """PURE but for the clock. What Render tells, over what this watch knows itself."""
    target = replace(unseen.target(), incarnation=f"{unseen.incarnation}.{facts.deploy}")
    if facts.suspended:
        return replace(target, running=False, running_seconds=0.0, wanted=False)
    if facts.status in UNDER_WAY:
        return replace(target, running_seconds=0.0, wanted=False)
    if not facts.live and facts.status in FAILED:
        why = f"none of its last {DEPLOYS} deploys is live; the newest ended as {facts.status}"
        return replace(
            target,
            running=False,
            running_seconds=0.0,
            last_exit=ExitCause(ExitKind.GONE, detail=why),
            problem=why,
            fix="Read that deploy's log in Render's dashboard, mend it, and deploy again.",
            no_restart="a restart would start nothing: no deploy of it is live",
        )
    return target
