"""CDR bytes and messages, each type by a function of its own that is made from its definition.

`rosbags` writes its own message classes only and reads one field at a time; a replay reads and writes some thousand
messages for each recorded second, so here fields that lie side by side are one `struct` call, names that repeat
from message to message are compared and not decoded, and messages of rclpy are written as they are. Little endian
only; alignment gaps are zero. Layout: OMG, "Common Object Request Broker Architecture", 15.3 (CDR, version 1).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype

#: Primitive -> (letter for `struct`, size in bytes, numpy's type).
PRIMITIVES: dict[str, tuple[str, int, type]] = {
    "bool": ("?", 1, np.bool_), "byte": ("B", 1, np.uint8), "char": ("B", 1, np.uint8),
    "int8": ("b", 1, np.int8), "uint8": ("B", 1, np.uint8), "int16": ("h", 2, np.int16),
    "uint16": ("H", 2, np.uint16), "int32": ("i", 4, np.int32), "uint32": ("I", 4, np.uint32),
    "int64": ("q", 8, np.int64), "uint64": ("Q", 8, np.uint64), "float32": ("f", 4, np.float32),
    "float64": ("d", 8, np.float64)}
#: Encapsulation header: CDR, little endian. Alignment counts from behind it.
HEADER = b"\x00\x01\x00\x00"


class Unsupported(ValueError):
    """A definition with something that is not written or read here (float128, wide strings)."""


def encoder(fielddefs: Any, kind: str) -> Callable[[Any], bytes]:
    """What makes the bytes of a message of ``kind``; its arrays may be numpy's, `array` or lists."""
    source = _Encoder(fielddefs)
    source.line("def function(message):")
    source.deeper = 1
    source.line(f"out = bytearray({HEADER!r})")
    source.fields(kind, "message")
    source.flush()
    source.line("return bytes(out)")
    encode: Callable[[Any], bytes] = source.compiled(kind)
    return encode


def decoder(fielddefs: Any, types: Any, kind: str) -> Callable[[bytes], tuple[Any, int]]:
    """What makes the message, one of ``types``, of bytes that begin with `HEADER`, and says where it ended."""
    source = _Decoder(fielddefs, types)
    source.line("def function(data):")
    source.deeper = 1
    source.line(f"pos = {len(HEADER)}")
    message = source.message(kind)
    source.flush()
    source.line(f"return {message}, pos")
    decode: Callable[[bytes], tuple[Any, int]] = source.compiled(kind)
    return decode


class _Source:
    """A function under construction. Primitives wait in ``run`` until something of unknown length follows."""

    def __init__(self, fielddefs: Any) -> None:
        self.fielddefs = fielddefs
        self.lines: list[str] = []
        self.names: dict[str, Any] = {"array": np.asarray, "frombuffer": np.frombuffer, "strings": _strings}
        self.run: list[tuple[str, str]] = []
        self.deeper = 0
        self._count = 0

    def line(self, text: str) -> None:
        self.lines.append("    " * self.deeper + text)

    def new(self, value: Any = None) -> str:
        """A name that is not in use; of the constant ``value`` when there is one."""
        self._count += 1
        name = f"v{self._count}"
        if value is not None:
            self.names[name] = value
        return name

    def compiled(self, kind: str) -> Any:
        exec(compile("\n".join(self.lines), f"<{kind}>", "exec"), self.names)
        return self.names["function"]

    def of(self, kind: str) -> Any:
        """(name, description) of the fields of a type."""
        return self.fielddefs[kind][1]

    @staticmethod
    def primitive(name: str) -> tuple[str, int, type]:
        if name not in PRIMITIVES:
            raise Unsupported(name)
        return PRIMITIVES[name]

    def structs(self, letters: Sequence[str]) -> list[struct.Struct]:
        """How a run is laid out when it begins 0, 1, ... 7 bytes behind a multiple of 8."""
        sizes = [struct.calcsize("=" + letter) for letter in letters]
        found = []
        for start in range(8):
            place, layout = start, "<"
            for letter, size in zip(letters, sizes, strict=True):
                gap = -place % size
                layout += "x" * gap + letter
                place += gap + size
            found.append(struct.Struct(layout))
        return found


