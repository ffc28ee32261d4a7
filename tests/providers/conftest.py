"""The fakes as fixtures: real servers on real sockets, spoken to by the real SDKs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fake_google import FakeGoogle
from fake_groq import FakeGroq
from provider_kit import Kit


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("certificates")
    FakeGoogle.make_certificate(folder)
    with pytest.MonkeyPatch.context() as patch:
        # gRPC reads it with its first channel in this process.
        patch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(folder / "cert.pem"))
        yield folder


@pytest.fixture
async def google(certificates: Path) -> AsyncIterator[FakeGoogle]:
    async with FakeGoogle(certificates) as fake:
        yield fake


@pytest.fixture
async def groq() -> AsyncIterator[FakeGroq]:
    async with FakeGroq() as fake:
        yield fake


@pytest.fixture
async def kit(google: FakeGoogle, groq: FakeGroq, tmp_path: Path) -> AsyncIterator[Kit]:
    async with Kit.opened(tmp_path, google, groq) as made:
        yield made
