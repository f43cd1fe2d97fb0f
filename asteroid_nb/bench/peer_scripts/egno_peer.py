# pyright: reportMissingImports=false
"""EGNO of PINA (`pip install pina-mathlab`) trained from scratch: from one state to the whole path ahead.

Reference:
    Xu et al. (2024), arXiv:2401.11037.
"""

import copy
import math

import numpy as np
import torch
from exchange import Exchange
from pina.model import EquivariantGraphNeuralOperator
from torch_geometric.data import Data

#: Its authors have five layers of width 64 and paths of 8 frames; those of 32 take four times as long, and these sizes
#: make a few thousand steps in minutes of one core.
LAYERS, WIDTH, MODES, TIME_WIDTH = 4, 32, 4, 32
BATCH, LEARNING_RATE, WEIGHT_DECAY, CLIP = 8, 2e-3, 1e-8, 1.0

#: PINA draws Fourier weights from 0 to 1, which grows features manifold in every layer; its authors' code draws
#: them from 0 to 1 over the product of both widths.
SMALLER = 1 / WIDTH**2

#: Seconds between looks at the validation windows, the share of the time they may take, and what is kept for the end.
LOOK_SECONDS, SPARE = 6, 0.02


def main():
    exchange = Exchange()
    torch.set_num_threads(1)
    torch.manual_seed(exchange.task["seed"])
    peer = Peer(exchange)
    n_steps, best = train(exchange, peer)
    exchange.trained(
        n_parameters=sum(one.numel() for one in peer.model.parameters()),
        packages=["pina-mathlab", "torch_geometric", "torch"],
        about=f"{n_steps} steps of {BATCH} windows, learning rate {LEARNING_RATE:g} to 0 by a cosine, {LAYERS} layers "
        f"of width {WIDTH}, {MODES} modes, Fourier weights drawn {SMALLER:g} times as large; best of validation: mean "
        f"squared error {best:.3g} Å²",
    )
    positions, velocities = (torch.from_numpy(one) for one in exchange.windows("test"))
    exchange.answer(peer.forecasts(positions[:, -1], velocities[:, -1]))


class Peer:
    """The model, and how states become its graphs: all pairs of atoms, elements and masses as features."""

    def __init__(self, exchange):
        task = exchange.task
        self.horizon, self.dt_fs = task["horizon"], task["dt_fs"]
        numbers = torch.tensor(task["atomic_numbers"])
        kinds = torch.nn.functional.one_hot(torch.unique(numbers, return_inverse=True)[1]).float()
        self.n_atoms = len(numbers)
        self.features = torch.zeros(self.n_atoms, WIDTH)
        self.features[:, : kinds.shape[1]] = kinds
        pairs = torch.cartesian_prod(torch.arange(self.n_atoms), torch.arange(self.n_atoms))
        self.edges = pairs[pairs[:, 0] != pairs[:, 1]].T
        self.model = EquivariantGraphNeuralOperator(
            n_egno_layers=LAYERS, node_feature_dim=WIDTH, edge_feature_dim=2 * kinds.shape[1] + 1, pos_dim=3,
            modes=MODES, time_steps=self.horizon, hidden_dim=WIDTH, time_emb_dim=TIME_WIDTH,
        )  # fmt: skip
        with torch.no_grad():
            for layer in self.model.egno_layers:
                layer.weight_scalar_r.mul_(SMALLER)
                layer.weight_scalar_i.mul_(SMALLER)
        self.kinds = kinds

    def path(self, positions, velocities):
        """Return [windows, horizon, atoms, 3] from [windows, atoms, 3]; velocities are given in Å a horizon."""
        n_windows = len(positions)
        offsets = (torch.arange(n_windows) * self.n_atoms)[:, None]
        edges = torch.stack([(side + offsets).flatten() for side in self.edges])
        apart = (positions[:, self.edges[0]] - positions[:, self.edges[1]]).square().sum(-1)
        ends = torch.cat([self.kinds[side] for side in self.edges], dim=1).expand(n_windows, -1, -1)
        centre = positions.mean(1, keepdim=True)
        graph = Data(
            x=self.features.repeat(n_windows, 1),
            pos=(positions - centre).flatten(0, 1),
            vel=(velocities * self.dt_fs * self.horizon).flatten(0, 1),
            edge_index=edges,
            edge_attr=torch.cat([ends, apart[..., None]], dim=-1).flatten(0, 1),
        )
        found = self.model(graph).pos.unflatten(1, (n_windows, self.n_atoms))
        return found.transpose(0, 1) + centre[:, None]

    @torch.no_grad()
    def forecasts(self, positions, velocities):
        self.model.eval()
        chunks = zip(positions.split(128), velocities.split(128), strict=True)
        found = torch.cat([self.path(*chunk) for chunk in chunks])
        self.model.train()
        return found


def train(exchange, peer):
    """Train until the time is up, keep what was best on the validation windows; return steps and that best."""
    positions, velocities = (torch.from_numpy(one) for one in exchange.windows("train"))
    chosen = [torch.from_numpy(one) for one in exchange.windows("validation")]
    present, allowed = exchange.present, exchange.seconds_left()
    optimizer = torch.optim.Adam(peer.model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    best, kept, n_steps, looked = math.inf, copy.deepcopy(peer.model.state_dict()), 0, allowed
    while (left := exchange.seconds_left()) > SPARE * allowed:
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * LEARNING_RATE * (1 + math.cos(math.pi * (1 - left / allowed)))
        rows = torch.randint(len(positions), (BATCH,))
        found = peer.path(positions[rows, present], velocities[rows, present])
        loss = (found - positions[rows, present + 1 :]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.model.parameters(), CLIP)
        optimizer.step()
        n_steps += 1
        if looked - left > LOOK_SECONDS or left < 2 * SPARE * allowed:
            looked = left
            error = judged(peer, chosen, present)
            print(f"step {n_steps}: {loss.item():.5f} Å², validation {error:.5f} Å²", flush=True)
            if error < best:
                best, kept = error, copy.deepcopy(peer.model.state_dict())
    peer.model.load_state_dict(kept)
    return n_steps, best


def judged(peer, chosen, present, most=64):
    """Return the mean squared error on some validation windows, spread evenly."""
    positions, velocities = chosen
    rows = np.unique(np.linspace(0, len(positions) - 1, most).astype(int))
    found = peer.forecasts(positions[rows, present], velocities[rows, present])
    return (found - positions[rows, present + 1 :]).square().mean().item()


if __name__ == "__main__":
    main()
