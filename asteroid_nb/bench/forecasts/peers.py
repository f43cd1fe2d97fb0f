"""Other people's forecasters, each in an environment of its own, on our windows, for as long as ours was trained."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asteroid_nb import __version__
from asteroid_nb.bench.forecasts.arms import MOST_WINDOWS, RECORD, TEST_WINDOWS, errors_of, fit_rivals, keep
from asteroid_nb.bench.forecasts.exchange import ReadBack, export, report_of
from asteroid_nb.bench.forecasts.peers_page import finding
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS, Protocol
from asteroid_nb.bench.sources import Source
from asteroid_nb.errors import InvalidSettings, ModelMismatch, UnreadableFile
from asteroid_nb.evaluation import evaluate
from asteroid_nb.finding import write
from asteroid_nb.forecast.newton import LearnedNewton

SCRIPTS = Path(__file__).parents[1] / "peer_scripts"

#: Windows a peer may choose by, and what it draws from.
CHOOSING_WINDOWS, SEED = 1000, 0

#: Times the budget, and seconds more, that a peer may take by the clock before it is ended: its budget is processor
#: time, other jobs may share the machine, and its forecasts come after training.
PATIENCE, PATIENCE_S = 20.0, 600.0

#: Of the budget, and seconds more, that training may have taken.
LENIENCE, LENIENCE_S = 1.1, 5.0

LOG = "log.txt"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A forecaster of others.

    Args:
        title: shown in tables.
        script: trains and forecasts, run by the peer's own Python with the exchange folder as its argument.
        packages: that pip installs for it.
    """

    title: str
    script: Path
    packages: tuple[str, ...]


PEERS = {
    "flashmd": Peer(title="FlashMD", script=SCRIPTS / "flashmd_peer.py", packages=("flashmd==0.3.0",)),
    "egno": Peer(title="EGNO (PINA)", script=SCRIPTS / "egno_peer.py", packages=("pina-mathlab>=0.3.2",)),
}

#: Asked for as well, and why they have no script.
NOT_RUN = {
    "ESTAG": "pip finds no package of this name, and its repository has no licence file",
    "TrajCast": "pip finds no package of this name, and its repository needs torch-scatter",
}


def run(
    *,
    folder: Path,
    sources: Sequence[Source],
    protocols: Sequence[str] = ("F1",),
    names: Sequence[str] = tuple(PEERS),
    interpreters: Mapping[str, str] | None = None,
    environments: Path | None = None,
    installing: bool = False,
    seconds: float | None = None,
    page: str = "peers",
    command: str = "asteroid-nb bench peers",
) -> Path:
    """Train what is not there yet, write a page with tables, and return it.

    Args:
        interpreters: by name of the peer; otherwise those of its folder in ``environments``.
        installing: make the environments that are not there, with venv and pip.
        seconds: of processor time that a peer may train; what learned Newton took when not given.

    Raises:
        InvalidSettings: a name that is no peer or protocol, or no time to give.
    """
    given = dict(interpreters or {})
    for kind, known, asked in (("peer", PEERS, [*names, *given]), ("protocol", PROTOCOLS, protocols)):
        if unknown := [name for name in asked if name not in known]:
            raise InvalidSettings(f"No {kind} is called {unknown[0]!r}; there are {', '.join(known)}.")
    if unused := [name for name in given if name not in names]:
        raise InvalidSettings(
            f"--peer names {unused[0]!r}, which is not among --peers {' '.join(names)}. Add it there."
        )
    homes = environments or folder / "environments"
    pythons = {name: Path(given[name]) if name in given else python_of(homes / name) for name in names}
    notes = {name: install(homes / name, PEERS[name]) for name in names if installing and not pythons[name].is_file()}
    findings = []
    for source in sources:
        for protocol in (PROTOCOLS[name] for name in protocols):
            rivals = fit_rivals(folder, source, protocol.name)
            budget = _budget(rivals) if seconds is None else seconds
            records = {}
            for name in names:
                failed = notes.get(name)
                records[PEERS[name].title] = (
                    {"failed": failed} if failed else judge(folder, source, protocol, name, pythons[name], budget)
                )
            findings.append(finding(protocol, source.name, rivals, records, NOT_RUN, seconds=budget))
    path = write(folder, page, findings, command=command, about="One training of each; no window of the test was seen.")
    print(path.read_text(encoding="utf-8"))
    return path


