"""Settings: what can be set, and how it is read."""

from gradewatch.config.load import load
from gradewatch.config.maintenance import Window, parse_window
from gradewatch.config.platform_checks import missing_variables
from gradewatch.config.settings import (
    Budget,
    EmbedSettings,
    HttpSettings,
    Loaded,
    LogSettings,
    PlatformSettings,
    ProviderBudget,
    QueueSettings,
    RemediationSettings,
    RetentionSettings,
    Settings,
    StoreSettings,
    Timeouts,
    WatchSettings,
    WorkerSettings,
)
from gradewatch.config.values import parse_duration

__all__ = [
    "Budget",
    "EmbedSettings",
    "HttpSettings",
    "Loaded",
    "LogSettings",
    "PlatformSettings",
    "ProviderBudget",
    "QueueSettings",
    "RemediationSettings",
    "RetentionSettings",
    "Settings",
    "StoreSettings",
    "Timeouts",
    "WatchSettings",
    "Window",
    "WorkerSettings",
    "load",
    "missing_variables",
    "parse_duration",
    "parse_window",
]
