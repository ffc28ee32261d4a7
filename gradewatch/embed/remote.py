"""Beats to a watch by HTTP (`POST /api/heartbeat/{worker}`), for workers that cannot reach the store."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from gradewatch.errors import AccessDenied, ConfigError, StoreUnavailable
from gradewatch.model import BeatReply, NewSession

DEADLINE = 5.0  # seconds of one request
LONGEST_ANSWER = 64 * 1024


class RemoteBeats:
    """`url` is the watch's, `token` its http.token. The watch opens the session with the first beat."""

    def __init__(self, url: str, token: str, name: str) -> None:
        import aiohttp

        if not url.startswith(("http://", "https://")):
            raise ConfigError(["the watch's url must begin with http:// or https://, as http://watch:9464 does"])
        self._url = f"{url.rstrip('/')}/api/heartbeat/{quote(name, safe='')}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = aiohttp.ClientTimeout(total=DEADLINE)
        self._http = aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=True)
        self._says: dict[str, Any] = {}

    async def open_session(self, new: NewSession) -> str:
        self._says = {"slots": new.slots, **({"queue": new.queues[0]} if new.queues else {})}
        return await self._post({})

    async def beat(self, session_id: str, *, loop_age: float, busy: int) -> BeatReply:
        await self._post({"busy": busy, "loop_age": round(loop_age, 3)})
        return BeatReply(session_open=True, held=frozenset())

    async def end_session(self, session_id: str, reason: str) -> bool:
        await self._post({"end": reason})
        return True

    async def close(self) -> None:
        await self._http.close()

    async def _post(self, more: dict[str, Any]) -> str:
        """Raises StoreUnavailable where the watch is away, AccessDenied where it refuses."""
        import aiohttp

        try:
            async with self._http.post(self._url, json={**self._says, **more}) as answer:
                said = await answer.content.read(LONGEST_ANSWER)
                if answer.status in (401, 403):
                    raise AccessDenied(
                        "the watch refuses the beat: set http.token there, and the same in GRADEWATCH_HTTP__TOKEN here"
                    )
                if 400 <= answer.status < 500 and answer.status not in (408, 429):
                    raise AccessDenied(
                        f"the watch refuses the beat ({answer.status}): {said[:300].decode('utf-8', 'replace')}"
                    )
                if answer.status != 200:
                    raise StoreUnavailable(f"the watch answers {answer.status} to a beat")
                return "remote"
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise StoreUnavailable(f"the watch does not answer a beat: {type(error).__name__}") from error
