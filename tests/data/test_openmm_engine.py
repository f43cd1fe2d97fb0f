"""OpenMM's dynamics arrive in Å, fs and eV, and go on where they stopped."""

import numpy as np
import pytest

pytest.importorskip("openmm")

from asteroid_nb import units
from asteroid_nb.data import openmm_engine
from asteroid_nb.data.openmm_engine import OpenmmSettings, simulate_openmm
from asteroid_nb.data.runs import SettingsDiffer
from asteroid_nb.errors import AsteroidError, Interrupted, UnreadableFile

WATERS = """\
HETATM    1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O
HETATM    2  H1  HOH A   1       0.957   0.000   0.000  1.00  0.00           H
HETATM    3  H2  HOH A   1      -0.240   0.927   0.000  1.00  0.00           H
HETATM    4  O   HOH A   2       3.000   0.000   0.000  1.00  0.00           O
HETATM    5  H1  HOH A   2       3.957   0.000   0.000  1.00  0.00           H
HETATM    6  H2  HOH A   2       2.760   0.927   0.000  1.00  0.00           H
END
"""
QUICK = {
    "force_field": ("tip3p.xml",),
    "n_frames": 17,
    "dt_fs": 1.0,
    "timestep_fs": 0.5,
    "equilibration_fs": 50.0,
    "constraints": None,
    "platform": "Reference",
    "chunk_frames": 5,
}


@pytest.fixture
def waters(tmp_path):
    path = tmp_path / "waters.pdb"
    path.write_text(WATERS)
    return path


def test_units_agree_with_each_other(waters):
    (run,) = simulate_openmm(waters, settings=OpenmmSettings(**QUICK), progress=False)
    assert run.symbols == ("O", "H", "H", "O", "H", "H")
    oh = np.linalg.norm(run.positions[:, 1] - run.positions[:, 0], axis=-1)
    assert oh.mean() == pytest.approx(0.96, abs=0.06)
    finite_difference = (run.positions[2:] - run.positions[:-2]) / (2 * run.dt_fs)
    np.testing.assert_allclose(run.velocities[1:-1], finite_difference, atol=0.25 * np.abs(finite_difference).max())
    # The work done by the forces is the potential energy lost: this holds only if eV and Å both do.
    steps = np.diff(run.positions.astype(float), axis=0)
    work = ((run.forces[1:] + run.forces[:-1]) / 2 * steps).sum(axis=(1, 2))
    np.testing.assert_allclose(np.diff(run.energies), -work, atol=0.05 * np.abs(work).max())


def test_the_temperature_is_the_one_asked_for(waters):
    settings = OpenmmSettings(**QUICK | {"n_frames": 2000, "chunk_frames": 2000, "friction_per_fs": 0.05})
    (run,) = simulate_openmm(waters, settings=settings, progress=False)
    kinetic = 0.5 * units.EV_PER_AMU_ANG2_PER_FS2 * np.einsum("tad,a->t", run.velocities.astype(float) ** 2, run.masses)
    assert 2 * kinetic.mean() / (18 * units.BOLTZMANN_EV_PER_K) == pytest.approx(300, rel=0.15)


def test_stopped_and_resumed_equals_never_stopped(waters, tmp_path, monkeypatch):
    settings, calls, original = OpenmmSettings(**QUICK, n_walkers=2), [], openmm_engine._frames

    def stop_in_the_third(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args)

    out = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="keeps 10 of 34 frames"):
        patch.setattr(openmm_engine, "_frames", stop_in_the_third)
        simulate_openmm(waters, settings=settings, out=out, progress=False)
    resumed = simulate_openmm(waters, settings=settings, out=out, progress=False)
    whole = simulate_openmm(waters, settings=settings, progress=False)
    for one, other in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)
    assert np.abs(whole[0].positions - whole[1].positions).max() > 1e-3
    with pytest.raises(SettingsDiffer, match="temperature_K"):
        simulate_openmm(waters, settings=OpenmmSettings(**QUICK, temperature_K=310.0), out=out, progress=False)


def test_heavy_hydrogens_are_recorded_as_simulated(waters):
    settings = OpenmmSettings(**QUICK | {"n_frames": 2, "hydrogen_mass_amu": 3.0})
    (run,) = simulate_openmm(waters, settings=settings, progress=False)
    np.testing.assert_allclose(run.masses[:3], [15.99943 - 2 * (3.0 - 1.007947), 3.0, 3.0], atol=1e-3)


def test_a_ready_system_with_its_topology():
    import openmm
    from openmm import app

    topology, system = app.Topology(), openmm.System()
    residue = topology.addResidue("AR", topology.addChain())
    force = openmm.NonbondedForce()
    for _ in range(2):
        topology.addAtom("Ar", app.Element.getBySymbol("Ar"), residue)
        system.addParticle(39.948)
        force.addParticle(0.0, 0.34, 1.0)
    system.addForce(force)
    settings = OpenmmSettings(n_frames=4, dt_fs=10.0, equilibration_fs=20.0, temperature_K=20.0, platform="Reference")
    start = np.array([[0, 0, 0], [0, 0, 3.8]])
    (run,) = simulate_openmm(topology, settings=settings, system=system, positions=start, progress=False)
    assert run.positions.shape == (4, 2, 3)
    assert np.linalg.norm(run.positions[0, 0] - run.positions[0, 1]) == pytest.approx(3.8, abs=0.5)
    with pytest.raises(AsteroidError, match="Pass positions="):
        simulate_openmm(topology, settings=settings, system=system, progress=False)


def test_a_file_the_force_field_does_not_know(waters, tmp_path):
    with pytest.raises(UnreadableFile, match="cannot describe this molecule"):
        simulate_openmm(
            waters, settings=OpenmmSettings(**QUICK | {"force_field": ("amber14/protein.ff14SB.xml",)}), progress=False
        )
    with pytest.raises(UnreadableFile, match="There is no file"):
        simulate_openmm(tmp_path / "nowhere.pdb", progress=False)
