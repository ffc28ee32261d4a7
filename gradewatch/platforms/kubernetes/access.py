"""Where the API server is, and how we show who we are. In a cluster all of it is mounted into the pod."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from gradewatch.config import PlatformSettings
from gradewatch.errors import ConfigError
from gradewatch.platforms.kubernetes.faults import ApiError

KUBECONFIG_TOKEN_LIFE = 30.0  # seconds: an exec plugin is not asked again before that
PLUGIN_DEADLINE = 20.0  # seconds


class Access(Protocol):
    """`server` is a URL without a trailing slash, `namespace` the one to work in unless told otherwise."""

    server: str
    namespace: str

    def tls(self) -> ssl.SSLContext | None: ...

    def version(self) -> object:
        """Changes when `tls` would: a CA bundle was rotated."""
        ...

    async def token(self) -> str:
        """A bearer token, or empty where a certificate is enough. Raises ApiError."""
        ...


class InCluster:
    """A pod's service account. The kubelet rotates the token in its file, so it is read for every request."""

    def __init__(self, folder: Path, host: str, port: str) -> None:
        self._folder = folder
        self.server = f"https://{f'[{host}]' if ':' in host else host}:{port or '443'}"
        self.namespace = _text(folder / "namespace") or "default"

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._folder / "ca.crt")

    def version(self) -> object:
        try:
            stat = (self._folder / "ca.crt").stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size

    async def token(self) -> str:
        token = _text(self._folder / "token")
        if not token:
            raise ApiError(f"There is no service account token in {self._folder}: is automountServiceAccountToken off?")
        return token


class Kubeconfig:
    """A person's kubeconfig, as the official client reads it, exec plugins and all."""

    def __init__(self, settings: PlatformSettings, environ: Mapping[str, str]) -> None:
        self._made, self.namespace = _load(settings, environ)
        self.server = str(self._made.host).rstrip("/")
        self._token, self._read_at = "", float("-inf")

    def tls(self) -> ssl.SSLContext | None:
        if not self.server.startswith("https:"):
            return None
        context = ssl.create_default_context(cafile=self._made.ssl_ca_cert or None)
        if not self._made.verify_ssl:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self._made.cert_file:
            context.load_cert_chain(self._made.cert_file, self._made.key_file)
        return context

    def version(self) -> object:
        return None

    async def token(self) -> str:
        if time.monotonic() - self._read_at > KUBECONFIG_TOKEN_LIFE:
            try:
                async with asyncio.timeout(PLUGIN_DEADLINE):
                    said = await asyncio.to_thread(self._ask)
            except Exception as error:  # whatever a plugin raises
                raise ApiError(f"The kubeconfig's credentials could not be had: {type(error).__name__}") from error
            self._token, self._read_at = said.removeprefix("Bearer ").strip(), time.monotonic()
        return self._token

    def _ask(self) -> str:
        """Older versions of the client keep it as "authorization", newer ones as "BearerToken"."""
        known = (self._made.get_api_key_with_prefix(key) for key in ("BearerToken", "authorization"))
        return str(next(filter(None, known), ""))


def find_access(settings: PlatformSettings, environ: Mapping[str, str]) -> Access:
    """In a cluster the pod's own, else the kubeconfig's. Raises ConfigError where there is neither."""
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    folder = Path(settings.service_account)
    if host and not settings.kubeconfig:
        if not (folder / "ca.crt").is_file():
            raise ConfigError(
                [
                    f"platform.service_account: {folder} holds no ca.crt, so this pod has no service account mounted. "
                    "Give it one (serviceAccountName), and leave automountServiceAccountToken on"
                ]
            )
        return InCluster(folder, host, environ.get("KUBERNETES_SERVICE_PORT", ""))
    return Kubeconfig(settings, environ)


def _load(settings: PlatformSettings, environ: Mapping[str, str]) -> tuple[Any, str]:
    try:
        from kubernetes import client, config  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise ConfigError(
            [
                f"platform.kind: outside a cluster, Kubernetes needs a library to read a kubeconfig ({error}): "
                "run pip install 'gradewatch[kubernetes]'"
            ]
        ) from error
    file = settings.kubeconfig or environ.get("KUBECONFIG") or "~/.kube/config"
    made = client.Configuration()
    context = settings.context or None
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call,unused-ignore]
            file, context=context, client_configuration=made, persist_config=False
        )
        contexts, active = config.list_kube_config_contexts(file)  # type: ignore[no-untyped-call,unused-ignore]
    except Exception as error:  # it raises what its parsers raise
        raise ConfigError([f"platform.kubeconfig: {file} cannot be used: {_first_line(error)}"]) from error
    chosen = next((one for one in contexts if one["name"] == context), active)
    return made, str(chosen["context"].get("namespace") or "default")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
