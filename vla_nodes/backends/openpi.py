"""openpi's policy server: one websocket, one binary msgpack map for the question and one for the answer.

After connecting the server speaks first, with its metadata. An error comes as a text frame with the traceback, after
which the server closes. Arrays are maps with bytes keys: __ndarray__, data, dtype, shape.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgpack
import numpy as np
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from vla_nodes.backends.wire import Request, Wire, WireError, number_array
from vla_nodes.core.contract import Loaded
from vla_nodes.core.contract_schema import Openpi

#: To connect and be told the metadata, s.
OPEN_TIME = 5.0


def pack(value: Any) -> bytes:
    """Bytes of a map that may hold numpy arrays and scalars."""
    packed: bytes = msgpack.packb(value, default=_encode)
    return packed


def unpack(data: bytes) -> Any:
    """The map again. Raises ValueError for anything that is not msgpack of numbers, texts, maps and lists."""
    try:
        return msgpack.unpackb(data, object_hook=_decode, strict_map_key=False)
    except ValueError:
        raise
    except Exception as error:  # msgpack has exceptions of its own for each way to be wrong
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _decode(value: dict[Any, Any]) -> Any:
    if b"__ndarray__" in value:
        return number_array(value[b"data"], value[b"dtype"], tuple(value[b"shape"]))
    if b"__npgeneric__" in value:
        return np.dtype(value[b"dtype"]).type(value[b"data"])
    return value


class OpenpiWire(Wire):
    """``server``: ws://host:port or wss://host."""

    def __init__(self, loaded: Loaded, server: str) -> None:
        self._loaded, self._server = loaded, server
        self._options = loaded.terms.openpi or Openpi()
        self._socket: socket.socket | None = None
        self._connection: ClientConnection | None = None
        self._held = contextlib.ExitStack()

    def open(self) -> None:
        url = urlsplit(self._server)
        port = url.port or (443 if url.scheme == "wss" else 80)
        key = os.environ.get(self._options.api_key_env, "") if self._options.api_key_env else ""
        headers = {"Authorization": f"Api-Key {key}"} if key else None
        try:
            self._socket = socket.create_connection((url.hostname or "127.0.0.1", port), timeout=OPEN_TIME)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection = self._held.enter_context(connect(
                self._server, sock=self._socket, compression=None, max_size=None, ping_interval=None, proxy=None,
                open_timeout=OPEN_TIME, close_timeout=0.2, additional_headers=headers))  # fmt: skip
            first = self._connection.recv(timeout=OPEN_TIME)
        except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError, EOFError) as error:
            raise WireError("NO_SERVER", f"{self._server}: {type(error).__name__}: {error}") from None
        metadata = self._map(first)
        for name, want in self._options.metadata.items():
            theirs = metadata.get(name)
            theirs = theirs.tolist() if isinstance(theirs, (np.ndarray, np.generic)) else theirs
            self._loaded.compare(f"openpi.metadata.{name}", want, f"the server at {self._server}", theirs)

    def ask(self, request: Request) -> Mapping[str, Any]:
        assert self._connection is not None
        question: dict[str, Any] = {**_nested(request.inputs), self._loaded.terms.instruction: request.instruction}
        if self._options.prefix is not None and request.prefix is not None:
            rows, delay = request.prefix
            if len(rows) == 1:
                question[self._options.prefix.key] = next(iter(rows.values())).astype(np.float32)
                question[self._options.prefix.delay_key] = delay
        try:
            self._connection.send(pack(question))
            answer = self._connection.recv()
        except (ConnectionClosed, OSError, EOFError) as error:
            raise WireError("NO_SERVER", f"{self._server}: the connection ended: {error}") from None
        return self._map(answer)

    def _map(self, frame: bytes | str) -> dict[str, Any]:
        if isinstance(frame, str):
            raise WireError("SERVER_ERROR", f"{self._server}: {last_line(frame)}")
        try:
            answer = unpack(frame)
        except ValueError as error:
            raise WireError("BAD_REPLY", f"{self._server}: not the msgpack that was agreed on: {error}") from None
        if not isinstance(answer, dict):
            raise WireError("BAD_REPLY", f"{self._server}: a {type(answer).__name__} where a map belongs")
        return answer

    def abort(self) -> None:
        if self._socket is not None:
            hang_up(self._socket)
        if self._connection is not None:
            hang_up(self._connection.socket)

    def close(self) -> None:
        self.abort()
        self._held.close()
        if self._socket is not None:
            self._socket.close()


def _nested(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Keys such as images.cam_high become maps in maps, as ALOHA's policies want them."""
    out: dict[str, Any] = {}
    for key, value in inputs.items():
        *path, leaf = key.split(".")
        place = out
        for part in path:
            place = place.setdefault(part, {})
        place[leaf] = value
    return out


def last_line(text: str, most: int = 300) -> str:
    """Of a traceback: what it says in the end."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "an error without a text")[:most]


def hang_up(sock: socket.socket) -> None:
    """A thread that waits for this socket wakes up with an error."""
    with contextlib.suppress(OSError):  # it was not connected, or is gone already
        sock.shutdown(socket.SHUT_RDWR)
