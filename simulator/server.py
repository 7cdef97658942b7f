"""The simulator on real sockets: one server for KIS and Yahoo, with a wire that can really misbehave.

Delays, drips and hangs take real time here, whatever clock the simulator has. A served ``refused`` is a reset at the
first request on the connection, because a listening socket has already accepted; for a port that truly refuses, close
the server or use ``Server.down()``.
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from simulator.core import Simulator
from simulator.messages import Request, Response

log = logging.getLogger("simulator")
DRIP_SECONDS = 1.0
_NO_LINGER = struct.pack("ii", 1, 0)  # closing throws the connection away: RST instead of FIN


class Server:
    """A running server; ``url`` has no slash at its end. Close it, or use it in a ``with``."""

    def __init__(self, sim: Simulator, host: str, port: int, ssl_context: ssl.SSLContext | None) -> None:
        self.sim = sim
        self._tls = ssl_context
        self._httpd = _Httpd((host, port), sim, ssl_context)
        self.host, self.port = host, self._httpd.server_port
        self._thread = self._start()

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    def use(self, sim: Simulator) -> Simulator:
        """Serve another simulator from now on, at the same address: a broker that was restarted."""
        self.sim = self._httpd.sim = sim
        return sim

    def close(self) -> None:
        """Stop at once: every connection is cut, every thread is gone when this returns."""
        self._httpd.shutdown()
        self._thread.join()
        self._httpd.server_close()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Within this block the port refuses connections; afterwards the same port serves again."""
        self.close()
        try:
            yield
        finally:
            self._httpd = _Httpd((self.host, self.port), self.sim, self._tls)
            self._thread = self._start()

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._httpd.serve_forever, args=(0.02,), name="simulator", daemon=True)
        thread.start()
        return thread

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(sim: Simulator, host: str = "127.0.0.1", port: int = 0, ssl_context: ssl.SSLContext | None = None) -> Server:
    """Serve a simulator; ``port`` 0 takes a free one. KIS and Yahoo answer at the same address: the path decides."""
    return Server(sim, host, port, ssl_context)


class _Httpd(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for them; it has cut their connections before
    block_on_close = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], sim: Simulator, tls: ssl.SSLContext | None) -> None:
        self.sim = sim
        self.aborted: set[int] = set()  # connections to be thrown away rather than closed
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ending = False
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is not None:
            # The handshake happens at the first read, in the connection's own thread.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        if id(request) in self.aborted:
            self.aborted.discard(id(request))
            request.close()
            return
        super().shutdown_request(request)

    def server_close(self) -> None:
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):  # a client that went away is no error of ours
            log.error("[SIM] 내장 브로커 오류", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one piece: no 40 ms wait between Nagle and delayed ACK
    disable_nagle_algorithm = True
    server: _Httpd

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._chunks()
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._send(self.server.sim.handle(Request(self.command, unquote(self._path()), query, headers, body)))

    do_POST = do_PUT = do_DELETE = do_GET

    def _path(self) -> str:
        """The path with its doubled slash, which urlsplit would take for a host."""
        return self.path.split("?", 1)[0]

    def _chunks(self) -> bytes:
        """A chunked request body, read so that the connection stays usable."""
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def _send(self, response: Response) -> None:
        if response.delay and response.wire != "drip" and self._gone(response.delay):
            return
        match response.wire:
            case None:
                self._write(response, response.body)
            case "refused" | "dns" | "reset":
                self._abort()
            case "closed":
                self.close_connection = True
            case "hang" | "unreachable":
                self._gone(None)
            case "drip":
                self._drip(response)
            case "half" | "stall":
                self._write(response, response.body[: len(response.body) // 2])
                self.wfile.flush()
                self.close_connection = True
                if response.wire == "stall":
                    self._gone(None)

    def _write(self, response: Response, body: bytes) -> None:
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, response: Response) -> None:
        self._write(response, b"")
        self.wfile.flush()
        for position in range(len(response.body)):
            if self._gone(response.delay or DRIP_SECONDS):
                return
            self.wfile.write(response.body[position : position + 1])
            self.wfile.flush()

    def _abort(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.server.aborted.add(id(self.connection))
        self.close_connection = True

    def _gone(self, seconds: float | None) -> bool:
        """Wait; True as soon as the client has gone away or the server is being closed."""
        gone = bool(select.select([self.connection], [], [], seconds)[0])
        self.close_connection = self.close_connection or gone
        return gone

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the simulator keeps its own journal."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """A request that is no HTTP, or a method nobody has."""
        self.close_connection = True
        self._write(Response(code, {}, b""), b"")
