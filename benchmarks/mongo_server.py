"""The tests' own MongoDB server, for benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "stores")]

from mongo_server import Server, new_server  # noqa: E402

__all__ = ["Server", "new_server"]
