"""GR00T's policy server: ZMQ request and reply, msgpack with text keys, arrays as .npy bytes.

When connecting the server is asked for its modality configuration, which is compared with the contract. Keys of the
contract are `video.x`, `state.x`, `action.x` and the language key. Older servers (dialect service) take the flat map as
it is and answer one.
"""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np
import zmq

from vla_nodes.backends.openpi import last_line
from vla_nodes.backends.wire import Request, Wire, WireError
from vla_nodes.core.contract import Loaded
from vla_nodes.core.contract_schema import LONGEST_DEADLINE, ActionGroup, Gr00t, Picture, StateGroup

#: To be told the modality configuration, and for one answer, s; the link's deadline comes first.
OPEN_TIME, ASK_TIME = 5.0, LONGEST_DEADLINE + 0.5


def pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, default=_encode)
    return packed


def unpack(data: bytes) -> Any:
    """Raises ValueError for anything that is not msgpack of plain numbers, texts, maps and lists."""
    try:
        return msgpack.unpackb(data, object_hook=_decode, strict_map_key=False)
    except ValueError:
        raise
    except Exception as error:  # msgpack and numpy have exceptions of their own for each way to be wrong
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _encode(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value).__name__} cannot be sent")
    out = io.BytesIO()
    np.save(out, value, allow_pickle=False)
    return {"__ndarray_class__": True, "as_npy": out.getvalue()}


def _decode(value: dict[Any, Any]) -> Any:
    if "__ndarray_class__" in value:
        return np.load(io.BytesIO(value["as_npy"]), allow_pickle=False)
    if "__ModalityConfig_class__" in value:  # a JSON text in N1.6, a map in N1.7
        told = value["as_json"]
        return json.loads(told) if isinstance(told, str) else told
    return value


