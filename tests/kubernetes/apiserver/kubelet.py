"""A scheduler and a kubelet in one: pods get a node, their first container's command runs as a process of this machine.

It sees to what a pod would have: the environment with what the downward API fills in, a termination log for each life
of the container, the memory limit (resident memory above it is a death by OOMKilled), restarts with a growing back-off,
a SIGTERM and its grace period before SIGKILL, and eviction. A pod without a command just runs. Images are but names,
and those of `registry.invalid` cannot be pulled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import psutil

from apiserver.state import Change, Json, Refusal, State, stamp

NODE = "node-1"
LOOK = 0.02  # seconds between two looks at a process's memory
MI = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


class Kubelet:
    """`back_off`: seconds before the second restart, doubled with each; the real one takes 10. `environ`: what every
    process gets beside its own. `clock_off`: seconds by which the node's clock is wrong."""

    def __init__(self, state: State, *, back_off: float = 0.5, environ: Mapping[str, str] | None = None) -> None:
        self._state, self.back_off, self.environ = state, back_off, dict(environ or {})
        self.clock_off = 0.0
        self.away = False  # the node is lost: nothing is reported, nothing is stopped
        self.processes: dict[str, asyncio.subprocess.Process] = {}  # by the pod's UID
        self._folder = tempfile.TemporaryDirectory(prefix="kubelet-")
        self._tasks: dict[str, asyncio.Task[None]] = {}
        state.on_change.append(self._changed)

    def start(self) -> None:
        for pod in self._state.all("pods"):
            self._take(pod)

    async def stop(self) -> None:
        """End every process, at once."""
        self._state.on_change.remove(self._changed)
        for task in self._tasks.values():
            task.cancel()
        for process in self.processes.values():
            _kill(process)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._folder.cleanup()

    # ---------------------------------------------------------------- what a test may do

    def process(self, name: str, namespace: str = "default") -> psutil.Process:
        """The process of a pod's container."""
        uid = self._state.get("pods", namespace, name)["metadata"]["uid"]
        return psutil.Process(self.processes[uid].pid)

    def evict(self, name: str, message: str, namespace: str = "default") -> None:
        """As a node does that runs out of something: the pod fails, and its processes are killed."""
        pod = self._state.get("pods", namespace, name)
        self._tasks[pod["metadata"]["uid"]].cancel()
        if process := self.processes.get(pod["metadata"]["uid"]):
            _kill(process)
        self._report(pod, {"phase": "Failed", "reason": "Evicted", "message": message, "containerStatuses": []})

    # ---------------------------------------------------------------- inside

    def _changed(self, change: Change) -> None:
        if change.resource == "pods" and change.kind == "ADDED":
            self._take(change.object)
        elif change.resource == "pods" and change.kind == "DELETED":
            process = self.processes.get(change.object["metadata"]["uid"])
            if process is not None:
                _kill(process)  # deleted without grace

    def _take(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        task = asyncio.ensure_future(self._run(pod))
        self._tasks[uid] = task
        task.add_done_callback(lambda _: self._tasks.pop(uid, None))

    async def _run(self, pod: Json) -> None:
        await asyncio.sleep(0)
        spec, container = pod["spec"], pod["spec"]["containers"][0]
        if spec.get("nodeSelector"):
            words = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
            self._report(pod, {"phase": "Pending", "conditions": [condition]})
            return
        pod["spec"]["nodeName"] = NODE
        fresh = self._state.find("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        if fresh is None or fresh["metadata"]["uid"] != pod["metadata"]["uid"]:
            return
        fresh["spec"]["nodeName"] = NODE
        self._state.update("pods", pod["metadata"]["namespace"], fresh)
        if "registry.invalid" in container["image"]:
            await self._no_image(pod, container)
        await self._lives(pod, container)

    async def _no_image(self, pod: Json, container: Json) -> None:
        words = f'failed to pull and unpack image "{container["image"]}": not found'
        for reason in ("ErrImagePull", "ImagePullBackOff"):
            self._report_container(pod, {"waiting": {"reason": reason, "message": words}}, {}, 0, running=False)
            await asyncio.sleep(0.1)
        await self._until_deleted(pod)

    async def _lives(self, pod: Json, container: Json) -> None:
        """One life of the container after another, as restartPolicy Always wants it."""
        last: Json = {}
        for restarts in range(1_000_000):
            last, deleted = await self._life(pod, container, last, restarts)
            if deleted:
                return
            if restarts >= 1:
                words = f"back-off restarting failed container={container['name']}"
                waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": words}}
                self._report_container(pod, waiting, last, restarts, running=False)
                wait = min(300.0, self.back_off * 2.0 ** (restarts - 1))
                if await self._deleted_within(pod, wait):
                    self._gone(pod)
                    return

    async def _life(self, pod: Json, container: Json, last: Json, restarts: int) -> tuple[Json, bool]:
        """Its end as `terminated` tells it, and whether the pod was to be stopped."""
        uid, identity, began = pod["metadata"]["uid"], f"containerd://{uuid.uuid4().hex}", self._stamp()
        log = Path(self._folder.name) / identity.rpartition("/")[2]
        log.touch()
        process = await self._spawn(pod, container, log)
        self.processes[uid] = process
        state = {"running": {"startedAt": began}}
        self._report_container(pod, state, last, restarts, running=True, identity=identity)
        oom, deleted = await self._attend(pod, container, process)
        code = process.returncode or 0
        code = 128 - code if code < 0 else code
        ended = {
            "exitCode": code,
            "reason": "OOMKilled" if oom else "Completed" if code == 0 else "Error",
            "message": log.read_text()[:4096],
            "startedAt": began,
            "finishedAt": self._stamp(),
            "containerID": identity,
        }
        while self.away:
            await asyncio.sleep(LOOK)
        told = {"terminated": ended}
        self._report_container(pod, told, last, restarts, running=False, identity=identity)
        if deleted:
            self._gone(pod)
        return {"terminated": ended}, deleted

    async def _attend(self, pod: Json, container: Json, process: asyncio.subprocess.Process) -> tuple[bool, bool]:
        """Wait for its end: by itself, for its memory, or because the pod is to stop."""
        limit = _bytes(((container.get("resources") or {}).get("limits") or {}).get("memory"))
        waiting, asked, oom = asyncio.ensure_future(process.wait()), 0.0, False
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=LOOK)
            grace = self._grace(pod)
            if grace is not None and not asked and not self.away:
                asked = time.monotonic()
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
            if asked and time.monotonic() - asked > (grace or 0) and not self.away:
                _kill(process)
            if limit and not waiting.done() and _resident(process.pid) > limit:
                oom = True
                _kill(process)
        _kill(process)  # whoever it left behind
        return oom, bool(asked)

    async def _spawn(self, pod: Json, container: Json, log: Path) -> asyncio.subprocess.Process:
        command = [*(container.get("command") or ["sleep", "1000000"]), *(container.get("args") or [])]
        env = {"PATH": os.environ["PATH"], **self.environ, "TERMINATION_LOG": str(log)}
        for one in container.get("env") or []:
            field = ((one.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath", "")
            env[one["name"]] = pod["metadata"].get(field.removeprefix("metadata."), "") if field else one["value"]
        env["GRADEWATCH_TERMINATION_LOG"] = str(log)  # /dev/termination-log, where it is nobody else's
        return await asyncio.create_subprocess_exec(
            *[word.replace("/dev/termination-log", str(log)) for word in command], env=env, start_new_session=True
        )

    def _grace(self, pod: Json) -> float | None:
        """Seconds it has to stop, once it is to be stopped."""
        meta = pod["metadata"]
        now = self._state.find("pods", meta["namespace"], meta["name"])
        if now is None or now["metadata"]["uid"] != meta["uid"]:
            return 0.0
        return now["metadata"].get("deletionGracePeriodSeconds") if now["metadata"].get("deletionTimestamp") else None

    async def _deleted_within(self, pod: Json, seconds: float) -> bool:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if self._grace(pod) is not None:
                return True
            await asyncio.sleep(LOOK)
        return False

    async def _until_deleted(self, pod: Json) -> None:
        await self._deleted_within(pod, float("inf"))
        self._gone(pod)
        raise asyncio.CancelledError

    def _gone(self, pod: Json) -> None:
        meta = pod["metadata"]
        now = self._state.find("pods", meta["namespace"], meta["name"])
        if now is not None and now["metadata"]["uid"] == meta["uid"]:
            self._state.remove("pods", meta["namespace"], meta["name"])

    def _report_container(
        self, pod: Json, state: Json, last: Json, restarts: int, *, running: bool, identity: str = ""
    ) -> None:
        container = pod["spec"]["containers"][0]
        identity = identity or str((last.get("terminated") or {}).get("containerID", ""))
        status = {
            "name": container["name"],
            "image": container["image"],
            "state": state,
            "lastState": last,
            "ready": running,
            "restartCount": restarts,
            **({"containerID": identity} if identity else {}),
        }
        conditions = [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "True" if running else "False"},
        ]
        phase = "Running" if identity else "Pending"
        self._report(pod, {"phase": phase, "conditions": conditions, "containerStatuses": [status]})

    def _report(self, pod: Json, status: Json) -> None:
        meta = pod["metadata"]
        now = self._state.find("pods", meta["namespace"], meta["name"])
        if now is None or now["metadata"]["uid"] != meta["uid"] or self.away:
            return
        with contextlib.suppress(Refusal):
            self._state.update("pods", meta["namespace"], {**now, "status": status}, status=True)

    def _stamp(self) -> str:
        return stamp() if not self.clock_off else _moved(self.clock_off)


def _moved(seconds: float) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _bytes(quantity: str | None) -> int:
    if not quantity:
        return 0
    return int(quantity[:-2]) * MI[quantity[-2:]] if quantity[-2:] in MI else int(quantity)
