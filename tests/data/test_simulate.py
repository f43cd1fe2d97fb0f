"""Reference dynamics: reproducible, resumable, conserving, and honest when it fails."""

import functools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

ase = pytest.importorskip("ase")
from ase import Atoms  # noqa: E402
from ase.calculators.emt import EMT  # noqa: E402
from ase.calculators.lj import LennardJones  # noqa: E402

from asteroid_nb import units  # noqa: E402
from asteroid_nb.data import engines, walker  # noqa: E402
from asteroid_nb.data.simulate import SettingsDiffer, SimulationFailed, simulate  # noqa: E402
from asteroid_nb.data.trajectory import Trajectory  # noqa: E402
from asteroid_nb.errors import AsteroidError, DiskFull, Interrupted, MissingExtra, UnreadableFile  # noqa: E402

ARGON = functools.partial(LennardJones, sigma=3.4, epsilon=0.0104, rc=20.0)

#: Small and cheap: a dimer in its well, stored every 2 fs in chunks of 5.
QUICK = {
    "temperature_K": 20.0,
    "n_frames": 17,
    "dt_fs": 2.0,
    "timestep_fs": 1.0,
    "equilibration_fs": 50.0,
    "chunk_frames": 5,
    "calculator": ARGON,
    "progress": False,
}


@pytest.fixture
def dimer():
    return Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]])


def same(one, other):
    return all(
        np.array_equal(getattr(a, key), getattr(b, key))
        for a, b in zip(one, other, strict=True)
        for key in ("positions", "velocities", "forces", "energies")
    )


def test_the_same_seed_gives_the_same_frames_in_this_process_or_in_workers(dimer):
    here = simulate(dimer, **QUICK, n_walkers=2, processes=0)
    there = simulate(dimer, **QUICK, n_walkers=2, processes=2)
    assert same(here, there)


def test_walkers_and_seeds_differ(dimer):
    first, second = simulate(dimer, **QUICK, n_walkers=2, processes=0)
    (other,) = simulate(dimer, **QUICK, processes=0, seed=1)
    assert np.abs(first.positions - second.positions).max() > 1e-3
    assert np.abs(first.positions - other.positions).max() > 1e-3


def test_a_walker_does_not_depend_on_how_many_there_are(dimer):
    assert same(simulate(dimer, **QUICK, processes=0), simulate(dimer, **QUICK, n_walkers=2, processes=0)[:1])


def test_units_agree_with_each_other(dimer):
    (run,) = simulate(dimer, **QUICK | {"dt_fs": 1.0, "temperature_K": 60.0}, processes=0)
    finite_difference = (run.positions[2:].astype(float) - run.positions[:-2]) / (2 * run.dt_fs)
    np.testing.assert_allclose(run.velocities[1:-1], finite_difference, atol=1e-6)
    acceleration = (run.velocities[2:].astype(float) - run.velocities[:-2]) / (2 * run.dt_fs)
    newton = run.forces[1:-1] / (run.masses[:, None] * units.EV_PER_AMU_ANG2_PER_FS2)
    np.testing.assert_allclose(acceleration, newton, atol=1e-3 * np.abs(newton).max() + 1e-9)


def test_nve_keeps_energy_momentum_and_angular_momentum():
    (run,) = simulate("CH3CH2OH", n_frames=60, equilibration_fs=50.0, progress=False, processes=0)
    kinetic = 0.5 * units.EV_PER_AMU_ANG2_PER_FS2 * np.einsum("tad,a->t", run.velocities.astype(float) ** 2, run.masses)
    total = kinetic + run.energies
    assert kinetic.std() > 0.05, "a molecule that does not move conserves everything"
    assert total.std() < 0.02 * kinetic.std()
    momentum = np.einsum("tad,a->td", run.velocities.astype(float), run.masses)
    angular = np.einsum("tad,a->td", np.cross(run.positions.astype(float), run.velocities), run.masses)
    assert np.abs(momentum).max() < 1e-5
    assert np.abs(angular).max() < 1e-3
    assert abs(run.provenance["total_energy_drift_meV"]) < 10
    assert run.bonds.tolist() == [[0, 1], [0, 6], [0, 7], [0, 8], [1, 2], [1, 4], [1, 5], [2, 3]]


def test_langevin_reaches_its_temperature():
    cluster = Atoms("Ar4", [[0, 0, 0], [3.8, 0, 0], [0, 3.8, 0], [0, 0, 3.8]])
    settings = QUICK | {"ensemble": "langevin", "n_frames": 1500, "timestep_fs": 4.0, "dt_fs": 4.0, "chunk_frames": 500}
    (run,) = simulate(cluster, **settings, friction_per_fs=0.05, processes=0)
    assert run.provenance["mean_temperature_K"] == pytest.approx(20.0, rel=0.25)


