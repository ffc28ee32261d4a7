"""Where the server is: a URL as backends write it, made into libpq's parameters, and shown without its password."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

# What other drivers and tools put behind the question mark, and libpq would refuse.
_FOREIGN = frozenset(
    {"pgbouncer", "schema", "connection_limit", "pool_timeout", "pool_size", "prepared_statement_cache_size"}
)


class Address:
    """Of `postgresql://user:password@host:port/database?options`; the scheme may name a driver, as SQLAlchemy has it.

    Raises ValueError, without the URL, for one that libpq cannot read.
    """

    def __init__(self, url: str) -> None:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        try:
            parts = urlsplit(url)
            query = [(key, value) for key, value in parse_qsl(parts.query) if key not in _FOREIGN]
            self.parameters: dict[str, Any] = conninfo_to_dict(
                urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(query), ""))
            )
            if not all(port.isdecimal() for port in str(self.parameters.get("port") or "0").split(",")):
                raise ValueError("the port is no number")
        except (ProgrammingError, ValueError):
            raise ValueError(
                "this is not a PostgreSQL URL: postgresql://user:password@host:5432/database is expected, "
                "with special characters of the password percent-encoded"
            ) from None
        password = self.parameters.get("password")
        self.password = None if password is None else str(password)
        self.database = str(self.parameters.get("dbname") or self.parameters.get("user") or "")
        self.shown = f"PostgreSQL at {self._place()}"

    def _place(self) -> str:
        host = self.parameters.get("host") or self.parameters.get("hostaddr") or "the local socket"
        port = f":{self.parameters['port']}" if "port" in self.parameters else ""
        return f"{host}{port}/{self.database}"

    def redacted(self, words: str) -> str:
        """A driver's words on one line, the password taken out should they hold it."""
        said = " ".join(words.split())
        return said.replace(self.password, "(hidden)") if self.password else said
