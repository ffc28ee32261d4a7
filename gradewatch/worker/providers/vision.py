"""Google Cloud Vision: full-text detection that reads handwriting, by the async gRPC client.

Pages of a PDF go up to five in one call, as a PDF (`batch_annotate_files`); an image, or a page too large to go that
way, goes by itself (`batch_annotate_images`). Limits: cloud.google.com/vision/quotas.
"""

from __future__ import annotations

import asyncio
import importlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from gradewatch.model import PageText
from gradewatch.probes.environment import VISION_ENDPOINT, VISION_HOST
from gradewatch.worker.page import Page
from gradewatch.worker.providers.classify import VISION_FIX, vision_fault
from gradewatch.worker.providers.excerpt import excerpt
from gradewatch.worker.providers.faults import Kind, ProviderFault
from gradewatch.worker.providers.google_key import GoogleKey
from gradewatch.worker.providers.line import Answer, Customer, Line

NAME = "vision"
PAGES_A_CALL = 5  # Vision's own limit for files that travel in the request
MOST_BYTES = 6 << 20  # of a PDF in one request: Vision takes 10 MB, and base64 must fit in it where a proxy uses JSON


class Vision:
    """Reads pages through its line. `language_hints` are BCP-47 codes."""

    name = NAME
    batch = PAGES_A_CALL

    def __init__(self, environ: Mapping[str, str], language_hints: Sequence[str], timeout: float) -> None:
        self._endpoint = environ.get(VISION_ENDPOINT, "").strip() or VISION_HOST
        self._key = GoogleKey(environ, timeout)
        self._hints, self._timeout = tuple(language_hints), timeout
        self._client: Any = None
        self.line: Line | None = None

    @property
    def options(self) -> str:
        """What changes what is read: part of the key under which a page is kept."""
        return f"DOCUMENT_TEXT_DETECTION {','.join(self._hints)}"

    async def check(self) -> None:
        """Ask for nothing: an empty batch holds no image, so it costs none, and is answered only by a Vision that works
        and accepts the key. Raises ProviderFault."""
        v = await _sdk()
        try:
            await self._ask("batch_annotate_images", v.BatchAnnotateImagesRequest(requests=[]))
        except ProviderFault as fault:
            if fault.kind is not Kind.REFUSED:  # "no requests given" is an answer
                raise

    async def read(self, path: Path, pages: Sequence[Page], customer: Customer) -> list[PageText]:
        """One text for each page, in order. Raises ProviderFault, NotNow or BudgetSpent."""
        some = await excerpt(path, [page.number for page in pages], MOST_BYTES)
        if some is not None:
            return await self._call(customer, lambda: self._read_file(some, len(pages)))
        return list(await asyncio.gather(*(self._read_one(page, customer) for page in pages)))

    async def _read_one(self, page: Page, customer: Customer) -> PageText:
        content = await asyncio.to_thread(_png, page)
        [read] = await self._call(customer, lambda: self._read_image(content))
        return read

    async def _call(self, customer: Customer, send: Any) -> list[PageText]:
        assert self.line is not None
        read: list[PageText] = await self.line.call(customer, 0, send)
        return read

    async def _read_file(self, content: bytes, count: int) -> Answer[list[PageText]]:
        v = await _sdk()
        request = v.AnnotateFileRequest(
            input_config=v.InputConfig(content=content, mime_type="application/pdf"),
            features=[v.Feature(type_=v.Feature.Type.DOCUMENT_TEXT_DETECTION)],
            image_context=v.ImageContext(language_hints=self._hints),
            pages=list(range(1, count + 1)),
        )
        answer = await self._ask("batch_annotate_files", v.BatchAnnotateFilesRequest(requests=[request]))
        if len(answer.responses) != 1:
            raise _strange(f"{len(answer.responses)} files for 1")
        _refused(answer.responses[0].error)
        return Answer(_texts(answer.responses[0].responses, count))

    async def _read_image(self, content: bytes) -> Answer[list[PageText]]:
        v = await _sdk()
        request = v.AnnotateImageRequest(
            image=v.Image(content=content),
            features=[v.Feature(type_=v.Feature.Type.DOCUMENT_TEXT_DETECTION)],
            image_context=v.ImageContext(language_hints=self._hints),
        )
        answer = await self._ask("batch_annotate_images", v.BatchAnnotateImagesRequest(requests=[request]))
        return Answer(_texts(answer.responses, 1))

    async def _ask(self, method: str, request: Any) -> Any:
        """One RPC: no retry of the SDK's, a deadline, a token that is fresh. Cancelling it cancels the RPC."""
        try:
            client = await self._connected()
            return await getattr(client, method)(request=request, retry=None, timeout=self._timeout)
        except ProviderFault:
            raise
        except Exception as error:  # api_core, gRPC and protobuf each have their own
            fault = vision_fault(error)
            if fault.kind is Kind.CREDENTIAL:
                await self._key.forget()
            raise fault from error

    async def _connected(self) -> Any:
        credentials = await self._key.credentials()
        if self._client is None:
            from google.cloud.vision_v1 import ImageAnnotatorAsyncClient
            from google.cloud.vision_v1.services.image_annotator.transports import ImageAnnotatorGrpcAsyncIOTransport

            # A transport of our own goes by the token we fetched; the client's would sign one itself, which Google
            # refuses only at the call, where a deleted key cannot be told from a forbidden one.
            transport = ImageAnnotatorGrpcAsyncIOTransport(host=self._endpoint, credentials=credentials)
            self._client = ImageAnnotatorAsyncClient(transport=transport)
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.transport.close()
            self._client = None


async def _sdk() -> Any:
    """Importing it takes most of a second: not in the event loop."""
    return await asyncio.to_thread(importlib.import_module, "google.cloud.vision_v1")


def _texts(responses: Sequence[Any], count: int) -> list[PageText]:
    if len(responses) != count:
        raise _strange(f"{len(responses)} pages for {count}")
    for response in responses:
        _refused(response.error)
    return [PageText(each.full_text_annotation.text.strip(), confidence(each), NAME) for each in responses]


def confidence(response: Any) -> float:
    """Of a page, 0..1: the blocks' own, weighted by their words; a page without text has none."""
    weighed = words = 0.0
    for page in response.full_text_annotation.pages:
        for block in page.blocks:
            count = sum(len(paragraph.words) for paragraph in block.paragraphs) or 1
            weighed += min(max(block.confidence, 0.0), 1.0) * count
            words += count
    if not words:
        return 1.0 if response.full_text_annotation.text.strip() else 0.0
    return round(weighed / words, 4)


def _refused(error: Any) -> None:
    """Vision's per-image status: google.rpc.Code 3 is the image's own fault, 7, 8 and 16 concern the caller."""
    if not error.code:
        return
    message = f"Vision could not read the page (code {error.code})"
    if error.code in (7, 16):
        raise ProviderFault(Kind.CREDENTIAL, message, fix=VISION_FIX)
    if error.code == 8:
        raise ProviderFault(Kind.RATE_LIMITED, message)
    raise ProviderFault(Kind.REFUSED if error.code in (3, 9, 11, 12) else Kind.UNAVAILABLE, message)


def _strange(what: str) -> ProviderFault:
    return ProviderFault(Kind.MALFORMED, f"Vision answered with {what}")


def _png(page: Page) -> bytes:
    assert page.image is not None
    buffer = io.BytesIO()
    image: Image.Image = page.image
    image.save(buffer, "PNG", compress_level=1)  # lossless, and quicker than the network is
    return buffer.getvalue()
