"""The settings as frozen values, with their defaults. Durations are seconds, sizes are bytes.

Every field here can be set in `gradewatch.toml` or by `GRADEWATCH_SECTION__KEY`; docs/settings.md lists them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradewatch.config.foreign import ForeignSettings
from gradewatch.errors import ConfigError
from gradewatch.model import ActionKind


@dataclass(frozen=True)
class StoreSettings:
    url: str = field(default="sqlite:///gradewatch.db", repr=False)  # later stores keep a password in it
    timeout: float = 5.0  # deadline of one call
    records: str = field(default="", repr=False)  # of the watch of other applications' queues; empty: docs/settings.md

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0]


@dataclass(frozen=True)
class HttpSettings:
    host: str = "127.0.0.1"
    port: int = 9464
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Timeouts:
    schedule_to_start: float = 300.0
    start_to_close: float = 1800.0
    heartbeat: float = 15.0


@dataclass(frozen=True)
class QueueSettings:
    """One watched queue: its own timeouts where it has them, and what to do with late and lost jobs."""

    name: str = "default"
    timeouts: Timeouts = field(default_factory=Timeouts)
    kinds: tuple[str, ...] = ("grade",)  # kinds this version knows; others are left alone
    on_schedule_to_start: str = "fail"  # fail | keep
    on_start_to_close: str = "fail"  # fail | keep
    on_lost: str = "requeue"  # requeue | fail | keep
    paused: bool = False  # workers claim nothing from it, and nothing in it is failed for waiting
    foreign: ForeignSettings | None = None  # another application's queue: watched and repaired, never worked

    @property
    def watched(self) -> tuple[str, ...] | None:
        """The kinds of jobs that may be repaired; None: all of them, as in another application's queue by default."""
        return None if self.foreign is not None and not self.kinds else self.kinds


@dataclass(frozen=True)
class WatchSettings:
    interval: float = 5.0
    max_queues: int = 200  # queues beyond this many are counted as `_other`
    provider_check: float = 120.0  # between two checks of credentials and providers
    rescue: bool = False  # may the acting watch run a worker itself while no real one lives?
    rescue_after: float = 120.0  # of jobs waiting and nobody claiming
    maintenance: tuple[str, ...] = ()  # cron expression and length: "0 2 * * sun 90m"


@dataclass(frozen=True)
class Budget:
    """At most `count` applied repairs in `window` seconds, per queue."""

    count: int
    window: float


DEFAULT_BUDGETS: Mapping[ActionKind, Budget] = {
    ActionKind.RESTART: Budget(5, 3600.0),
    ActionKind.EXPIRE: Budget(1000, 600.0),
    ActionKind.REQUEUE: Budget(1000, 600.0),
    ActionKind.FAIL: Budget(1000, 600.0),
    ActionKind.RESCUE: Budget(10, 3600.0),
}


@dataclass(frozen=True)
class RemediationSettings:
    mode: str = "act"  # act | dry-run | off
    budget: Mapping[ActionKind, Budget] = field(default_factory=lambda: dict(DEFAULT_BUDGETS))
    cooldown: float = 5.0  # between restarts of one target; doubles with each
    cooldown_max: float = 600.0
    verify: float = 30.0  # a restart must show a beat or a finished job within this
    start_grace: float = 10.0  # a target younger than this is not restarted for silence
    wedged_after: float = 60.0  # alive and idle for this long while work waits
    batch: int = 2000  # jobs handed to the store at once
    lease: float = 15.0  # term of the acting watch's lease


