"""Where the project is: its URL, how messages show it, and its pages in the dashboard."""

from __future__ import annotations

from urllib.parse import urlsplit

_HOSTED = ".supabase.co"


class Project:
    """Of `https://REF.supabase.co`, a custom domain, or a loopback address; the URL has been checked by the settings."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self.host = parts.hostname or ""
        self.shown = f"Supabase at {parts.netloc.rpartition('@')[2]}"
        self.ref = self.host.removesuffix(_HOSTED) if self.host.endswith(_HOSTED) else ""
        self.loopback = self.host in ("localhost", "::1") or self.host.startswith("127.")

    def dashboard(self, page: str) -> str:
        """The address of one of its pages, such as `sql/new`."""
        return f"https://supabase.com/dashboard/project/{self.ref or '_'}/{page}"

    @property
    def api_keys(self) -> str:
        return self.dashboard("settings/api-keys")

    @property
    def sql_editor(self) -> str:
        return self.dashboard("sql/new")
