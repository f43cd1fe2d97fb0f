"""What each command does: reads its options, calls the library, writes a run folder and says what it wrote."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import subprocess
import sys
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asteroid_nb.data.catalogue import load_named, names
from asteroid_nb.data.readers import load, save, save_walkers
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, MissingExtra, UnreadableFile
from asteroid_nb.files import replacing, runs_folder

if TYPE_CHECKING:  # torch takes seconds to import: only the commands that train or forecast do
    from asteroid_nb.fit_settings import FitSettings

#: In a run folder: the data it was trained on.
DATA_RECORD = "data.json"

#: What a command returns when it was stopped, as for Ctrl-C everywhere.
STOPPED = 130


def demo(options: argparse.Namespace) -> int:
    from asteroid_nb import demonstration

    folder, told = joined(options, "demo")
    remember(folder, argparse.Namespace(data=[options.sample], top=None, dt_fs=None, stride=1))
    run = demonstration.run(options.sample, folder=folder, fit_settings=told, resume=options.resume)
    return 0 if run.finished else STOPPED


def simulate(options: argparse.Namespace) -> None:
    from asteroid_nb.data.simulate import simulate as run_walkers

    walkers = run_walkers(
        options.molecule,
        method=options.method,
        temperature_K=options.temperature,
        n_walkers=options.walkers,
        n_frames=options.frames,
        dt_fs=options.dt_fs,
        timestep_fs=options.timestep_fs,
        equilibration_fs=options.equilibration_fs,
        ensemble=options.ensemble,
        seed=options.seed,
        processes=options.processes,
        out=options.out,
    )
    path = save_walkers(walkers, options.out / "walkers.npz")
    print(f"{len(walkers)} walkers of {walkers[0].n_frames} frames, every {walkers[0].dt_fs:g} fs: {path}")


def train(options: argparse.Namespace) -> int:
    from asteroid_nb.forecast.settings import ObjectiveSettings, STISettings, preset
    from asteroid_nb.forecast.training import train as train_model
    from asteroid_nb.processes import say

    folder, told = joined(options, "train")
    trajectories = open_data(options)
    say(f"Training on {trajectories[0].name!r}, {len(trajectories)} trajectories; the run goes to {folder}")
    remember(folder, options)
    model, objective = changed(options.set, STISettings, ObjectiveSettings)
    run = train_model(
        trajectories,
        settings=preset(options.preset, **model),
        objective=ObjectiveSettings(**objective),
        fit_settings=told,
        windows_per_epoch=options.windows_per_epoch,
        folder=folder,
        resume=options.resume,
    )
    if not run.finished:
        say(f"Stopped. Go on with the same command, --out {folder} and --resume.")
        return STOPPED
    data = {"--top": options.top, "--dt-fs": options.dt_fs, "--stride": options.stride if options.stride > 1 else None}
    again = [*options.data, *(f"{name} {value}" for name, value in data.items() if value is not None)]
    say(f"Done. Measure it with: asteroid-nb evaluate {folder} {' '.join(again)}")
    return 0


def forecast(options: argparse.Namespace) -> None:
    from asteroid_nb.forecast.rollout import predict
    from asteroid_nb.forecast.run import Run
    from asteroid_nb.forecast.thermostat import Thermostat

    run, trajectories = Run.load(options.run), open_data(options)
    if not -len(trajectories) <= options.walker < len(trajectories):
        raise InvalidSettings(f"--walker was {options.walker}; there are {len(trajectories)} trajectories, from 0.")
    trajectory = trajectories[options.walker]
    held = None if options.temperature is None else Thermostat(temperature_K=options.temperature)
    ahead = predict(run, trajectory, starts=options.start, n_blocks=options.blocks, thermostat=held)
    path = save(ahead, options.out)
    frames = run.settings.horizon * options.blocks
    print(f"{run.settings.history} frames of history and {frames} predicted ({frames * run.dt_fs:g} fs): {path}")


def evaluate(options: argparse.Namespace) -> None:
    from asteroid_nb import demonstration
    from asteroid_nb.data.splits import split
    from asteroid_nb.fit_settings import FitSettings
    from asteroid_nb.forecast.run import Run

    run, trajectories = Run.load(options.run), open_data(options)
    run.split = split(trajectories, run.shape_for(trajectories[0]))
    folder = options.out or options.run
    networks = FitSettings(n_epochs=len(run.history)) if options.networks else None
    demonstration.judge(run, folder=folder, networks=networks)


def report(options: argparse.Namespace) -> None:
    from asteroid_nb.data.splits import split
    from asteroid_nb.forecast.run import Run
    from asteroid_nb.metrics.horizon import ErrorTable
    from asteroid_nb.reporting.report import report as write_page

    run = Run.load(options.run)
    if not options.data:
        known = remembered(options.run)
        options.data, options.stride = known.data, max(known.stride, options.stride)
        options.top, options.dt_fs = options.top or known.top, options.dt_fs or known.dt_fs
    trajectories = open_data(options)
    run.split = split(trajectories, run.shape_for(trajectories[0]))
    measured = options.run / "errors.npz"
    errors = ErrorTable.load(measured) if measured.is_file() else None
    out = options.out or options.run / "report.html"
    page = write_page(run, out, errors=errors, most_windows=options.windows, title=options.title)
    print(f"{page} ({page.stat().st_size / 1e6:.1f} MB): open it in any browser; it needs no network.")


def ablate(options: argparse.Namespace) -> None:
    from asteroid_nb import ablation
    from asteroid_nb.fit_settings import FitSettings

    ablation.run(
        folder=options.out,
        fit_settings=FitSettings(n_epochs=options.epochs),
        n_seeds=options.seeds,
        names=options.variants,
        processes=options.processes,
    )


def states(options: argparse.Namespace) -> None:
    from asteroid_nb.rare_events import run, torsions

    files = [word.partition("=") for word in options.torsions]
    said = " ".join([
        "asteroid-nb states",
        *(["--figures", *options.figures] if options.figures else []),
        f"--seeds {options.seeds} --frames {options.frames}",
        *(f"--torsions {name}={Path(path).name}" for name, _, path in files),
    ])  # fmt: skip
    run.run(
        folder=options.out,
        names=options.figures or run.ALL,
        n_seeds=options.seeds,
        n_frames=options.frames,
        systems=[torsions.BUNDLED, *map(torsions.known_system, options.torsions)],
        processes=options.processes,
        command=said,
    )


def bench(options: argparse.Namespace) -> None:
    if options.bench == "scale":  # it runs where nothing is installed but what training needs
        from asteroid_nb.bench.forecasts import scale

        scale.asked(options)
        return
    from asteroid_nb.bench import command

    command.bench(options)


def lab(options: argparse.Namespace) -> int:
    """Open JupyterLab on the notebooks folder."""
    if find_spec("jupyterlab") is None:
        raise MissingExtra("JupyterLab is not installed. Run: pip install jupyterlab")
    folder = Path("notebooks") if Path("notebooks").is_dir() else Path.cwd()
    chosen = folder / options.notebook
    command = [sys.executable, "-m", "jupyterlab", str(chosen if chosen.is_file() else folder)]
    return subprocess.call(command + (["--no-browser"] if options.no_browser else []))


def open_data(options: argparse.Namespace) -> list[Trajectory]:
    """Return the trajectories a command was given: a named data set, or files.

    Raises:
        UnreadableFile: neither a file nor a name.
    """
    first = options.data[0]
    if len(options.data) == 1 and not Path(first).exists():
        if first not in names():
            raise UnreadableFile(f"{first!r} is neither a file nor a named data set ({', '.join(names())}).")
        found = load_named(first)
    else:
        path = first if len(options.data) == 1 else options.data
        found = load(path, top=options.top, dt_fs=options.dt_fs)
    listed = [found] if isinstance(found, Trajectory) else [one for one in found if isinstance(one, Trajectory)]
    if not listed:
        raise InvalidTrajectory(f"{first} holds torsions, not positions. Choose a data set of trajectories.")
    return [trajectory[:: options.stride] for trajectory in listed] if options.stride > 1 else listed


def remember(folder: Path, options: argparse.Namespace) -> None:
    """Write into a run folder which data it is trained on, so that later commands need not be told."""
    from asteroid_nb.processes import is_first

    if not is_first():
        return
    paths = [str(Path(word).resolve()) if Path(word).exists() else word for word in options.data]
    top = str(Path(options.top).resolve()) if options.top and Path(options.top).exists() else options.top
    told = {"data": paths, "top": top, "dt_fs": options.dt_fs, "stride": options.stride}
    with replacing(folder / DATA_RECORD) as temporary:
        temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def remembered(folder: Path) -> argparse.Namespace:
    """Return the data a run folder was trained on, as options.

    Raises:
        UnreadableFile: the folder does not say.
    """
    try:
        told = json.loads((folder / DATA_RECORD).read_text(encoding="utf-8"))
        return argparse.Namespace(**{key: told[key] for key in ("data", "top", "dt_fs", "stride")})
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UnreadableFile(
            f"{folder} does not say which data it was trained on ({error!r}). Name them after the folder: "
            f"asteroid-nb report {folder} DATA …"
        ) from error


def fit_settings(options: argparse.Namespace) -> FitSettings:
    from asteroid_nb.fit_settings import FitSettings

    return FitSettings(
        n_epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        patience=options.patience,
        precision=options.precision,
        seed=options.seed,
        device=options.device,
        n_devices=options.devices,
        n_nodes=options.nodes,
    )


def changed(pairs: list[str], *kinds: type) -> list[dict[str, Any]]:
    """Return settings from NAME=VALUE words, sorted by the dataclass that has the name.

    Raises:
        InvalidSettings: no "=", or a name no setting has.
    """
    known = {field.name: number for number, kind in enumerate(kinds) for field in dataclasses.fields(kind)}
    found: list[dict[str, Any]] = [{} for _ in kinds]
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name not in known:
            raise InvalidSettings(
                f"--set {pair} names no setting; write NAME=VALUE with one of {', '.join(sorted(known))}."
            )
        found[known[name]][name] = _value(value)
    return found


def _value(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return word


def joined(options: argparse.Namespace, purpose: str) -> tuple[Path, FitSettings]:
    """Return run folder and settings when all processes of a training have met: the folder is the same for all."""
    from asteroid_nb.fit_settings import make_fabric
    from asteroid_nb.processes import from_the_first

    settings = fit_settings(options)
    make_fabric(settings)
    return options.out or from_the_first(lambda: new_folder(purpose)), settings


def new_folder(purpose: str) -> Path:
    """Return a folder name below ``runs/`` that says when and what for."""
    return runs_folder() / f"{datetime.now():%Y-%m-%d-%H%M%S}-{purpose}"
