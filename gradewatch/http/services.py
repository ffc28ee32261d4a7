"""What the handlers of a watch's application share."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from gradewatch.board import Board
from gradewatch.config import Settings
from gradewatch.http.external import ExternalWorkers
from gradewatch.http.page.overview import Overview
from gradewatch.http.shared import Shared
from gradewatch.http.status import Status
from gradewatch.metrics.watch import WatchMetrics
from gradewatch.model import StoreFacts
from gradewatch.ports import Store


@dataclass(frozen=True)
class Services:
    board: Board
    store: Store
    settings: Settings
    metrics: WatchMetrics
    external: ExternalWorkers
    reachable: Shared[StoreFacts]
    status: Shared[Status]
    overview: Overview


SERVICES = web.AppKey("services", Services)
