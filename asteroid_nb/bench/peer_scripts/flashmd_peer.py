# pyright: reportMissingImports=false
"""FlashMD trained from scratch by metatrain's command, one stride, chained; run by an interpreter that has `flashmd`.

A stride of several frames is begun from every frame of the history that it needs, so that each frame ahead is reached
in as few strides as there are; metatrain's own tutorial is followed, its time-reversed pairs included.

Reference:
    Bigi, Chong, Kristiadi & Ceriotti (2025), arXiv:2505.19350.
"""

import shutil
import signal

import ase
import ase.data
import ase.io
import ase.units
import numpy as np
import torch
from exchange import Exchange
from flashmd.constraints import enforce_physical_constraints
from flashmd.stepper import FlashMDStepper
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import System, load_atomistic_model
from metatrain.cli.export import export_model
from metatrain.cli.train import train_model
from omegaconf import OmegaConf

#: The whole number of frames nearest to it makes the stride. Its authors call 8 fs conservative for organic matter,
#: with models trained for long; in a minute such a model learnt nothing (tests/benchmarks/results/peers.md).
STRIDE_FS = 2.0

#: Pairs to learn from, each also backwards in time, and to choose by.
N_TRAINED, N_CHOOSING = 2000, 100

#: Of metatrain's FlashMD: smaller than its default, which makes too few steps in minutes of one core.
MODEL = {
    "predict_momenta_as_difference": True, "d_pet": 32, "d_head": 32, "d_node": 64, "d_feedforward": 64,
    "num_heads": 4, "num_attention_layers": 1, "num_gnn_layers": 2,
}  # fmt: skip
BATCH, LEARNING_RATE = 8, 3e-3

#: Pairs whose epoch tells how long one takes, and the share of the time that is kept for what follows training.
N_TIMED, SPARE = 200, 0.1

#: Systems forecast at a time.
CHUNK = 256


def main():
    exchange = Exchange()
    torch.manual_seed(exchange.task["seed"])
    must_be_usual(exchange.task)
    stride = max(1, min(round(STRIDE_FS / exchange.task["dt_fs"]), exchange.task["history"]))
    work = fresh(exchange.folder.absolute() / "metatrain")
    draw = np.random.default_rng(exchange.task["seed"])
    sizes = {}
    for name, most in (("train", N_TRAINED), ("validation", N_CHOOSING)):
        found = pairs(exchange, name, stride, most, draw)
        sizes[name] = len(found)
        ase.io.write(work / f"{name}.xyz", found, format="extxyz")
        ase.io.write(work / "timed.xyz", found[:N_TIMED], format="extxyz")
    n_epochs = train(exchange, work, stride)
    model = load_atomistic_model(str(work / "model.pt"))
    exchange.trained(
        n_parameters=sum(one.numel() for one in model.parameters()),
        packages=["flashmd", "metatrain", "torch"],
        about=f"stride {stride * exchange.task['dt_fs']:g} fs, {n_epochs} epochs of {sizes['train']} pairs "
        f"in steps of {BATCH}, learning rate {LEARNING_RATE:g}, "
        + ", ".join(f"{key} {value}" for key, value in MODEL.items()),
    )
    exchange.answer(forecasts(exchange, model, stride))


class TimeIsUp(Exception):
    """The processor time allowed is spent."""


def train(exchange, work, stride):
    """Train for as many epochs as fit, as timed; what does not is cut off and its last whole epoch taken."""
    timed(exchange, work, stride, 1)  # the first has more to load
    first = timed(exchange, work, stride, 1)
    epoch = (timed(exchange, work, stride, 3) - first) / 2 * (2 * N_TRAINED) / N_TIMED
    left = exchange.seconds_left() - first
    n_epochs = max(1, int((1 - SPARE) * left / epoch))
    print(f"an epoch takes {epoch:.1f} s of processor time, {left:.0f} s are left: {n_epochs} epochs", flush=True)
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, max(1.0, exchange.seconds_left()))
    kept = fresh(work / "trained")
    try:
        train_model(options(exchange, work, stride, n_epochs), output=work / "model.pt", checkpoint_dir=kept)
    except TimeIsUp:
        if not (work / "model.pt").is_file():
            last = max(kept.glob("model_*.ckpt"), key=lambda path: int(path.stem.split("_")[1]), default=None)
            if last is None:
                raise SystemExit("No epoch ended in the time allowed.") from None
            export_model(last, work / "model.pt")
            return f"{int(last.stem.split('_')[1]) + 1} of {n_epochs}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return n_epochs


def timed(exchange, work, stride, n_epochs):
    """Return what so many short epochs take, all around them included."""
    begun, kept = exchange.seconds_left(), fresh(work / f"timed-{n_epochs}")
    train_model(options(exchange, work, stride, n_epochs, "timed.xyz"), output=kept / "model.pt", checkpoint_dir=kept)
    return begun - exchange.seconds_left()


