"""`humanoid-twin twin <bag>`: a recording through the twin's core, and how good the twin was on it."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, write_figures
from humanoid_core.graph import parse_setting
from humanoid_core.robot import RobotModel, load_robot
from humanoid_core.types import RobotState, TwinPrediction, TwinState, TwinStatus
from humanoid_replay.errors import BagError
from humanoid_replay.mapping import MappingError, load_mapping
from humanoid_replay.stages import STATE, TWIN, IngestStage, Outputs
from humanoid_replay.through import ReplayError, ReplayReport, make_stages, replay
from humanoid_replay.writer import BagWriter
from humanoid_ros.params import ParameterError
from twin_nodes.core.identification import Value
from twin_nodes.core.slow_fit import fit as fit_states

PREDICTION = "twin/prediction"
PARTS = ("age", "error", "consistency", "coverage")
#: Through what a recording runs: what its sensors said, or the states that were recorded.
THROUGH = ("ingest", "twin")


class TwinReader:
    """A stage that says nothing: it hears the twin and adds up."""

    name, inputs, required = "table", (TWIN, PREDICTION, STATE), (TWIN,)
    outputs: tuple[str, ...] = ()

    def __init__(self, keep: bool = False) -> None:
        """``keep`` the robot's states, for what is fitted to all of them."""
        self._keep = keep
        self.states: list[RobotState] = []
        self.age: list[float] = []
        self.score: list[float] = []
        self.parts: list[tuple[float, ...]] = []
        self.nis: list[float] = []
        self.stddev: list[float] = []
        self.threshold: list[float] = []
        self.anomalies: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()
        self.stale = self.predictions = 0
        self.delay: dict[str, tuple[float, float]] = {}
        self.diagnosis: dict[str, None] = {}
        self.last: TwinPrediction | None = None
        self._known: set[str] = set()

    def on(self, topic: str, value: Any, now_ns: int, sender: bytes = b"") -> Outputs:
        if topic == STATE:
            self.states += [value] if self._keep and value is not None else []
        elif topic == PREDICTION:
            self.last, self.predictions = value, self.predictions + 1
            if value.first_violation_code:
                self.violations[value.first_violation_code] += 1
        else:
            self._state(value)
        return []

    def _state(self, twin: TwinState) -> None:
        self.stale += twin.status == TwinStatus.STALE
        if twin.status == TwinStatus.WAITING:
            return
        self.score.append(twin.sync_quality)
        self.parts.append(twin.quality_parts)
        self.delay.update((topic, (delay, drift)) for topic, delay, drift in twin.source_delay)
        if twin.diagnosis:
            self.diagnosis[twin.diagnosis] = None
        for code in set(twin.anomalies) - self._known:
            self.anomalies[code] += 1
        self._known = set(twin.anomalies)
        if twin.status == TwinStatus.OK:
            self.age.append(twin.latency)
            self.nis.append(float(np.mean(twin.nis)))
            self.stddev.append(float(np.max(twin.position_stddev)))
            if len(twin.outlier_threshold):
                self.threshold.append(float(np.max(twin.outlier_threshold)))

    def tick(self, now_ns: int, count: int) -> Outputs:
        return []

    def refusals(self) -> dict[str, int]:
        return {}


def figures_of(reader: TwinReader, report: ReplayReport) -> dict[str, Figure]:
    """Names as they stand in the table."""
    n = len(reader.score)
    found = {"speed": Figure(report.recorded_s / max(report.took_s, 1e-9), "x real time", None, report.inputs),
             "states": Figure(n, "", None, n), "stale": Figure(reader.stale, "", None, n)}

    def spread(name: str, values: list[float], unit: str, scale: float = 1.0) -> None:
        if values:
            for q in (50, 99):
                found[f"{name}_p{q}"] = Figure(scale * float(np.percentile(values, q)), unit, None, len(values))

    spread("age_ms", reader.age, "ms", 1e3)
    if n:
        found["quality_mean"] = Figure(float(np.mean(reader.score)), "", None, n)
        found["quality_min"] = Figure(float(np.min(reader.score)), "", None, n)
        for name, values in zip(PARTS, np.array(reader.parts).T, strict=True):
            found[f"{name}_part_mean"] = Figure(float(np.mean(values)), "", None, n)
    if reader.nis:
        found["nis_mean"] = Figure(float(np.mean(reader.nis)), "", None, len(reader.nis))
    spread("nis", reader.nis, "")
    spread("position_stddev_mrad", reader.stddev, "mrad", 1e3)
    spread("outlier_threshold_mrad", reader.threshold, "mrad", 1e3)
    for topic, (delay, drift) in sorted(reader.delay.items()):
        found[f"delay_ms.{topic}"] = Figure(1e3 * delay, "ms")
        if np.isfinite(drift):
            found[f"drift_ms_per_s.{topic}"] = Figure(1e3 * drift, "ms/s")
    found["anomalies"] = Figure(sum(reader.anomalies.values()), "", None, n)
    if reader.last is not None:
        p = reader.last
        for k, ahead in enumerate((20, 100, 500)):
            for name, value in (("prediction", (p.error_20ms, p.error_100ms, p.error_500ms)[k]),
                                ("hold", p.error_hold[k]), ("velocity", p.error_velocity[k])):
                found[f"error_{name}_{ahead}ms_mrad"] = Figure(1e3 * value, "mrad", None, reader.predictions)
    return found


