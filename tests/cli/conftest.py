"""Each test has its own folder, no settings from outside, and leaves logging as it found it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from cli_kit import Place

CONVENTIONAL = ("MONGO_URL", "DB_NAME", "SUPABASE_URL", "DATABASE_URL", "GROQ_API_KEY", "NO_COLOR")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in os.environ:
        if name.startswith("GRADEWATCH_") or name in CONVENTIONAL:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    config, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.configure(**config)
    root.handlers[:] = handlers
    root.setLevel(level)
