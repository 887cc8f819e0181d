"""Reason codes: the short names under which refusals, violations and fallbacks are counted and reported.

A code is `WHAT` in capitals; the text says what it means and what to do. A new code goes here first, so that
every table, log line and test speaks of it by the same name.
"""

from __future__ import annotations

REASONS: dict[str, str] = {
    # data
    "STALE": "the newest sample is older than its source's max age; is the driver running, is the link loaded?",
    "FUTURE": "the stamp lies more than 5 ms ahead of now; synchronise the clocks of sender and receiver",
    "ZERO_STAMP": "the stamp is zero; the sender must fill header.stamp with the capture time",
    "OUT_OF_ORDER": "the stamp is older than one already accepted",
    "DUPLICATE": "the stamp equals the last accepted one",
    "NON_FINITE": "a field holds NaN or infinity",
    "WRONG_LENGTH": "an array's length does not match the names or the robot file",
    "WRONG_NAMES": "names are missing, unknown or given twice",
    "FROZEN": "values do not change while stamps advance; the sensor or its driver hangs",
    "NON_UNIT_QUATERNION": "the orientation's norm is not 1",
    "OUT_OF_RANGE": "a value lies outside what the sensor or joint can give (degrees where radians belong?)",
    "NEVER_SEEN": "the source has not published since the start",
    "CLOCK_RESET": "ROS time jumped back; everything that rests on stamps starts anew",
    "BACKUP_ACTIVE": "a backup source stands in",
    "IMU_DISAGREEMENT": "two IMUs disagree",
    # robot
    "JOINT_POSITION": "a joint is outside, or too close to, its position limits",
    "JOINT_VELOCITY": "a joint is faster than its limit",
    "JOINT_ACCELERATION": "a joint command asks for more acceleration than its limit",
    "JOINT_TORQUE": "a joint gives more torque than its limit",
    "TILT": "the base tilts more than the limit",
    "SUPPORT": "the capture point is close to, or outside, the support polygon",
    "TRACKING": "a joint does not follow its command",
    "TEMPERATURE": "a motor is too warm",
    "BATTERY": "the battery's voltage is too low",
    "FALLEN": "the robot lies on the floor",
    "NO_CONTACT": "no foot carries load",
    "SELF_COLLISION": "two links of the robot would touch",
    # commands
    "OLD_SEQUENCE": "the sequence number was seen before",
    "OLD_EPOCH": "made before the motion was interrupted",
    "EXPIRED": "every step of the chunk lies in the past",
    "LIMIT_POSITION": "a commanded position is outside the joint limits",
    "LIMIT_RATE": "a command changes faster than the command limits allow",
    "JUMP": "a command is too far from the measured pose",
    "NOT_CONTROLLED": "the joint does not belong to the policy's group",
    "PUBLISHER": "somebody else publishes on a gated topic",
    "NO_COMMAND": "no fresh command",
    "NO_PERMIT": "no fresh permit from safety_monitor",
    "NO_STATE": "no fresh robot state",
    "NO_TWIN": "no fresh twin state",
    "EXHAUSTED": "the chunk ended and no new one came",
    # stop and override
    "ESTOP": "an emergency stop is pressed, silent or latched",
    "OVERRIDE": "a human has taken over",
    "RESET_PRESSED": "refused: a stop source is still pressed or silent",
    "RESET_CAUSE": "refused: the cause of the stop lasts",
    "RESET_NONCE": "refused: the nonce was used before",
    "RESET_OPERATOR": "refused: the reset names no operator",
    "RESET_RATE": "refused: resets follow one another too quickly",
    # policy
    "NOT_UNDERSTOOD": "the instruction names no verb, object or hand that the policy knows",
    "NOT_FOUND": "the object is not in the camera's picture",
    "UNREACHABLE": "no joint angles within the limits bring the hand there",
    "NO_PICTURE": "no fresh picture or depth",
    "TIMEOUT": "it took longer than allowed",
    "CANCELLED": "a new instruction or the user ended it",
    # processes
    "OVERRUN": "a tick came later than one period",
    "DIED": "a process ended",
    "EXCEPTION": "an error in the program; the traceback is in the log",
}


class Refusals:
    """Counts refusals by reason code and remembers the latest one's text."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self.last = ""

    def refuse(self, code: str, detail: str = "") -> str:
        """Count `code` (which must be in REASONS) and return it."""
        if code not in REASONS:
            raise KeyError(f"'{code}' is not a reason code; add it to humanoid_core/reasons.py")
        self._count[code] = self._count.get(code, 0) + 1
        self.last = f"{code}: {detail}" if detail else code
        return code

    def __getitem__(self, code: str) -> int:
        return self._count.get(code, 0)

    @property
    def total(self) -> int:
        return sum(self._count.values())

    def items(self) -> tuple[tuple[str, int], ...]:
        """Pairs (code, count), sorted by code."""
        return tuple(sorted(self._count.items()))
