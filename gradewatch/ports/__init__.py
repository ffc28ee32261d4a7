"""Protocols between the pure core and the world. Probes get a reader, never a writer."""

from gradewatch.ports.clock import Clock
from gradewatch.ports.foreign import Foreign, ForeignReader
from gradewatch.ports.platform import (
    ChecksRights,
    HearsReports,
    KeepsLeases,
    Managed,
    PassesOnWhy,
    RescueControl,
    WorkerControl,
)
from gradewatch.ports.providers import Grader, Ocr, PageCache, Papers, Spending, TroubleReader, Troubles
from gradewatch.ports.queue import JobReader, JobWriter, Sessions, Verb
from gradewatch.ports.records import AuditLog, Control, Leases, RowNotes
from gradewatch.ports.store import OpenStore, Store, Upkeep

__all__ = [
    "AuditLog",
    "ChecksRights",
    "Clock",
    "Control",
    "Foreign",
    "ForeignReader",
    "Grader",
    "HearsReports",
    "JobReader",
    "JobWriter",
    "KeepsLeases",
    "Leases",
    "Managed",
    "Ocr",
    "OpenStore",
    "PageCache",
    "Papers",
    "PassesOnWhy",
    "RescueControl",
    "RowNotes",
    "Sessions",
    "Spending",
    "Store",
    "TroubleReader",
    "Troubles",
    "Upkeep",
    "Verb",
    "WorkerControl",
]
