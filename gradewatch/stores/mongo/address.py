"""Where the server is: a URL as backends write it, shown without its password."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri


class Address:
    """Of `mongodb://user:password@host:port/database?options`, or `mongodb+srv://…`, which is looked up in the DNS only
    once the store is connected to.

    Raises ValueError, without the URL, for one that the driver cannot read or that names no database.
    """

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        login, at, place = rest.rpartition("@")
        hosts, _, path = place.partition("/")
        self.url = url
        self.database = path.partition("?")[0]
        self.password = login.partition(":")[2]
        if not self.database:
            raise ValueError("the URL names no database, such as mongodb://host:27017/database; DB_NAME may name it")
        try:
            # What only the DNS knows changes nothing about how the URL is written.
            parse_uri(f"mongodb://{login}{at}{'host' if scheme == 'mongodb+srv' else hosts}/{path}", validate=True)
        except (PyMongoError, ValueError):
            raise ValueError(
                "this is not a MongoDB URL: mongodb://user:password@host:27017/database is expected, "
                "with special characters of the password percent-encoded"
            ) from None
        self.shown = f"MongoDB at {hosts}/{self.database}"

    @classmethod
    def of(cls, handle: Any) -> Address:
        """That of a database handle, which was made elsewhere, with whatever password."""
        made = cls("mongodb://handle/" + quote(handle.name))
        made.shown = f"the MongoDB database {handle.name}"
        return made

    def redacted(self, words: str) -> str:
        """A driver's words on one line, the password taken out should they hold it."""
        said = " ".join(words.split())
        return said.replace(self.password, "(hidden)") if self.password else said