def test_stilling_a_molecule_leaves_each_vibration_its_share(tmp_path):
    """Momentum and rotation take their energy with them: the other degrees of freedom are not heated for it."""
    cluster = Atoms("Ar4", [[0, 0, 0], [3.8, 0, 0], [0, 3.8, 0], [0, 0, 3.8]])
    settings = walker.SimulationSettings(temperature_K=100.0, relax=False)
    momenta = np.array(
        [
            walker.Walker(n, cluster, settings, ARGON, tmp_path, lambda _: None)._first_state().momenta
            for n in range(400)
        ]
    )
    kinetic = (momenta**2 / (2 * cluster.get_masses()[:, None])).sum(axis=(1, 2))
    assert 2 * kinetic.mean() / (6 * units.BOLTZMANN_EV_PER_K) == pytest.approx(100, rel=0.12)


def test_stopped_and_resumed_equals_never_stopped(dimer, tmp_path, monkeypatch):
    for ensemble in ("nve", "langevin"):
        settings = QUICK | {"ensemble": ensemble, "processes": 0}
        out = tmp_path / ensemble
        produced = []
        original = walker.Walker._produce

        def stop_in_the_third(self, state, n_frames, *, original=original, produced=produced):
            produced.append(n_frames)
            if len(produced) == 3:
                raise KeyboardInterrupt
            return original(self, state, n_frames)

        with monkeypatch.context() as patch, pytest.raises(Interrupted, match=r"keeps 10 of 17 frames.*same folder"):
            patch.setattr(walker.Walker, "_produce", stop_in_the_third)
            simulate(dimer, **settings, out=out)
        resumed = simulate(dimer, **settings, out=out)
        assert same(resumed, simulate(dimer, **settings))


def test_more_frames_may_be_asked_of_a_finished_run(dimer, tmp_path):
    simulate(dimer, **QUICK | {"n_frames": 7}, processes=0, out=tmp_path)
    assert same(simulate(dimer, **QUICK, processes=0, out=tmp_path), simulate(dimer, **QUICK, processes=0))


SCRIPT = """
import functools
from ase import Atoms
from ase.calculators.lj import LennardJones
from asteroid_nb.data.simulate import simulate
lj = functools.partial(LennardJones, sigma=3.4, epsilon=0.0104, rc=20.0)
dimer = Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]])
simulate(dimer, temperature_K=20.0, n_walkers=2, n_frames={n_frames}, dt_fs=2.0, timestep_fs=1.0, equilibration_fs=50.0,
         chunk_frames=50, calculator=lj, progress=False, processes=2, out={out!r})
"""


def started(out, n_frames):
    """Start a long simulation in a script without a __main__ guard and wait for chunks of both walkers."""
    code = SCRIPT.format(out=str(out), n_frames=n_frames)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    deadline = time.monotonic() + 180
    while len(list(out.glob("walker-*/chunk-00001.npz"))) < 2:
        assert time.monotonic() < deadline and process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    return process


