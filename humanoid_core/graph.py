"""The graph description: which processes make one running system, in one file for every way to start it.

``config/graphs/<name>.yaml`` lists the nodes; `humanoid-twin up` and the launch files both read it here. A file
that cannot be used is refused with a ``GraphError`` that names file, key, value and the nearest valid key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from humanoid_core.robot import StrictLoader, robot_folders
from humanoid_core.robot_schema import Name, Positive, Strict, nearest

#: Their end ends the robot's only source of commands: a person looks at why it ended before it runs again.
NEVER_RESPAWNED = frozenset({"command_gate", "unitree_bridge", "ros2_control_bridge"})

Scalar = bool | int | float | str
Value = Scalar | list[bool] | list[int] | list[float] | list[str]
#: A substitution that every graph has: the folder that holds graphs/, nodes/ and robots/.
CONFIG = "config"
_SUBSTITUTION = re.compile(r"\$\{([^}]*)\}")


class GraphError(ValueError):
    """A graph file or setting that cannot be used: ``file``, ``key`` and ``value`` say where."""

    def __init__(self, file: object, key: str, value: object, text: str) -> None:
        self.file, self.key, self.value = str(file), key, value
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(f"{file}: {key} = {shown}: {text}" if key else f"{file}: {text}")


class Respawn(Strict):
    """Restart a node that ended: wait ``delay`` s, twice as long each time up to ``longest`` s, and give up
    after ``limit`` restarts within ``window`` s."""

    delay: Positive = 0.5
    longest: Positive = 8.0
    limit: Annotated[int, Field(strict=True, ge=1)] = 5
    window: Positive = 60.0

    def wait(self, restarts: int) -> float:
        """Seconds to wait before restart number ``restarts`` + 1 within the window."""
        return float(min(self.delay * 2.0**restarts, self.longest))


class NodeEntry(Strict):
    """One node as the file gives it."""

    name: Name
    executable: Name
    parameter_file: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    remap: dict[str, str] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)
    respawn: Respawn | None = None
    required: Annotated[bool, Field(strict=True)] = True
    #: Has the lifecycle services of a managed node; false for a program that knows nothing of them.
    managed: Annotated[bool, Field(strict=True)] = True
    #: Activated when these are; one that is not required is not waited for once it cannot be.
    after: list[Name] = Field(default_factory=list)
    nice: Annotated[int, Field(strict=True, ge=0, le=19)] = 0
    #: The argument without which this node is left out; 'argument=value': left out unless it has this value.
    when: Annotated[str, Field(strict=True, pattern=r"^[a-z][a-z0-9_]*(=[A-Za-z0-9_]+)?$")] | None = None

    @model_validator(mode="after")
    def _gate_stays_down(self) -> NodeEntry:
        if self.executable in NEVER_RESPAWNED and self.respawn is not None:
            raise ValueError(f"{self.executable} is never restarted by itself: a person finds out why it ended")
        return self


class GraphFile(Strict):
    """The whole file."""

    description: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)
    nodes: Annotated[list[NodeEntry], Field(min_length=1)]


@dataclass(frozen=True)
class NodeSpec:
    """One node, ready to start: substitutions made, files found.

    ``environment`` holds defaults: what the caller's environment gives already stays. ``nice``: 0 to 19, how far
    the node steps back when the processor is short.
    """

    name: str
    executable: str
    parameter_file: Path | None
    parameters: Mapping[str, Value]
    remap: Mapping[str, str]
    environment: Mapping[str, str]
    respawn: Respawn | None
    required: bool
    after: tuple[str, ...]
    nice: int
    managed: bool = True

    def ros_arguments(self, namespace: str = "") -> list[str]:
        """The ``--ros-args`` part of the command line. A managed node then waits for its manager."""
        out = ["--ros-args", "-r", f"__node:={self.name}"]
        if namespace:
            out += ["-r", f"__ns:=/{namespace.strip('/')}"]
        for old, new in self.remap.items():
            out += ["-r", f"{old}:={new}"]
        if self.parameter_file is not None:
            out += ["--params-file", str(self.parameter_file)]
        for key, value in self.parameters.items():
            out += ["-p", f"{key}:={json.dumps(value)}"]  # JSON is YAML: a quoted text stays a text
        if self.managed:
            out += ["-p", "autostart:=false"]
        return out


@dataclass(frozen=True)
class Graph:
    """A graph ready to start; ``nodes`` in start order."""

    name: str
    file: Path
    description: str
    nodes: tuple[NodeSpec, ...]
    arguments: Mapping[str, Scalar] = field(default_factory=dict)

    def node(self, name: str) -> NodeSpec:
        """The node of this name; GraphError with the nearest one when there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise GraphError(self.file, "node", name, f"no such node; {nearest(name, [n.name for n in self.nodes])}")


