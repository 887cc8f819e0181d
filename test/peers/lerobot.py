"""A server that speaks LeRobot's async inference: gRPC, pickles of its own classes inside. Written with hand-made
messages (protobuf's wire format: tag, length, bytes), apart from the client's."""

from __future__ import annotations

import argparse
import pickle
import sys
import threading
import types
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from peers import board

#: A server that nobody holds ends.
KEPT: list[grpc.Server] = []


@dataclass
class RemotePolicyConfig:
    policy_type: str
    pretrained_name_or_path: str
    lerobot_features: dict[str, Any]
    actions_per_chunk: int
    device: str = "cpu"
    rename_map: dict[str, str] = field(default_factory=dict)


@dataclass
class TimedObservation:
    timestamp: float
    timestep: int
    observation: dict[str, Any]
    must_go: bool = False


@dataclass
class TimedAction:
    timestamp: float
    timestep: int
    action: Any


def install_names() -> None:
    """As if LeRobot were installed: pickles name these classes by its module."""
    module = types.ModuleType("lerobot.async_inference.helpers")
    for kind in (RemotePolicyConfig, TimedObservation, TimedAction):
        kind.__module__ = module.__name__
        setattr(module, kind.__name__, kind)
    for name in ("lerobot", "lerobot.async_inference"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules[module.__name__] = module


def varint(blob: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = blob[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(blob: bytes) -> dict[int, Any]:
    out: dict[int, Any] = {}
    at = 0
    while at < len(blob):
        tag, at = varint(blob, at)
        value, at = varint(blob, at)
        if tag & 7 == 2:
            out[tag >> 3], at = blob[at : at + value], at + value
        else:
            out[tag >> 3] = value
    return out


def message(data: bytes) -> bytes:
    length, n = b"", len(data)
    while True:
        n, low = n >> 7, n & 127
        length += bytes([low | (128 if n else 0)])
        if not n:
            return b"\x0a" + length + data


class Servicer:
    def __init__(self, switches: board.Board, tensors: bool) -> None:
        self.switches, self.tensors = switches, tensors
        self.config: RemotePolicyConfig | None = None
        self.seen: TimedObservation | None = None

    def ready(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.config = self.seen = None
        return b""

    def instructions(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        config = pickle.loads(fields(request)[1])
        if not isinstance(config, RemotePolicyConfig):
            raise TypeError(type(config))
        self.config = config
        return b""

    def observations(self, requests: Any, context: grpc.ServicerContext) -> bytes:
        parts = [fields(r) for r in requests]
        if [p.get(1) for p in parts][-1] != 3:
            raise ValueError("the last piece is not marked")
        self.seen = pickle.loads(b"".join(p[2] for p in parts))
        return b""

    def actions(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        mode = self.switches.think()
        if mode == "drop":
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection is gone")
        if mode == "hang":
            threading.Event().wait()
        if mode == "evil":
            return message(pickle.dumps(Evil()))
        assert self.config is not None
        assert self.seen is not None
        names = self.config.lerobot_features["observation.state"]["names"]
        seen = self.seen.observation
        if seen["head"].shape != self.config.lerobot_features["observation.images.head"]["shape"] or not seen["task"]:
            return b""
        state = np.radians([seen[n] for n in names])
        try:
            rows = np.degrees(self.switches.rows(state, self.config.actions_per_chunk, mode, 1.0 / 30.0))
        except RuntimeError:
            return b""  # as LeRobot's server does: the error is in its log
        actions = [TimedAction(self.seen.timestamp + k / 30.0, self.seen.timestep + k, self.number(r))
                   for k, r in enumerate(rows)]  # fmt: skip
        blob = pickle.dumps(actions)
        return message(blob[: len(blob) // 2] if mode == "half" else blob)

    def number(self, row: np.ndarray) -> Any:
        if not self.tensors:
            return row
        import torch

        return torch.from_numpy(row.copy())


class Evil:
    """A pickle that runs a program when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("echo owned >&2",)


def start(switches: board.Board, port: int, options: argparse.Namespace) -> int:
    install_names()
    servicer = Servicer(switches, tensors=options.size == 1)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=[("grpc.so_reuseport", 0)])
    handlers = {
        "Ready": grpc.unary_unary_rpc_method_handler(servicer.ready),
        "SendPolicyInstructions": grpc.unary_unary_rpc_method_handler(servicer.instructions),
        "SendObservations": grpc.stream_unary_rpc_method_handler(servicer.observations),
        "GetActions": grpc.unary_unary_rpc_method_handler(servicer.actions),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("transport.AsyncInference", handlers),))
    found = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    KEPT.append(server)
    return int(found)


if __name__ == "__main__":
    board.serve(start)