@dataclass(frozen=True)
class PlatformSettings:
    kind: str = "process"
    timeout: float = 5.0  # deadline of one call to the platform
    queues: tuple[str, ...] = ()  # that its workers serve; empty: all
    namespace: str = ""  # empty: the service account's, or the context's
    deployment: str = "gradewatch-worker"  # of the workers; "statefulset/NAME" for a StatefulSet
    selector: str = ""  # labels of the workers' pods; empty: the Deployment's own selector
    container: str = ""  # of a pod, in which the worker runs; empty: its default one, or the first
    scale_up: bool = False  # may the watch scale it from 0 to 1 while jobs wait?
    lease: str = "gradewatch-watch"
    service_account: str = "/var/run/secrets/kubernetes.io/serviceaccount"  # where its token and CA are mounted
    kubeconfig: str = ""  # outside a cluster; empty: $KUBECONFIG, or ~/.kube/config
    context: str = ""  # of the kubeconfig; empty: the current one
    targets: tuple[str, ...] = ()  # the workers' names there: programs, units, services; each kind has its own
    url: str = field(default="", repr=False)  # a webhook's may be a secret by itself
    restart: tuple[str, ...] = ()  # argv; {target} stands for the target's name
    status: tuple[str, ...] = ()  # argv
    env: tuple[str, ...] = ()  # variables that these two are given
    user: bool = False  # systemd of the user, not of the system
    restart_timeout: float = 12.0  # of one restart by a command or a webhook; less than a restart may take at all


@dataclass(frozen=True)
class ProviderBudget:
    """What may be asked of all providers together; the store counts, over all workers. A day is one in UTC."""

    calls_per_job: int = 10_000
    tokens_per_job: int = 10_000_000
    calls_per_day: int = 50_000
    tokens_per_day: int = 50_000_000


@dataclass(frozen=True)
class WorkerSettings:
    processes: int = 1  # supervised by `gradewatch run`
    slots: int = 2
    http_port: int = 0  # 0: any free port
    drain: float = 20.0  # seconds a SIGTERM leaves to running jobs
    poll: float = 1.0  # full look at the queue when nothing woke us
    max_pages: int = 200
    max_paper_bytes: int = 64 * 1024 * 1024
    max_image_pixels: int = 60_000_000
    review_below: float = 0.6  # confidence under which a question needs a person
    ocr: tuple[str, ...] = ()  # vision, local: who reads, in order; empty: vision where its key is set, else local
    grading: tuple[str, ...] = ()  # groq, rubric: who grades, in order; empty: groq where its key is set, else rubric
    papers: int = 8  # in work at once in one process, where a provider reads or grades
    provider_timeout: float = 60.0  # deadline of one call to a provider
    language_hints: tuple[str, ...] = ()  # of the handwriting, for Vision: "en", "de"; empty: it finds out itself
    groq_model: str = "openai/gpt-oss-120b"
    budget: ProviderBudget = field(default_factory=ProviderBudget)


@dataclass(frozen=True)
class EmbedSettings:
    """A worker inside an application: how many of its processes run it."""

    scope: str = "pod"  # process: each | pod: one on each host | deployment: one in all
    lease: float = 15.0  # term of the lease by which they elect it


@dataclass(frozen=True)
class LogSettings:
    format: str = "auto"  # auto | console | json; auto: console on a terminal, else JSON
    level: str = "info"


@dataclass(frozen=True)
class RetentionSettings:
    finished: float = 30 * 86400.0
    audit: float = 90 * 86400.0


@dataclass(frozen=True)
class Settings:
    store: StoreSettings = field(default_factory=StoreSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    watch: WatchSettings = field(default_factory=WatchSettings)
    timeouts: Timeouts = field(default_factory=Timeouts)
    queues: Mapping[str, QueueSettings] = field(default_factory=lambda: {"default": QueueSettings()})
    remediation: RemediationSettings = field(default_factory=RemediationSettings)
    platform: PlatformSettings = field(default_factory=PlatformSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    embed: EmbedSettings = field(default_factory=EmbedSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    log: LogSettings = field(default_factory=LogSettings)


@dataclass(frozen=True)
class Loaded:
    """What loading gave: settings that can be used (where there are no errors), and what is wrong or doubtful."""

    settings: Settings
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()  # files and variables the settings came from, names only

    def require(self) -> Settings:
        """The settings, or ConfigError with every error found."""
        if self.errors:
            raise ConfigError(self.errors)
        return self.settings
