"""The command ``asteroid-nb``: every long command shows progress, writes a run folder and can be resumed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from asteroid_nb import __version__
from asteroid_nb.errors import AsteroidError

EXIT_INPUT, EXIT_INTERRUPTED = 2, 130

#: Commands whose work is not in `asteroid_nb.commands`; "doctor" runs where that cannot be imported.
ELSEWHERE = {
    "convert": ("data.conversion", "asked"),
    "doctor": ("health.diagnosis", "print_diagnosis"),
    "gallery": ("gallery.build", "gallery"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an input error is one message and exit status 2, Ctrl-C is 130."""
    options = parser().parse_args(arguments)
    try:
        return _work(options.command)(options) or 0
    except (AsteroidError, OSError) as error:
        print(f"asteroid-nb {options.command}: {error}", file=sys.stderr)
        return EXIT_INPUT
    except KeyboardInterrupt:
        print(f"\nasteroid-nb {options.command}: interrupted; what was written before is whole.", file=sys.stderr)
        return EXIT_INTERRUPTED


def _work(command: str) -> Callable[[argparse.Namespace], int | None]:
    room, verb = ELSEWHERE.get(command, ("commands", command))
    return getattr(import_module(f"asteroid_nb.{room}"), verb)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(
        prog="asteroid-nb", description="Learned molecular dynamics, and where it goes wrong."
    )
    whole.add_argument("--version", action="version", version=__version__)
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    data, models = (_demo, _simulate, _convert), (_train, _forecast, _evaluate, _report)
    for add in (*data, *models, _ablate, _states, _bench, _gallery, _lab, _doctor):
        add(commands)
    return whole


class _WithDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not that there is none."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default not in (None, False, []) else action.help


def _command(commands, name: str, purpose: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=purpose, description=purpose, formatter_class=_WithDefaults)


def _data(command: argparse.ArgumentParser, *, nargs: str = "+", also: str = "") -> None:
    said = f"trajectory files, or a named data set such as ethanol{also}"
    command.add_argument("data", nargs=nargs, metavar="DATA", help=said)
    command.add_argument("--top", help="topology file, for formats that carry no atoms")
    command.add_argument("--dt-fs", type=float, help="frame spacing in fs, for formats that carry no trustworthy time")
    command.add_argument("--stride", type=int, default=1, help="read every n-th frame")


def _fitting(command: argparse.ArgumentParser, *, n_epochs: int) -> None:
    command.add_argument("--epochs", type=int, default=n_epochs, help="passes over the training windows")
    command.add_argument("--batch-size", type=int, default=64, help="windows per step, shared among processes")
    command.add_argument("--learning-rate", type=float, default=2e-3, help="at its highest")
    command.add_argument("--patience", type=int, help="stop after so many epochs without a better validation")
    command.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation")
    command.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    command.add_argument("--precision", default="auto", help="auto, 32-true or bf16-mixed")
    command.add_argument("--devices", type=int, default=1, help="processes on each machine; torchrun says it by itself")
    command.add_argument("--nodes", type=int, default=1, help="machines; torchrun says it by itself")
    command.add_argument("--out", type=Path, help="run folder; a new one below runs/ when not given")
    command.add_argument("--resume", action="store_true", help="go on with the training in --out")


def _demo(commands) -> None:
    command = _command(commands, "demo", "Train on the bundled ethanol and compare with every rival.")
    _fitting(command, n_epochs=4)
    command.add_argument("--sample", default="ethanol", choices=["ethanol", "malonaldehyde"])


def _simulate(commands) -> None:
    command = _command(commands, "simulate", "Make reference dynamics with GFN2-xTB: several walkers, resumable.")
    command.add_argument("molecule", help="a name known to ASE (CH3CH2OH), ethanol, malonaldehyde, or a structure file")
    command.add_argument("--out", type=Path, required=True, help="folder that keeps what is finished")
    command.add_argument("--walkers", type=int, default=4)
    command.add_argument("--frames", type=int, default=5000, help="stored frames per walker")
    command.add_argument("--dt-fs", type=float, default=1.0, help="between stored frames")
    command.add_argument("--timestep-fs", type=float, default=0.5, help="of the integrator")
    command.add_argument("--method", default="GFN2-xTB", help="of tblite: GFN2-xTB, GFN1-xTB or IPEA1-xTB")
    command.add_argument("--temperature", type=float, default=500.0, help="K")
    command.add_argument("--equilibration-fs", type=float, default=5000.0)
    command.add_argument("--ensemble", default="nve", choices=["nve", "langevin"])
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--processes", type=int, help="walkers at a time; one per core when not given")


