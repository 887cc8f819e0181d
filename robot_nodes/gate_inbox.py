"""What the gate asks of a robot: its commands and its mode, from nobody else (humanoid_core/sender.py)."""

from __future__ import annotations

from rclpy.node import Node

from humanoid_core.reasons import Refusals
from humanoid_core.sender import OneGate
from humanoid_core.timing import MS
from humanoid_core.types import JointCommand, Mode, RobotMode
from humanoid_ros.inbox import Inbox

#: A mode that the gate has not repeated for so long counts as HOLD; it repeats it ten times a second.
MODE_AGE_NS = 500 * MS


class GateInbox:
    """For one loop. What is refused is counted in ``refused``."""

    def __init__(self, node: Node, refused: Refusals) -> None:
        self._commands = Inbox(node, "robot/joint_command", depth=4)
        self._modes = Inbox(node, "robot/mode", depth=16)  # the gate's among those of somebody who shouts
        self._gate, self._refused = OneGate(), refused

    def take(self, now_ns: int) -> tuple[list[JointCommand], Mode]:
        """Commands that came since the last call and count, oldest first, and the mode that counts now."""
        gate, refuse = self._gate, self._refused.refuse
        commands = []
        for letter in self._commands.take(now_ns):
            command = letter.open()
            if not isinstance(command, JointCommand):
                refuse("OUT_OF_RANGE", "robot/joint_command")
            elif code := gate.command(letter.sender, letter.arrival_ns):
                refuse(code, "robot/joint_command: not from the gate that is obeyed")
            else:
                commands.append(command)
        for letter in self._modes.take(now_ns):
            mode = letter.open()
            if not isinstance(mode, RobotMode):
                refuse("OUT_OF_RANGE", "robot/mode")
            elif code := gate.mode(letter.sender, letter.arrival_ns, mode):
                refuse(code, f"robot/mode {mode.mode.name}: not from the gate that is obeyed")
        order = gate.order(now_ns)
        if order is None:
            return commands, Mode.HOLD
        mode, said_ns = order[0].mode, order[1]
        return commands, Mode.HOLD if mode is Mode.RUN and now_ns - said_ns > MODE_AGE_NS else mode
