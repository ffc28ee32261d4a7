"""Settings that are each right and do not go together. An error where it cannot work, else a warning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gradewatch.config.foreign import PRESETS, ForeignSettings
from gradewatch.config.platform_checks import platform_doubts
from gradewatch.config.settings import QueueSettings, Settings
from gradewatch.config.values import spell
from gradewatch.model import ActionKind, JobState

SHORTEST_TOKEN = 16
DOCUMENTS = ("mongodb", "mongodb+srv")  # stores whose fields have fields


@dataclass(frozen=True)
class Doubt:
    """What does not go together. `keys` are the settings concerned, so that one already refused is not judged."""

    keys: tuple[str, ...]
    text: str
    error: bool = False


def doubts(settings: Settings, given: Callable[[str], bool], environ: Mapping[str, str]) -> Iterator[Doubt]:
    """Every doubt about `settings`; `given` tells whether a dotted key was set. Of `environ`, only whether it has what
    a platform needs."""
    for queue in settings.queues.values():
        yield from _queue(settings, queue, given)
    yield from _watch(settings)
    yield from _budgets(settings)
    yield from _ports(settings)
    yield from (Doubt(*doubt) for doubt in platform_doubts(settings.platform, given, environ))


def _queue(settings: Settings, queue: QueueSettings, given: Callable[[str], bool]) -> Iterator[Doubt]:
    def key(name: str) -> str:
        own = f"queues.{queue.name}.{name}"
        return own if given(own) else f"timeouts.{name}"

    beat, at = queue.timeouts.heartbeat, key("heartbeat")
    for name, seconds in (
        ("schedule_to_start", queue.timeouts.schedule_to_start),
        ("start_to_close", queue.timeouts.start_to_close),
    ):
        # Another application's job is silent only once it runs.
        if seconds <= beat and not (queue.foreign and name == "schedule_to_start"):
            yield Doubt(
                (key(name), at),
                f"{key(name)} is {spell(seconds)} and {at} is {spell(beat)}: jobs are failed before a silent worker "
                f"is noticed; let {key(name)} be longer",
            )
    if queue.foreign is not None:
        yield from _foreign(settings, queue.name, queue.foreign)
    if settings.watch.rescue and queue.timeouts.schedule_to_start <= settings.watch.rescue_after:
        yield Doubt(
            ("watch.rescue", "watch.rescue_after", key("schedule_to_start")),
            f"watch.rescue_after is {spell(settings.watch.rescue_after)} and {key('schedule_to_start')} is "
            f"{spell(queue.timeouts.schedule_to_start)}: jobs are failed before a rescue worker is started; let "
            "watch.rescue_after be shorter",
        )
    if settings.watch.interval > beat:
        yield Doubt(
            ("watch.interval", at),
            f"watch.interval is {spell(settings.watch.interval)} and {at} is {spell(beat)}: a silent worker is "
            "noticed a whole interval late; let watch.interval be shorter",
        )


def _foreign(settings: Settings, name: str, foreign: ForeignSettings) -> Iterator[Doubt]:
    """A queue of another application must lie where such queues can be reached, and its words must mean one thing."""
    homes = sorted({scheme for preset in PRESETS.values() for scheme in preset.schemes})
    if settings.store.scheme not in homes:
        yield Doubt(
            (f"queues.{name}.preset", f"queues.{name}.table", "store.url"),
            f"queues.{name} is a queue of another application, and store.url is {settings.store.scheme}://…: it must "
            f"be the database of that application, such as {', '.join(f'{home}://…' for home in homes)}",
            error=True,
        )
    words = [word for state in JobState for word in foreign.words.of(state)]
    if twice := sorted({word for word in words if words.count(word) > 1}):
        yield Doubt(
            tuple(f"queues.{name}.words.{state.value}" for state in JobState),
            f"queues.{name}.words: {', '.join(twice)} stands for more than one state; each word may mean one thing",
            error=True,
        )
    fields = foreign.fields
    inner = [name for name in foreign.touched if "." in name]
    if inner and settings.store.scheme not in DOCUMENTS:
        yield Doubt(
            (f"queues.{name}.table", "store.url"),
            f"queues.{name} names {', '.join(inner)}: only MongoDB's documents have fields within fields",
            error=True,
        )
    for key in ("id", "state", "created"):
        if not getattr(fields, key):
            yield Doubt(
                (f"queues.{name}.fields.{key}",),
                f"queues.{name}.fields.{key} is empty: without it no job can be told from another, or be late",
                error=True,
            )


def _watch(settings: Settings) -> Iterator[Doubt]:
    repairs, watch = settings.remediation, settings.watch
    if settings.store.timeout >= repairs.lease:
        yield Doubt(
            ("store.timeout", "remediation.lease"),
            f"store.timeout is {spell(settings.store.timeout)} and remediation.lease is {spell(repairs.lease)}: one "
            "slow call costs the watch its lease; let store.timeout be shorter",
        )
    if repairs.cooldown > repairs.cooldown_max:
        yield Doubt(
            ("remediation.cooldown", "remediation.cooldown_max"),
            f"remediation.cooldown is {spell(repairs.cooldown)}, longer than remediation.cooldown_max, which is "
            f"{spell(repairs.cooldown_max)}: it must be at most that",
            error=True,
        )
    if repairs.verify < watch.interval:
        yield Doubt(
            ("remediation.verify", "watch.interval"),
            f"remediation.verify is {spell(repairs.verify)} and watch.interval is {spell(watch.interval)}: a restart "
            "is judged before the watch looks again; let remediation.verify be longer",
        )
    if len(settings.queues) > watch.max_queues:
        yield Doubt(
            ("watch.max_queues",),
            f"{len(settings.queues)} queues are configured and watch.max_queues is {watch.max_queues}: the rest is "
            "counted as _other",
        )


def _budgets(settings: Settings) -> Iterator[Doubt]:
    for kind in ActionKind:
        if kind is ActionKind.RESCUE and not settings.watch.rescue:
            continue
        budget, key = settings.remediation.budget[kind], f"remediation.budget.{kind.value}"
        if budget.window > settings.retention.audit:
            yield Doubt(
                (key, "retention.audit"),
                f"{key} counts over {spell(budget.window)} and retention.audit is {spell(settings.retention.audit)}: "
                "what was spent would be forgotten; retention.audit must be at least the window",
                error=True,
            )
        if budget.count == 0:
            yield Doubt((key,), f'{key} is 0: that repair is never made; remediation.mode = "off" stops all repairs')


def _ports(settings: Settings) -> Iterator[Doubt]:
    port, worker = settings.http.port, settings.worker
    if worker.http_port and worker.processes > 1:
        yield Doubt(
            ("worker.http_port", "worker.processes"),
            f"worker.http_port is {worker.http_port} and worker.processes is {worker.processes}: several processes "
            "cannot share a port; set worker.http_port to 0, for any free one each",
            error=True,
        )
    if worker.http_port and worker.http_port == port:
        yield Doubt(
            ("worker.http_port", "http.port"),
            f"worker.http_port and http.port are both {port}: set worker.http_port to 0, for any free one",
            error=True,
        )
    if 0 < len(settings.http.token) < SHORTEST_TOKEN:
        yield Doubt(("http.token",), f"http.token has fewer than {SHORTEST_TOKEN} characters: it can be guessed")
