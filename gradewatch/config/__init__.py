"""Settings: what can be set, and how it is read."""

from gradewatch.config.settings import (
    Budget,
    HttpSettings,
    Loaded,
    LogSettings,
    PlatformSettings,
    QueueSettings,
    RemediationSettings,
    RetentionSettings,
    Settings,
    StoreSettings,
    Timeouts,
    WatchSettings,
    WorkerSettings,
)

__all__ = [
    "Budget",
    "HttpSettings",
    "Loaded",
    "LogSettings",
    "PlatformSettings",
    "QueueSettings",
    "RemediationSettings",
    "RetentionSettings",
    "Settings",
    "StoreSettings",
    "Timeouts",
    "WatchSettings",
    "WorkerSettings",
]
