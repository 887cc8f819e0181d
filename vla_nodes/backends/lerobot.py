"""LeRobot's async inference server: gRPC, with pickles inside the messages.

A pickle can run any program (CVE-2026-25874), so this talks to loopback and to hosts that the contract allows only, and
reads answers with an unpickler that knows nothing but lists of timed actions with arrays or tensors in them. What is
sent are plain values and two of LeRobot's own classes, named without having LeRobot installed.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from vla_nodes.backends.wire import Request, Wire, WireError
from vla_nodes.core.contract import Loaded
from vla_nodes.core.contract_schema import LONGEST_DEADLINE, Lerobot

LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")
OPEN_TIME, ASK_TIME = 5.0, LONGEST_DEADLINE + 0.5
PIECE, LARGEST = 2 * 1024 * 1024, 1 << 24
BEGIN, MIDDLE, END = 1, 2, 3


def _messages() -> dict[str, Any]:
    """The four messages of package transport, in a pool of their own."""
    file = descriptor_pb2.FileDescriptorProto(name="lerobot_transport.proto", package="transport", syntax="proto3")
    number, blob = descriptor_pb2.FieldDescriptorProto.TYPE_INT32, descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
    for name, fields in {"Empty": {}, "PolicySetup": {"data": (1, blob)}, "Actions": {"data": (1, blob)},
                         "Observation": {"transfer_state": (1, number), "data": (2, blob)}}.items():  # fmt: skip
        message = file.message_type.add(name=name)
        for field, (place, kind) in fields.items():
            message.field.add(name=field, number=place, type=kind, label=1)  # type: ignore[arg-type]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    return {m.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"transport.{m.name}"))
            for m in file.message_type}  # fmt: skip


MESSAGES = _messages()


def dump_as(module: str, name: str, fields: Mapping[str, Any]) -> bytes:
    """A pickle of an object of ``module.name`` with these attributes, which need not exist here.

    Opcodes: GLOBAL, empty tuple, NEWOBJ, the attributes (a pickle without its head and end), BUILD, STOP.
    """
    inside = pickle.dumps(dict(fields), protocol=3)[2:-1]
    return b"\x80\x03c" + f"{module}\n{name}\n".encode() + b")\x81" + inside + b"b."


class TimedAction:
    """Stands for LeRobot's class of this name: timestamp, timestep, action."""


