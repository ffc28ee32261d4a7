"""Google, local: a gRPC server that speaks Vision with the SDK's own message types, over TLS with a certificate of the
test's own, and the HTTP endpoint that gives tokens for service accounts."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ipaddress
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import grpc
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from fake_modes import Behaviour
from google.cloud import vision_v1 as v

STATUS = {
    "401": grpc.StatusCode.UNAUTHENTICATED,
    "403": grpc.StatusCode.PERMISSION_DENIED,
    "402": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "429": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "500": grpc.StatusCode.INTERNAL,
    "503": grpc.StatusCode.UNAVAILABLE,
    "reset": grpc.StatusCode.UNAVAILABLE,
    "html": grpc.StatusCode.UNKNOWN,
    "truncated": grpc.StatusCode.UNKNOWN,
}
PRIVATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, pkcs8, plain)


class FakeGoogle(Behaviour):
    """`text` gives what is written on a page, from its bytes and its number. `token_mode`: ok, wrong, expired, 500,
    html or hang."""

    def __init__(self, certificates: Path) -> None:
        super().__init__()
        self._folder = certificates
        self.token_mode = "ok"
        self.tokens = 0
        self.text: Callable[[bytes, int], str] = lambda content, number: f"Page {number} of {_short(content)}"
        self.confidence = 0.9
        self.requests: list[Any] = []

    @staticmethod
    def make_certificate(folder: Path) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(PRIVATE_KEY.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(PRIVATE_KEY, hashes.SHA256())
        )
        (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (folder / "key.pem").write_bytes(_pem(PRIVATE_KEY))

    @property
    def credentials(self) -> str:
        """A service account's key file, whose tokens come from here."""
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "exams",
                "private_key_id": "1",
                "private_key": _pem(PRIVATE_KEY).decode(),
                "client_email": "reader@exams.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": f"{self.token_url}/token",
            }
        )

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/token", self._token)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.token_url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()
        await self._runner.cleanup()

    async def up(self, port: int = 0) -> None:
        self._server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.so_reuseport", 0)]
        )
        service = "google.cloud.vision.v1.ImageAnnotator"
        methods = {
            "BatchAnnotateImages": _handler(self._images, v.BatchAnnotateImagesRequest, v.BatchAnnotateImagesResponse),
            "BatchAnnotateFiles": _handler(self._files, v.BatchAnnotateFilesRequest, v.BatchAnnotateFilesResponse),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        pair = [((self._folder / "key.pem").read_bytes(), (self._folder / "cert.pem").read_bytes())]
        self.port = self._server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials(pair))
        await self._server.start()

    async def down(self) -> None:
        await self._server.stop(0)

    @property
    def endpoint(self) -> str:
        return f"localhost:{self.port}"

    async def _token(self, request: web.Request) -> web.StreamResponse:
        self.tokens += 1
        if self.token_mode == "hang":
            await asyncio.sleep(3600)
        if self.token_mode == "html":
            return web.Response(text="<html>", content_type="text/html", status=503)
        if self.token_mode == "500":
            return web.json_response({"error": "internal_failure"}, status=500)
        if self.token_mode != "ok":
            said = {"wrong": "Invalid JWT Signature.", "expired": "The key has expired."}[self.token_mode]
            return web.json_response({"error": "invalid_grant", "error_description": said}, status=400)
        return web.json_response({"access_token": "ya29.fake", "expires_in": 3600, "token_type": "Bearer"})

    async def _images(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        if not request.requests:
            return await self._checked(context)
        contents = [bytes(each.image.content) for each in request.requests]
        pages = await self._paid(request, [(content, 1) for content in contents], context)
        return v.BatchAnnotateImagesResponse(responses=pages)

    async def _files(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        [file] = request.requests
        assert 1 <= len(file.pages) <= 5, "Vision reads five pages a call"
        content = bytes(file.input_config.content)
        pages = await self._paid(request, [(content, number) for number in file.pages], context)
        return v.BatchAnnotateFilesResponse(responses=[v.AnnotateFileResponse(responses=pages, total_pages=len(pages))])

    async def _checked(self, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        mode = self.check()
        if mode != "ok":
            await self._fail(mode, context)
        return v.BatchAnnotateImagesResponse()

    async def _paid(
        self, request: Any, pages: list[tuple[bytes, int]], context: grpc.aio.ServicerContext[Any, Any]
    ) -> list[Any]:
        token = dict(context.invocation_metadata() or ()).get("authorization")
        self.requests.append(request)
        mode = self.enter(_short(pages[0][0]))
        try:
            if token != "Bearer ya29.fake":
                mode = "401"
            if mode == "malformed":
                return []
            if mode != "ok":
                await self._fail(mode, context)
            await asyncio.sleep(self.seconds * len(pages))
            self.answered += 1
            return [self._page(content, number) for content, number in pages]
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.leave()

    def _page(self, content: bytes, number: int) -> Any:
        text = self.text(content, number)
        block = v.Block(confidence=self.confidence, paragraphs=[v.Paragraph(words=[v.Word() for _ in text.split()])])
        return v.AnnotateImageResponse(full_text_annotation=v.TextAnnotation(text=text, pages=[v.Page(blocks=[block])]))

    async def _fail(self, mode: str, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if mode == "hang":
            await asyncio.sleep(3600)
        said = "Quota exceeded: requests per day" if mode == "402" else f"mode {mode}"
        await context.abort(STATUS[mode], said)


def _handler(serve: Any, request: Any, response: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        serve, request_deserializer=request.deserialize, response_serializer=response.serialize
    )


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
