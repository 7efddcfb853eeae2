"""Open an address by its own scheme only, and within a total time."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any
from urllib.parse import urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    Request,
    build_opener,
)

from swin_dense.limits import LimitError, limit

_PATIENCE = 60  # seconds without a byte
_MINUTES = 180


@contextmanager
def open_address(address: str) -> Iterator[http.client.HTTPResponse]:
    """Open an address that starts with http:// or https://.

    Redirections are followed within the scheme. The total time includes
    everything until the context ends, such as name look-up and headers.

    Yields:
        The response to read.

    Raises:
        OSError, HTTPException: If the connection fails.
        LimitError: If it takes longer than `SWIN_DENSE_DOWNLOAD_MINUTES`.
        ValueError: If it redirects to another scheme.
    """
    minutes = limit('DOWNLOAD_MINUTES', _MINUTES)
    sockets: list[socket.socket] = []
    expired = threading.Event()
    timer = threading.Timer(minutes * 60, partial(_expire, expired, sockets))
    timer.daemon = True
    timer.start()
    opener = build_opener(
        _HTTP(sockets), _HTTPS(sockets), _SameScheme(expired)
    )
    request = Request(address, headers={'User-Agent': 'swin_dense'})
    try:
        with opener.open(request, timeout=_PATIENCE) as response:
            yield response
        if expired.is_set():
            raise ValueError
    except (OSError, http.client.HTTPException, ValueError) as error:
        if not expired.is_set():
            raise
        raise LimitError(
            f'it takes longer than {minutes:g} minutes. For a longer time, '
            'set the environment variable SWIN_DENSE_DOWNLOAD_MINUTES'
        ) from error
    finally:
        timer.cancel()


def _expire(expired: threading.Event, sockets: list[socket.socket]) -> None:
    """Shut down all sockets, so that no reader waits any longer."""
    expired.set()
    for opened in sockets:
        try:
            socket.socket.shutdown(opened, socket.SHUT_RDWR)
        except OSError:  # closed already
            pass


class _SameScheme(HTTPRedirectHandler):
    """Follow redirections within the scheme, until the time is over."""

    def __init__(self, expired: threading.Event) -> None:
        self._expired = expired

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> Request | None:
        """Return the request for the new address."""
        fp.close()  # otherwise urllib reads the body, however long it is
        if urlsplit(newurl).scheme != urlsplit(req.full_url).scheme:
            raise ValueError(
                f'it redirects to {newurl}, and only redirections within the '
                'scheme are followed: give the address that you trust'
            )
        if self._expired.is_set():
            raise ValueError
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _SocketList:
    """Append the socket of each connection to a list."""

    def __init__(self, *args: Any, sockets: list, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sockets = sockets

    def connect(self) -> None:
        """Connect to the host."""
        super().connect()  # type: ignore[misc]
        self._sockets.append(self.sock)  # type: ignore[attr-defined]


class _Connection(_SocketList, http.client.HTTPConnection):
    pass


class _SecureConnection(_SocketList, http.client.HTTPSConnection):
    pass


class _HTTP(HTTPHandler):
    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets

    def http_open(self, req: Request) -> http.client.HTTPResponse:
        """Open an address that starts with http://."""
        return self.do_open(
            partial(_Connection, sockets=self._sockets),  # type: ignore
            req,
        )


class _HTTPS(HTTPSHandler):
    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets

    def https_open(self, req: Request) -> http.client.HTTPResponse:
        """Open an address that starts with https://, certificates checked."""
        return self.do_open(
            partial(_SecureConnection, sockets=self._sockets),  # type: ignore
            req,
        )
