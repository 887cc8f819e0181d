"""OpenVLA's server: one HTTP POST, JSON in which arrays are {"__numpy__": base64, "dtype", "shape"} (json-numpy).

The answer is an array, or with OFT a list of them, one row each; an error inside the server is the text "error".
"""

from __future__ import annotations

import base64
import binascii
import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from vla_nodes.backends.openpi import hang_up, last_line
from vla_nodes.backends.wire import Request, Wire, WireError, number_array
from vla_nodes.core.contract import Loaded
from vla_nodes.core.contract_schema import LONGEST_DEADLINE, Openvla

#: A chunk of rows is some kilobytes; an answer that is larger is none.
LARGEST = 1 << 24


def dumps(value: Any) -> str:
    return json.dumps(value, default=_encode)


def loads(text: bytes | str) -> Any:
    """Raises ValueError."""
    try:
        return json.loads(text, object_hook=_decode)
    except (KeyError, TypeError, binascii.Error) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _encode(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value).__name__} cannot be sent")
    data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
    return {"__numpy__": data, "dtype": np.lib.format.dtype_to_descr(value.dtype), "shape": value.shape}


def _decode(value: dict[str, Any]) -> Any:
    if "__numpy__" not in value:
        return value
    return number_array(base64.b64decode(value["__numpy__"]), str(value["dtype"]), tuple(value["shape"]))


class OpenvlaWire(Wire):
    """``server``: http://host:port."""

    def __init__(self, loaded: Loaded, server: str) -> None:
        self._loaded, self._server = loaded, server
        self._options = loaded.terms.openvla or Openvla()
        url = urlsplit(server)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        # the timeout counts between two bytes; against a server that drips, the link's deadline hangs up
        self._http = kind(url.hostname or "127.0.0.1", url.port, timeout=LONGEST_DEADLINE + 0.5)

    def open(self) -> None:
        try:
            self._http.connect()
        except OSError as error:
            raise WireError("NO_SERVER", f"{self._server}: {type(error).__name__}: {error}") from None

    def ask(self, request: Request) -> Mapping[str, Any]:
        question: dict[str, Any] = {**request.inputs, self._loaded.terms.instruction: request.instruction}
        if self._options.unnorm_key:
            question["unnorm_key"] = self._options.unnorm_key
        body = dumps(question)
        if self._options.encoded:
            body = json.dumps({"encoded": body})
        try:
            self._http.request("POST", self._options.path, body, {"Content-Type": "application/json"})
            response = self._http.getresponse()
            blob = response.read(LARGEST)
        except (OSError, http.client.HTTPException, AttributeError, ValueError) as error:
            # AttributeError and ValueError: what http.client says when the socket is closed under its hands
            raise WireError("NO_SERVER", f"{self._server}: the connection ended: {type(error).__name__}: {error}"
                            ) from None  # fmt: skip
        if response.status != http.client.OK:
            raise WireError("SERVER_ERROR", f"{self._server}: HTTP {response.status} {response.reason}: "
                            f"{last_line(blob.decode(errors='replace'))}")  # fmt: skip
        return self._rows(blob)

    def _rows(self, blob: bytes) -> Mapping[str, Any]:
        try:
            answer = loads(blob)
            answer = loads(answer) if isinstance(answer, str) and answer.startswith(("{", "[")) else answer
        except ValueError as error:
            raise WireError("BAD_REPLY", f"{self._server}: not the JSON that was agreed on: {error}") from None
        if isinstance(answer, str):
            raise WireError("SERVER_ERROR", f"{self._server}: {last_line(answer)}", lost=False)
        if isinstance(answer, dict):
            return answer
        try:
            rows = np.asarray(answer, dtype=np.float64)
        except (TypeError, ValueError):
            raise WireError("BAD_REPLY", f"{self._server}: no array of numbers", lost=False) from None
        return {self._loaded.terms.actions[0].key: rows[None] if rows.ndim == 1 else rows}

    def abort(self) -> None:
        sock = self._http.sock
        if sock is not None:
            hang_up(sock)

    def close(self) -> None:
        self._http.close()
