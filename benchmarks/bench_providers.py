"""A class's papers through both SDKs against local fakes: how close to the best that so many calls in flight allow.

Thirty papers of two scanned pages; reading takes 1.5 s a page and grading 2 s a paper. First eight papers are in work
at once and nobody minds; then both providers turn away whoever comes as the fourth at once, and the worker has to find
out.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.figures import Entry, at_most, worth_knowing
from benchmarks.world import ROOT

PAPERS, PAGES = 30, 2
READ, GRADE = 1.5, 2.0  # seconds a page, and a paper
SLOTS = 8
CROWD = 3  # in flight at one provider
# What the work takes, divided by what may be in flight: eight papers share all of it.
IDEAL_SLOTS = PAPERS * (PAGES * READ + GRADE) / SLOTS
# Each provider has three at work; the slower one, reading, sets the pace, and the last papers are graded after it.
IDEAL_CROWD = max(PAPERS * PAGES * READ, PAPERS * GRADE) / CROWD + GRADE


async def run() -> list[Entry]:
    sys.path.insert(0, str(ROOT / "tests"))  # the fakes are those of the tests
    with tempfile.TemporaryDirectory(prefix="gradewatch-bench-") as folder:
        certificates = _certificates(Path(folder))
        took, failed, _ = await _grade(certificates, None)
        limited, limited_failed, refused = await _grade(certificates, CROWD)
    return [
        at_most("30 papers, 8 in flight, over the ideal", took / IDEAL_SLOTS, "×", 1.2, f"{took:.1f} s"),
        at_most(
            "30 papers, 429 beyond 3 in flight, over the ideal", limited / IDEAL_CROWD, "×", 1.3, f"{limited:.1f} s"
        ),
        at_most("papers failed in both", failed + limited_failed, "papers", 1),
        worth_knowing("calls turned away with 429", refused, "calls"),
    ]


def _certificates(folder: Path) -> Path:
    from fake_google import FakeGoogle

    FakeGoogle.make_certificate(folder)
    os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = str(folder / "cert.pem")  # read with a process's first channel
    return folder


async def _grade(certificates: Path, most: int | None) -> tuple[float, int, int]:
    """Seconds, papers that failed, and calls that were turned away."""
    from fake_google import FakeGoogle
    from fake_groq import FakeGroq
    from provider_kit import Kit, scan

    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gradewatch-bench-")))
        google = await stack.enter_async_context(FakeGoogle(certificates))
        groq = await stack.enter_async_context(FakeGroq())
        google.seconds, groq.seconds = READ, GRADE
        google.most = groq.most = most
        kit = await stack.enter_async_context(Kit.opened(folder, google, groq))
        kit.set(slots=SLOTS, papers=SLOTS, provider_timeout=60.0)
        papers = [scan(folder, f"paper-{n:02d}.pdf", PAGES) for n in range(PAPERS)]
        await stack.enter_async_context(kit.worker())
        await kit.done(await kit.submit([scan(folder, "warm-up.png")]))  # imports both SDKs and opens their connections
        began = time.monotonic()
        results = await kit.done(await kit.submit(papers), within=300.0)
        seconds = time.monotonic() - began
        return seconds, sum(p.status == "failed" for p in results.values()), google.refused + groq.refused
