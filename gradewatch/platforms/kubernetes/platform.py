"""Workers as pods of one Deployment or StatefulSet: how each lives and died, and how one is restarted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from gradewatch.config import Settings
from gradewatch.errors import NotNow, PlatformError
from gradewatch.model import CycleReport, Right, Target
from gradewatch.platforms.kubernetes.access import Access, find_access
from gradewatch.platforms.kubernetes.api import Api, Json
from gradewatch.platforms.kubernetes.events import Teller
from gradewatch.platforms.kubernetes.lease import KubernetesLeases
from gradewatch.platforms.kubernetes.missing import look_for_missing
from gradewatch.platforms.kubernetes.owners import Belongs, Owners
from gradewatch.platforms.kubernetes.patience import Patience
from gradewatch.platforms.kubernetes.reflect import QUIET, Reflector
from gradewatch.platforms.kubernetes.restart import Restarter
from gradewatch.platforms.kubernetes.rights import review
from gradewatch.platforms.kubernetes.roster import Roster
from gradewatch.platforms.kubernetes.targets import Circumstances, pod_target, workload_target
from gradewatch.platforms.kubernetes.workload import Place, WorkloadFacts, place_of, read_workload

log = structlog.get_logger(__name__)

STALE = 10.0  # seconds a copy may be behind before what it holds is no longer told
AGAIN = 5.0  # seconds after a fault of our own until a task is begun anew
LAST_WORDS = 1.0  # seconds left to Events at the end


class KubernetesPlatform:
    """See docs/kubernetes.md. `single`: for one cycle. Raises ConfigError when made; nothing is asked before `open`."""

    kind = "kubernetes"

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        single: bool = False,
        access: Access | None = None,
        quiet: float = QUIET,
    ) -> None:
        chosen = settings.platform
        self._settings, self._quiet = settings, quiet
        self._access = access or find_access(chosen, environ)
        self.place: Place = place_of(chosen.deployment, chosen.namespace or self._access.namespace)
        self._api = Api(self._access, timeout=chosen.timeout)
        self._queues = chosen.queues or tuple(settings.queues)
        self._wakes: list[Callable[[], None]] = []
        self._roster = Roster(chosen.container, wake=self._wake, wall=self._wall, single=single)
        self._workload = _WorkloadSink(self._changed)
        self._owners = Owners(self._api, self.place)
        self._restarter = Restarter(
            self._api,
            self.place,
            self._owners,
            container=chosen.container,
            start_grace=settings.remediation.start_grace,
        )
        self._patience = Patience()
        self._leases = KubernetesLeases(self._api, self.place.namespace, chosen.lease, at_once=single)
        self._teller = Teller(self._api, self.place, self._roster, self._workload.uids)
        self._tasks: set[asyncio.Task[None]] = set()
        self._of_workload: Reflector | None = None
        self._of_pods: Reflector | None = None
        self._watching_pods: asyncio.Task[None] | None = None
        self._selector = chosen.selector

    # ---------------------------------------------------------------- WorkerControl

    async def targets(self) -> Sequence[Target]:
        """Every pod, those that went within ten minutes too, and the workload itself. Raises PlatformError while the
        copy of what the API server holds is not kept up to date."""
        await self._settled()
        self._check_fresh()
        now, about = time.monotonic(), self._circumstances()
        uid = about.workload.uid if about.workload else self._workload.last_uid
        pods = list(self._roster)
        whose = [await self._owners.belongs(pod.facts.owner, uid) for pod in pods]
        ours = [(pod, one) for pod, one in zip(pods, whose, strict=True) if one is not Belongs.OTHERS]
        return (workload_target(about, now), *(pod_target(pod, about, one, now) for pod, one in ours))

    async def restart(self, target: str, incarnation: str) -> str:
        """A pod "DEPLOYMENT/POD" by its UID, or the whole workload. Raises as the port says."""
        group, _, pod = target.partition("/")
        if group != self.place.name:
            raise PlatformError(f"{target} is no pod of {self.place.kind} {self.place.name}: it is left alone")
        if self._patience.reason:
            raise NotNow(self._patience.reason)
        try:
            done = await (self._restarter.pod(pod, incarnation) if pod else self._restart_whole(incarnation))
        except NotNow as error:
            self._patience.asked_to_wait(str(error))
            raise
        self._patience.done()
        return done

    async def _restart_whole(self, incarnation: str) -> str:
        facts = self._workload.facts
        if facts is not None and facts.desired > 0:
            return await self._restarter.roll_out(incarnation)
        if not self._settings.platform.scale_up:
            raise PlatformError(f"{self.place.kind} {self.place.name} is scaled to 0, and platform.scale_up is off")
        return await self._restarter.scale_up(incarnation)

    def on_event(self, wake: Callable[[], None]) -> None:
        self._wakes.append(wake)

    # ---------------------------------------------------------------- Managed, KeepsLeases, HearsReports, ChecksRights

    async def open(self) -> None:
        params = {"fieldSelector": f"metadata.name={self.place.name}"}
        self._of_workload = Reflector(self._api, self.place.collection, params, self._workload, quiet=self._quiet)
        self._begin("workload", self._of_workload.run)
        self._begin("events", self._teller.run)
        self._begin("missing", lambda: look_for_missing(self._api, self.place, self._roster))
        if self._selector:
            self._watch_pods(self._selector)

    async def close(self) -> None:
        await self._teller.finish(LAST_WORDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._api.close()

    @property
    def leases(self) -> KubernetesLeases:
        return self._leases

    def hear(self, report: CycleReport) -> None:
        self._teller.hear(report)

    async def rights(self) -> Sequence[Right]:
        chosen = self._settings.platform
        return await review(self._api, self.place, chosen.lease, scale_up=chosen.scale_up)

    # ---------------------------------------------------------------- inside

    def _begin(self, name: str, run: Callable[[], Any]) -> asyncio.Task[None]:
        task = asyncio.create_task(_for_ever(name, run), name=f"kubernetes {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _watch_pods(self, selector: str) -> None:
        """Anew where the selector has changed: a Deployment of the same name that selects other pods."""
        if self._watching_pods is not None:
            self._watching_pods.cancel()
        self._selector = selector
        params = {"labelSelector": selector}
        self._of_pods = Reflector(self._api, self.place.pods, params, self._roster, quiet=self._quiet)
        self._watching_pods = self._begin("pods", self._of_pods.run)

    def _changed(self, facts: WorkloadFacts | None) -> None:
        own = facts.selector if facts else ""
        if own and not self._settings.platform.selector and own != self._selector:
            self._watch_pods(own)
        self._wake()

    def _wake(self) -> None:
        for wake in self._wakes:
            wake()

    def _wall(self) -> float | None:
        """The API server's clock, by its last answer and what has passed since."""
        return self._api.now.timestamp() + time.monotonic() - self._api.noted if self._api.now else None

    def _circumstances(self) -> Circumstances:
        return Circumstances(
            place=self.place,
            workload=self._workload.facts,
            queues=self._queues,
            scale_up=self._settings.platform.scale_up,
            held=self._patience.reason,
            seen=self._workload.since,
        )

    async def _settled(self) -> None:
        """At the start, wait for the first answers, good or bad."""
        try:
            async with asyncio.timeout(self._settings.platform.timeout):
                if self._of_workload is not None:
                    await self._of_workload.settled.wait()
                if self._of_pods is not None:
                    await self._of_pods.settled.wait()
        except TimeoutError:
            log.debug("Kubernetes has not answered yet")

    def _check_fresh(self) -> None:
        for one in (self._of_workload, self._of_pods):
            if one is None:
                continue
            if not one.listed:
                raise PlatformError(f"Pods are not known yet: {one.error or 'Kubernetes has not answered'}")
            if one.stale_seconds > STALE:
                raise PlatformError(f"Pods have not been seen for {one.stale_seconds:.0f} s: {one.error}")
        if self._of_workload is None:
            raise PlatformError("Kubernetes is not watched: the platform was not opened")


