"""The tests' own PostgreSQL server and Supabase project, for benchmarks: started for the run, with durable commits."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "stores")]

from postgres_server import Server, new_server  # noqa: E402
from supabase_project import SupabaseProject, new_project  # noqa: E402

__all__ = ["Server", "SupabaseProject", "new_project", "new_server"]
