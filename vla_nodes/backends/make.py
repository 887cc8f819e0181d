"""The policy of a name. What a protocol or a model needs is imported only when it is asked for."""

from __future__ import annotations

import importlib

from humanoid_core.robot_model import RobotModel
from vla_nodes.backends.base import Backend
from vla_nodes.core.contract import ContractError, Loaded, load_contract

#: Backends that act under a contract: module and wire.
WIRES = {
    "openpi": ("vla_nodes.backends.openpi", "OpenpiWire"),
    "gr00t": ("vla_nodes.backends.gr00t", "Gr00tWire"),
    "openvla": ("vla_nodes.backends.openvla", "OpenvlaWire"),
    "lerobot": ("vla_nodes.backends.lerobot", "LerobotWire"),
    "hf": ("vla_nodes.backends.hf", "HfWire"),
}


def make_backend(name: str, robot: RobotModel, policy: str = "", server: str = "") -> Backend:
    """``name`` classical or one of ``WIRES``; those need ``policy``, a contract; ``server`` overrides its address.

    Raises PostureError or ContractError when robot, contract and checkpoint do not fit one another.
    """
    if name == "classical":
        from vla_nodes.backends.classical import Classical

        return Classical(robot)
    if not policy:
        raise ContractError("vla_policy", "policy", policy, f"backend '{name}' needs a policy contract, such as "
                            f"'{robot.name}_{name}'; see docs/adding-a-policy.md")  # fmt: skip
    loaded = load_contract(policy, robot)
    if loaded.terms.backend != name:
        raise loaded.refuse("backend", loaded.terms.backend, f"the node's parameter backend says '{name}'")
    return under_contract(loaded, robot, server)


def under_contract(loaded: Loaded, robot: RobotModel, server: str = "") -> Backend:
    """The backend of a loaded contract, connecting or loading in a thread of its own from now on."""
    from vla_nodes.backends.remote import Remote

    module, kind = WIRES[loaded.terms.backend]
    wire = getattr(importlib.import_module(module), kind)
    where = server or loaded.terms.server or loaded.checkpoint
    if not where:
        raise loaded.refuse("server", "", "no address: give one here or in the node's parameter server")
    wire.check(loaded, where)
    return Remote(loaded, robot, lambda: wire(loaded, where), where)
