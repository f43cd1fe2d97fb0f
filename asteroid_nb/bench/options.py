"""Options of ``asteroid-nb bench``: one command below it for each bench."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Adds a command by name and purpose.
Adding = Callable[[Any, str, str], argparse.ArgumentParser]


def add_benches(commands: Any, add: Adding) -> None:
    """Add the command and all below it."""
    purpose = "Every figure from raw logs, each with its rule; finished work is kept."
    benches = add(commands, "bench", purpose).add_subparsers(dest="bench", required=True, metavar="BENCH")
    _bench_equilibrium(benches, add)
    _bench_accuracy(benches, add)
    _bench_rollout(benches, add)
    _bench_speed(benches, add)
    _bench_scale(benches, add)
    _bench_uncertainty(benches, add)
    _bench_peers(benches, add)


def _bench_equilibrium(benches: Any, add: Adding) -> None:
    command = add(benches, "equilibrium", "The equilibrium force field and its warm starts.")
    command.add_argument("--figures", nargs="*", metavar="NAME", help="some of A1 to D4; otherwise all")
    command.add_argument(
        "--data", metavar="NAME=FILE",
        help="trajectories with forces, @DT_FS after the file where it carries no time; otherwise the bundled ethanol",
    )  # fmt: skip
    command.add_argument(
        "--preset", default="small", choices=["small", "large"], help="of the models: vectors, or attention for a GPU"
    )
    command.add_argument("--width", type=int, help="channels of every model; otherwise 64, or 32 with --small")
    command.add_argument("--small", action="store_true", help="minutes instead of hours, held to the small rules")
    command.add_argument(
        "--compiled", action="store_true", help="long runs of dynamics by torch.compile, which needs a C++ compiler"
    )
    command.add_argument("--seeds", type=int, help="of each model in figure C4; otherwise 3, or 1 with --small")
    command.add_argument(
        "--models", nargs="+", metavar="NAME", help='compared in figure C4, such as DEQ "K = 1"; otherwise all'
    )
    command.add_argument("--choose", choices=["evenly", "farthest"], help="frames to learn from")
    command.add_argument("--epochs", type=int, help="of every training")
    command.add_argument("--long", type=int, help="epochs of one equilibrium model more in figure C4, for its target")
    command.add_argument("--frames", type=int, help="to learn from")
    command.add_argument("--processes", type=int, default=2, help="trainings at a time, one core each")
    command.add_argument(
        "--page", help="name of the page that is written; equilibrium, with the figures' names where some are chosen"
    )
    command.add_argument(
        "--out", type=Path, default=Path("runs/equilibrium"), help="folder that keeps what is finished"
    )


def _bench_accuracy(benches: Any, add: Adding) -> None:
    command = add(benches, "accuracy", "Errors of the STI-Transformer's forecasts beside every rival's.")
    _forecasts(command, protocols=["F1", "P3"], page="accuracy")


def _bench_rollout(benches: Any, add: Adding) -> None:
    command = add(benches, "rollout", "The STI-Transformer's forecasts chained for picoseconds, and the rivals'.")
    _forecasts(command, protocols=["F1"], page="rollouts")
    command.add_argument("--length", type=float, default=5000.0, metavar="FS", help="of each chain")
    command.add_argument("--starts", type=int, default=64, help="chains of each forecaster")
    command.add_argument("--temperature", type=float, metavar="K", help="a thermostat holds chains at it")
    command.add_argument(
        "--reference", metavar="METHOD",
        help="that made the data, such as GFN2-xTB: chains start from its own dynamics, equilibrated one by one at the "
        "temperature (otherwise 500 K), keep their energy, and are judged by it",
    )  # fmt: skip


def _bench_speed(benches: Any, add: Adding) -> None:
    command = add(benches, "speed", "Trajectory forecast in a second, beside GFN2-xTB, and what limits it.")
    _forecasts(command, protocols=["F1", "P3"], page="speed", seeds=False)
    command.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="that forecasts are timed on")


def _bench_scale(benches: Any, add: Adding) -> None:
    command = add(benches, "scale", "Time and memory of forecast and training from 10 to 100,000 atoms.")
    sizes = [10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000]
    command.add_argument("--sizes", type=int, nargs="+", default=sizes, metavar="ATOMS", help="of the boxes, about")
    command.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="that is measured")
    command.add_argument("--preset", default="notebook", help="make of the model: tiny, notebook or large")
    command.add_argument("--limit", type=float, default=8.0, metavar="GIB", help="of memory for attention of all pairs")
    command.add_argument("--page", default="scale", help="name of the page that is written")
    command.add_argument("--out", type=Path, default=Path("runs/scale"), help="folder of the page")


def _bench_uncertainty(benches: Any, add: Adding) -> None:
    purpose = "Whether an ensemble knows how wrong it is, and where to simulate next, beside simple rivals."
    command = add(benches, "uncertainty", purpose)
    command.add_argument("--sample", default="ethanol", choices=["ethanol", "malonaldehyde"])
    command.add_argument(
        "--strategies", nargs="+", default=[], metavar="NAME",
        help='that choose what is simulated next: spread, random, farthest, "straight on"; otherwise all',
    )  # fmt: skip
    command.add_argument("--seeds", type=int, default=3, help="of the ensembles that are judged; 0 for none")
    command.add_argument("--loops", type=int, default=3, help="seeds of each loop of simulating; 0 for none")
    command.add_argument("--first-loop", type=int, default=0, metavar="SEED", help="the first of these seeds")
    command.add_argument(
        "--kelvin", nargs=2, type=float, metavar=("LOW", "HIGH"),
        help="between which the temperature of each chain, and of what is simulated from it, is drawn; otherwise 650 K",
    )  # fmt: skip
    command.add_argument(
        "--pieces", nargs=2, type=int, metavar=("N", "FRAMES"),
        help="how many pieces are simulated in a round, and of how many frames; otherwise 6 of 50",
    )  # fmt: skip
    command.add_argument("--processes", type=int, default=2, help="at a time, one core each")
    command.add_argument("--page", default="uncertainty", help="name of the page that is written")
    command.add_argument("--out", type=Path, default=Path("runs/forecasts"), help="folder that keeps what is finished")


def _bench_peers(benches: Any, add: Adding) -> None:
    purpose = "Forecasters of others on our windows, trained as long as ours, each in an environment of its own."
    command = add(benches, "peers", purpose)
    command.add_argument(
        "--data", nargs="+", default=[], metavar="NAME=FILE",
        help="trajectories, @DT_FS after the file where it carries no time; otherwise the bundled ethanol",
    )  # fmt: skip
    command.add_argument("--protocols", nargs="+", default=["F1"], metavar="NAME", help="how forecasts are asked")
    command.add_argument("--peers", nargs="+", default=["flashmd", "egno"], metavar="NAME", help="which are asked")
    command.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PYTHON", help="the Python in which a peer is installed"
    )
    command.add_argument("--environments", type=Path, help="folder of their environments, by name; one in --out if not")
    command.add_argument("--install", action="store_true", help="make environments that are not there, by venv and pip")
    command.add_argument(
        "--seconds", type=float, help="of processor time a peer may train; what learned Newton took when not given"
    )
    command.add_argument("--page", default="peers", help="name of the page that is written")
    command.add_argument("--out", type=Path, default=Path("runs/forecasts"), help="folder that keeps what is finished")


def _forecasts(command: argparse.ArgumentParser, *, protocols: list[str], page: str, seeds: bool = True) -> None:
    command.add_argument(
        "--data", nargs="+", default=[], metavar="NAME=FILE",
        help="trajectories, @DT_FS after the file where it carries no time; otherwise the bundled ethanol",
    )  # fmt: skip
    command.add_argument("--protocols", nargs="+", default=protocols, metavar="NAME", help="how forecasts are asked")
    if seeds:
        command.add_argument(
            "--seeds", type=int, default=3, help="of each training; 0 shows the rivals of accuracy alone"
        )
    command.add_argument("--epochs", type=int, default=3, help="of each training")
    command.add_argument("--processes", type=int, default=2, help="trainings at a time, one core each")
    command.add_argument("--page", default=page, help="name of the page that is written")
    command.add_argument("--out", type=Path, default=Path("runs/forecasts"), help="folder that keeps what is finished")
