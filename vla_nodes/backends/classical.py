"""The classical baseline: a grammar for the words, colour and depth for the eyes, inverse kinematics for the arm.

look -> move -> dwell (touching, pointing or holding) -> back -> finished. The body sways and things roll, so
the goal is corrected about five times a second from the newest picture and joint positions, as one more smooth
move on top of the running one.
"""

from __future__ import annotations

import numpy as np

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from vla_nodes.backends.base import Backend
from vla_nodes.core import postures
from vla_nodes.core.body import Frame
from vla_nodes.core.clearance import World
from vla_nodes.core.instruction import Refusal, Task, parse
from vla_nodes.core.motion import Plan
from vla_nodes.core.perception import Sighting, View, choose, see
from vla_nodes.core.policy import Decision, Observation
from vla_nodes.core.reach import ABOVE, PRESS, Goal, Reacher, Target
from vla_nodes.core.tracking import Memory

#: New moves begin this long after the observation was handed over, s: planning, sending, and a little more.
LEAD = 0.12
#: The same when a whole way is planned.
PLAN_LEAD = 0.35
STEP_DT, HORIZON = 0.02, 1.0
#: Looking for a thing before it counts as not there; staying at a goal that is not quite reached, s.
LOOK_TIME, PATIENCE = 1.2, 5.0
#: A hand this near its goal touches, m; the ray this near a thing's centre points at it, m.
TOUCHED, POINTED = 0.008, 0.03
#: How long touching, pointing or a raised hand is kept before it counts, and after that, s.
DWELL = {"touch": 0.5, "point": 1.0, "raise": 1.0, "wave": 0.0, "rest": 0.2}
STAY = {"touch": 0.6, "point": 0.6, "raise": 0.8, "wave": 0.0, "rest": 0.0}
#: For people.
STAGES = {
    "look": "looking",
    "clear": "taking the arms out of the view",
    "move": "on the way",
    "dwell": "at the goal",
    "back": "on the way back",
}
#: Corrections: smallest worth making and largest that keeps to the way (rad), largest steady one against sag and
#: friction (m).
SMALLEST, LARGEST, MOST_BIAS = 0.002, 0.15, 0.02
#: A thing that moved this far is approached anew, m.
MOVED = 0.035


