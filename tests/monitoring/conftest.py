"""The monitoring's real parts: Prometheus with promtool, Alertmanager with amtool, and one incident for many looks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from monitoring.incident import Incident, incident
from real_parts import need

from gradewatch.demo.monitoring import missing_programs

DEBIAN = "sudo apt-get install prometheus prometheus-alertmanager"


@pytest.fixture(scope="session")
def promtool() -> str:
    need("promtool", shutil.which("promtool") is not None, DEBIAN)
    return "promtool"


@pytest.fixture(scope="session")
def amtool() -> str:
    need("amtool", shutil.which("amtool") is not None, DEBIAN)
    return "amtool"


@pytest.fixture(scope="session")
def servers() -> None:
    need("Prometheus with Alertmanager", not missing_programs(), DEBIAN)


@pytest.fixture(scope="module")
def seen(servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incident]:
    """The incident, once: it takes more than a minute."""
    folder: Path = tmp_path_factory.mktemp("incident")
    with incident(folder) as it:
        yield it
