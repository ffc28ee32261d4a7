"""The public, stable words: finding codes, action kinds, outcomes."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Finding codes: public and stable."""

    WORKER_NEVER_SEEN = "worker_never_seen"
    WORKER_NOT_RUNNING = "worker_not_running"
    WORKER_CRASH_LOOP = "worker_crash_loop"
    WORKER_OOM_KILLED = "worker_oom_killed"
    WORKER_STARVED = "worker_starved"
    WORKERS_SATURATED = "workers_saturated"
    WORKER_WEDGED = "worker_wedged"
    QUEUE_PAUSED = "queue_paused"
    JOB_TIMED_OUT = "job_timed_out"
    JOB_POISON = "job_poison"
    JOB_RUN_TWICE = "job_run_twice"  # an addition to the agreed list: what only a queue we do not own can suffer
    STORE_UNREACHABLE = "store_unreachable"
    STORE_ACCESS_DENIED = "store_access_denied"
    STORE_SCHEMA_MISMATCH = "store_schema_mismatch"
    STORE_INDEX_MISSING = "store_index_missing"
    CREDENTIAL_MISSING = "credential_missing"
    CREDENTIAL_INVALID = "credential_invalid"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_RATE_LIMITED = "provider_rate_limited"
    CLOCK_SKEW = "clock_skew"
    MONITOR_SUSPECT = "monitor_suspect"
    REMEDIATION_INEFFECTIVE = "remediation_ineffective"
    REMEDIATION_BUDGET_SPENT = "remediation_budget_spent"


class ActionKind(StrEnum):
    EXPIRE = "expire"  # fail a job that outlived schedule_to_start or start_to_close
    REQUEUE = "requeue"  # take a job back from a lost worker
    FAIL = "fail"  # fail a job lost with its worker: poison, attempts exhausted, or on_lost = "fail"
    RESTART = "restart"  # restart a worker on its platform
    RESCUE = "rescue"  # run a worker ourselves while no real one lives, or end that


class Outcome(StrEnum):
    APPLIED = "applied"
    NOOP = "noop"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    DRY_RUN = "dry_run"