class Gr00tWire(Wire):
    """``server``: tcp://host:port."""

    def __init__(self, loaded: Loaded, server: str) -> None:
        self._loaded, self._server = loaded, server
        self._options = loaded.terms.gr00t or Gr00t()
        self._lock = threading.Lock()
        self._context = zmq.Context(io_threads=1)
        self._socket: zmq.Socket[bytes] | None = None
        # told to give up through a pair of sockets of its own: a ZMQ socket may not be touched from another thread
        self._ears, self._mouth = self._context.socket(zmq.PAIR), self._context.socket(zmq.PAIR)
        self._ears.bind("inproc://abort")
        self._mouth.connect("inproc://abort")

    def open(self) -> None:
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(self._server)
        if self._options.dialect == "service" or not self._options.check_modality:
            self._call("ping", None, OPEN_TIME)
            return
        told = self._call("get_modality_config", None, OPEN_TIME)
        if not isinstance(told, dict):
            raise WireError("BAD_REPLY", f"{self._server}: the modality configuration is a {type(told).__name__}")
        self._check(told)

    def _check(self, told: Mapping[str, Any]) -> None:
        """Keys, history and horizon of each modality, as far as the server says them."""
        terms, server = self._loaded.terms, f"the server at {self._server}"
        mine: dict[str, list[Picture] | list[StateGroup] | list[ActionGroup]] = {
            "video": list(terms.pictures), "state": list(terms.state), "action": list(terms.actions)}  # fmt: skip
        for modality, streams in mine.items():
            config = told.get(modality)
            if not isinstance(config, dict):
                continue
            keys = sorted(_bare(stream.key, modality) for stream in streams)
            theirs = sorted(_bare(str(key), modality) for key in config.get("modality_keys", keys))
            self._loaded.compare(f"keys of {modality}", keys, server, theirs)
            steps = len(config.get("delta_indices") or ())
            if steps:
                samples = [terms.horizon if isinstance(s, ActionGroup) else s.history.samples for s in streams]
                what = "horizon" if modality == "action" else f"history.samples of {modality}"
                self._loaded.compare(what, sorted(set(samples)), server, [steps])
        language = told.get("language")
        if isinstance(language, dict) and language.get("modality_keys"):
            self._loaded.compare("instruction", terms.instruction, server, language["modality_keys"][0])

    def ask(self, request: Request) -> Mapping[str, Any]:
        terms = self._loaded.terms
        flat = {key: _batched(value, _samples(terms, key)) for key, value in request.inputs.items()}
        service = self._options.dialect == "service"
        if service:
            data: dict[str, Any] = {k: v[0] for k, v in flat.items()}
            data[terms.instruction] = [request.instruction]
        else:
            if request.first:
                self._call("reset", {"options": None}, ASK_TIME)
            observation: dict[str, Any] = {"language": {terms.instruction: [[request.instruction]]}}
            for key, value in flat.items():
                modality = "video" if any(p.key == key for p in terms.pictures) else "state"
                observation.setdefault(modality, {})[_bare(key, modality)] = value
            data = {"observation": observation, "options": None}
        answer = self._call("get_action", data, ASK_TIME)
        if not service:
            answer = answer[0] if isinstance(answer, (list, tuple)) and answer else answer
        if not isinstance(answer, dict):
            raise WireError("BAD_REPLY", f"{self._server}: a {type(answer).__name__} where a map belongs", lost=False)
        return self._rows(answer, service)

    def _rows(self, answer: Mapping[str, Any], service: bool) -> dict[str, Any]:
        """[rows, size] by the contract's keys: without batch, and with the prefix that servers leave out or not."""
        out: dict[str, Any] = {}
        for group in self._loaded.terms.actions:
            bare = _bare(group.key, "action")
            value = answer.get(group.key, answer.get(bare, answer.get(f"action.{bare}")))
            if value is None:
                continue
            rows = np.asarray(value)
            if not service and rows.ndim == 3 and rows.shape[0] == 1:
                rows = rows[0]
            out[group.key] = rows[:, None] if rows.ndim == 1 else rows
        return out or dict(answer)

    def _call(self, endpoint: str, data: Any, patience: float) -> Any:
        question: dict[str, Any] = {"endpoint": endpoint}
        if data is not None:
            question["data"] = data
        token = os.environ.get(self._options.api_token_env, "") if self._options.api_token_env else ""
        if token:
            question["api_token"] = token
        assert self._socket is not None
        self._socket.send(pack(question))
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._ears, zmq.POLLIN)
        came = dict(poller.poll(1000.0 * patience))
        if self._ears in came:
            raise WireError("NO_REPLY", f"{self._server}: given up")
        if self._socket not in came:
            code = "NO_REPLY" if endpoint == "get_action" else "NO_SERVER"
            raise WireError(code, f"{self._server}: no answer to '{endpoint}' within {patience:g} s")
        return self._read(self._socket.recv())

    def _read(self, blob: bytes) -> Any:
        if blob == b"ERROR":
            raise WireError("SERVER_ERROR", f"{self._server}: ERROR", lost=False)
        try:
            answer = unpack(blob)
        except ValueError as error:
            raise WireError("BAD_REPLY", f"{self._server}: not the msgpack that was agreed on: {error}", lost=False
                            ) from None  # fmt: skip
        if isinstance(answer, dict) and "error" in answer:
            raise WireError("SERVER_ERROR", f"{self._server}: {last_line(str(answer['error']))}", lost=False)
        return answer

    def abort(self) -> None:
        with self._lock:
            if not self._mouth.closed:
                self._mouth.send(b"", zmq.DONTWAIT)

    def close(self) -> None:
        with self._lock:
            for sock in (self._socket, self._ears, self._mouth):
                if sock is not None:
                    sock.close(linger=0)
        self._context.term()


def _bare(key: str, modality: str) -> str:
    return key.removeprefix(f"{modality}.")


def _samples(terms: Any, key: str) -> int:
    return next(int(s.history.samples) for s in (*terms.pictures, *terms.state) if s.key == key)


def _batched(value: np.ndarray, samples: int) -> np.ndarray:
    """[1, T, ...]: one robot, T samples."""
    return value[None] if samples > 1 else value[None, None]
