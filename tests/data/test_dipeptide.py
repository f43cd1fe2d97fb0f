"""Alanine dipeptide: built as L and trans, simulated the same every time, and the bundled sample of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from asteroid_nb.data import catalogue
from asteroid_nb.data.backbone import backbone_torsions
from asteroid_nb.data.bonds import find_bonds
from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.dipeptide import ATOMS, KEPT, PHI, PSI, SAMPLE, START_PHI, START_PSI, read_sample
from asteroid_nb.data.geometry import angles, distances, torsions
from asteroid_nb.errors import Interrupted, InvalidTrajectory, UnreadableFile

NAMES = [name for name, _, _ in ATOMS]
#: Around Cα, seen from its H: C(=O), side chain and N of an L residue turn clockwise ("CORN").
ALPHA, HYDROGEN, CARBONYL, BETA, NITROGEN = 8, 9, 14, 10, 6
TINY = {"n_walkers": 2, "n_frames": 110, "dt_fs": 8.0, "equilibration_fs": 80.0, "chunk_frames": 40}


def hand(positions: np.ndarray) -> np.ndarray:
    """Return the signed volume at Cα: positive for L, negative for D."""
    arms = [positions[..., atom, :] - positions[..., ALPHA, :] for atom in (CARBONYL, BETA, NITROGEN)]
    return np.sum(np.cross(arms[0], arms[1]) * arms[2], axis=-1)


# as built


def test_it_is_built_l_and_trans_with_the_torsions_it_names():
    pytest.importorskip("openmm")
    from asteroid_nb.data.dipeptide import alanine_dipeptide

    topology, positions = alanine_dipeptide()
    assert [atom.name for atom in topology.atoms()] == NAMES
    phi, psi = np.degrees(torsions(positions, np.array([PHI, PSI])))
    assert phi == pytest.approx(START_PHI, abs=1e-3) and psi == pytest.approx(START_PSI, abs=1e-3)
    omegas = np.degrees(torsions(positions, np.array([(1, 4, 6, 8), (8, 14, 16, 18)])))
    np.testing.assert_allclose(np.abs(omegas), 180, atol=1e-3)
    numbers = np.array([atom.element.atomic_number for atom in topology.atoms()])
    listed = sorted(sorted((one.index, other.index)) for one, other in topology.bonds())
    assert listed == find_bonds(positions, numbers).tolist()
    assert distances(positions, np.array(listed)).min() > 1.0
    corners = [(a, b, c) for a, b in listed for c in range(22) if [b, c] in listed and c != a]
    assert (np.abs(np.degrees(angles(positions, np.array(corners))) - 115) < 12).all()


def test_it_is_l_by_the_rule_of_corn():
    pytest.importorskip("openmm")
    from asteroid_nb.data.dipeptide import alanine_dipeptide

    _, positions = alanine_dipeptide()
    towards = positions[HYDROGEN] - positions[ALPHA]  # the eye is at H and looks down to Cα
    first = np.cross(towards, [1.0, 0.0, 0.0])
    second = np.cross(towards, first)
    arms = positions[[CARBONYL, BETA, NITROGEN]] - positions[ALPHA]
    turns = np.degrees(np.arctan2(arms @ second / np.linalg.norm(second), arms @ first / np.linalg.norm(first)))
    steps = (np.diff([*turns, turns[0]]) + 180) % 360 - 180
    assert (steps < 0).all(), "clockwise: CO, R, N"
    assert hand(positions) > 0


# as simulated


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    pytest.importorskip("openmm")
    from asteroid_nb.data.dipeptide import make_sample

    folder = tmp_path_factory.mktemp("dipeptide")
    return make_sample(folder / "sample.npz", folder=folder / "kept", **TINY)


def arrays(path):
    with np.load(path, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def test_a_sample_reads_back_as_coordinates_with_structures(made):
    walkers = read_sample(made, about={"licence": "MIT"})
    assert len(walkers) == 2 and all(isinstance(one, Coordinates) for one in walkers)
    for number, walker in enumerate(walkers):
        assert walker.names == ("φ", "ψ") and walker.periodic and walker.n_frames == 110 and walker.dt_fs == 8.0
        assert walker.structures.n_frames == 3 and walker.structures.dt_fs == 400.0 and walker.structures.n_atoms == 22
        assert walker.provenance["walker"] == number and walker.provenance["licence"] == "MIT"
        assert walker.provenance["settings"]["temperature_K"] == 450.0
        assert (walker.structures.masses[walker.structures.atomic_numbers == 1] > 2.9).all()
    assert np.abs(walkers[0].values - walkers[1].values).max() > 0.01


def test_stopped_and_resumed_it_is_the_same_sample(made, tmp_path, monkeypatch):
    from asteroid_nb.data import openmm_engine
    from asteroid_nb.data.dipeptide import make_sample

    original, calls = openmm_engine._frames, []

    def stop_in_the_fifth(*args):
        calls.append(args)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return original(*args)

    out = tmp_path / "sample.npz"
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(openmm_engine, "_frames", stop_in_the_fifth)
        make_sample(out, folder=tmp_path / "kept", **TINY)
    assert not out.exists()
    whole, resumed = arrays(made), arrays(make_sample(out, folder=tmp_path / "kept", **TINY))
    assert set(whole) == set(resumed) == set(KEPT)
    for key, value in whole.items():
        np.testing.assert_array_equal(resumed[key], value, err_msg=key)


def test_a_file_that_is_no_sample(tmp_path):
    path = tmp_path / "sample.npz"
    with pytest.raises(UnreadableFile, match="holds no sample"):
        read_sample(path)
    np.savez(path, torsions=np.zeros((1, 5, 2), dtype=np.int16))
    with pytest.raises(UnreadableFile, match="holds no sample"):
        read_sample(path)


# as bundled


@pytest.fixture(scope="module")
def bundled():
    return catalogue.sample("alanine-dipeptide")


def test_the_bundled_sample_is_small_and_says_where_it_comes_from(bundled):
    assert (catalogue.SAMPLES / "alanine-dipeptide.npz").stat().st_size <= 3_000_000
    assert [walker.n_frames for walker in bundled] == [SAMPLE["n_frames"]] * SAMPLE["n_walkers"]
    for walker in bundled:
        record = walker.provenance
        assert {"settings", "versions", "molecule", "command", "citation", "licence", "walker"} <= set(record)
        assert record["command"] == "python -m asteroid_nb.data.dipeptide" and "openmm" in record["versions"]
        made_with = {key: record["settings"][key] for key in SAMPLE}
        assert made_with == json.loads(json.dumps(SAMPLE))
        assert walker.dt_fs == 1000.0 and walker.structure_every == 50 and walker.structures.n_frames == 400


def test_torsions_and_structures_of_the_bundled_sample_agree(bundled):
    """Structures are rounded to 0.001 Å, which moves a torsion by some thousandths of a radian."""
    for walker in bundled:
        again = backbone_torsions(walker.structures)
        apart = np.angle(np.exp(1j * (again.values - walker.values[::50])))
        assert again.names == walker.names and np.abs(apart).max() < 5e-3


def test_the_bundled_molecule_stays_l_and_trans(bundled):
    """At 450 K nothing may turn the hand of Cα; a peptide bond could become cis, but does not."""
    for walker in bundled:
        positions = walker.structures.positions
        assert (hand(positions) > 0).all()
        omegas = torsions(positions, np.array([(1, 4, 6, 8), (8, 14, 16, 18)]))
        assert (np.cos(omegas) < 0).all()


def test_phi_is_the_rare_event_of_the_bundled_sample(bundled):
    """Flips are counted between cores of cos(φ − 0°) far apart, so that hovering on a border counts for nothing."""
    flips = sum(np.count_nonzero(np.diff(right_hand(walker.values[:, 0]))) for walker in bundled)
    assert flips >= 50, "enough to estimate how slow it is"
    assert flips / sum(walker.n_frames for walker in bundled) < 0.01, "and rare at the saving interval"
    shares = [np.mean(right_hand(walker.values[:, 0])) for walker in bundled]
    assert 0.005 < np.mean(shares) < 0.5


def right_hand(phi: np.ndarray) -> np.ndarray:
    """Return whether φ was last inside (0.5, 1.8) rad rather than (−2.8, −0.8)."""
    inside = np.where((phi > 0.5) & (phi < 1.8), 1, np.where((phi > -2.8) & (phi < -0.8), 0, -1))
    last = np.maximum.accumulate(np.where(inside >= 0, np.arange(len(phi)), 0))
    return inside[last] == 1


def test_positions_cannot_be_had_from_it(tmp_path):
    import argparse

    from asteroid_nb.commands import open_data

    options = argparse.Namespace(data=["alanine-dipeptide"], top=None, dt_fs=None, stride=1)
    with pytest.raises(InvalidTrajectory, match="alanine-dipeptide holds torsions, not positions"):
        open_data(options)