class Restricted(pickle.Unpickler):
    """Knows timed actions, numpy arrays and torch tensors; everything else is refused before it is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "TimedAction" and module.split(".")[0] == "lerobot":
            return TimedAction
        root = module.replace("numpy._core", "numpy.core")
        if root == "numpy.core.multiarray" and name in ("_reconstruct", "scalar"):
            return super().find_class("numpy._core.multiarray", name)
        if (root, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("collections", "OrderedDict"):
            return super().find_class(module, name)
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return super().find_class(module, name)
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return _storage
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in an answer")


def _storage(blob: bytes) -> Any:
    """What torch.storage._load_from_bytes does, for plain numbers only."""
    import torch

    return torch.load(io.BytesIO(blob), weights_only=True)


def rows_of(blob: bytes) -> np.ndarray:
    """float64[rows, size] in the order of the timesteps. Raises ValueError."""
    if len(blob) > LARGEST:
        raise ValueError(f"{len(blob)} bytes are no chunk of actions")
    try:
        actions = Restricted(io.BytesIO(blob)).load()
        if not isinstance(actions, list) or not all(isinstance(a, TimedAction) for a in actions):
            raise ValueError("no list of timed actions")
        rows = [np.asarray(vars(a)["action"], dtype=np.float64) for a in sorted(actions, key=lambda a: a.timestep)]
        return np.stack(rows)
    except ValueError:
        raise
    except Exception as error:  # a pickle can be wrong in every way there is
        raise ValueError(f"{type(error).__name__}: {error}") from None


class LerobotWire(Wire):
    """``server``: host:port."""

    def __init__(self, loaded: Loaded, server: str) -> None:
        self._loaded, self._server = loaded, server
        options = loaded.terms.lerobot
        assert options is not None
        self._options: Lerobot = options
        self._step = 0
        self._channel = grpc.insecure_channel(server, options=[
            ("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", LARGEST),
            ("grpc.use_local_subchannel_pool", 1)])  # fmt: skip

    @classmethod
    def check(cls, loaded: Loaded, where: str) -> None:
        host = where.rpartition(":")[0]
        allowed = (*LOOPBACK, *(loaded.terms.lerobot.allow if loaded.terms.lerobot else ()))
        if host not in allowed:
            raise loaded.refuse("server", where, f"'{host}' is neither loopback nor in lerobot.allow; this protocol's "
                                "pickles can run programs on both sides: better an SSH tunnel")  # fmt: skip

    def _names(self) -> list[str]:
        """LeRobot names each number of the state; entries without a joint are called by their place."""
        group = self._loaded.terms.state[0]
        names = [f"constant_{i}.pos" for i in range(group.size)]
        for joint, use in group.joints.items():
            names[use.index] = f"{joint}.pos"
        return names

    def open(self) -> None:
        terms = self._loaded.terms
        if len(terms.state) != 1 or len(terms.actions) != 1:
            raise self._loaded.refuse("state", len(terms.state), "LeRobot has one state and one action vector")
        features: dict[str, Any] = {terms.state[0].key: {
            "dtype": "float32", "shape": (terms.state[0].size,), "names": self._names()}}
        for picture in terms.pictures:
            features[picture.key] = {"dtype": "image", "shape": (*picture.size, 3),
                                     "names": ["height", "width", "channels"]}  # fmt: skip
        setup = {"policy_type": self._options.policy_type, "pretrained_name_or_path": self._options.pretrained,
                 "lerobot_features": features, "actions_per_chunk": terms.horizon, "device": self._options.device,
                 "rename_map": {}}  # fmt: skip
        self._call("Ready", MESSAGES["Empty"](), "Empty", OPEN_TIME)
        blob = dump_as(self._options.module, "RemotePolicyConfig", setup)
        self._call("SendPolicyInstructions", MESSAGES["PolicySetup"](data=blob), "Empty", self._options.load_time)

    def ask(self, request: Request) -> Mapping[str, Any]:
        terms = self._loaded.terms
        seen: dict[str, Any] = {terms.instruction: request.instruction}
        seen.update(zip(self._names(), request.inputs[terms.state[0].key].tolist(), strict=True))
        for picture in terms.pictures:
            seen[picture.key.removeprefix("observation.images.")] = request.inputs[picture.key]
        # must_go: the server would else leave out what it finds too like the last one
        told = {"timestamp": request.stamp_ns / 1e9, "timestep": self._step, "observation": seen, "must_go": True}
        self._step += 1
        blob = dump_as(self._options.module, "TimedObservation", told)
        self._call("SendObservations", _pieces(blob), "Empty", ASK_TIME)
        answer = self._call("GetActions", MESSAGES["Empty"](), "Actions", ASK_TIME)
        if not answer.data:
            raise WireError("SERVER_ERROR", f"{self._server}: it gave no actions; its log says why", lost=False)
        try:
            return {terms.actions[0].key: rows_of(answer.data)}
        except ValueError as error:
            raise WireError("BAD_REPLY", f"{self._server}: {error}", lost=False) from None

    def _call(self, method: str, request: Any, answer: str, patience: float) -> Any:
        stream = isinstance(request, Iterator)
        make = self._channel.stream_unary if stream else self._channel.unary_unary
        call = make(f"/transport.AsyncInference/{method}", request_serializer=lambda m: m.SerializeToString(),
                    response_deserializer=MESSAGES[answer].FromString)  # fmt: skip
        try:
            return call(request, timeout=patience)
        except grpc.RpcError as error:
            status, text = error.code(), error.details()
        except ValueError as error:  # the channel was closed under its hands
            raise WireError("NO_SERVER", f"{self._server}: {error}") from None
        code = {grpc.StatusCode.DEADLINE_EXCEEDED: "NO_REPLY", grpc.StatusCode.UNKNOWN: "SERVER_ERROR",
                grpc.StatusCode.INTERNAL: "SERVER_ERROR"}.get(status, "NO_SERVER")  # fmt: skip
        raise WireError(code, f"{self._server}: {method}: {status.name}: {text}")

    def abort(self) -> None:
        self._channel.close()

    def close(self) -> None:
        self._channel.close()


def _pieces(blob: bytes) -> Iterator[Any]:
    """In pieces of 2 MB; the first and the last are marked."""
    for at in range(0, len(blob), PIECE):
        last = at + PIECE >= len(blob)
        state = END if last else (BEGIN if at == 0 else MIDDLE)
        yield MESSAGES["Observation"](transfer_state=state, data=blob[at : at + PIECE])
