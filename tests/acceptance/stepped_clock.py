"""A wall clock of their own for processes, by libfaketime: a file moves it as they run; the monotonic clock stays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from chaos_kit import Scene
from real_parts import need

LIBRARIES = (*Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), *Path("/usr/lib/faketime").glob("libfaketime.so.1"))
HOUR = 3600.0
# libfaketime 0.9.10 refuses clock_nanosleep(2) until a monotonic time, which is what Python sleeps by. And it gives
# children their parent's semaphore: one killed while it holds that would leave the next waiting for it for ever.
MENDED = """
import os, select, time
time.sleep = lambda seconds: select.select([], [], [], seconds)
os.environ.pop("FAKETIME_SHARED", None)
"""


def environment(scene: Scene) -> Mapping[str, str]:
    """The environment of processes whose clock `step` moves. Skips where there is no libfaketime."""
    need("libfaketime", bool(LIBRARIES), "apt-get install libfaketime")
    (scene.folder / "clock").write_text("+0\n")
    (scene.folder / "sitecustomize.py").write_text(MENDED)
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(scene.folder), os.environ.get("PYTHONPATH")))),
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(scene.folder / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # else waits of threads end at once or never, Python's own lock's too
    }


def step(scene: Scene, seconds: float) -> None:
    fresh = scene.folder / "clock.new"
    fresh.write_text(f"{seconds:+.0f}\n")
    fresh.rename(scene.folder / "clock")  # at once: nobody reads half a time
    scene.moved = seconds
