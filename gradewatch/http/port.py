"""A port to listen on, taken before there is anything to serve on it: callers wait in its backlog meanwhile."""

from __future__ import annotations

import errno
import socket

from gradewatch.errors import GradewatchError

BACKLOG = 128


def reserve(host: str, port: int, setting: str = "http.port") -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises GradewatchError when the address cannot be had."""
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, OverflowError, UnicodeError) as error:
        raise GradewatchError(_why(error, host, port, setting)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address[0], port, *address[2:]))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except (OSError, OverflowError) as error:
        listener.close()
        raise GradewatchError(_why(error, host, port, setting)) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Where it can be reached from this machine, without a slash at the end."""
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _why(error: OSError | OverflowError | UnicodeError, host: str, port: int, setting: str) -> str:
    variable = "GRADEWATCH_" + setting.upper().replace(".", "__")
    if isinstance(error, OverflowError):
        return f"port {port} is no port number; set {setting}, or {variable}, to 0..65535"
    if isinstance(error, socket.gaierror | UnicodeError) or error.errno == errno.EADDRNOTAVAIL:
        return f"http.host {host!r} is no address of this machine; set http.host, or GRADEWATCH_HTTP__HOST"
    if error.errno == errno.EADDRINUSE:
        where = host or "this machine"
        return f"port {port} is in use on {where}, perhaps by another gradewatch; set {setting}, or {variable}"
    if error.errno == errno.EACCES:
        return f"port {port} may not be opened by this user; set {setting}, or {variable}, to one above 1023"
    return f"cannot listen on {host}:{port}: {error.strerror}"
