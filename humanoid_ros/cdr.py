"""Messages as bytes that depend on nothing but their values, and back.

The middleware leaves alignment gaps and the slack behind a message as it finds them in memory, so two
serializations of one message differ; here gaps are zero and nothing follows the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from humanoid_ros.codec import HEADER, Unsupported, decoder, encoder
from humanoid_ros.definitions import typestore

#: Bytes that a message may carry behind its end: Fast DDS reserves 4 for each empty sequence and does not fill them.
MOST_SLACK = 64
_encoders: dict[str, Callable[[Any], bytes]] = {}
_decoders: WeakKeyDictionary[Any, dict[str, Callable[[bytes], tuple[Any, int]]]] = WeakKeyDictionary()


def decode(data: bytes, kind: str, store: Any = None) -> Any:
    """The message in CDR ``data``, which may carry slack behind its end; ValueError when it is damaged.

    ``store``: the definitions, those of the suite when None.
    """
    store = store or typestore()
    functions = _decoders.setdefault(store, {})
    if kind not in functions:
        functions[kind] = _decoder(store, kind)
    try:
        message, end = functions[kind](data)
    except Exception as error:
        raise ValueError(f"a {kind} that cannot be decoded: {error}") from None
    if not end <= len(data) <= end + MOST_SLACK + 3:
        raise ValueError(f"a {kind} of {len(data)} bytes that ends at byte {end}")
    return message


def canonical(message: Any, kind: str) -> bytes:
    """CDR bytes of a ROS ``message``, the same in every process."""
    function = _encoders.get(kind)
    if function is None:
        function = _encoders[kind] = encoder(typestore().fielddefs, kind)
    return function(message)


def _decoder(store: Any, kind: str) -> Callable[[bytes], tuple[Any, int]]:
    """What is of another byte order, or has fields of a rare kind, is left to rosbags."""
    def whole(data: bytes) -> tuple[Any, int]:
        return store.deserialize_cdr(data, kind), len(data)

    try:
        fast = decoder(store.fielddefs, store.types, kind)
    except Unsupported:
        return whole
    return lambda data: fast(data) if data[:2] == HEADER[:2] else whole(data)
