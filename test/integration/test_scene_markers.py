"""scene_markers over the real middleware: it draws what the graph says, and stops when the twin is silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from conftest import Process, wait_for

from humanoid_bench.rig import NAMES, UPPER, Rig
from humanoid_core.types import ActionChunk
from humanoid_ros import qos


def test_the_drawing_follows_the_graph(domain: int, start: Callable[..., Process]) -> None:
    rig = Rig(domain)
    heard: list[Any] = []
    row = qos.topic("view/markers")
    # The rig's own executor thread takes them.
    rig.node.create_subscription(qos.message_type(row.type), row.name, heard.append, qos.profile(row))
    node = start("scene_markers")

    def groups() -> set[str]:
        return {m.ns for m in heard[-1].markers} if heard else set()

    try:
        wait_for(lambda: {"com", "level"} <= groups(), 20, "a drawing")
        assert "plan left" not in groups()

        def planned() -> bool:
            way = rig.q[UPPER] + 0.02 * np.arange(20)[:, None]
            rig.say("vla/action_chunk", ActionChunk(rig.now_ns(), 1, 1, "rig", "", NAMES, 0.1, way, 1.0))
            return {"plan left", "goal right"} <= groups()

        wait_for(planned, 10, "the plan's trail")
        rig.silent |= {"twin/state"}
        wait_for(lambda: groups() == {""}, 10, "an empty drawing, with only the order to delete")
    finally:
        rig.close()
    node.end()
    assert node.popen.returncode == 0, node.output
