"""Google's credentials, and a token that is fresh before a call is made.

Were it left to gRPC's own plugin, a refused key would come back as "unavailable", and the retries would never end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gradewatch.probes.environment import BadCredential
from gradewatch.probes.google_token import load, refresh
from gradewatch.worker.providers.classify import vision_fault
from gradewatch.worker.providers.faults import Kind, ProviderFault


class GoogleKey:
    """The credential of one process. `timeout` is the deadline of fetching a token in seconds."""

    def __init__(self, environ: Mapping[str, str], timeout: float) -> None:
        self._environ, self._timeout = environ, timeout
        self._credentials: Any = None
        self._refreshing = asyncio.Lock()

    async def credentials(self) -> Any:
        """google-auth credentials whose token is valid. Raises ProviderFault."""
        async with self._refreshing:
            try:
                if self._credentials is None:
                    self._credentials = await asyncio.to_thread(load, self._environ)
                if not self._credentials.valid:
                    await asyncio.to_thread(refresh, self._credentials, self._timeout)
            except BadCredential as bad:
                raise ProviderFault(Kind.CREDENTIAL, str(bad), fix=bad.fix) from None
            except Exception as error:  # google-auth, requests and the key's parser each have their own
                raise vision_fault(error) from error
            return self._credentials

    async def forget(self) -> None:
        """Fetch a new token before the next call."""
        async with self._refreshing:
            if self._credentials is not None:
                self._credentials.token = None