class _WorkloadSink:
    """Keeps the one workload there is, and tells of each change."""

    def __init__(self, changed: Callable[[WorkloadFacts | None], None]) -> None:
        self._changed = changed
        self.facts: WorkloadFacts | None = None
        self.last_uid = ""  # of the last one there was: its pods may outlive it for a while
        self.uids: list[str] = []  # of the present one, for those who keep this list
        self.since = time.monotonic()

    def reduce(self, raw: Json) -> WorkloadFacts:
        return read_workload(raw)

    def replace(self, objects: list[WorkloadFacts]) -> None:
        self._set(objects[0] if objects else None)

    def put(self, raw: Json) -> None:
        self._set(read_workload(raw))

    def drop(self, raw: Json) -> None:
        if self.facts is None or read_workload(raw).uid == self.facts.uid:
            self._set(None)

    def _set(self, facts: WorkloadFacts | None) -> None:
        was, self.facts = self.facts, facts
        if facts is not None and facts.uid != self.last_uid:
            self.last_uid, self.since = facts.uid, time.monotonic()
        self.uids[:] = [facts.uid] if facts else []
        if was != facts:
            self._changed(facts)


async def _for_ever(name: str, run: Callable[[], Any]) -> None:
    """A fault of ours in one task must neither end it unseen nor end the others."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("a task of the Kubernetes platform failed; it begins anew", task=name)
        await asyncio.sleep(AGAIN)
