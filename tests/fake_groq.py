"""A local HTTP server that speaks Groq's API: models and chat completions, and every way of failing at it.

It grades as a fairly good model would: by the rubric's words. With `obedient` it does what a paper tells it to.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web
from fake_modes import Behaviour

KEY = "gsk_" + "t" * 48
HTML = "<!doctype html><html><body>Maintenance</body></html>"
ORDER = re.compile(r"ignore|disregard|full marks|maximum score|award", re.IGNORECASE)

Grade = Callable[[dict[str, Any], str], dict[str, Any]]


class FakeGroq(Behaviour):
    def __init__(self) -> None:
        super().__init__()
        self.key = KEY
        self.answer: Grade = by_words
        self.requests: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=16 << 20)
        app.router.add_get("/openai/v1/models", self._models)
        app.router.add_post("/openai/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _models(self, request: web.Request) -> web.StreamResponse:
        mode = self.check()
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            mode = "401"
        if mode != "ok":
            return await self._fail(request, mode)
        model = {"id": "openai/gpt-oss-120b", "object": "model", "created": 1, "owned_by": "OpenAI"}
        return web.json_response({"object": "list", "data": [model]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.requests.append(asked)
        rubric, paper = _read(asked)
        mode = self.enter(paper)
        try:
            if request.headers.get("Authorization") != f"Bearer {self.key}":
                mode = "401"
            if mode not in ("ok", "malformed", "empty"):
                return await self._fail(request, mode)
            await asyncio.sleep(self.seconds)
            self.answered += 1
            said = {"malformed": '{"questions": [', "empty": ""}.get(mode) or json.dumps(self.answer(rubric, paper))
            return web.json_response(completion(said if mode != "empty" else ""))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.leave()

    async def _fail(self, request: web.Request, mode: str) -> web.StreamResponse:
        if mode == "hang":
            await asyncio.sleep(3600)
        if mode == "reset":
            assert request.transport is not None
            request.transport.abort()
            raise asyncio.CancelledError
        if mode == "html":
            return web.Response(text=HTML, content_type="text/html")
        if mode == "truncated":
            return web.Response(text='{"id": "x", "choices": [{"mess', content_type="application/json")
        headers = {"retry-after": self.retry_after} if self.retry_after and mode == "429" else {}
        texts = {"401": "Invalid API Key", "403": "Forbidden", "402": "You exceeded your current quota"}
        error = {"error": {"message": texts.get(mode, f"status {mode}"), "type": "x", "code": "x"}}
        return web.json_response(error, status=int(mode), headers=headers)


def completion(said: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": said}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "openai/gpt-oss-120b",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 700, "completion_tokens": 120, "total_tokens": 820},
    }


def _read(asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The rubric and the paper that a prompt holds."""
    user = asked["messages"][1]["content"]
    found = re.search(r"Rubric \(JSON\):\n(.*?)\n\nPaper:\n(=+PAPER-\w+=+)\n(.*)\n\2\n", user, re.DOTALL)
    assert found, user
    return json.loads(found[1]), found[3]


def by_words(rubric: dict[str, Any], paper: str) -> dict[str, Any]:
    """Each item whose words stand in the paper, quoted from it."""
    questions = []
    for question in rubric["questions"]:
        awarded = []
        for item in question["items"]:
            forms = [item["item"], *item["also"], item["item"].split()[0]]
            hit = next((m for form in forms if (m := re.search(re.escape(form), paper, re.IGNORECASE))), None)
            if hit:
                awarded.append({"item": item["item"], "evidence": hit.group()})
        questions.append(
            {"question": question["question"], "awarded": awarded, "confidence": 0.95, "suspicious": False}
        )
    return {"questions": questions}


def everything(evidence: Callable[[str, str], str]) -> Grade:
    """A model that awards each item, with what `evidence` gives for (item, paper)."""

    def grade(rubric: dict[str, Any], paper: str) -> dict[str, Any]:
        return {
            "questions": [
                {
                    "question": question["question"],
                    "awarded": [{"item": i["item"], "evidence": evidence(i["item"], paper)} for i in question["items"]],
                    "confidence": 1.0,
                    "suspicious": False,
                }
                for question in rubric["questions"]
            ]
        }

    return grade


def obedient(evidence: Callable[[str, str], str]) -> Grade:
    """A model that does what it is told to by the paper, and grades by words where it is told nothing."""

    def grade(rubric: dict[str, Any], paper: str) -> dict[str, Any]:
        return everything(evidence)(rubric, paper) if ORDER.search(paper) else by_words(rubric, paper)

    return grade
