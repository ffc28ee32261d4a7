"""Queues of other applications: which table or collection, which field means what, and the presets for known shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gradewatch.model import JobState

Scalar = str | int | float | bool | None

VERBS = ("expire", "requeue", "fail", "cancel")
"""What may be written to another application's job; `write` may add fields to each."""

NOW, ERROR, CODE = "$now", "$error", "$code"
"""In `write`: the time of the repair, the sentence that explains it, its stable code."""


@dataclass(frozen=True)
class Words:
    """The application's own words for each state; the first of each is the one that is written."""

    pending: tuple[str, ...] = ("pending",)
    running: tuple[str, ...] = ("running",)
    succeeded: tuple[str, ...] = ("succeeded",)
    failed: tuple[str, ...] = ("failed",)
    cancelled: tuple[str, ...] = ()

    def of(self, state: JobState) -> tuple[str, ...]:
        words: tuple[str, ...] = getattr(self, state.value)
        return words

    def state(self, word: object) -> JobState | None:
        """What a word of the application means; None for one that nobody told us."""
        return next((state for state in JobState if word in self.of(state)), None) if isinstance(word, str) else None


@dataclass(frozen=True)
class Fields:
    """Which field holds what. Of several candidates the first that a row has counts; an empty name: there is none."""

    id: str = "id"
    state: str = "status"
    kind: str = ""
    created: tuple[str, ...] = ("created_at",)
    started: tuple[str, ...] = ("started_at",)
    finished: tuple[str, ...] = ("finished_at",)
    heartbeat: tuple[str, ...] = ()  # moves while the job is worked on
    worker: tuple[str, ...] = ()
    attempts: str = ""
    max_attempts: str = ""
    progress_done: str = ""
    progress_total: str = ""  # a field, or a number such as 100
    message: str = ""
    error: str = ""
    errors: str = ""  # a list to which errors are added

    @property
    def total(self) -> int:
        """The total where it is a number and not a field, else 0."""
        return int(self.progress_total) if self.progress_total.isdecimal() else 0

    @property
    def times(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.created, *self.started, *self.finished, *self.heartbeat)))

    @property
    def counters(self) -> tuple[str, ...]:
        total = "" if self.progress_total.isdecimal() else self.progress_total
        return tuple(name for name in (self.attempts, self.max_attempts, self.progress_done, total) if name)

    @property
    def read(self) -> tuple[str, ...]:
        """Every field a probe reads, each once; the payload is none of our business."""
        single = (self.id, self.state, self.kind, self.message, self.error, self.errors)
        return tuple(dict.fromkeys((*(n for n in single if n), *self.times, *self.worker, *self.counters)))


@dataclass(frozen=True)
class ForeignSettings:
    """A queue that another application owns. Nothing is created in it; only rows that are stuck are written."""

    table: str
    fields: Fields = field(default_factory=Fields)
    words: Words = field(default_factory=Words)
    write: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)  # verb -> further fields to set
    max_attempts: int = 3  # where the rows have no such field
    charge_attempts: bool = True  # a requeue raises `attempts`; False where the worker does so at each claim
    silence: float | None = None  # seconds without progress or heartbeat after which a job is lost; None: never

    @property
    def touched(self) -> tuple[str, ...]:
        """Every field that is read, or written and so must be known as it was before."""
        return tuple(dict.fromkeys((*self.fields.read, *(name for more in self.write.values() for name in more))))


@dataclass(frozen=True)
class Preset:
    settings: ForeignSettings
    schemes: tuple[str, ...]  # of the stores that such a queue lives in


_MONGO = ("mongodb", "mongodb+srv")
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        # Claimed by find_one_and_update in a loop of the backend's own, no heartbeat.
        "mongo-tasks": Preset(
            ForeignSettings(
                table="tasks",
                fields=Fields(
                    id="task_id",
                    kind="type",
                    started=("started_at", "claimed_at"),
                    finished=("completed_at", "finished_at"),
                    heartbeat=("heartbeat_at",),
                    worker=("worker_id", "claimed_by"),
                    attempts="attempts",
                    error="error",
                ),
                words=Words(
                    running=("processing", "claimed"),
                    succeeded=("completed",),
                    cancelled=("cancelled",),
                ),
            ),
            _MONGO,
        ),
        # "12/30": every graded paper raises processed_papers and moves updated_at.
        "mongo-grading-jobs": Preset(
            ForeignSettings(
                table="grading_jobs",
                fields=Fields(
                    id="job_id",
                    created=("created_at", "updated_at"),
                    finished=("completed_at", "finished_at"),
                    heartbeat=("updated_at",),
                    worker=("worker_id",),
                    progress_done="processed_papers",
                    progress_total="total_papers",
                    errors="errors",
                ),
                words=Words(running=("processing",), succeeded=("completed",), cancelled=("cancelled",)),
                silence=600.0,
            ),
            _MONGO,
        ),
        # Select, then update: two workers can take one job, and nobody raises attempts.
        "supabase-jobs": Preset(
            ForeignSettings(
                table="public.jobs",
                fields=Fields(
                    kind="job_type",
                    heartbeat=("heartbeat_at",),
                    worker=("worker_id",),
                    attempts="attempts",
                    max_attempts="max_attempts",
                    progress_done="progress",
                    progress_total="100",
                    message="status_message",
                    error="error_message",
                ),
                words=Words(pending=("queued",), running=("started",), succeeded=("finished",)),
            ),
            ("postgresql", "https", "http"),
        ),
    }
)