def graph_folders() -> list[Path]:
    """Folders searched for graphs, in order; beside the robots' folders."""
    return [folder.parent / "graphs" for folder in robot_folders()]


def known_graphs() -> list[str]:
    """Names of all graphs found."""
    return sorted({p.stem for folder in graph_folders() for p in folder.glob("*.yaml")})


def find_graph_file(name_or_path: str) -> Path:
    """The file of a graph given by name or path."""
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        path = Path(name_or_path)
        if path.is_file():
            return path
        raise GraphError(name_or_path, "", None, "no such graph file")
    for folder in graph_folders():
        path = folder / f"{name_or_path}.yaml"
        if path.is_file():
            return path
    raise GraphError(name_or_path, "", None, f"no graph of this name; {nearest(name_or_path, known_graphs())}")


def parse_setting(text: str) -> tuple[str, str, Value]:
    """``node.key=value`` -> (node, key, value); the value is read as YAML."""
    path, equals, raw = text.partition("=")
    node, dot, key = path.partition(".")
    if not (equals and dot and node and key):
        raise GraphError("--set", "", None, f"'{text}' is not of the form node.parameter=value")
    try:
        value = yaml.safe_load(raw) if raw else ""
    except yaml.YAMLError:
        raise GraphError("--set", path, raw, "the value is not valid YAML; put quotes around a text") from None
    return node, key, _value("--set", path, value)


def load_graph(
    name_or_path: str,
    arguments: Mapping[str, Scalar] | None = None,
    settings: Sequence[tuple[str, str, Value]] = (),
) -> Graph:
    """Read a graph, fill in its arguments and apply ``(node, parameter, value)`` settings. Raises GraphError."""
    path = find_graph_file(name_or_path)
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise GraphError(path, "", None, " ".join(str(error).split())) from None
    if not isinstance(data, dict):
        raise GraphError(path, "", None, "a graph file is a mapping of keys; see config/graphs/sim.yaml")
    return graph_from_data(data, path, arguments, settings)


def graph_from_data(
    data: Mapping[str, Any],
    path: Path,
    arguments: Mapping[str, Scalar] | None = None,
    settings: Sequence[tuple[str, str, Value]] = (),
) -> Graph:
    """Check parsed YAML; ``path`` names errors and anchors parameter files."""
    try:
        file = GraphFile.model_validate(data)
    except ValidationError as error:
        raise _from_pydantic(path, error) from None
    values = _fill_arguments(file, path, dict(arguments or {}))
    file = _without_unwanted(path, file, values)
    names = [n.name for n in file.nodes]
    overrides: dict[str, dict[str, Value]] = {}
    for node, key, value in settings:
        if node not in names:
            raise GraphError(path, f"{node}.{key}", value, f"no such node; {nearest(node, names)}")
        overrides.setdefault(node, {})[key] = value
    nodes = [_resolve(path, file, entry, values, overrides.get(entry.name, {})) for entry in _ordered(path, file)]
    given = {name: value for name, value in values.items() if name != CONFIG}
    return Graph(path.stem, path, file.description, tuple(nodes), given)


def _fill_arguments(file: GraphFile, path: Path, given: dict[str, Scalar]) -> dict[str, Scalar]:
    for name, value in given.items():
        if name not in file.arguments:
            raise GraphError(path, f"arguments.{name}", value,
                             f"this graph takes no such argument; {nearest(name, list(file.arguments))}")
    if CONFIG in file.arguments:
        raise GraphError(path, f"arguments.{CONFIG}", file.arguments[CONFIG], "this name is taken")
    values = {**file.arguments, **given, CONFIG: str(path.parent.parent.absolute())}
    for name, value in values.items():
        if not isinstance(value, (bool, int, float, str)):
            raise GraphError(path, f"arguments.{name}", value, "must be a number, a text or true/false")
    return values


def _without_unwanted(path: Path, file: GraphFile, values: Mapping[str, Scalar]) -> GraphFile:
    """The file without nodes whose argument is empty, 0 or false; nobody waits for those."""
    for i, entry in enumerate(file.nodes):
        if entry.when is not None and entry.when.partition("=")[0] not in file.arguments:
            raise GraphError(path, f"nodes[{i}].when", entry.when,
                             f"no such argument; {nearest(entry.when, list(file.arguments))}")
    _known_choices(path, file, values)
    gone = {n.name for n in file.nodes if n.when is not None and not _wanted(n.when, values)}
    kept = [n.model_copy(update={"after": [a for a in n.after if a not in gone]})
            for n in file.nodes if n.name not in gone]
    return file.model_copy(update={"nodes": kept})