class Classical(Backend):
    """One robot, one task at a time."""

    policy_id = "classical"
    period = 0.2

    def __init__(self, robot: RobotModel) -> None:
        postures.check(robot)
        self.robot = robot
        self.reacher = Reacher(robot)
        self._upper = list(robot.groups["upper_body"])
        self._names = tuple(robot.joint_names[i] for i in self._upper)
        self._task: Task | None = None
        self._reset()

    def _reset(self) -> None:
        self._stage = "look"
        self._plan: Plan | None = None
        self._goal: Goal | None = None
        self._memory: Memory | None = None
        self._side = ""
        self._bias = np.zeros(3)
        self._begun_ns = self._arrive_ns = self._since_ns = 0
        self._good_s = 0.0
        self._failure: Refusal | None = None
        self._success = self._short_of = ""
        self._moved = self._cleared = False
        self._attempts = 0

    def forget(self) -> None:
        self._task = None
        self._reset()

    def start(self, instruction: str) -> Refusal | None:
        task = parse(instruction)
        if isinstance(task, Refusal):
            self._task = None
            return task
        # the same task again was interrupted: what it looked for may now be hidden behind its own hand
        known = self._memory if task == self._task and self._stage != "finished" else None
        self._task = task
        self._reset()
        self._memory = known
        return None

    # --- one step -------------------------------------------------------------------------------------------

    def observe(self, observation: Observation) -> Decision:
        task = self._task
        if task is None:
            return Decision("failed", "NOT_UNDERSTOOD", "no task was started", finished=True)
        o = observation
        t_act = o.now_ns + round(LEAD * NS)
        if self._plan is None:
            begin = o.latest.position.copy()
            if len(o.commanded):
                begin[self._upper] = o.commanded
            self._plan = Plan(self.robot, begin, o.now_ns)
            self._begun_ns = self._since_ns = o.now_ns
        self._plan.forget_before(o.stamp_ns)
        view = self._see(o)
        stance = self.reacher.body.stance(o.latest.position)
        world = self._world(view, stance)
        if self._stage == "look":
            self._look(task, o, view, world, o.now_ns + round(PLAN_LEAD * NS))
        elif self._stage in ("move", "dwell"):
            self._track(o, view)
            self._pursue(task, o, stance, t_act)
            if self._stage == "back":
                self._go_back(world, t_act)
        elif self._stage == "clear" and o.now_ns >= self._plan.end_ns:
            self._stage, self._begun_ns = "look", o.now_ns
        elif self._stage == "back" and o.now_ns >= self._plan.end_ns:
            self._stage = "finished"
        return self._decide(o)

    def _see(self, o: Observation) -> View:
        camera = self.reacher.body.camera_in_stance(o.state.position)
        return see(o.image, o.depth, o.k, camera)

    def _world(self, view: View, stance: Frame) -> World:
        """The table and the things that are not the target; the last good look stays when an arm hides it."""
        if self._memory is None:
            self._memory = Memory()
        self._memory.look(view)
        return self._memory.world(stance)

    def _decide(self, o: Observation) -> Decision:
        """Wrap up: state, progress, and the rows of the plan from the observation's stamp on."""
        assert self._plan is not None
        end = self._arrive_ns or o.now_ns + 4 * NS
        progress = (o.now_ns - self._begun_ns) / max(end - self._begun_ns, 1)
        progress = 1.0 if self._success else float(np.clip(0.9 * progress, 0.0, 0.9))
        state = "acting" if self._stage in ("move", "dwell", "clear", "back") else "looking"
        code, detail = "", self._success or STAGES.get(self._stage, self._stage)
        if self._failure is not None:
            state, code, detail = "failed", self._failure.code, self._failure.detail
        elif self._success:
            state = "done"
        finished = self._stage == "finished"
        rows = np.zeros((0, len(self._upper)))
        if self._moved and not (finished and self._plan.end_ns < o.now_ns - NS):
            count = int(np.ceil((o.now_ns - o.stamp_ns) / NS / STEP_DT + HORIZON / STEP_DT))
            rows = self._plan.rows(o.stamp_ns, STEP_DT, count)[:, self._upper]
        return Decision(
            state, code, detail, progress, self._confidence(), self._names, STEP_DT, rows,
            succeeded=bool(self._success), finished=finished,
        )  # fmt: skip

    def _confidence(self) -> float:
        target = self._memory.target if self._memory is not None else None
        return 1.0 if target is None else 0.5 + 0.5 * target.kind_sure

    # --- look: find the thing, choose the hand, plan ----------------------------------------------------------

    def _look(self, task: Task, o: Observation, view: View, world: World, t_act: int) -> None:
        assert self._plan is not None
        assert self._memory is not None
        if task.verb in ("touch", "point"):
            found, why = self._memory.target, ""
            if found is None:
                found, why = choose(view, task.colour, task.kind)
            if found is None:
                if o.now_ns - self._begun_ns > LOOK_TIME * NS and not self._clear_view(world, t_act):
                    self._fail(Refusal("NOT_FOUND", why))
                return
            if self._memory.target is None:
                self._memory.aim(found)
            world = self._memory.world(world.stance)
            outcome = self._plan_reach(task, found, world, t_act)
        else:
            outcome = self._plan_gesture(task, world, t_act)
        if outcome is not None:
            self._fail(outcome)
            return
        self._stage, self._moved = "move", True
        self._arrive_ns = self._plan.end_ns

    def _clear_view(self, world: World, t_act: int) -> bool:
        """Take the arms home, once, when they may hide what is looked for; False when they do not."""
        assert self._plan is not None
        if self._cleared:
            return False
        self._cleared = True
        for side in self.robot.hands:
            self._tidy(side, world, t_act)
        if self._plan.end_ns < t_act:
            return False
        self._stage, self._moved = "clear", True
        return True

    def _fail(self, refusal: Refusal) -> None:
        """Give up where nothing has been moved yet."""
        self._failure, self._stage = refusal, "finished"

    def _plan_reach(self, task: Task, thing: Sighting, world: World, t_act: int) -> Refusal | None:
        assert self._plan is not None
        side = task.hand if task.hand != "either" else ("left" if thing.centre[1] > 0.0 else "right")
        self._side = side
        self._tidy("right" if side == "left" else "left", world, t_act)
        target = Target(thing.top, thing.centre, thing.radius)
        plan = self.reacher.touch if task.verb == "touch" else self.reacher.point
        goal = plan(side, target, world, self._plan.goal)
        if isinstance(goal, Refusal):
            return goal
        self._goal = goal
        self.reacher.lay(self._plan, goal.way, t_act)
        # the last stretch, slowly
        self._plan.then(goal.q, t_act, 0.1, 1.3)
        return None

    def _tidy(self, side: str, world: World, t_act: int) -> None:
        """Take an arm that is not needed back to rest, if there is a way."""
        assert self._plan is not None
        goal = postures.rested(self.robot, self._plan.goal, side)
        if float(np.max(np.abs(goal - self._plan.goal))) > 0.05:
            way = self.reacher.posture(side, world, self._plan.goal, goal)
            if way is not None:
                self.reacher.lay(self._plan, way, t_act)

    def _plan_gesture(self, task: Task, world: World, t_act: int) -> Refusal | None:
        assert self._plan is not None
        if task.verb == "rest":
            for side in self.robot.hands:
                way = self.reacher.home(side, world, self._plan.goal, 0.0)
                if way is None:
                    return Refusal("UNREACHABLE", f"no way to rest for the {side} arm past table and body")
                self.reacher.lay(self._plan, way, t_act)
            return None
        self._side = side = task.hand if task.hand != "either" else "right"
        self._tidy("right" if side == "left" else "left", world, t_act)
        values = postures.WAVE if task.verb == "wave" else postures.RAISED
        goal = postures.arm(self.robot, self._plan.goal, side, values)
        way = self.reacher.posture(side, world, self._plan.goal, goal)
        if way is None:
            return Refusal("UNREACHABLE", f"no way up for the {side} arm past table and body")
        self.reacher.lay(self._plan, way, t_act)
        if task.verb == "wave":
            joint = self.robot.index(f"{side}_shoulder_yaw_joint")
            for k in range(2 * postures.WAVE_COUNT + 1):
                out = goal.copy()
                last = k == 2 * postures.WAVE_COUNT
                out[joint] += 0.0 if last else postures.WAVE_SWING * (1.0 if k % 2 else -1.0)
                self._plan.then(out, t_act, slow=0.75)
        return None

    # --- move and dwell: correct, and judge -------------------------------------------------------------------

    def _track(self, o: Observation, view: View) -> None:
        """Follow the target with the eyes; approach anew when it went somewhere else."""
        assert self._memory is not None
        if self._memory.target is not None and self._memory.follow(view) > MOVED and not self._success:
            self._memory.settle()
            self._attempts += 1
            if self._attempts > 2:
                self._failure = Refusal("UNREACHABLE", "the object keeps moving away")
            self._stage = "back" if self._failure else "again"

    def _pursue(self, task: Task, o: Observation, stance: Frame, t_act: int) -> None:
        assert self._plan is not None
        assert self._memory is not None
        elapsed = (o.now_ns - self._since_ns) / NS
        self._since_ns = o.now_ns
        if self._stage == "again":
            self._approach_again(task, stance, t_act)
            return
        if self._failure is not None:
            return
        good = self._good(task, o, stance, t_act)
        if o.now_ns < self._arrive_ns and not (task.verb == "touch" and good):
            return
        self._stage = "dwell"
        self._good_s = self._good_s + elapsed if good else 0.0
        if not self._success and self._good_s >= DWELL[task.verb]:
            self._success = self._success_text(task)
            self._good_s = 0.0
        elif self._success and self._good_s >= STAY[task.verb]:
            self._stage = "back"
        elif o.now_ns > self._arrive_ns + PATIENCE * NS:
            if not self._success:
                self._failure = Refusal("UNREACHABLE", f"the hand did not get there: {self._short_of}")
            self._stage = "back"

    def _approach_again(self, task: Task, stance: Frame, t_act: int) -> None:
        """Up, and down again over the thing's new place."""
        assert self._plan is not None
        assert self._memory is not None
        assert self._memory.target is not None
        self._plan.cancel_after(t_act)
        up = self.reacher.raised(self._side, self._plan.goal, ABOVE, stance)
        if up is not None:
            self._plan.then(up, t_act)
        self._bias = np.zeros(3)
        outcome = self._plan_reach(task, self._memory.target, self._memory.world(stance), t_act)
        self._failure = outcome
        self._stage = "back" if outcome is not None else "move"
        self._arrive_ns = self._plan.end_ns

    def _good(self, task: Task, o: Observation, stance: Frame, t_act: int) -> bool:
        """Whether the hand does what it should, by the measured joints; corrects the goal on the way."""
        assert self._plan is not None
        assert self._memory is not None
        q = o.latest.position
        if task.verb in ("wave", "raise", "rest"):
            off = np.abs(q - self._plan.goal)[self._upper]
            self._short_of = f"a joint is {float(off.max()):.2f} rad away"
            return bool(off.max() < 0.12)
        assert self._memory.target is not None
        assert self._goal is not None
        thing = self._memory.target
        touch = task.verb == "touch"
        mark = thing.top if touch else thing.centre
        led = self.reacher.led(self._side, q, self._goal.point, stance)
        short = float(np.linalg.norm(led - mark))
        self._short_of = f"{short * 100:.1f} cm {'short' if touch else 'past it'}"
        self._correct(mark - np.array([0.0, 0.0, PRESS if touch else 0.0]), led, stance, o, t_act)
        return short < (TOUCHED if touch else POINTED)

    def _correct(self, at: Array, led: Array, stance: Frame, o: Observation, t_act: int) -> None:
        """Shift the plan so that it ends with the goal's point at ``at`` (3,), stance frame; once it has arrived, a
        slow integral takes out what is left."""
        assert self._plan is not None
        assert self._goal is not None
        assert self._memory is not None
        if o.now_ns >= self._arrive_ns:
            self._bias = self._bias + 0.3 * (at - led)
            size = float(np.linalg.norm(self._bias))
            self._bias *= min(1.0, MOST_BIAS / max(size, 1e-9))
        end = self._plan.goal
        wanted = self.reacher.refine(self._side, self._goal, at + self._bias, self._memory.world(stance), end)
        if wanted is None:
            return
        delta = wanted - end
        if SMALLEST < float(np.max(np.abs(delta))) < LARGEST:
            self._plan.shift(delta, t_act)

    def _success_text(self, task: Task) -> str:
        if task.verb in ("touch", "point"):
            what = "touched" if task.verb == "touch" else "pointed at"
            return f"{what} the {task.thing} with the {self._side} hand"
        return {"wave": f"waved with the {self._side} hand", "raise": f"raised the {self._side} hand"}.get(
            task.verb, "at rest"
        )

    # --- back -------------------------------------------------------------------------------------------------

    def _go_back(self, world: World, t_act: int) -> None:
        """Up and home; the way that it came when no other is found."""
        assert self._plan is not None
        task = self._task
        assert task is not None
        if task.verb == "rest":
            return
        self._plan.cancel_after(t_act)
        lift = ABOVE if task.verb == "touch" else 0.0
        way = self.reacher.home(self._side, world, self._plan.goal, lift)
        if way is None:
            came = list(self._goal.way[::-1]) if self._goal is not None else []
            way = [*came, postures.rested(self.robot, self._plan.goal, self._side)]
        self.reacher.lay(self._plan, way, t_act)
