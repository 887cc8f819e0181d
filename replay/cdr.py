"""Messages as bytes that depend on nothing but their values, and back.

The middleware leaves alignment gaps and the slack behind a message as it finds them in memory, so two
serializations of one message differ; here gaps are zero and nothing follows the end.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from rclpy.serialization import serialize_message

from humanoid_replay.definitions import typestore
from humanoid_replay.reader import MOST_SLACK

#: Type -> bytes behind its end that fitted before; only saves attempts.
_slack: dict[str, int] = {}


def decode(data: bytes, kind: str) -> Any:
    """The message in CDR ``data``, which may carry slack behind its end; raises what the decoder raises."""
    store, usual = typestore(), _slack.get(kind, 0)
    with suppress(Exception):
        return store.deserialize_cdr(data[: len(data) - usual], kind)
    for slack in range(0, min(MOST_SLACK, len(data) - 4) + 1, 4):
        with suppress(Exception):
            message = store.deserialize_cdr(data[: len(data) - slack], kind)
            _slack[kind] = slack
            return message
    return store.deserialize_cdr(data, kind)


def canonical(message: Any, kind: str) -> bytes:
    """CDR bytes of a ROS ``message``, the same in every process."""
    return bytes(typestore().serialize_cdr(decode(serialize_message(message), kind), kind))
