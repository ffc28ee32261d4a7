"""What stands before PostgREST in a Supabase project, as far as a client can see it: the check of the `apikey`, the
paths `/rest/v1` and `/storage/v1`, and all the ways in which a gateway misbehaves. It runs in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientConnectionError, ClientSession, TCPConnector, web

NOTHING = b'{"answer" : "[]"}'  # what a function of the store answers that found nothing
MOST = 64 << 20  # bytes of a request to PostgREST
_PASSED_ON = ("content-type", "prefer", "accept", "range", "content-profile", "accept-profile", "x-tests-micros")
_PASSED_BACK = ("Content-Type", "Content-Range", "Proxy-Status")


@dataclass(frozen=True)
class Fault:
    """An answer in place of the right one; with `hang` none comes at all, with `cut` the connection ends."""

    status: int = 200
    body: str | bytes = ""
    content_type: str = "application/json"
    hang: bool = False
    cut: bool = False


class Storage:
    """A faithful part of Supabase Storage: its paths, its statuses (400, the true one in the body) and its words."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gw-storage-"))
        self.limit = 80 << 20  # bytes of one object

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.post("/storage/v1/bucket", self.create),
            web.get("/storage/v1/object/info/{bucket}/{name:.+}", self.info),
            web.post("/storage/v1/object/{bucket}/{name:.+}", self.upload),
            web.get("/storage/v1/object/{bucket}/{name:.+}", self.download),  # HEAD, too
            web.delete("/storage/v1/object/{bucket}", self.remove),
        ]

    def objects(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def empty(self) -> None:
        """Without a bucket, as a project is at first."""
        for path in self.folder.iterdir():
            shutil.rmtree(path)

    async def create(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        assert wanted["public"] is False, "papers are nobody's but the service's"
        if (self.folder / wanted["id"]).exists():
            return refusal(409, "Duplicate", "The resource already exists")
        (self.folder / wanted["id"]).mkdir()
        return web.json_response({"name": wanted["id"]})

    async def upload(self, request: web.Request) -> web.Response:
        bucket, path = self._place(request)
        if not bucket.exists():
            return refusal(404, "Bucket not found", "Bucket not found")
        if path.exists() and request.headers.get("x-upsert") != "true":
            return refusal(409, "Duplicate", "The resource already exists")
        if (request.content_length or 0) > self.limit:
            return refusal(413, "Payload too large", "The object exceeded the maximum allowed size")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as writing:
            async for piece in request.content.iter_chunked(1 << 16):
                writing.write(piece)
        return web.json_response({"Key": f"{bucket.name}/{request.match_info['name']}", "Id": "0"})

    async def download(self, request: web.Request) -> web.StreamResponse:
        _, path = self._place(request)
        return web.FileResponse(path) if path.exists() else refusal(404, "not_found", "Object not found")

    async def info(self, request: web.Request) -> web.Response:
        _, path = self._place(request)
        if not path.exists():
            return refusal(404, "not_found", "Object not found")
        return web.json_response({"name": request.match_info["name"], "size": path.stat().st_size})

    async def remove(self, request: web.Request) -> web.Response:
        bucket = self.folder / request.match_info["bucket"]
        there = [name for name in (await request.json())["prefixes"] if (bucket / name).exists()]
        for name in there:
            (bucket / name).unlink()
        return web.json_response([{"name": name} for name in there])

    def _place(self, request: web.Request) -> tuple[Path, Path]:
        bucket = self.folder / request.match_info["bucket"]
        path = (bucket / request.match_info["name"]).resolve()
        assert path.is_relative_to(self.folder)
        return bucket, path


def refusal(status: int, error: str, message: str) -> web.Response:
    said = {"statusCode": str(status), "error": error, "message": message}
    return web.json_response(said, status=400)


class Gateway:
    """`keys`: each key it lets in, and the token that PostgREST is shown for it. `fault` takes the place of answers
    whose path begins with `faulty`. `counted`: requests by path; `fruitless`: those of
    them that found nothing. `delay`: seconds that each
    answer takes at least."""

    def __init__(self, upstream: str, keys: dict[str, str], service_keys: set[str]) -> None:
        self.upstream, self.keys, self.service_keys = upstream, keys, service_keys
        self.fault: Fault | None = None
        self.faulty = "/"
        self.counted: Counter[str] = Counter()
        self.fruitless: Counter[str] = Counter()
        self.delay = 0.0
        self.storage = Storage()
        self.port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        shutil.rmtree(self.storage.folder, ignore_errors=True)

    def cut_idle(self) -> None:
        """Close every connection of clients, as a gateway does with those that lie idle, and see it done."""

        async def cut() -> None:
            for connection in list(self._server.connections):
                if connection.transport is not None:
                    connection.transport.close()
            while any(connection.transport is not None for connection in self._server.connections):
                await asyncio.sleep(0.005)

        asyncio.run_coroutine_threadsafe(cut(), self._loop).result(10)

    async def _serve(self) -> None:
        app = web.Application(client_max_size=MOST, middlewares=[self._guard])
        app.add_routes([web.route("*", "/rest/v1/{path:.*}", self._rest), *self.storage.routes()])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        assert runner.server is not None
        self._server = runner.server
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        async with ClientSession(connector=TCPConnector(limit=100), auto_decompress=False) as self._session:
            self._ready.set()
            await self._stop.wait()
            await runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.counted[request.path] += 1
        await asyncio.sleep(self.delay)
        if self.fault is not None and request.path.startswith(self.faulty):
            return await self._misbehave(request, self.fault)
        key = request.headers.get("apikey", "")
        if key not in self.keys:
            hint = "Double check your Supabase `anon` or `service_role` API key."
            return web.json_response({"message": "Invalid API key", "hint": hint}, status=401)
        if request.path.startswith("/storage/") and key not in self.service_keys:
            return refusal(403, "Unauthorized", "new row violates row-level security policy")
        answer: web.StreamResponse = await handler(request)
        if isinstance(answer, web.Response) and answer.body == NOTHING:
            self.fruitless[request.path] += 1
        return answer

    async def _misbehave(self, request: web.Request, fault: Fault) -> web.Response:
        if fault.hang:
            await asyncio.sleep(60)
        if fault.cut and request.transport is not None:
            request.transport.abort()
        body = fault.body.encode() if isinstance(fault.body, str) else fault.body
        return web.Response(status=fault.status, body=body, content_type=fault.content_type)

    async def _rest(self, request: web.Request) -> web.Response:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        token = self.keys[request.headers["apikey"]]
        headers["Authorization"] = f"Bearer {token}"
        where = f"{self.upstream}/{request.match_info['path']}"
        if request.query_string:
            where += f"?{request.query_string}"
        try:
            async with self._session.request(
                request.method, where, data=await request.read(), headers=headers
            ) as answer:
                back = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
                return web.Response(status=answer.status, body=await answer.read(), headers=back)
        except ClientConnectionError:
            body = json.dumps({"message": "name resolution failed"})  # Kong's words
            return web.Response(status=503, text=body, content_type="application/json")
