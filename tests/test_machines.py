"""Several processes are one: the same gradients, the same weights, and a training goes on when one of them dies."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import trainings
from safetensors.torch import load_file

from asteroid_nb.data.readers import save

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
WINGS = ("forecast", "several", "newton", "language", "force_field")


def environment(**more: str) -> dict[str, str]:
    """Return what a process started here sees: no launcher's variables but those given."""
    places = os.pathsep.join(str(place) for place in (ROOT / "tests", ROOT))
    launchers = ("SLURM", "TORCHELASTIC", "MASTER", "RANK", "LOCAL", "WORLD", "GROUP", "NODE_RANK")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(launchers)}
    return kept | {"PYTHONPATH": places, "OMP_NUM_THREADS": "1"} | more


def by_two(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*TORCHRUN, str(ROOT / "tests" / "trainings.py"), str(folder), *words]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def momenta(folder: Path) -> dict[str, torch.Tensor]:
    """Return AdamW's running means of the gradients, and of their squares, after the last step."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)["optimiser"]["state"]
    return {f"{number}.{name}": one[name] for number, one in state.items() for name in ("exp_avg", "exp_avg_sq")}


def assert_same_gradients(found: Path, expected: Path) -> None:
    """Compare each tensor in units of its largest number; what vanishes in theory, as biases of keys, is rounding."""
    mine, theirs = momenta(found), momenta(expected)
    assert mine.keys() == theirs.keys()
    for kind in ("exp_avg", "exp_avg_sq"):
        largest = max(float(value.abs().max()) for name, value in theirs.items() if name.endswith(kind))
        for name in (name for name in theirs if name.endswith(kind)):
            off = float((mine[name] - theirs[name]).abs().max()) / max(float(theirs[name].abs().max()), 1e-4 * largest)
            assert off <= 2e-5, f"{name} is off by {off:.1e} of its size"


def assert_same_weights(found: Path, expected: Path) -> None:
    """Compare weights in units of the longest step, of which AdamW makes some from the rounding of a tiny gradient."""
    mine, theirs = weights(found), weights(expected)
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        off = float((mine[name].double() - value.double()).abs().max()) / trainings.FORECAST_FIT.learning_rate
        assert off <= 0.05, f"{name} is off by {off:.1e} of a step"


def same(one: Path, other: Path) -> bool:
    found, expected = weights(one), weights(other)
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """Return a folder of trainings by one process."""
    folder = tmp_path_factory.mktemp("alone")
    torch.set_num_threads(1)
    for name in WINGS:
        trainings.ALL[name](folder / name)
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    """Return a folder of the same trainings by two."""
    folder = tmp_path_factory.mktemp("together")
    done = by_two(folder, *WINGS, "too_far_apart")
    assert done.returncode == 0, done.stderr
    return folder


class TestTwoProcesses:
    @pytest.mark.parametrize("name", WINGS)
    def test_have_the_gradients_and_weights_of_one(self, alone, together, name):
        assert_same_gradients(together / name, alone / name)
        assert_same_weights(together / name, alone / name)

    @pytest.mark.parametrize("name", WINGS)
    def test_hold_the_same_weights_to_the_last_bit(self, together, name):
        first, second = ((together / f"{name}-{rank}.txt").read_text() for rank in (0, 1))
        assert first == second and len(first) == 64

    def test_start_from_the_potential_of_one(self, alone, together):
        found, expected = weights(together / "newton"), weights(alone / "newton")
        start = [name for name in expected if name.startswith("skip.") or name.endswith("_scale")]
        assert len(start) > 5
        assert all(torch.equal(found[name], expected[name]) for name in start)
        assert not (together / "newton" / "potential.pt").exists()

    def test_both_hear_what_fails_where_one_works_for_all(self, together):
        for rank in (0, 1):
            told = (together / f"too_far_apart-{rank}.txt").read_text()
            assert told.startswith("InvalidTrajectory") and "stored every 4 fs" in told

    def test_part_before_their_interpreters_end(self, together):
        assert [(together / f"end-{rank}.txt").read_text() for rank in (0, 1)] == ["parted", "parted"]


class TestADeath:
    @pytest.fixture(scope="class")
    @classmethod
    def broken(cls, tmp_path_factory) -> Path:
        """Return what is left of a training whose second process was killed in its second epoch."""
        folder = tmp_path_factory.mktemp("broken")
        began = time.monotonic()
        done = by_two(folder, "--die-at", "13", "forecast")
        assert done.returncode != 0 and "SIGKILL" in done.stderr
        assert time.monotonic() - began < 120
        state = torch.load(folder / "forecast" / "checkpoint.pt", weights_only=True)
        assert len(state["history"]) == 1
        assert not (folder / "forecast" / "weights.safetensors").exists()
        return folder

    def test_does_not_change_the_end(self, tmp_path, broken, together):
        shutil.copytree(broken, tmp_path / "again")
        done = by_two(tmp_path / "again", "--resume", "forecast")
        assert done.returncode == 0, done.stderr
        assert same(tmp_path / "again" / "forecast", together / "forecast")

    def test_may_leave_one_process_that_goes_on(self, tmp_path, broken, alone):
        shutil.copytree(broken, tmp_path / "again")
        run = trainings.forecast(tmp_path / "again" / "forecast", resume=True)
        assert run.finished and len(run.history) == 3
        assert_same_weights(tmp_path / "again" / "forecast", alone / "forecast")


class TestTheCommand:
    @pytest.mark.parametrize(("skip", "kept"), [("ridge", "checkpoint.pt"), ("newton", "potential.pt")])
    def test_speaks_once_and_stops_all_processes_at_ctrl_c(self, tmp_path, skip, kept):
        """While the network learns, and while the first process learns the potential and the second waits for it."""
        data = save(trainings.shaken_ethanol(), tmp_path / "ethanol.npz")
        words = ["train", str(data), "--preset", "tiny", "--epochs", "5000", "--device", "cpu", "--batch-size", "15"]
        command = [*TORCHRUN, "-m", "asteroid_nb.cli", *words, "--set", "width=16", "--set", f"skip={skip}"]
        streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, cwd=tmp_path, env=environment(), start_new_session=True, **streams)
        try:
            checkpoint = wait_for(tmp_path / "runs", f"*/{kept}", process)
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=200)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert out.count("Training on 'ethanol'") == 1 and out.count("Stopped. Go on with the same command") == 1, err
        assert (out + err).count("Stopped after") == 1 and "KeyboardInterrupt" not in err.split("SignalException")[0]
        assert len(list((tmp_path / "runs").iterdir())) == 1
        assert {path.name for path in checkpoint.parent.iterdir()} == {
            kept, "data.json", "settings.json", "weights.safetensors"
        }  # fmt: skip


def wait_for(folder: Path, pattern: str, process: subprocess.Popen[str], *, seconds: float = 90.0) -> Path:
    """Return the file that a process writes, or fail when it ends or takes too long."""
    for _ in range(int(10 * seconds)):
        if found := list(folder.glob(pattern)):
            return found[0]
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError(f"no {pattern} after {seconds:g} s")


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def finish(processes: list[subprocess.Popen[str]]) -> None:
    """Wait for processes started side by side; all must end well."""
    try:
        errors = [process.communicate(timeout=200)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), errors


def test_two_machines_are_one_training(tmp_path, alone):
    """Each has a ``torchrun`` of its own, here on one host, and only the first writes."""
    meeting = ["--rdzv-id", "7", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "1", *meeting]
    command += ["--local-addr", "127.0.0.1", str(ROOT / "tests" / "trainings.py"), str(tmp_path), "forecast"]
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    finish([subprocess.Popen(command, env=environment(), **streams) for _ in range(2)])
    assert_same_gradients(tmp_path / "forecast", alone / "forecast")


def test_slurm_starts_two_tasks_that_are_one_training(tmp_path, alone):
    """The variables are those that ``srun --ntasks-per-node=2`` sets on one node."""
    job = {"SLURM_JOB_ID": "4242", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}
    job |= {"SLURM_NNODES": "1", "SLURM_NODELIST": "127.0.0.1", "SLURM_NODEID": "0", "MASTER_PORT": free_port()}
    command = [sys.executable, str(ROOT / "tests" / "trainings.py"), str(tmp_path), "--devices", "2", "forecast"]
    streams: Any = {"stderr": subprocess.PIPE, "text": True}
    ranks = [{"SLURM_PROCID": rank, "SLURM_LOCALID": rank} for rank in ("0", "1")]
    finish([subprocess.Popen(command, env=environment(**job, **rank), **streams) for rank in ranks])
    assert_same_gradients(tmp_path / "forecast", alone / "forecast")
