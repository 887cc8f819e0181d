"""A server that speaks OpenVLA's wire: POST /act, json-numpy in, one array or a list of rows out, "error" as a text."""

from __future__ import annotations

import argparse
import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from peers import board


def decode(value: dict[str, Any]) -> Any:
    if "__numpy__" in value:
        return np.frombuffer(base64.b64decode(value["__numpy__"]), np.dtype(value["dtype"])).reshape(value["shape"])
    return value


def encode(value: np.ndarray) -> dict[str, Any]:
    return {"__numpy__": base64.b64encode(value.tobytes()).decode(), "dtype": "<f4", "shape": list(value.shape)}


def start(switches: board.Board, port: int, options: argparse.Namespace) -> int:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Quiet."""

        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])), object_hook=decode)
            if "encoded" in question:
                question = json.loads(question["encoded"], object_hook=decode)
            mode = switches.think()
            if mode == "drop":
                self.connection.close()
                self.close_connection = True
                return
            if mode == "hang":
                threading.Event().wait()
            blob = json.dumps(self.act(question, mode)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(blob)))
            self.end_headers()
            if mode == "half":
                self.wfile.write(blob[: len(blob) // 2])
                self.wfile.flush()
                # a byte now and then: no single read ever times out
                for byte in blob[len(blob) // 2 :]:
                    threading.Event().wait(0.3)
                    self.wfile.write(bytes([byte]))
                return
            self.wfile.write(blob)

        def act(self, question: dict[str, Any], mode: str) -> Any:
            if question["full_image"].shape != (256, 256, 3) or not question["instruction"]:
                return "error"
            steps = np.zeros(question["state"].size + 1)  # per-step offsets, and a gripper
            steps[0] = 0.015 if question["state"][0] < 0.6 else 0.0
            try:
                rows = switches.rows(steps, options.horizon, mode) * 0.0 + steps[None, : steps.size - (mode == "shape")]
            except RuntimeError:
                return "error"
            answer = [encode(row.astype(np.float32)) for row in rows]
            return answer[0] if options.horizon == 1 else answer  # OpenVLA itself gives one row as it is

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


if __name__ == "__main__":
    board.serve(start)
