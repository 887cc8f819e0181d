"""Real-time chunking inside a flow policy's denoising (Black, Galliker and Levine 2025, algorithm 1).

The velocity of each denoising step is corrected so that the chunk it leads to agrees with the rows of the running
chunk, weighted by ``core.chunking.weights``. That needs the model's gradient, so it works for policies that run in this
process; over the plain protocols of openpi, GR00T, LeRobot and OpenVLA it is not possible, except where a server takes
the prefix itself (openpi.prefix of the contract).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vla_nodes.core.chunking import weights

if TYPE_CHECKING:
    import torch


def denoise(
    velocity: Callable[[torch.Tensor, float], torch.Tensor],
    noise: torch.Tensor,
    steps: int = 10,
    prefix: torch.Tensor | None = None,
    delay: int = 0,
    beta: float = 5.0,
) -> torch.Tensor:
    """Integrate ``velocity(x, tau)`` from ``noise`` [batch, horizon, size] at tau = 0 to actions at tau = 1.

    ``prefix`` [batch, rows, size] guides it; ``beta`` bounds the guidance's weight, as in the paper.
    """
    import torch

    x, dt = noise, 1.0 / steps
    if prefix is not None:
        rows = prefix.shape[1]
        bound = torch.as_tensor(weights(noise.shape[1], rows, delay), dtype=noise.dtype, device=noise.device)
        target = torch.zeros_like(noise)
        target[:, :rows] = prefix[:, : noise.shape[1]]
    for k in range(steps):
        tau = k * dt
        if prefix is None:
            x = x + dt * velocity(x, tau)
            continue
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            v = velocity(leaf, tau)
            final = leaf + (1.0 - tau) * v
            error = bound[None, :, None] * (target - final.detach())
            (pull,) = torch.autograd.grad(final, leaf, error)
        r2 = (1.0 - tau) ** 2 / (tau**2 + (1.0 - tau) ** 2)
        gain = min(beta, (1.0 - tau) / (tau * r2)) if tau > 0.0 else beta
        x = (x + dt * (v + gain * pull)).detach()
    return x
