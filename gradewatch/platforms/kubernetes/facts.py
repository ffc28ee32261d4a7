"""What is read of a pod, and what of it matters: is its worker running, how did its earlier lives end, and what
keeps it from starting. Everything else of the object is let go, for there may be hundreds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gradewatch.model import ExitCause, ExitKind
from gradewatch.platforms.kubernetes.quantity import bytes_of, moment
from gradewatch.platforms.kubernetes.shapes import Json, number, part, parts
from gradewatch.platforms.kubernetes.signals import signal_of

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
                   "RegistryUnavailable"})  # fmt: skip
CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError"})
STOPPED = frozenset({"Evicted", "Preempting", "NodeLost", "NodeShutdown", "Terminated", "UnexpectedAdmissionError"})
CRASH_LOOP = "CrashLoopBackOff"
MOST_WORDS = 300  # characters of the kubelet's message that are kept


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose pod it is: the reference that says `controller: true`."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Ending:
    """One life of a container that is over. `life` is the incarnation its worker wrote into its termination log: proof
    of which life this was. `finished` is by the node's clock, in seconds since 1970; `lifetime` in seconds."""

    key: str  # which life: the container's id
    cause: ExitCause
    lifetime: float
    finished: float | None
    life: str


@dataclass(frozen=True, slots=True)
class PodFacts:
    uid: str
    name: str
    node: str
    created: float | None  # by the API server's clock, seconds since 1970
    owner: Owner | None
    phase: str
    deleting: bool
    running: bool  # its worker's container
    container_id: str
    restarts: int
    started: float | None  # of the running container, by the node's clock
    ended: tuple[Ending, ...]
    stopped: ExitCause | None  # how the pod as a whole ended: evicted, failed
    waiting: str  # the kubelet's word for why the container does not run
    problem: str
    fix: str
    memory_limit: int

    @property
    def over(self) -> bool:
        """It will never run again."""
        return self.phase in ("Succeeded", "Failed")


def read_pod(raw: Json, container: str = "") -> PodFacts:
    """Never raises for a pod of whatever shape: what is not there is empty."""
    meta, spec, status = part(raw, "metadata"), part(raw, "spec"), part(raw, "status")
    name = container or _default_container(meta, spec)
    told = next((c for c in parts(status, "containerStatuses") if c.get("name") == name), {})
    state = part(told, "state")
    uid, phase = str(meta.get("uid") or ""), str(status.get("phase") or "")
    running, waiting = state.get("running"), part(state, "waiting")
    problem, fix = _problem(spec, status, name, waiting)
    return PodFacts(
        uid=uid,
        name=str(meta.get("name") or ""),
        node=str(spec.get("nodeName") or ""),
        created=moment(meta.get("creationTimestamp")),
        owner=owner_of(meta),
        phase=phase,
        deleting=bool(meta.get("deletionTimestamp")),
        running=isinstance(running, Mapping) and phase not in ("Succeeded", "Failed"),
        container_id=str(told.get("containerID") or ""),
        restarts=number(told, "restartCount"),
        started=moment(running.get("startedAt")) if isinstance(running, Mapping) else None,
        ended=tuple(_endings(told, uid)),
        stopped=_stopped(status) if phase in ("Succeeded", "Failed") or meta.get("deletionTimestamp") else None,
        waiting=str(waiting.get("reason") or ""),
        problem=problem,
        fix=fix,
        memory_limit=_memory_limit(spec, name),
    )


def owner_of(meta: Json) -> Owner | None:
    for reference in parts(meta, "ownerReferences"):
        if reference.get("controller"):
            return Owner(*(str(reference.get(key) or "") for key in ("kind", "name", "uid")))
    return None


def _default_container(meta: Json, spec: Json) -> str:
    containers = [str(c.get("name") or "") for c in parts(spec, "containers")]
    wanted = str(part(meta, "annotations").get(DEFAULT_CONTAINER) or "")
    return wanted if wanted in containers else next(iter(containers), "")


# ---------------------------------------------------------------- how it ended


def _endings(told: Json, uid: str) -> Iterator[Ending]:
    """The last life before the present one, and the present one where it is over already; oldest first."""
    back_off = part(part(told, "state"), "waiting").get("reason") == CRASH_LOOP
    for which in ("lastState", "state"):
        ended = part(told, which).get("terminated")
        if isinstance(ended, Mapping):
            loops = number(told, "restartCount") if back_off and which == "lastState" else None
            yield _ending(ended, uid, loops)