def fresh(folder):
    """Return the folder, empty: metatrain refuses one that was used."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def stop(*_):
    raise TimeIsUp


def must_be_usual(task):
    """Stop where masses are not the elements': metatrain's command cannot be given others."""
    usual = ase.data.atomic_masses[task["atomic_numbers"]]
    if not np.allclose(usual, task["masses_amu"], atol=0.02):
        raise SystemExit(f"Masses are {task['masses_amu']} amu; this script trains FlashMD for {usual.tolist()} alone.")


def pairs(exchange, name, stride, most, draw):
    """Return frames with those a stride later, from random places of evenly spread windows; also backwards in time."""
    positions, velocities = exchange.windows(name)
    masses = np.array(exchange.task["masses_amu"])
    chosen = np.unique(np.linspace(0, len(positions) - 1, most).astype(int))
    found = []
    for window in chosen:
        now = draw.integers(positions.shape[1] - stride)
        momenta = masses[:, None] * velocities[window] / ase.units.fs
        for start, end, sign in ((now, now + stride, 1), (now + stride, now, -1)):
            atoms = ase.Atoms(exchange.task["atomic_numbers"], positions[window, start], masses=masses)
            atoms.set_momenta(sign * momenta[start])
            atoms.arrays["future_positions"] = positions[window, end].astype(float)
            atoms.arrays["future_momenta"] = sign * momenta[end]
            found.append(atoms)
    return found


def options(exchange, work, stride, n_epochs, train_file="train.xyz"):
    """Return what metatrain is asked for, as its tutorial on FlashMD has it."""
    target = lambda key, quantity, unit: {  # noqa: E731
        "key": key, "quantity": quantity, "unit": unit, "type": {"cartesian": {"rank": 1}}, "sample_kind": "atom",
    }  # fmt: skip
    part = lambda file: {  # noqa: E731
        "systems": {"read_from": str(work / file), "length_unit": "A"},
        "targets": {
            "position": target("future_positions", "length", "A"),
            "momentum": target("future_momenta", "momentum", "(eV*u)^(1/2)"),
        },
    }
    training = {
        "timestep": stride * exchange.task["dt_fs"], "batch_size": BATCH, "num_epochs": n_epochs,
        "learning_rate": LEARNING_RATE, "checkpoint_interval": 1, "num_workers": 0, "loss": "mse",
    }  # fmt: skip
    asked = {
        "seed": exchange.task["seed"], "device": "cpu",
        "architecture": {"name": "experimental.flashmd", "model": MODEL, "training": training},
        "training_set": part(train_file), "validation_set": part("validation.xyz"), "test_set": 0.01,
    }  # fmt: skip
    return OmegaConf.create(asked)


@torch.no_grad()
def forecasts(exchange, model, stride):
    """Return [windows, horizon, atoms, 3]: every frame ahead from the one a stride before it, seen or forecast."""
    positions, velocities = exchange.windows("test")
    masses = np.array(exchange.task["masses_amu"])[:, None]
    states = [
        (positions[:, frame], masses * velocities[:, frame] / ase.units.fs)
        for frame in range(positions.shape[1] - stride, positions.shape[1])
    ]
    molecule = Molecule(exchange.task, model)
    for _ in range(exchange.task["horizon"]):
        states.append(molecule.stepped(*states[-stride]))
    return np.stack([where for where, _ in states[stride:]], axis=1)


class Molecule:
    """Many copies of one molecule as metatomic has them, moved as `FlashMDStepper` moves a single one."""

    def __init__(self, task, model):
        self.stepper = FlashMDStepper(model, torch.device("cpu"))
        self.dtype = self.stepper.dtype
        self.types = torch.tensor(task["atomic_numbers"], dtype=torch.int32)
        self.cell, self.pbc = torch.zeros(3, 3, dtype=self.dtype), torch.zeros(3, dtype=torch.bool)
        self.samples = Labels(["system", "atom"], torch.tensor([[0, atom] for atom in range(len(self.types))]))
        self.xyz = Labels("xyz", torch.tensor([[0], [1], [2]]))
        self.masses = self._data(torch.tensor(task["masses_amu"], dtype=self.dtype)[:, None], [])

    def stepped(self, positions, momenta):
        """Return [systems, atoms, 3] positions and momenta a stride later."""
        found = []
        for first in range(0, len(positions), CHUNK):
            part = slice(first, first + CHUNK)
            systems = [self._system(*each) for each in zip(positions[part], momenta[part], strict=True)]
            outputs = self.stepper.model(systems, self.stepper.evaluation_options, check_consistency=False)
            outputs = enforce_physical_constraints(systems, outputs, timestep=self.stepper.time_step)
            values = [outputs[key].block().values.reshape(len(systems), -1, 3) for key in ("positions", "momenta")]
            found.append([one.numpy() for one in values])
        where, moving = (np.concatenate(one) for one in zip(*found, strict=True))
        return where, moving

    def _system(self, positions, momenta):
        where = torch.tensor(positions, dtype=self.dtype)
        one = System(positions=where, types=self.types, cell=self.cell, pbc=self.pbc)
        one.add_data("momenta", self._data(torch.tensor(momenta, dtype=self.dtype)[..., None], [self.xyz]))
        one.add_data("masses", self.masses)
        for calculator in self.stepper.neighbor_list_calculators:
            calculator.add_neighbor_list(one)
        return one

    def _data(self, values, components):
        block = TensorBlock(values=values, samples=self.samples, components=components, properties=Labels.single())
        return TensorMap(keys=Labels.single(), blocks=[block])


if __name__ == "__main__":
    main()
