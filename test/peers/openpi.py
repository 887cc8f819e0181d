"""A server that speaks openpi's wire: metadata first, one msgpack map in, one out, tracebacks as text."""

from __future__ import annotations

import argparse
import struct
import threading
import time
import traceback
from typing import Any

import msgpack
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from peers import board


def encode(value: Any) -> Any:
    """Written apart from the client's, so that both cannot be wrong in the same way."""
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    raise TypeError(type(value))


def decode(value: dict[Any, Any]) -> Any:
    if b"__ndarray__" in value:
        return np.ndarray(buffer=value[b"data"], dtype=np.dtype(value[b"dtype"]), shape=value[b"shape"])
    return value


def state_of(question: dict[str, Any]) -> np.ndarray:
    for key in ("observation/state", "state"):
        if key in question:
            return np.asarray(question[key])
    raise KeyError("observation/state")


def start(switches: board.Board, port: int, options: argparse.Namespace) -> int:
    def talk(connection: ServerConnection) -> None:
        connection.send(msgpack.packb({"action_horizon": options.horizon, "action_dim": options.size}))
        try:
            while True:
                question = msgpack.unpackb(connection.recv(), object_hook=decode)
                began = time.perf_counter()
                mode = switches.think()
                if mode == "drop":
                    connection.socket.close()
                    return
                if mode == "hang":
                    threading.Event().wait()
                try:
                    rows = switches.rows(state_of(question), options.horizon, mode)
                except Exception:
                    connection.send(traceback.format_exc())
                    connection.close(1011, "Internal server error. Traceback included in previous frame.")
                    return
                answer = {"actions": rows, "server_timing": {"infer_ms": 1e3 * (time.perf_counter() - began)},
                          "prefix_rows": len(question.get("prefix", ()))}
                blob = msgpack.packb(answer, default=encode)
                if mode == "half":
                    head = struct.pack("!BBQ", 0x82, 127, len(blob))
                    connection.socket.sendall(head + blob[: len(blob) // 2])
                    threading.Event().wait()
                connection.send(blob)
        except (ConnectionClosed, OSError):
            return

    server: Server = serve(talk, "127.0.0.1", port, compression=None, max_size=None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.socket.getsockname()[1])


if __name__ == "__main__":
    board.serve(start)