class _Encoder(_Source):
    """``out`` grows; it holds the header as well, so its length is 4 more than the place that alignment counts."""

    def flush(self) -> None:
        if self.run:
            packs = self.new([s.pack for s in self.structs([letter for letter, _ in self.run])])
            self.line(f"out += {packs}[len(out) + 4 & 7]({', '.join(value for _, value in self.run)})")
            self.run.clear()

    def fields(self, kind: str, message: str) -> None:
        for name, description in self.of(kind):
            self.field(description, f"{message}.{name}")

    def field(self, description: Any, value: str) -> None:
        what, detail = description
        if what == Nodetype.BASE and detail[0] == "string":
            text = self.new()
            self.line(f"{text} = {value}.encode() + b'\\0'")
            self.run.append(("I", f"len({text})"))
            self.flush()
            self.line(f"out += {text}")
        elif what == Nodetype.BASE:
            letter, _, _ = self.primitive(detail[0])
            self.run.append(("c" if detail[0] == "byte" else letter, value))  # rclpy holds one as bytes
        elif what == Nodetype.NAME:
            inner = self.new()
            self.line(f"{inner} = {value}")
            self.fields(detail, inner)
        else:
            self.items(what, detail, value)

    def items(self, what: Nodetype, detail: Any, value: str) -> None:
        (of, item), count = detail
        items = self.new()
        self.line(f"{items} = {value}")
        if what == Nodetype.SEQUENCE:
            self.run.append(("I", f"len({items})"))
        else:
            self.line(f"if len({items}) != {count}: raise ValueError(f'{{len({items})}} items instead of {count}')")
        self.flush()
        if of == Nodetype.BASE and item[0] != "string":
            _, size, kind = self.primitive(item[0])
            self.line(f"if len({items}):")
            self.line(f"    out += bytes(-(len(out) - 4) % {size}) + array({items}, {self.new(kind)}).tobytes()")
        elif of == Nodetype.BASE and what == Nodetype.SEQUENCE:
            self.line(f"out += strings(tuple({items}))")
        else:
            one = self.new()
            self.line(f"for {one} in {items}:")
            self.deeper += 1
            self.field((of, item), one)
            self.flush()
            self.deeper -= 1


class _Decoder(_Source):
    """``pos`` goes through ``data``, header included. Values get names; the messages are made of them at the end."""

    def __init__(self, fielddefs: Any, types: Any) -> None:
        super().__init__(fielddefs)
        self.types = types

    def flush(self) -> None:
        if self.run:
            structs = self.structs([letter for letter, _ in self.run])
            unpacks = self.new([s.unpack_from for s in structs])
            sizes = self.new([s.size for s in structs])
            self.line(f"at = pos + 4 & 7; {', '.join(value for _, value in self.run)}, = {unpacks}[at](data, pos)")
            self.line(f"pos += {sizes}[at]")
            self.run.clear()

    def message(self, kind: str) -> str:
        values = [self.field(description) for _, description in self.of(kind)]
        return f"{self.new(self.types[kind])}({', '.join(values)})"

    def field(self, description: Any) -> str:
        what, detail = description
        if what == Nodetype.NAME:
            return self.message(detail)
        if what != Nodetype.BASE:
            return self.items(what, detail)
        name = self.new()
        if detail[0] != "string":
            self.run.append((self.primitive(detail[0])[0], name))
            return name
        self.run.append(("I", name))
        self.flush()
        self.line(f"end = pos + {name}; last = data[end - 1]")
        self.line(f"if {name} < 1 or last: raise ValueError('a text without its end')")
        self.line(f"{name} = data[pos:end - 1].decode(); pos = end")
        return name

    def items(self, what: Nodetype, detail: Any) -> str:
        (of, item), count = detail
        items, number = self.new(), str(count)
        if what == Nodetype.SEQUENCE:
            number = self.new()
            self.run.append(("I", number))
        self.flush()
        if of == Nodetype.BASE and item[0] != "string":
            _, size, kind = self.primitive(item[0])
            self.line(f"pos += -(pos - 4) % {size} if {number} else 0")
            self.line(f"{items} = frombuffer(data, {self.new(kind)}, {number}, pos); pos += {number} * {size}")
        elif of == Nodetype.BASE and what == Nodetype.SEQUENCE:
            self.line(f"{items}, pos = {self.new(_Strings())}(data, pos, {number})")
        else:
            self.line(f"{items} = []")
            self.line(f"for _ in range({number}):")
            self.deeper += 1
            one = self.field((of, item))
            self.flush()
            self.line(f"{items}.append({one})")
            self.deeper -= 1
        return items


class _Strings:
    """A sequence of texts. It is nearly always the one of the message before: the names of the joints."""

    def __init__(self) -> None:
        self._count, self._raw, self._before = -1, b"", list[str]()

    def __call__(self, data: bytes, pos: int, count: int) -> tuple[list[str], int]:
        """(the texts, where they end); ``pos`` stands behind their number and so is a multiple of 4."""
        if count == self._count and data.startswith(self._raw, pos):
            return self._before.copy(), pos + len(self._raw)
        begin, texts = pos, list[str]()
        for _ in range(count):
            pos += -pos % 4
            end = pos + 4 + int.from_bytes(data[pos:pos + 4], "little")
            if end < pos + 5 or data[end - 1]:
                raise ValueError("a text without its end")
            texts.append(data[pos + 4:end - 1].decode())
            pos = end
        self._count, self._raw, self._before = count, data[begin:pos], texts
        return texts.copy(), pos


@lru_cache(maxsize=256)
def _strings(texts: tuple[str, ...]) -> bytes:
    """The bytes of a sequence of texts behind their number, which ends at a multiple of 4."""
    out = bytearray()
    for text in texts:
        raw = text.encode() + b"\0"
        out += bytes(-len(out) % 4) + len(raw).to_bytes(4, "little") + raw
    return bytes(out)
