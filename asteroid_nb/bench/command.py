"""The command ``asteroid-nb bench``: from its options to a bench, and to the words on its page."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asteroid_nb.bench import equilibrium
from asteroid_nb.bench.arms import DEQ, MODELS
from asteroid_nb.bench.forecasts import accuracy, peers, rollouts, speed, uncertainty
from asteroid_nb.bench.forecasts.chaining import Chaining
from asteroid_nb.bench.forecasts.choosing import FEWEST_FRAMES
from asteroid_nb.bench.setting import FULL, SMALL
from asteroid_nb.bench.sources import Source
from asteroid_nb.equilibrium.settings import preset
from asteroid_nb.errors import InvalidSettings


def bench(options: argparse.Namespace) -> None:
    """Do what ``asteroid-nb bench`` was asked for.

    Raises:
        InvalidSettings: a count below 1, or a figure, model, protocol or source that does not exist.
    """
    works = {"equilibrium": _equilibrium, "accuracy": _accuracy, "rollout": _rollout, "speed": _speed}
    works |= {"uncertainty": _uncertainty, "peers": _peers}
    works[options.bench](options)


def _accuracy(options: argparse.Namespace) -> None:
    if options.seeds < 0:
        raise InvalidSettings(f"--seeds was {options.seeds}; it must be 0 or more.")
    accuracy.run(**_forecasts(options), seeds=options.seeds, command=_said("accuracy", _told(options)))


def _rollout(options: argparse.Namespace) -> None:
    _must_count(seeds=options.seeds, starts=options.starts)
    if not options.length > 0:
        raise InvalidSettings(f"--length was {options.length:g} fs; it must be more than nothing.")
    told = {**_told(options), "--length": options.length, "--starts": options.starts}
    told |= {"--temperature": options.temperature, "--reference": options.reference}
    rollouts.run(
        **_forecasts(options),
        seeds=options.seeds,
        chaining=Chaining(
            length_fs=options.length,
            n_starts=options.starts,
            temperature_K=options.temperature,
            reference=options.reference,
        ),
        command=_said("rollout", told),
    )


def _speed(options: argparse.Namespace) -> None:
    told = {**_told(options), "--device": options.device}
    speed.run(**_forecasts(options), device=options.device, command=_said("speed", told))


def _uncertainty(options: argparse.Namespace) -> None:
    _must_be_loops(options)
    told = {
        "--sample": options.sample,
        "--strategies": " ".join(map(shlex.quote, options.strategies)),
        "--seeds": options.seeds,
        "--loops": options.loops,
        "--first-loop": options.first_loop or None,
        "--kelvin": options.kelvin and " ".join(f"{one:g}" for one in options.kelvin),
        "--pieces": options.pieces and " ".join(map(str, options.pieces)),
        "--page": shlex.quote(options.page),
    }
    uncertainty.run(
        folder=options.out,
        name=options.sample,
        seeds=options.seeds,
        loops=options.loops,
        first_loop=options.first_loop,
        kelvin=options.kelvin and tuple(options.kelvin),
        pieces=options.pieces and tuple(options.pieces),
        strategies=options.strategies or uncertainty.STRATEGIES,
        processes=options.processes,
        page=options.page,
        command=_said("uncertainty", told),
    )


def _must_be_loops(options: argparse.Namespace) -> None:
    for name in ("seeds", "loops", "first_loop"):
        if (count := getattr(options, name)) < 0:
            raise InvalidSettings(f"--{name.replace('_', '-')} was {count}; it must be 0 or more.")
    if options.kelvin and not 0 < options.kelvin[0] <= options.kelvin[1]:
        raise InvalidSettings(
            f"--kelvin was {options.kelvin[0]:g} {options.kelvin[1]:g}; the first must be above 0, the other no lower."
        )
    if options.pieces and (options.pieces[0] < 1 or options.pieces[1] < FEWEST_FRAMES):
        raise InvalidSettings(
            f"--pieces was {options.pieces[0]} {options.pieces[1]}; there must be 1 or more, of {FEWEST_FRAMES} frames "
            "or more each."
        )
    if not options.seeds and not options.loops:
        raise InvalidSettings("--seeds and --loops were both 0: there is nothing to do. Ask for one of either.")


def _peers(options: argparse.Namespace) -> None:
    if options.seconds is not None and not options.seconds > 0:
        raise InvalidSettings(f"--seconds was {options.seconds:g}; it must be more than nothing.")
    if wrong := [one for one in options.peer if not all(one.partition("="))]:
        raise InvalidSettings(f"--peer {wrong[0]} is no NAME=PYTHON. Write, for example, --peer egno=egno/bin/python")
    told = {
        "--data": " ".join(shlex.quote(_without_folders(one)) for one in options.data),
        "--protocols": " ".join(options.protocols),
        "--peers": " ".join(options.peers),
        "--seconds": options.seconds and f"{options.seconds:g}",
        "--page": shlex.quote(options.page),
    }
    peers.run(
        folder=options.out,
        sources=[Source.named(one) for one in options.data] or [Source()],
        protocols=options.protocols,
        names=options.peers,
        interpreters=dict(one.split("=", 1) for one in options.peer),
        environments=options.environments,
        installing=options.install,
        seconds=options.seconds,
        page=options.page,
        command=_said("peers", told),
    )


def _forecasts(options: argparse.Namespace) -> dict[str, Any]:
    """Return what every bench of forecasts is given."""
    _must_count(epochs=options.epochs)
    return {
        "folder": options.out,
        "sources": [Source.named(one) for one in options.data] or [Source()],
        "protocols": options.protocols,
        "n_epochs": options.epochs,
        "processes": options.processes,
        "page": options.page,
    }


def _told(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "--data": " ".join(shlex.quote(_without_folders(one)) for one in options.data),
        "--protocols": " ".join(options.protocols),
        "--seeds": getattr(options, "seeds", None),
        "--epochs": options.epochs,
        "--page": shlex.quote(options.page),
    }


def _must_count(**counts: int | None) -> None:
    if wrong := [name for name, value in counts.items() if value is not None and value < 1]:
        raise InvalidSettings(f"--{wrong[0]} was {counts[wrong[0]]}; it must be at least 1.")


def _said(bench: str, told: Mapping[str, Any], flags: Sequence[str] = ()) -> str:
    words = [f"{name} {value}" for name, value in told.items() if value not in (None, "")]
    return " ".join([f"asteroid-nb bench {bench}", *flags, *words])


def _equilibrium(options: argparse.Namespace) -> None:
    asked = {name: getattr(options, name) for name in ("seeds", "epochs", "frames", "long", "width")}
    _must_count(**asked)
    if options.models and (DEQ not in options.models or (wrong := set(options.models) - set(MODELS))):
        missing = f"no model {sorted(wrong)[0]!r} exists" if DEQ in options.models else f"{DEQ} was missing"
        raise InvalidSettings(f"--models: {missing}. Name {DEQ} and others of {', '.join(MODELS)}.")
    changes: dict[str, Any] = {"seeds": options.seeds, "n_epochs": options.epochs, "n_frames": options.frames}
    changes |= {"choose": options.choose, "width": options.width}
    changes |= {"long_epochs": options.long, "models": tuple(options.models) if options.models else None}
    models = preset(options.preset)
    size = dataclasses.replace(SMALL if options.small else FULL, layer=models.layer, l_max=models.l_max)
    equilibrium.run(
        folder=options.out,
        names=options.figures or equilibrium.ALL,
        source=Source.named(options.data) if options.data else None,
        size=dataclasses.replace(size, **{key: value for key, value in changes.items() if value is not None}),
        processes=options.processes,
        compiled=options.compiled,
        page=options.page or "-".join(["equilibrium", *(options.figures or [])]),
        command=_bench_command(options),
    )


def _bench_command(options: argparse.Namespace) -> str:
    """Return what was typed, without this machine's folders."""
    told = {
        "--figures": " ".join(options.figures or []),
        "--data": options.data and shlex.quote(_without_folders(options.data)),
        "--preset": options.preset,
        "--width": options.width,
        "--seeds": options.seeds,
        "--models": " ".join(map(shlex.quote, options.models or [])),
        "--epochs": options.epochs,
        "--long": options.long,
        "--frames": options.frames,
        "--choose": options.choose,
        "--processes": options.processes,
        "--page": options.page and shlex.quote(options.page),
    }
    return _said("equilibrium", told, [f"--{name}" for name in ("small", "compiled") if getattr(options, name)])


def _without_folders(words: str) -> str:
    name, _, path = words.partition("=")
    return f"{name}={Path(path).name}"
