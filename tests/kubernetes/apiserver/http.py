"""The HTTP of the API server: paths, verbs, authentication, rights, lists and watches."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
import uuid
from typing import Any

from aiohttp import web

from apiserver.faults import Faults, Rule, cut
from apiserver.resources import Resources
from apiserver.selectors import wanted
from apiserver.state import Change, Json, Refusal, State

KINDS = {
    "pods": "Pod",
    "events": "Event",
    "deployments": "Deployment",
    "replicasets": "ReplicaSet",
    "statefulsets": "StatefulSet",
    "leases": "Lease",
    "poddisruptionbudgets": "PodDisruptionBudget",
}
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class ApiServer:
    """Serves a State at `url` between `start` and `stop`; with `tls`, over HTTPS."""

    def __init__(self, state: State, faults: Faults, *, tls: ssl.SSLContext | None = None) -> None:
        self.state, self.faults, self._tls = state, faults, tls
        self.resources = Resources(state, faults)
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.watches = 0  # open now
        self._pages: dict[str, tuple[list[Json], int]] = {}

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """On the same port again, after a stop."""
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # ---------------------------------------------------------------- one request

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ConnectionError:
            return web.Response()  # nobody is there any more to read it
        except Refusal as refusal:
            headers = {"Retry-After": "1"} if refusal.code == 429 else {}
            return web.json_response(refusal.status(), status=refusal.code, headers=headers)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.faults.tokens and token not in self.faults.tokens:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if request.path == REVIEW:
            return await self._review(request, token)
        namespace, resource, name, sub = _parse(request.path)
        verb, whole = _verb(request, name), f"{resource}/{sub}" if sub else resource
        rule = await self.faults.before(request, verb, whole, token)
        if rule is not None and isinstance(rule.does, int) and rule.does:
            return _rude(rule)
        if (verb, whole) in self.faults.denied:
            user = "system:serviceaccount:default:gradewatch"
            told = f'User "{user}" cannot {verb} resource "{resource}" in the namespace "{namespace}"'
            raise Refusal(403, "Forbidden", f"{whole} is forbidden: {told}")
        if verb == "watch":
            return await self._watch(request, resource, namespace)
        if verb == "list":
            return web.json_response(self._list(request, resource, namespace))
        body = await _body(request)
        made, status = self.resources.act(verb, resource, namespace, name, sub, body, request.headers)
        if rule is not None and rule.does == "after":
            cut(request)
        return web.json_response(made, status=status)

    async def _review(self, request: web.Request, token: str) -> web.Response:
        rule = await self.faults.before(request, "create", "selfsubjectaccessreviews", token)
        if rule is not None and isinstance(rule.does, int) and rule.does:
            return _rude(rule)
        body = await _body(request)
        asked = body["spec"]["resourceAttributes"]
        whole = f"{asked['resource']}/{asked['subresource']}" if asked.get("subresource") else asked["resource"]
        allowed = (asked["verb"], whole) not in self.faults.denied
        return web.json_response({**body, "status": {"allowed": allowed}}, status=201)

    # ---------------------------------------------------------------- lists and watches

    def _list(self, request: web.Request, resource: str, namespace: str) -> Json:
        query = request.query
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        found = [o for o in self.state.all(resource, namespace) if wanted(o, labels, fields)]
        version = self.state.version
        if query.get("continue"):
            found, version = self._pages.pop(query["continue"], ([], 0))
            if version < self.state.compacted:
                raise Refusal(410, "Expired", "The provided continue parameter is too old")
        limit = int(query.get("limit") or 0) or len(found) or 1
        meta: Json = {"resourceVersion": str(version)}
        if found[limit:]:
            meta |= {"continue": uuid.uuid4().hex, "remainingItemCount": len(found[limit:])}
            self._pages[meta["continue"]] = (found[limit:], version)  # the next page is of the same moment
        kind, items = f"{KINDS[resource]}List", found[:limit]
        return {"kind": kind, "apiVersion": "v1", "metadata": meta, "items": items}

    async def _watch(self, request: web.Request, resource: str, namespace: str) -> web.StreamResponse:
        version = int(request.query.get("resourceVersion") or 0)
        if version < self.state.compacted and self.faults.gone_by_status:
            raise Refusal(410, "Expired", f"too old resource version: {version} ({self.state.compacted})")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        self.watches += 1
        news = asyncio.Event()
        self.state.watchers.add(news)
        try:
            with contextlib.suppress(ConnectionError):
                await self._stream(request, response, resource, namespace, version, news)
        finally:
            self.watches -= 1
            self.state.watchers.discard(news)
        return response

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        resource: str,
        namespace: str,
        version: int,
        news: asyncio.Event,
    ) -> None:
        query = request.query
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        ends = time.monotonic() + float(query.get("timeoutSeconds") or 1800)
        marked = time.monotonic()
        while time.monotonic() < ends:
            if version < self.state.compacted:
                status = Refusal(410, "Expired", f"too old resource version: {version}").status()
                await _send(response, "ERROR", status)
                return
            for change in self.state.since(version):
                version = change.version
                if change.resource == resource and change.namespace == namespace:
                    kind = _seen_as(change, labels, fields)
                    if kind:
                        await _send(response, kind, change.object)
            due = marked + self.faults.bookmarks - time.monotonic()
            if due <= 0 and query.get("allowWatchBookmarks") in ("1", "true"):
                marked, kept = time.monotonic(), {"metadata": {"resourceVersion": str(self.state.version)}}
                version = self.state.version
                await _send(response, "BOOKMARK", {"kind": KINDS[resource], "apiVersion": "v1", **kept})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), max(0.01, min(due, ends - time.monotonic())))
            news.clear()


def _seen_as(change: Change, labels: str, fields: str) -> str:
    """As a watcher with this selector sees it: what no longer matches is DELETED to it."""
    now = change.kind != "DELETED" and wanted(change.object, labels, fields)
    before = change.before is not None and wanted(change.before, labels, fields)
    if now:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else ""


def _parse(path: str) -> tuple[str, str, str, str]:
    parts = path.strip("/").split("/")
    if "namespaces" not in parts or parts.index("namespaces") + 2 >= len(parts):
        raise Refusal(404, "NotFound", "the server could not find the requested resource")
    at = parts.index("namespaces")
    namespace, resource, *rest = parts[at + 1 :]
    if resource not in KINDS:
        raise Refusal(404, "NotFound", "the server could not find the requested resource")
    name, sub = [*rest, "", ""][:2]
    return namespace, resource, name, sub


def _verb(request: web.Request, name: str) -> str:
    if request.method == "GET" and not name:
        return "watch" if request.query.get("watch") in ("1", "true") else "list"
    return VERBS[request.method]


def _rude(rule: Rule) -> web.Response:
    code = int(rule.does)
    headers = {"Retry-After": str(rule.retry_after)} if rule.retry_after else {}
    if code == 502:
        return web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html", headers=headers)
    return web.json_response(Refusal(code, "InternalError", "made up by a test").status(), status=code, headers=headers)


async def _body(request: web.Request) -> Json:
    raw = await request.read()
    try:
        body: Any = json.loads(raw) if raw else {}
    except ValueError as error:
        raise Refusal(400, "BadRequest", "the body is not JSON") from error
    return body if isinstance(body, dict) else {}


async def _send(response: web.StreamResponse, kind: str, obj: Json) -> None:
    await response.write(json.dumps({"type": kind, "object": obj}).encode() + b"\n")
