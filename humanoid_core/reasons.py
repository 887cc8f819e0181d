"""Reason codes: the short names under which refusals, violations and fallbacks are counted and reported.

A code is `WHAT` in capitals; the text says what it means and what to do. A new code goes here first, so that
every table, log line and test speaks of it by the same name.
"""

from __future__ import annotations

#: Cause of a level that comes down while nothing is wrong any more, as it does at a monitor's start; no code.
SETTLING = "settling"

REASONS: dict[str, str] = {
    # data
    "STALE": "the newest sample is older than its source's max age; is the driver running, is the link loaded?",
    "FUTURE": "the stamp lies more than 5 ms ahead of now; synchronise the clocks of sender and receiver",
    "ZERO_STAMP": "the stamp is zero; the sender must fill header.stamp with the capture time",
    "OUT_OF_ORDER": "the stamp is older than one already accepted",
    "TOO_LATE": "the stamp is older than everything that is still kept; the sample cannot be put in its place",
    "DUPLICATE": "the stamp equals the last accepted one",
    "NON_FINITE": "a field holds NaN or infinity",
    "WRONG_LENGTH": "an array's length does not match the names or the robot file",
    "WRONG_NAMES": "names are missing, unknown or given twice",
    "FROZEN": "values do not change while stamps advance; the sensor or its driver hangs",
    "NON_UNIT_QUATERNION": "the orientation's norm is not 1",
    "ATTITUDE_LEAP": "an IMU's vertical moved further than its own gyroscope turned",
    "OUT_OF_RANGE": "a value lies outside what the sensor or joint can give (degrees where radians belong?)",
    "NEVER_SEEN": "the source has not published since the start",
    "CLOCK_RESET": "ROS time jumped back; everything that rests on stamps starts anew",
    "BACKUP_ACTIVE": "a backup source stands in",
    "IMU_DISAGREEMENT": "two IMUs disagree",
    "OUTLIER": "a joint's measurement is too far from what the model expects, and is kept out of the estimate",
    "REPAIRED": "the twin's numbers for a joint failed, and began anew from the measurement",
    "RELOCKED": "a joint's measurements stayed away from the model for so long that the twin believes them after all",
    "NO_EFFORT": "a joint's torque is not told; the twin moves it on at its speed instead of by its dynamics",
    "ESTIMATED": "a joint's sensor is lost; the twin's estimate stands in for it",
    # robot
    "JOINT_POSITION": "a joint is outside, or too close to, its position limits",
    "JOINT_VELOCITY": "a joint is faster than its limit",
    "JOINT_ACCELERATION": "a joint accelerates, or is asked to accelerate, more than its limit",
    "JOINT_TORQUE": "a joint gives more torque than its limit",
    "TILT": "the base tilts more than the limit",
    "SUPPORT": "the capture point, or the centre of mass, is close to, or outside, the support polygon",
    "TRACKING": "a joint does not follow its command",
    "TEMPERATURE": "a motor is too warm",
    "ACTUATOR_FAULT": "a motor's drive reports a fault",
    "ACTUATOR_REMOVED": "a motor that failed is out of the controlled set; it comes back with a reset once it works",
    "BATTERY": "the battery's voltage is too low",
    "FALLEN": "the robot lies on the floor",
    "NO_CONTACT": "no foot carries load",
    "FOOT_FORCE": "the feet carry more than their sensors say; a foot that stood is taken to stand on",
    "SELF_COLLISION": "two links of the robot would touch",
    "ENVIRONMENT": "a link comes too near to an obstacle of the environment file",
    "CONTACT_FORCE": "something presses on the robot, or the robot on something, harder than allowed",
    "TWIN_RESIDUAL": "the robot does not do what its model says; is a motor weak, a sensor off, a load unknown?",
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
    "INACTIVE": "command_gate is not active; 'humanoid-twin up' and the launch files activate it",
    "NO_STATE": "no fresh robot state",
    "NO_TWIN": "no fresh twin state",
    "WRONG_MODEL": "the twin was started with another robot file than the monitor; start both with the same",
    "EXHAUSTED": "the chunk ended and no new one came",
    # bridge to a real robot
    "BAD_CRC": "a frame of the robot does not match its checksum; is the network sound?",
    "WRONG_ROBOT": "the robot is another variant than the robot file is for; nothing is sent to it",
    "TICK_BACK": "the robot's counter ran backwards",
    "ONBOARD": "the robot's onboard controller is not in a state that takes these commands, or does not answer",
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
    "UNCERTAIN": "the policy is not sure of what it does; it moves at half speed",
    "TIMEOUT": "it took longer than allowed",
    "CANCELLED": "a new instruction or the user ended it",
    "NO_SERVER": "no connection to the policy's server; is it running, and is its address right?",
    "NO_REPLY": "the policy did not answer within its deadline",
    "SERVER_ERROR": "the policy's server, or the model, reported an error",
    "BAD_REPLY": "the policy's answer is not what its contract says: shape, names, or numbers that are not finite",
    "CONTRACT": "server or checkpoint and the policy contract disagree; both sides are named",
    # processes
    "RATE": "messages of a topic come much slower, or much faster, than they should",
    "LOST": "messages were sent and did not come; a queue overflowed, or the network is loaded",
    "BUSY": "left out under load, so that what matters more is in time",
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