def as_table(figures: dict[str, Figure]) -> Table:
    table = Table("figure", "value", "unit", "n", header_style="bold")
    for name, f in figures.items():
        value = f"{f.value:.3f}" if isinstance(f.value, float) else str(f.value)
        table.add_row(name, value, f.unit, str(f.n))
    return table


def remarks(reader: TwinReader, report: ReplayReport) -> list[str]:
    lines = [f"anomaly {text}: {count} times" for text, count in reader.anomalies.most_common(12)]
    lines += [f"diagnosis went through: {', '.join(reader.diagnosis)}"] if reader.diagnosis else []
    lines += [f"looks ahead that found {code}: {count} of {reader.predictions}" for code, count in
              sorted(reader.violations.items())]
    lines += [f"refused: {key} {count}" for key, count in sorted(report.refusals.items())]
    return lines + report.remarks


def fitted(robot: RobotModel, states: list[RobotState]) -> dict[str, str]:
    """Friction and load by the slow fit over the whole recording, with intervals of 95 %."""
    try:
        report = fit_states(robot, states)
    except ValueError as error:
        return {"": f"not identified: {error}"}
    found = {j.name: j.problem or f"viscous {_interval(j.viscous)} N m s/rad, Coulomb {_interval(j.coulomb)} N m"
             for j in report.joints}
    return {**found, **{f"load, {side}": f"{_interval(value)} kg" for side, value in report.load.items()}}


def _interval(value: Value) -> str:
    return f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"


def run_twin(bag: Path, robot: RobotModel, out: Path | None = None, map_file: Path | None = None,
             settings: list[str] | None = None, keep: bool = False) -> tuple[TwinReader, ReplayReport]:
    """The recording through ingest and twin; (what was heard, report). BadInput: one line."""
    if out is not None and out.exists():
        raise BadInput(f"{out}: exists already; choose another folder or remove it")
    reader = TwinReader(keep)
    try:
        mapping = load_mapping(map_file)
        stages = make_stages(THROUGH, robot, [parse_setting(s) for s in settings or []])
        if out is None:
            report = replay(bag, [*stages, reader], robot, None, None, mapping)
        else:
            try:
                with BagWriter(out, {"model_hash": robot.hash, "through": ",".join(THROUGH)}) as writer:
                    report = replay(bag, [*stages, reader], robot, writer, None, mapping)
            except BagError:
                shutil.rmtree(out, ignore_errors=True)  # ours alone: it did not exist before
                raise
    except (BagError, ReplayError, ParameterError, MappingError) as error:
        raise BadInput(str(error)) from None
    if not reader.score:
        refused = ", ".join(f"{key} {n}" for key, n in sorted(report.refusals.items())) or "nothing refused"
        last = [source.refusals.last for stage in stages if isinstance(stage, IngestStage)
                for source in stage.core.sources.values() if source.refusals.total]
        refused += "".join(f"; {text}" for text in last[:3])
        raise BadInput(f"{bag}: the twin of '{robot.name}' found no robot state in it ({refused}); is it another "
                       "robot's? --robot names its file, --map the names in the recording")
    return reader, report


def twin_command(
    bag: Annotated[Path, typer.Argument(help="rosbag2 folder, .mcap, .db3 or ROS 1 .bag file.")],
    robot: Annotated[str, typer.Option(help="Robot file: a name in config/robots, or a path.")] = "g1",
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE",
                                              help="Write machine and figures to FILE.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write what the twin said as a bag into this new "
                                             "folder.")] = None,
    map_file: Annotated[Path | None, typer.Option("--map", metavar="FILE", help="YAML file that names topics and "
                                                  "joints of a foreign robot.")] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Also fit friction and loads to the whole recording; nothing "
                                      "is applied.")] = False,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="NODE.KEY=VALUE",
                                                       help="Set a node's parameter; may be given many times.")] = None,
) -> None:
    """Run the twin over a recording, faster than real time, and say how good it was; the same bag, the same hash."""
    check_writable(json)
    model = load_robot(robot)
    reader, report = run_twin(bag, model, out, map_file, settings, fit)
    figures = figures_of(reader, report)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(as_table(figures))
    fits = fitted(model, reader.states) if fit else {}
    for line in [*remarks(reader, report), *(f"fit {what}: {text}" for what, text in fits.items()),
                 f"{report.recorded_s:.1f} s of recording in {report.took_s:.1f} s "
                 f"({report.recorded_s / max(report.took_s, 1e-9):.1f} x real time)", f"sha256 {report.hash}"]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    write_figures(json, figures, hash=report.hash, anomalies=dict(reader.anomalies), refusals=report.refusals,
                  remarks=report.remarks, fit=fits)