def _wanted(when: str, values: Mapping[str, Scalar]) -> bool:
    argument, equals, value = when.partition("=")
    return str(values[argument]) == value if equals else bool(values[argument])


def _known_choices(path: Path, file: GraphFile, values: Mapping[str, Scalar]) -> None:
    """An argument that nodes compare with has one of their values, its default, or 'none'."""
    choices: dict[str, list[str]] = {}
    for entry in file.nodes:
        argument, equals, value = (entry.when or "").partition("=")
        if equals:
            choices.setdefault(argument, [str(file.arguments[argument]), "none"]).append(value)
    for argument, known in choices.items():
        if str(values[argument]) not in known:
            raise GraphError(path, f"arguments.{argument}", values[argument],
                             f"must be one of {', '.join(sorted(set(known)))}")

def _ordered(path: Path, file: GraphFile) -> list[NodeEntry]:
    """Nodes with each after the ones it waits for, otherwise as in the file."""
    names = [n.name for n in file.nodes]
    for i, entry in enumerate(file.nodes):
        if names.index(entry.name) != i:
            raise GraphError(path, f"nodes[{i}].name", entry.name, "this name is given twice")
        for other in entry.after:
            if other not in names:
                raise GraphError(path, f"nodes[{i}].after", other, f"no such node; {nearest(other, names)}")
    waiting, ordered = list(file.nodes), list[NodeEntry]()
    started: set[str] = set()
    while waiting:
        ready = next((n for n in waiting if started.issuperset(n.after)), None)
        if ready is None:
            circle = ", ".join(n.name for n in waiting)
            raise GraphError(path, "after", circle, "these nodes wait for one another")
        waiting.remove(ready)
        ordered.append(ready)
        started.add(ready.name)
    return ordered


def _resolve(
    path: Path, file: GraphFile, entry: NodeEntry, values: Mapping[str, Scalar], overrides: Mapping[str, Value]
) -> NodeSpec:
    key = f"{entry.name}.parameters"
    parameters = {k: _substitute(path, f"{key}.{k}", v, values) for k, v in entry.parameters.items()}
    parameters.update(overrides)
    parameter_file = None
    if entry.parameter_file is not None:
        name = str(_substitute(path, f"{entry.name}.parameter_file", entry.parameter_file, values))
        parameter_file = (path.parent / name).resolve()
        if not parameter_file.is_file():
            raise GraphError(path, f"{entry.name}.parameter_file", name, f"no such file (looked at {parameter_file})")
    environment = {
        k: str(_substitute(path, f"{entry.name}.environment.{k}", v, values))
        for k, v in {**file.environment, **entry.environment}.items()
    }
    return NodeSpec(entry.name, entry.executable, parameter_file, parameters, dict(entry.remap), environment,
                    entry.respawn, entry.required, tuple(entry.after), entry.nice, entry.managed)


def _substitute(path: Path, key: str, value: Any, values: Mapping[str, Scalar]) -> Value:
    """Replace ``${name}``; a value that is nothing but one substitution keeps the argument's type."""
    if isinstance(value, str):
        for name in _SUBSTITUTION.findall(value):
            if name not in values:
                raise GraphError(path, key, value, f"no argument '{name}'; {nearest(name, list(values))}")
        whole = _SUBSTITUTION.fullmatch(value)
        if whole:
            return values[whole.group(1)]
        return _SUBSTITUTION.sub(lambda m: str(values[m.group(1)]), value)
    return _value(path, key, value)


def _value(file: object, key: str, value: Any) -> Value:
    """A ROS parameter is a scalar or a list of scalars of one kind."""
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list) and value:
        kinds = {type(v) for v in value}
        if kinds <= {bool} or kinds <= {int} or kinds <= {str}:
            return value
        if kinds <= {int, float}:
            return [float(v) for v in value]
    raise GraphError(file, key, value, "a parameter is a number, a text, true/false, or a list of one of these")


def _from_pydantic(path: Path, error: ValidationError) -> GraphError:
    """First problem, worded for people."""
    first = error.errors()[0]
    context = first.get("ctx", {})
    where, value = list(first["loc"]), first["input"]
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "unknown_key":
        where.append(context["key"])
        value = context["value"]
    elif first["type"] == "missing":
        value, text = None, "missing, and it has no default"
    elif first["type"] == "value_error" and isinstance(value, dict):
        value = value.get("name")
    key = ""
    for part in where:
        key += f"[{part}]" if isinstance(part, int) else (f".{part}" if key else str(part))
    return GraphError(path, key, value, text)
