"""What the watch is told of pods and their workload: a target for each, with what speaks against restarting it."""

from __future__ import annotations

from dataclasses import dataclass

from gradewatch.model import ExitKind, Sight, Target
from gradewatch.platforms.kubernetes.facts import CRASH_LOOP
from gradewatch.platforms.kubernetes.owners import Belongs
from gradewatch.platforms.kubernetes.roster import PodLife
from gradewatch.platforms.kubernetes.workload import Place, WorkloadFacts

STARTING = 120.0  # seconds that scheduling, pulling an image and starting may take before anybody is told
LOOP = 2  # deaths for want of memory after which another start is known to meet the same end

ITSELF = "Kubernetes itself starts its container again"
MEMORY = "it is killed for its memory again and again, which no restart cures: raise its limit or lower its load"
STARTLESS = "it cannot start, which no restart cures"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What concerns every pod of the workload alike. `held` says until when Kubernetes asked us to wait, in words."""

    place: Place
    workload: WorkloadFacts | None
    queues: tuple[str, ...]
    scale_up: bool
    held: str
    seen: float  # monotonic, when the workload was first seen

    @property
    def no_restart(self) -> str:
        if self.workload is not None and self.workload.rolling:
            return f"a rollout of {self.place.name} is in progress"
        return self.held


def pod_target(pod: PodLife, about: Circumstances, whose: Belongs, now: float) -> Target:
    facts, there = pod.facts, pod.gone is None and not pod.facts.over
    running = facts.running and there
    starting = not running and not facts.problem and not pod.ends and now - pod.since < STARTING
    problem, fix = (facts.problem, facts.fix) if there else ("", "")
    if there and not running and not problem and not pod.ends and not starting:
        problem = f"its container has not started for long: {facts.waiting or facts.phase or 'unknown'}"
        fix = f"See what it waits for: kubectl describe pod {facts.name}."
    return Target(
        name=facts.name,
        queues=about.queues,
        pid=None,
        running=running,
        running_seconds=now - pod.since if running else 0.0,
        wanted=there and not facts.deleting and not starting,
        last_exit=pod.last_exit,
        exits=pod.exits(now),
        incarnation=facts.uid,
        ended_incarnations=pod.ended_incarnations,
        group=about.place.name,
        problem=problem,
        fix=fix,
        no_restart=_no_restart(pod, about, whose, running),
        memory_limit=facts.memory_limit,
        may_be_older=pod.may_be_older if running else 0.0,
    )


def _no_restart(pod: PodLife, about: Circumstances, whose: Belongs, running: bool) -> str:
    """Texts without figures in them: what is held back is recorded anew whenever its reason changes."""
    if whose is Belongs.UNKNOWN:
        return "whose pod it is could not be read, so it is left alone"
    if running:
        return about.no_restart
    out_of_memory = [cause for _, _, cause in pod.ends if cause.kind is ExitKind.OOM_KILLED]
    last = pod.last_exit
    if last is not None and last.kind is ExitKind.OOM_KILLED:
        looping = len(out_of_memory) >= LOOP or pod.facts.waiting == CRASH_LOOP
        return MEMORY if looping else ITSELF
    return ITSELF if last is not None and not pod.facts.problem else STARTLESS


def workload_target(about: Circumstances, now: float) -> Target:
    """The Deployment or StatefulSet itself: missing, without replicas, or there."""
    place, facts = about.place, about.workload
    absent, idle = facts is None, facts is not None and facts.desired == 0
    problem = fix = refusal = ""
    if absent:
        problem = f"the {place.kind} {place.name} does not exist in namespace {place.namespace}"
        fix = f"Deploy it (kubectl apply), or set platform.deployment to the {place.kind} whose pods the workers are."
        refusal = "it does not exist"
    elif idle:
        problem = f"the {place.kind} {place.name} is scaled to 0 replicas"
        fix = f"Scale it up: kubectl -n {place.namespace} scale {place.kind.lower()}/{place.name} --replicas=1."
        refusal = "" if about.scale_up else "it is scaled to 0, and platform.scale_up is off"
    elif facts is not None and facts.paused:
        refusal = f"{place.name} is paused"
    return Target(
        name=place.name,
        queues=about.queues,
        pid=None,
        running=not absent and not idle,
        running_seconds=now - about.seen if not absent and not idle else 0.0,
        wanted=not idle,
        incarnation=facts.incarnation if facts else "",
        sight=Sight.LIFE if facts else Sight.NONE,  # a wrong name proves nothing of workers that run elsewhere
        group=place.name,
        whole=True,
        problem=problem,
        fix=fix,
        no_restart=refusal or about.no_restart,
    )
