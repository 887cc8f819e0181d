"""The twin's estimate, delays, diagnosis and identification in simulated time: seeds one by one, resumable by a log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from humanoid_bench.measured import Log, Measured, Options, Progress
from humanoid_bench.twin_diagnosis import FAULTS, false_alarms, fault_trial, identified_figures
from humanoid_bench.twin_estimate import base_figures, delay_figures, joint_figures
from humanoid_cli.figures import Figure
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import RobotModel

SENSORS = "sensors of 2 mrad, 0.05 rad/s, 20 +- 8 ms on the way, 1 % lost; truth from the simulator at the same instant"
AIMS = {"position_rmse_ratio": 0.35, "velocity_rmse_ratio": 0.35, "nees_in_band": 0.95, "tilt_rmse_deg": 0.5,
        "base_velocity_rmse": 0.05, "delay_error_ms": 3.0, "delay_step_error_ms": 3.0, "core_p99_ms": 1.0}
UNITS = {"_ms": "ms", "_mrad": "mrad", "_deg": "deg", "base_velocity_rmse": "m/s", "velocity_rmse": "rad/s"}
#: Simulated length of one seed without a fault, s.
CALM = 60.0
#: Moves as fast as a wave, rad/s, of commands that act up to so much late, s.
FAST, LATE = 2.5, 0.005

Figures = dict[str, tuple[float, int]]


def estimate(options: Options, progress: Progress) -> Measured:
    return _by_seed("estimate", joint_figures, options, progress, 5,
                    f"both arms reaching, 20 s a seed, all joints; {SENSORS}; core_p99_ms: wall time of the core for "
                    "each measurement that it uses, core_state_p99_ms: until the state is there to be published")


def base(options: Options, progress: Progress) -> Measured:
    return _by_seed("base", base_figures, options, progress, 5,
                    f"standing and reaching, pushed at the base by 12 N s every 2.5 s, 10 s a seed; {SENSORS}")


def delay(options: Options, progress: Progress) -> Measured:
    return _by_seed("delay", delay_figures, options, progress, 5,
                    "greatest error of the delays of joint_states and robot/joint_command over the seeds, 5 s after "
                    "the start; delay_step: 3 s after both grew by 15 ms", worst=True)


def _by_seed(name: str, measure: Callable[[RobotModel, list[int]], Figures], options: Options, progress: Progress,
             usual: int, note: str, worst: bool = False) -> Measured:
    """Mean over seeds (root of the mean square for errors), or the worst one."""
    robot, log, rows = load_robot("g1"), Log(options.log), []
    seeds = min(options.seeds or (1 if options.quick else usual), usual)
    for seed in range(seeds):
        rows.append(log.once(f"{name}/{seed}", lambda seed=seed: measure(robot, [seed])))
        progress((seed + 1) / seeds)
    figures: dict[str, Figure] = {}
    for key in rows[0]:
        values, counts = np.array([float(r[key][0]) for r in rows]), sum(int(r[key][1]) for r in rows)
        squared = "rmse" in key
        value = np.max(values) if worst or key.endswith("_p99_ms") else np.sqrt(np.mean(values**2)) if squared \
            else np.mean(values)
        unit = next((u for end, u in UNITS.items() if key.endswith(end)), "")
        figures[key] = Figure(float(value), unit, AIMS.get(key), counts)
    return Measured(figures, {}, f"{note}; {seeds} seeds")


def faults(options: Options, progress: Progress) -> Measured:
    robot, log = load_robot("g1"), Log(options.log)
    seeds = options.seeds or (2 if options.quick else 50)
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        for fault in FAULTS:
            rows.append(log.once(f"fault/{fault}/{seed}", lambda f=fault, s=seed: asdict(fault_trial(robot, f, s))))
        progress((seed + 1) / seeds)
    delays = [r["delay"] for r in rows if r["delay"] == r["delay"]]
    figures = {"fault_isolated_share": Figure(float(np.mean([r["right"] for r in rows])), "", 0.95, len(rows)),
               "fault_delay_max_s": Figure(max(delays, default=float("nan")), "s", 1.0, len(delays)),
               "fault_unseen": Figure(len(rows) - len(delays), "", 0, len(rows))}
    for fault in FAULTS:
        mine = [r for r in rows if r["fault"] == fault]
        figures[f"fault_isolated_share_{fault}"] = Figure(float(np.mean([r["right"] for r in mine])), "", None,
                                                          len(mine))
    wrong = [f"{r['fault']} seed {r['seed']}: {r['said'] or 'nothing said'} for {r['subject']}" for r in rows
             if not r["right"]]
    return Measured(figures, {"fault_delay_s": delays}, "while both arms reach: 1 kg in a hand, a loaded arm motor at "
                    f"70 %, an arm encoder off by 3 degrees; right: named alone and within 1 s; {SENSORS}; {seeds} "
                    "seeds of each" + (f"; not right: {'; '.join(wrong[:20])}" if wrong else ""))


def alarms(options: Options, progress: Progress) -> Measured:
    robot, log = load_robot("g1"), Log(options.log)
    minutes = max(round(options.minutes or (1 if options.quick else 30)), 1)
    usual: list[Any] = []
    fast: list[Any] = []
    few = max(minutes // 3, 1)
    for seed in range(minutes):
        usual += log.once(f"calm/{seed}", lambda seed=seed: false_alarms(robot, [10_000 + seed], CALM))
        progress((seed + 1) / (minutes + few))
    for seed in range(few):
        fast += log.once(f"fast/{seed}", lambda seed=seed: false_alarms(robot, [20_000 + seed], CALM, FAST, LATE))
        progress((minutes + seed + 1) / (minutes + few))
    said = "; ".join(f"seed {seed}, {at:.1f} s: {reason}" for seed, at, reason in (usual + fast)[:10])
    return Measured({"false_alarms": Figure(len(usual), "", 0, minutes),
                     "false_alarms_fast": Figure(len(fast), "", 0, few)}, {},
                    f"{minutes} simulated minutes of a sound robot that reaches, a seed each, and {few} more with "
                    f"moves up to {FAST:g} rad/s and commands that act 0 to {LATE * 1e3:g} ms late; {SENSORS}"
                    + (f"; {said}" if said else ""))


def identification(options: Options, progress: Progress) -> Measured:
    robot, log = load_robot("g1"), Log(options.log)
    seeds = min(options.seeds or (1 if options.quick else 10), 10)
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        rows.append(log.once(f"identified/{seed}", lambda seed=seed: asdict(identified_figures(robot, [seed]))))
        progress((seed + 1) / seeds)
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    n = round(mean["count"] * seeds)
    return Measured({"payload_error": Figure(mean["payload_error"], "", 0.1, seeds),
                     "friction_error": Figure(mean["friction_error"], "", 0.1, n),
                     "coulomb_error": Figure(mean["coulomb_error"], "", None, n),
                     "interval_coverage": Figure(mean["interval_coverage"], "", 0.9, n)}, {},
                    "60 s of reaching a seed, friction between half and twice the robot file's, 0.5 to 1.5 kg in one "
                    "hand; mean relative errors, share of the 95 % intervals that hold the truth; "
                    f"{SENSORS}; {seeds} seeds")
