"""Gradewatch: the grading worker, and the watch that never lets its queue get stuck unseen.

The public API for a backend:

    job_id = await gradewatch.submit(["exam-1.pdf", "exam-2.png"], "rubric.yaml")
    app = FastAPI(lifespan=gradewatch.lifespan())       # the grading worker, inside the application
    gradewatch.heartbeat("my-worker", queue="default")  # a worker of any kind, seen by the watch
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from gradewatch.version import __version__

if TYPE_CHECKING:
    from gradewatch.embed.beat import Beat
    from gradewatch.embed.fastapi import Lifespan
    from gradewatch.embed.work import Worker

__all__ = ["Beat", "__version__", "heartbeat", "lifespan", "submit"]


def __getattr__(name: str) -> Any:
    if name == "Beat":
        from gradewatch.embed.beat import Beat

        return Beat
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


async def submit(
    papers: Sequence[str | PathLike[str]],
    rubric: str | PathLike[str],
    *,
    queue: str = "default",
    priority: int = 0,
    key: str | None = None,
    config: str | PathLike[str] | None = None,
) -> str:
    """Enqueue one job that grades `papers` (PDF, PNG or JPEG files) by `rubric` (a YAML or JSON file); returns its id.

    The store is that of gradewatch.toml (or `config`) and of the environment. A higher `priority` is claimed first. A
    `key` makes the call safe to repeat: within one queue it gives the id of the job that has it already.
    Raises ConfigError, PaperError for a file that is not there, RubricError, and store errors (gradewatch.errors).
    """
    from pathlib import Path

    from gradewatch.app.stores import opened
    from gradewatch.app.submit import submit_papers
    from gradewatch.config import load

    settings = load(Path(config) if config is not None else None).require()
    async with opened(settings) as store:
        files = [Path(paper) for paper in papers]
        return await submit_papers(store, files, Path(rubric), queue=queue, priority=priority, key=key)


def lifespan(
    worker: Worker | Literal["grading"] | None = "grading",
    *,
    name: str = "",
    queue: str = "",
    scope: Literal["process", "pod", "deployment"] | None = None,
    drain: float | None = None,
    prefix: str | None = "/gradewatch",
    wraps: Lifespan | None = None,
    config: str | PathLike[str] | None = None,
) -> Lifespan:
    """A lifespan for FastAPI or Starlette that runs the grading worker, or a `worker` coroutine function of your own,
    for as long as the application runs; None: no worker, only the routes.

    A worker of your own is called as `worker()`, `worker(stop)` or `worker(stop, beat)`, as many arguments as it takes:
    `stop` is an asyncio.Event that is set at shutdown, after which it has `drain` seconds (worker.drain) to return; one
    that takes no `stop` is cancelled at once. When it raises, or returns unasked, it is started again, later each time.
    It beats for `queue` (the first of the settings) as `name` (the function's name).

    `scope` says how many run it: each process, one per `pod` (host), one per `deployment`; else embed.scope does.
    Under `prefix` are GET /livez, /readyz, /metrics and /api/worker_status; None: no routes. `wraps` is a lifespan of
    your own, which is entered first and left last, and whose state is passed on. Raises ConfigError.
    """
    from gradewatch.embed.fastapi import make_lifespan

    return make_lifespan(
        worker, name=name, queue=queue, scope=scope, drain=drain, prefix=prefix, wraps=wraps, config=config
    )


def heartbeat(
    worker: str,
    queue: str = "",
    *,
    slots: int = 1,
    url: str | None = None,
    token: str | None = None,
    config: str | PathLike[str] | None = None,
) -> Beat:
    """Let the watch see that `worker`, a lasting name for a worker of any kind, lives and serves `queue` (the first of
    the settings). Three ways to use it:

        gradewatch.heartbeat("grader", queue="tasks")              # in a loop: the first call begins it
        async with gradewatch.heartbeat("grader", queue="tasks"):  # or `with`: until the block ends
        @gradewatch.heartbeat("grader", queue="tasks")             # while the function runs, async or not

    A thread of its own beats, and tells how old the event loop's pulse is where there is one. Beats go to the store, or
    to the watch at `url` (GRADEWATCH_WATCH_URL) with `token` (GRADEWATCH_HTTP__TOKEN). What cannot be reached is logged
    once and tried again; nothing is raised into the worker, and nothing holds it up. Set `busy` on what is returned to
    the number of jobs in hand. Raises ConfigError at the first call.
    """
    from gradewatch.embed.beat import heartbeat as beat

    return beat(worker, queue, slots=slots, url=url, token=token, config=config)
