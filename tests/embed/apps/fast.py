"""FastAPI applications. What the worker does is told by variables, and noted in the file NOTES."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request

import gradewatch

NOTES = Path(os.environ["NOTES"])


def note(word: str) -> None:
    with NOTES.open("a") as notes:
        notes.write(f"{os.getpid()} {word}\n")


async def worker(stop: asyncio.Event) -> None:
    note("began")
    while not stop.is_set():
        await asyncio.sleep(0.02)
        if (crash := NOTES.with_name("crash")).exists():
            crash.unlink()
            raise KeyError("a secret that must not be shown")
    note("asked")
    await asyncio.sleep(float(os.environ.get("LAST_WORDS", "0")))
    note("ended")


async def hopeless() -> None:
    note("began")
    raise ValueError("every time")


@asynccontextmanager
async def own(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    note("own entered")
    yield {"colour": "green"}
    note("own left")


def served(lifespan: gradewatch.embed.fastapi.Lifespan) -> FastAPI:  # type: ignore[name-defined]
    app = FastAPI(lifespan=lifespan)

    @app.get("/colour")
    async def colour(request: Request) -> str:
        return str(getattr(request.state, "colour", ""))

    @app.get("/{path:path}")
    async def everything(path: str) -> str:
        return f"caught {path}"

    return app


def grading() -> FastAPI:
    return served(gradewatch.lifespan())


def coroutine() -> FastAPI:
    return served(gradewatch.lifespan(worker, name="tasks", wraps=own, prefix="/watch"))


def crashing() -> FastAPI:
    return served(gradewatch.lifespan(hopeless))


def routes_only() -> FastAPI:
    return served(gradewatch.lifespan(None, prefix=""))
