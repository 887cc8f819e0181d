"""A server that speaks GR00T's wire: ZMQ REP, msgpack with .npy arrays, an error as a map."""

from __future__ import annotations

import argparse
import io
import json
import threading
import time
from typing import Any

import msgpack
import numpy as np
import zmq

from peers import board

SIZES = {"waist": 3, "left_arm": 7, "right_arm": 7}


def encode(value: Any) -> Any:
    out = io.BytesIO()
    np.save(out, value)
    return {"__ndarray_class__": True, "as_npy": out.getvalue()}


def decode(value: dict[str, Any]) -> Any:
    return np.load(io.BytesIO(value["as_npy"])) if "__ndarray_class__" in value else value


def modality(keys: list[str], steps: int) -> dict[str, Any]:
    told = {"delta_indices": list(range(steps)), "modality_keys": keys}
    return {"__ModalityConfig_class__": True, "as_json": json.dumps(told)}


def act(switches: board.Board, mode: str, observation: dict[str, Any], horizon: int) -> Any:
    """The waist goes up slowly, the arms, which are relative, stay."""
    picture = observation["video"]["ego_view"]
    if picture.shape != (1, 1, 256, 256, 3) or picture.dtype != np.uint8:
        raise ValueError(f"video.ego_view {picture.dtype} {picture.shape}")
    out = {}
    for key, size in SIZES.items():
        state = observation["state"][key]
        if state.shape != (1, 1, size) or state.dtype != np.float32:
            raise ValueError(f"state.{key} {state.dtype} {state.shape}")
        if key == "waist":
            out[key] = switches.rows(state, horizon, mode, 0.05)[None]
        else:
            out[key] = np.zeros((1, horizon, size), np.float32)
    return [out, {}]


def flat(switches: board.Board, mode: str, data: dict[str, Any], horizon: int) -> Any:
    """As older servers (service.py) have it: no batch, keys with their modality, one map back."""
    observation = {"video": {"ego_view": data["video.ego_view"][None]},
                   "state": {k: data[f"state.{k}"][None] for k in SIZES}}  # fmt: skip
    if not isinstance(data["annotation.human.task_description"], list):
        raise ValueError("the instruction is no list")
    return {f"action.{k}": v[0] for k, v in act(switches, mode, observation, horizon)[0].items()}


def start(switches: board.Board, port: int, options: argparse.Namespace) -> int:
    socket = zmq.Context().socket(zmq.REP)
    found = port or socket.bind_to_random_port("tcp://127.0.0.1")
    if port:
        socket.bind(f"tcp://127.0.0.1:{port}")

    def answer(question: dict[str, Any]) -> bytes:
        endpoint = question["endpoint"]
        if endpoint == "get_modality_config":
            return bytes(msgpack.packb({
                "video": modality(["ego_view"], 1), "state": modality(list(SIZES), 1),
                "action": modality(list(SIZES), options.horizon),
                "language": modality(["annotation.human.task_description"], 1)}))  # fmt: skip
        if endpoint != "get_action":
            return bytes(msgpack.packb({"status": "ok"}))
        mode = switches.think()
        if mode == "hang":
            threading.Event().wait(1.5)  # longer than any deadline; a REP socket must answer before it hears again
        try:
            data = question["data"]
            actions = flat(switches, mode, data, options.horizon) if "video.ego_view" in data else act(
                switches, mode, data["observation"], options.horizon)
            blob = msgpack.packb(actions, default=encode)
        except Exception as error:
            return bytes(msgpack.packb({"error": str(error)}))
        return bytes(blob[: len(blob) // 2] if mode == "half" else blob)

    def serve() -> None:
        nonlocal socket
        while True:
            question = msgpack.unpackb(socket.recv(), object_hook=decode)
            blob = answer(question)
            if switches.mode == "drop" and question["endpoint"] == "get_action":
                # the connection goes, and with it the answer
                socket.close(linger=0)
                socket = zmq.Context.instance().socket(zmq.REP)
                while True:
                    try:
                        socket.bind(f"tcp://127.0.0.1:{found}")
                        break
                    except zmq.ZMQError:
                        time.sleep(0.005)  # the old socket is closed in the background
                continue
            socket.send(blob)

    threading.Thread(target=serve, daemon=True).start()
    return int(found)


if __name__ == "__main__":
    board.serve(start)