def _budget(rivals: Mapping[str, Any]) -> float:
    """Return the processor time that our own model took."""
    found = rivals.get(LearnedNewton.name, {}).get("core_seconds")
    if not found:
        raise InvalidSettings(
            "How long our own model was trained is not known: no potential can be learnt here, or it was kept before "
            "times were. Say how long a peer may train with --seconds."
        )
    return math.ceil(found)


def judge(folder: Path, source: Source, protocol: Protocol, name: str, python: Path, seconds: float) -> dict[str, Any]:
    """Return what a peer was and how far off its forecasts are, or why it has none; only the former is kept."""
    peer = PEERS[name]
    where = _exchange_folder(folder, source, protocol, name, seconds)
    if (where / RECORD).is_file():
        return json.loads((where / RECORD).read_text(encoding="utf-8"))
    parts = protocol.parts(source.trajectories())
    parts = dataclasses.replace(parts, train=parts.train.thinned(math.ceil(len(parts.train) / MOST_WINDOWS)))
    velocities = export(where, parts, protocol, seconds=seconds, seed=SEED, most=(CHOOSING_WINDOWS, TEST_WINDOWS))
    begun = time.monotonic()
    failed = ended(python, peer.script, where, limit_s=PATIENCE * seconds + PATIENCE_S)
    record = {"velocities": velocities, "wall_seconds": time.monotonic() - begun}
    if failed:
        return record | {"failed": failed}
    try:
        record |= report_of(where)
        _must_have_kept_time(record["core_seconds"], seconds)
        forecasts = ReadBack(peer.title, where)
        record["test"] = errors_of(evaluate(forecasts, parts.test, most=TEST_WINDOWS))[peer.title]
    except (UnreadableFile, ModelMismatch) as error:
        return record | {"failed": str(error)}
    return keep(where / RECORD, record)


def _exchange_folder(folder: Path, source: Source, protocol: Protocol, name: str, seconds: float) -> Path:
    scripts = [file.read_bytes() for file in (PEERS[name].script, SCRIPTS / "exchange.py")]
    sizes = (MOST_WINDOWS, CHOOSING_WINDOWS, TEST_WINDOWS)
    told = repr((source.fingerprint, source.dt_fs, protocol, PEERS[name], scripts, sizes, seconds, SEED, __version__))
    said = "".join(letter if letter.isalnum() else "-" for letter in f"{protocol.name}-{source.name}-{name}")
    return folder / "peers" / f"{said}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def _must_have_kept_time(core_seconds: float, allowed: float) -> None:
    if core_seconds > LENIENCE * allowed + LENIENCE_S:
        raise ModelMismatch(f"It trained for {core_seconds:.0f} s of processor time; {allowed:.0f} s were allowed.")


def ended(python: Path, script: Path, where: Path, *, limit_s: float) -> str | None:
    """Run a peer's script to its end; return why it has no result, if so.

    It has one thread, and nothing of this environment; what it prints is kept beside its answers.
    """
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [str(python.absolute()), str(script), str(where.absolute())]
    with (where / LOG).open("w", encoding="utf-8") as log:
        try:
            running = subprocess.Popen(
                command, cwd=where, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            return f"its Python cannot be run ({error.strerror}): install it with --install, or name it with --peer"
        try:
            code = running.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return f"it was ended after {limit_s:.0f} s by the clock"
        finally:
            _end(running)
    return f"it ended with status {code}: {_last_words(where / LOG)}" if code else None


def _end(running: subprocess.Popen) -> None:
    """End a process, and what it started, if they are still there."""
    if running.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(running.pid, signal.SIGKILL)
            else:
                running.kill()
        running.wait()


def _last_words(log: Path) -> str:
    """Return the last line that says something, without this machine's folders."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    said = next((line for line in reversed(lines) if line), "it said nothing")
    return re.sub(r"(?<![\w.])/(?:[\w.+-]+/)+", "…/", said)[:300]


def python_of(environment: Path) -> Path:
    """Return where an environment made by venv has its Python."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(environment: Path, peer: Peer) -> str | None:
    """Make an environment for a peer with venv and pip; return why there is none, if so."""
    environment.mkdir(parents=True, exist_ok=True)
    steps = ([sys.executable, "-m", "venv", str(environment)],
             [str(python_of(environment)), "-m", "pip", "install", *peer.packages])  # fmt: skip
    for step in steps:
        with (environment / LOG).open("a", encoding="utf-8") as log:
            code = subprocess.run(step, stdout=log, stderr=subprocess.STDOUT).returncode
        if code:
            python_of(environment).unlink(missing_ok=True)  # so that it is tried again
            return f"it does not install ({' '.join(peer.packages)}): {_last_words(environment / LOG)}"
    return None