def hear_ctrl_c():
    """Undo what a shell does to jobs in the background: they ignore Ctrl-C, and hand that on to their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_or_killed_run_leaves_whole_chunks_that_are_resumed(tmp_path, stop):
    process = started(tmp_path, n_frames=10**6)
    process.send_signal(stop)
    try:
        said = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    if stop == signal.SIGINT:
        assert "Interrupted: The simulation was stopped." in said
        assert "Traceback" not in said.split("Interrupted")[1]
    n_kept = len(list(tmp_path.glob("walker-000/chunk-*.npz"))) * 50
    settings = QUICK | {"n_frames": 100, "chunk_frames": 50, "n_walkers": 2}
    dimer = Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]])
    assert n_kept >= 100
    assert same(simulate(dimer, **settings, processes=0, out=tmp_path), simulate(dimer, **settings, processes=0))
    wait_until_still(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".unfinished") and stop == signal.SIGINT]


def wait_until_still(folder):
    """Workers of a killed parent end at their next word of progress; fail if they go on."""
    deadline = time.monotonic() + 60
    before = -1
    while (now := len(list(folder.glob("walker-*/*.npz")))) != before:
        assert time.monotonic() < deadline, "workers outlive their parent"
        before = now
        time.sleep(1.0)


def test_other_settings_in_the_same_folder_are_refused(dimer, tmp_path):
    simulate(dimer, **QUICK, processes=0, out=tmp_path)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    with pytest.raises(SettingsDiffer, match=r"settings.temperature_K: 20.0 there, 30.0 now.*another folder"):
        simulate(dimer, **QUICK | {"temperature_K": 30.0}, processes=0, out=tmp_path)
    dimer.positions[1, 2] = 3.9
    with pytest.raises(SettingsDiffer, match="positions_ang"):
        simulate(dimer, **QUICK, processes=0, out=tmp_path)
    assert before == sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))


def test_a_full_disk_keeps_finished_chunks(dimer, tmp_path, monkeypatch):
    from asteroid_nb.data import runs

    original, written = runs.np.savez, []

    def full(handle, **arrays):
        written.append(handle)
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        original(handle, **arrays)

    with monkeypatch.context() as patch, pytest.raises(DiskFull, match="disk is full"):
        patch.setattr(runs.np, "savez", full)
        simulate(dimer, **QUICK, processes=0, out=tmp_path)
    assert sorted(path.name for path in tmp_path.glob("walker-000/*")) == [
        "chunk-00000.npz",
        "chunk-00001.npz",
        "equilibration.npz",
    ]
    assert same(simulate(dimer, **QUICK, processes=0, out=tmp_path), simulate(dimer, **QUICK, processes=0))


def test_a_damaged_chunk_is_named(dimer, tmp_path):
    simulate(dimer, **QUICK, processes=0, out=tmp_path)
    (tmp_path / "walker-000" / "chunk-00001.npz").write_bytes(b"PK nonsense")
    with pytest.raises(UnreadableFile, match=r"chunk-00001.npz is damaged.*Delete this file"):
        simulate(dimer, **QUICK, processes=0, out=tmp_path)


def test_any_ase_calculator_works():
    copper = Atoms("Cu4", [[0, 0, 0], [2.4, 0, 0], [0, 2.4, 0], [0, 0, 2.4]])
    (run,) = simulate(copper, **QUICK | {"calculator": EMT, "temperature_K": 300.0}, processes=0)
    assert run.provenance["settings"]["method"] == "ase.calculators.emt.EMT"
    assert run.symbols == ("Cu",) * 4


def test_a_factory_from_this_script_runs_here_and_is_refused_for_workers(dimer):
    local = lambda: ARGON()  # noqa: E731
    (run,) = simulate(dimer, **QUICK | {"calculator": local})
    assert run.n_frames == 17
    with pytest.raises(AsteroidError, match=r"cannot import it.*processes=0"):
        simulate(dimer, **QUICK | {"calculator": local}, processes=2)


def test_a_calculator_instead_of_a_factory_is_refused(dimer):
    with pytest.raises(AsteroidError, match="needed is a factory"):
        simulate(dimer, **QUICK | {"calculator": ARGON()})


def test_a_worker_passes_its_own_words_on():
    with pytest.raises(SimulationFailed, match="No support for elements with Z >86"):
        simulate(Atoms("Fm2", [[0, 0, 0], [0, 0, 3]]), n_frames=5, progress=False, processes=1)


def test_an_explosion_is_reported(dimer):
    with pytest.raises(SimulationFailed, match=r"Walker 0 exploded.*Shorten timestep_fs"):
        simulate(dimer, **QUICK | {"timestep_fs": 400.0, "dt_fs": 400.0, "temperature_K": 80.0}, processes=0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"ensemble": "npt"}, "choose 'nve' or 'langevin'"),
        ({"n_frames": 0}, "n_frames was 0; it must be positive"),
        ({"dt_fs": 1.5}, "not a whole number of timesteps"),
        ({"calculator": None, "method": "GFN3"}, "'GFN3' is not one of GFN2-xTB"),
    ],
)
def test_settings_that_cannot_be_are_refused(dimer, wrong, words):
    with pytest.raises(AsteroidError, match=words):
        simulate(dimer, **QUICK | wrong)


def test_a_missing_engine_names_the_extra(dimer, monkeypatch):
    monkeypatch.setitem(sys.modules, "tblite.ase", None)
    with pytest.raises(MissingExtra, match=r"asteroid-nb\[md\]"):
        simulate(dimer, n_frames=2)


def test_molecules_come_from_names_files_and_trajectories(tmp_path):
    path = tmp_path / "water.xyz"
    path.write_text("3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n")
    frames = Trajectory(np.array([[[0, 0, 0], [0, 0, 0.74]]]), np.array([1, 1]), 1.0, masses=np.array([2.014, 2.014]))
    assert str(engines.molecule(path).symbols) == "OH2"
    assert engines.molecule(frames).get_masses().tolist() == [2.014, 2.014]
    assert len(engines.molecule("ethanol")) == 9
    with pytest.raises(UnreadableFile, match="neither a file nor a known molecule"):
        engines.molecule("unobtainium")
    path.write_text("not a molecule")
    with pytest.raises(UnreadableFile, match="could not be read"):
        engines.molecule(path)


def test_malonaldehyde_is_the_hydrogen_bonded_enol():
    tblite = pytest.importorskip("tblite.ase")
    atoms = engines.molecule("malonaldehyde")
    atoms.calc = tblite.TBLite(method="GFN2-xTB", verbosity=0)
    assert np.abs(atoms.get_forces()).max() < 0.02
    assert atoms.get_distance(3, 8) == pytest.approx(1.00, abs=0.02)
    assert atoms.get_distance(4, 8) == pytest.approx(1.72, abs=0.05)


def test_workers_take_one_thread_each(dimer, tmp_path, monkeypatch):
    """Two workers with as many threads as cores each would slow one another down."""
    from asteroid_nb.data import walker_process

    seen = []
    original = subprocess.Popen

    def spy(*args, **kwargs):
        seen.append(kwargs["env"]["OMP_NUM_THREADS"])
        return original(*args, **kwargs)

    monkeypatch.setattr(walker_process.subprocess, "Popen", spy)
    simulate(dimer, **QUICK, processes=1, out=tmp_path)
    assert seen == ["1"] and os.environ.get("OMP_NUM_THREADS") in (None, "1")