def _ending(ended: Json, uid: str, loops: int | None) -> Ending:
    started, finished = moment(ended.get("startedAt")), moment(ended.get("finishedAt"))
    lifetime = max(0.0, finished - started) if started is not None and finished is not None else 0.0
    found = re.search(rf"{re.escape(uid)}/[0-9a-f]{{12}}", str(ended.get("message") or "")) if uid else None
    key = str(ended.get("containerID") or ended.get("finishedAt") or "")
    return Ending(key, container_cause(ended, loops), lifetime, finished, found[0] if found else "")


def container_cause(ended: Json, loops: int | None = None) -> ExitCause:
    """The cause behind a container's `terminated`. `loops`: how often it was restarted, where the kubelet backs off."""
    code, signal = number(ended, "exitCode"), number(ended, "signal")
    reason = str(ended.get("reason") or "")
    if reason == "OOMKilled":
        return ExitCause(ExitKind.OOM_KILLED, code, "killed for using more memory than its limit (OOMKilled)")
    # A shell and the container runtimes give 128 + n for a death by signal n.
    signal = signal or (code - 128 if 128 < code < 128 + 65 else 0)
    plain = ExitCause(ExitKind.SIGNALLED, signal, signal_of(signal)) if signal else ExitCause(ExitKind.EXITED, code)
    if loops is None:
        return plain
    return ExitCause(ExitKind.CRASH_LOOP, code, f"in {CRASH_LOOP} after {loops} restarts, the last one {plain}")


def _stopped(status: Json) -> ExitCause | None:
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")[:MOST_WORDS]
    if reason in STOPPED:
        kind = ExitKind.GONE if reason == "NodeLost" else ExitKind.EVICTED
        return ExitCause(kind, detail=f"{reason}: {message}" if message else reason)
    for condition in parts(status, "conditions"):
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            words = f"{condition.get('reason') or 'disrupted'}: {condition.get('message') or ''}".rstrip(": ")
            return ExitCause(ExitKind.EVICTED, detail=f"evicted ({words[:MOST_WORDS]})")
    return None


# ---------------------------------------------------------------- why it does not start


def _problem(spec: Json, status: Json, name: str, waiting: Json) -> tuple[str, str]:
    """What keeps this pod from working, and what to do about it; both empty where nothing does."""
    condition = {str(c.get("type")): c for c in parts(status, "conditions")}
    scheduled = condition.get("PodScheduled", {})
    if scheduled.get("status") == "False" and not spec.get("nodeName"):
        return (
            f"no node can take it: {_words(scheduled) or 'unschedulable'}",
            "Add a node, or lower the pod's requests, or mend its node selector, affinity or tolerations.",
        )
    if status.get("reason") == "NodeLost" or condition.get("Ready", {}).get("reason") == "NodeStatusUnknown":
        return (
            f"its node {spec.get('nodeName')} does not answer",
            "Kubernetes puts another in its place once the node is given up. Look at the node: kubectl describe node.",
        )
    for who, state in _waits(status, name, waiting):
        reason, words = str(state.get("reason") or ""), _words(state)
        if reason in IMAGE:
            return (
                f"the image {_image(spec, who)} of {who} cannot be pulled ({reason}){': ' + words if words else ''}",
                "Correct the image's name or tag, or give the pod the registry's credentials (imagePullSecrets); then "
                "roll it out.",
            )
        if reason in CONFIG:
            return (
                f"the container {who} cannot be made ({reason}){': ' + words if words else ''}",
                "Create the ConfigMap, Secret or key it names, or correct its command; then roll it out.",
            )
        if reason == CRASH_LOOP and who != name:
            return f"its init container {who} keeps failing", f"Read its log: kubectl logs POD -c {who} --previous."
    return "", ""


def _waits(status: Json, name: str, waiting: Json) -> Iterator[tuple[str, Json]]:
    """The containers that wait: the worker's own, and those that must be done before it."""
    if waiting:
        yield name, waiting
    for told in parts(status, "initContainerStatuses"):
        state = part(part(told, "state"), "waiting")
        if state:
            yield str(told.get("name") or ""), state


def _image(spec: Json, name: str) -> str:
    containers = (*parts(spec, "containers"), *parts(spec, "initContainers"))
    return next((str(c.get("image") or "") for c in containers if c.get("name") == name), "")


def _memory_limit(spec: Json, name: str) -> int:
    for container in parts(spec, "containers"):
        if container.get("name") == name:
            return bytes_of(part(part(container, "resources"), "limits").get("memory"))
    return 0


def _words(told: Json) -> str:
    return " ".join(str(told.get("message") or "").split())[:MOST_WORDS]
