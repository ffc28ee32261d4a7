"""What can be wrong with an API server, chosen by a test: a rule says for which requests and what happens to them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(eq=False)
class Rule:
    """`verb` as RBAC says it, `resource` with its subresource; empty: any. `token`: of whoever asks.

    `does`: "hang" (no answer), "cut" (the connection is closed), "after" (done, and then cut: the answer is lost), or a
    status, with `retry_after`. `delay` comes first. `times` requests, then the rule is spent."""

    does: str | int = 0
    verb: str = ""
    resource: str = ""
    token: str = ""
    delay: float = 0.0
    retry_after: int = 0
    times: int = 1_000_000

    def meets(self, verb: str, resource: str, token: str) -> bool:
        return (
            self.times > 0 and self.verb in ("", verb) and self.resource in ("", resource) and self.token in ("", token)
        )


@dataclass
class Faults:
    """`tokens`: who is known, empty for anybody. `denied`: (verb, resource) refused with 403."""

    tokens: set[str] = field(default_factory=set)
    denied: set[tuple[str, str]] = field(default_factory=set)
    rules: list[Rule] = field(default_factory=list)
    gone_by_status: bool = False  # 410 as a status, and not as an ERROR event
    bookmarks: float = 0.2  # seconds between two
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)  # (verb, resource) -> requests
    evictions: bool = True  # an old server without them answers 405

    @contextmanager
    def rule(self, does: str | int = 0, **changes: object) -> Iterator[Rule]:
        one = Rule(does, **changes)  # type: ignore[arg-type]
        self.rules.append(one)
        try:
            yield one
        finally:
            self.rules.remove(one)

    async def before(self, request: web.Request, verb: str, resource: str, token: str) -> Rule | None:
        """Do what the first rule that meets says should be done instead of an answer."""
        self.seen[verb, resource] += 1
        for rule in list(self.rules):
            if not rule.meets(verb, resource, token):
                continue
            rule.times -= 1
            if rule.delay:
                await asyncio.sleep(rule.delay)
            if rule.does == "hang":
                await asyncio.Event().wait()
            if rule.does == "cut":
                cut(request)
            return rule
        return None


def cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("cut by a test")