def _convert(commands) -> None:
    said = "Write a trajectory, a piece at a time, into a file that is mapped instead of read: for those beyond memory."
    command = _command(commands, "convert", said)
    command.add_argument("source", type=Path, metavar="FILE", help="trajectory file")
    command.add_argument("--top", help="topology file, for formats that carry no atoms")
    command.add_argument("--dt-fs", type=float, help="frame spacing in fs, for formats that carry no trustworthy time")
    command.add_argument("--stride", type=int, default=1, help="keep every n-th frame")
    command.add_argument("--atoms", help="selection to keep, such as 'element != H', of formats that MDTraj reads")
    command.add_argument("--out", type=Path, required=True, help="ends in .safetensors")


def _train(commands) -> None:
    command = _command(
        commands, "train", "Train an STI-Transformer; of three or more trajectories the last is for testing."
    )
    _data(command)
    _fitting(command, n_epochs=8)
    command.add_argument("--windows-per-epoch", type=int, help="drawn anew for each epoch; all when not given")
    command.add_argument("--preset", default="default", help="default, tiny, notebook or large")
    command.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting of the model or the loss"
    )


def _forecast(commands) -> None:
    command = _command(commands, "forecast", "Forecast from a trained run and write the trajectory.")
    command.add_argument("run", type=Path, help="run folder")
    _data(command)
    command.add_argument("--walker", type=int, default=-1, help="which of several trajectories, from 0; -1 is the last")
    command.add_argument("--start", type=int, default=0, help="stored frame at which the history begins")
    command.add_argument("--blocks", type=int, default=1, help="horizons chained")
    command.add_argument("--temperature", type=float, metavar="K", help="hold chained horizons at it; free otherwise")
    command.add_argument("--out", type=Path, default=Path("forecast.npz"), help="the ending names the format")


def _evaluate(commands) -> None:
    command = _command(commands, "evaluate", "Measure a trained run against every rival on held-out windows.")
    command.add_argument("run", type=Path, help="run folder")
    _data(command)
    command.add_argument("--networks", action="store_true", help="also train the LSTM and the plain Transformer")
    command.add_argument("--out", type=Path, help="folder for table and figures; the run folder when not given")


def _report(commands) -> None:
    command = _command(commands, "report", "Write one HTML page of a run that plays without kernel or network.")
    command.add_argument("run", type=Path, help="run folder")
    _data(command, nargs="*", also="; those it was trained on when not given")
    command.add_argument("--out", type=Path, help="the page; report.html in the run folder when not given")
    command.add_argument("--windows", type=int, default=200, help="test windows that can be played")
    command.add_argument("--title", help="of the page")


def _ablate(commands) -> None:
    command = _command(commands, "ablate", "Leave out one idea at a time, several seeds each, on the bundled sample.")
    command.add_argument("--epochs", type=int, default=2, help="passes over the training windows")
    command.add_argument("--seeds", type=int, default=3, help="trainings of each variant")
    command.add_argument("--variants", nargs="*", metavar="NAME", help="some of them, such as 'no STI'; otherwise all")
    command.add_argument("--processes", type=int, default=2, help="trainings at a time, one core each")
    command.add_argument("--out", type=Path, default=Path("runs/ablation"), help="folder that keeps what is finished")


def _states(commands) -> None:
    command = _command(
        commands, "states", "Language models on states: every experiment on rare events, its rules passed or failed."
    )
    command.add_argument("--figures", nargs="*", metavar="LETTER", help="some of A to I; otherwise all")
    command.add_argument("--seeds", type=int, default=3, help="of each arm; D and E take five where this is three")
    command.add_argument("--frames", type=int, default=600_000, help="of the four wells, one in six held out")
    command.add_argument(
        "--torsions", action="append", default=[], metavar="NAME=FILE",
        help="figure I on further torsions: ala2 or pentapeptide, and the .npz archive that holds them",
    )  # fmt: skip
    command.add_argument("--processes", type=int, default=2, help="trainings at a time, one core each")
    command.add_argument("--out", type=Path, default=Path("runs/states"), help="folder that keeps what is finished")


def _bench(commands) -> None:
    from asteroid_nb.bench.options import add_benches

    add_benches(commands, _command)


def _gallery(commands) -> None:
    command = _command(commands, "gallery", "Run notebooks and demo, and show all as pages that open from disk.")
    command.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK", help="all in notebooks/ when not given")
    command.add_argument("--out", type=Path, default=Path("gallery"), help="folder of the pages and their index.html")
    command.add_argument("--demo", type=Path, metavar="RUN", help="a demo's run folder; a demo is run when not given")
    command.add_argument("--no-demo", action="store_true", help="only the notebooks")
    command.add_argument("--resume", action="store_true", help="keep what was run before and has not changed since")
    command.add_argument("--picture", type=Path, help="also write a picture of the index")


def _lab(commands) -> None:
    command = _command(commands, "lab", "Open the notebooks in JupyterLab.")
    command.add_argument("notebook", nargs="?", default="01_forecast.ipynb", help="notebook to open first")
    command.add_argument("--no-browser", action="store_true")


def _doctor(commands) -> None:
    _command(commands, "doctor", "Check versions, devices and folders; exit status 1 if something is broken.")


if __name__ == "__main__":
    sys.exit(main())
