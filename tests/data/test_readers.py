"""Files come back as they went in, within what their format can hold, in Å, fs, eV and amu."""

import json
import subprocess
import sys
from pathlib import Path

import ase.io
import ase.units
import mdtraj
import numpy as np
import pytest
from small_molecules import ETHANOL_ANG, ETHANOL_BONDS, ETHANOL_NUMBERS, ethanol

from asteroid_nb.data.geometry import superpose
from asteroid_nb.data.readers import (
    as_trajectory,
    from_ase,
    from_mdtraj,
    load,
    save,
    save_walkers,
    to_ase,
    to_mdtraj,
    to_nglview,
)
from asteroid_nb.data.trajectory import PER_FRAME, Trajectory
from asteroid_nb.errors import InvalidTrajectory, MissingExtra, MissingSpacing

ROOT = Path(__file__).parents[2]

#: Ending → how far positions may be off, Å; and whether it keeps time, atoms and box.
FORMATS = {
    ".npz": (0, "time atoms box"),
    ".traj": (1e-12, "atoms box"),
    ".extxyz": (1e-8, "atoms box"),
    ".xyz": (1e-8, "atoms box"),
    ".xtc": (0.0051, "time box"),
    ".trr": (2e-6, "time box"),
    ".nc": (2e-6, "time box"),
    ".h5": (2e-6, "time atoms box"),
    ".dcd": (2e-6, "box"),
    ".pdb": (0.00051, "atoms box"),
    ".gro": (0.0051, "atoms box"),
    ".cif": (6e-5, "atoms box"),
    ".lammpstrj": (6e-4, "box"),
    ".mdcrd": (6e-4, ""),
}
NEEDS_A_BOX, NEEDS_NO_BOX = {".lammpstrj"}, {".mdcrd"}
KCAL = ase.units.kcal / ase.units.mol

close = np.testing.assert_allclose


def round_trip(trajectory: Trajectory, path: Path, **options) -> Trajectory:
    ending = path.suffix
    if ending == ".h5":
        pytest.importorskip("tables", reason="MDTraj's HDF5 needs PyTables")
    assert save(trajectory, path) == path
    kept = FORMATS[ending][1]
    given = {} if "time" in kept else {"dt_fs": trajectory.dt_fs}
    top = {} if "atoms" in kept else {"top": trajectory}
    return load(path, **given, **top, **options)


class TestRoundTrips:
    @pytest.mark.parametrize("box", [False, True], ids=["no box", "box"])
    @pytest.mark.parametrize("ending", FORMATS)
    def test_what_goes_out_comes_back(self, tmp_path, ending, box):
        if ending in (NEEDS_NO_BOX if box else NEEDS_A_BOX):
            pytest.skip("the format cannot hold it")
        before = ethanol(7, box=box)
        after = round_trip(before, tmp_path / f"run.v1{ending}")
        tolerance, _ = FORMATS[ending]
        close(after.positions, before.positions, rtol=0, atol=tolerance)
        assert after.dt_fs == before.dt_fs
        assert after.same_atoms(before)
        close(after.masses, before.masses)
        if box:
            close(after.cell, before.cell, atol=1e-3)  # PDB rounds lengths to 0.001 Å, angles to 0.01°
        else:
            assert after.cell is None
        assert [entry.name for entry in tmp_path.iterdir()] == [f"run.v1{ending}"]

    def test_our_archive_keeps_everything_bit_for_bit(self, tmp_path):
        before = ethanol(box=True).replace(masses=np.linspace(1, 20, 9))
        after = round_trip(before, tmp_path / "x.npz")
        for key in (*PER_FRAME, "masses", "atomic_numbers", "bonds"):
            np.testing.assert_array_equal(getattr(after, key), getattr(before, key))
            assert getattr(after, key).dtype == getattr(before, key).dtype
        assert (after.name, after.provenance, after.dt_fs) == (before.name, before.provenance, before.dt_fs)

    @pytest.mark.parametrize("ending", [".traj", ".extxyz", ".xyz"])
    def test_ases_formats_keep_velocities_forces_energies_and_masses(self, tmp_path, ending):
        before = ethanol().replace(masses=np.where(ETHANOL_NUMBERS == 1, 3.024, 12.011))
        after = round_trip(before, tmp_path / f"x{ending}")
        for key in ("velocities", "forces", "energies"):
            close(getattr(after, key), getattr(before, key), rtol=0, atol=1e-8)
        close(after.masses, before.masses, rtol=1e-8)

    @pytest.mark.parametrize("ending", [".traj", ".extxyz"])
    def test_what_was_not_there_is_not_made_up(self, tmp_path, ending):
        after = round_trip(ethanol(full=False), tmp_path / f"x{ending}")
        assert after.velocities is after.forces is after.energies is after.cell is None

    @pytest.mark.parametrize("ending", [".npz", ".extxyz", ".xtc", ".dcd", ".pdb"])
    def test_a_stride_stretches_time_whatever_the_format(self, tmp_path, ending):
        whole = round_trip(ethanol(9), tmp_path / f"x{ending}")
        third = round_trip(ethanol(9), tmp_path / f"x{ending}", stride=3)
        assert third.dt_fs == 3 * whole.dt_fs
        np.testing.assert_array_equal(third.positions, whole.positions[::3])

    @pytest.mark.parametrize("ending", [".npz", ".extxyz", ".xtc", ".pdb"])
    def test_chosen_atoms_whatever_the_format(self, tmp_path, ending):
        whole = round_trip(ethanol(), tmp_path / f"x{ending}")
        part = round_trip(ethanol(), tmp_path / f"x{ending}", atoms=[0, 1, 2])
        np.testing.assert_array_equal(part.positions, whole.positions[:, :3])
        assert part.symbols == ("C", "C", "O")

    def test_mdtrajs_selections_choose_atoms(self, tmp_path):
        part = round_trip(ethanol(), tmp_path / "x.pdb", atoms="element != H")
        assert part.symbols == ("C", "C", "O")
        assert {frozenset(pair) for pair in part.bonds.tolist()} == {frozenset((0, 1)), frozenset((1, 2))}

    def test_one_frame_is_enough(self, tmp_path):
        for ending in (".npz", ".extxyz", ".pdb"):
            assert round_trip(ethanol(1), tmp_path / f"x{ending}").n_frames == 1
        save(ethanol(1), tmp_path / "x.xtc")
        assert load(tmp_path / "x.xtc", top=ethanol(), dt_fs=2.0).dt_fs == 2.0
        with pytest.raises(MissingSpacing, match="single time"):
            load(tmp_path / "x.xtc", top=ethanol())

    def test_bonds_come_with_the_topology(self, tmp_path):
        assert len(round_trip(ethanol(), tmp_path / "x.pdb").bonds) == 8
        assert len(round_trip(ethanol(), tmp_path / "x.dcd").bonds) == 8


class TestSeveral:
    def test_several_files_are_several_runs(self, tmp_path):
        paths = [save(ethanol(seed=seed), tmp_path / f"run{seed}.npz") for seed in range(3)]
        runs = load(paths)
        assert [run.name for run in runs] == ["ethanol"] * 3
        assert [run.name for run in load(paths, name="mine")] == ["mine 0", "mine 1", "mine 2"]
        np.testing.assert_array_equal(runs[2].positions, ethanol(seed=2).positions)

    def test_walkers_are_stacked_and_come_back(self, tmp_path):
        walkers = [ethanol(4, seed=seed).replace(name=f"walker {seed}") for seed in range(3)]
        back = load(save_walkers(walkers, tmp_path / "all.npz"))
        for one, other in zip(walkers, back, strict=True):
            for key in ("positions", "velocities", "forces", "energies", "masses", "bonds"):
                np.testing.assert_array_equal(getattr(one, key), getattr(other, key))
            assert (one.name, one.provenance) == (other.name, other.provenance)

    def test_walkers_in_a_box(self, tmp_path):
        back = load(save_walkers([ethanol(4, box=True), ethanol(4, seed=1, box=True)], tmp_path / "all.npz"), stride=2)
        assert [walker.cell.shape for walker in back] == [(2, 3, 3)] * 2

    @pytest.mark.parametrize("other", [ethanol(5), ethanol(4, dt_fs=1.0), ethanol(4).replace(masses=np.ones(9))])
    def test_walkers_that_differ_are_not_stacked(self, tmp_path, other):
        with pytest.raises(InvalidTrajectory, match="one by one"):
            save_walkers([ethanol(4), other], tmp_path / "all.npz")
        assert not list(tmp_path.iterdir())

    def test_no_walkers_are_no_file(self, tmp_path):
        with pytest.raises(InvalidTrajectory, match="one or more"):
            save_walkers([], tmp_path / "all.npz")

    def test_half_precision_forces_are_widened(self, tmp_path):
        forces = ethanol(4).forces.astype(np.float16)
        path = save_walkers([ethanol(4).replace(forces=forces)] * 2, tmp_path / "all.npz")
        assert load(path)[0].forces.dtype == np.float32
        np.testing.assert_array_equal(load(path)[0].forces, forces)

    def test_a_stack_with_one_name_and_one_provenance(self, tmp_path):
        arrays = {"positions": np.stack([ethanol(4).positions] * 2), "atomic_numbers": ETHANOL_NUMBERS, "dt_fs": 1.0}
        np.savez(tmp_path / "all.npz", **arrays, name="ethanol", provenance=json.dumps({"method": "x"}))
        back = load(tmp_path / "all.npz")
        assert [walker.name for walker in back] == ["ethanol walker 0", "ethanol walker 1"]
        assert back[1].provenance == {"method": "x"}


def md17(tmp_path, **changes) -> Path:
    rng = np.random.default_rng(0)
    arrays = {
        "R": ethanol(6).positions,
        "z": ETHANOL_NUMBERS.astype(np.uint8),
        "E": rng.normal(size=(6, 1)),
        "F": rng.normal(size=(6, 9, 3)),
    }
    arrays = {key: array for key, array in (arrays | changes).items() if array is not None}
    np.savez(tmp_path / "md17.npz", **arrays)
    return tmp_path / "md17.npz"


class TestArchives:
    def test_md17_is_kcal_per_mol_until_here(self, tmp_path):
        path = md17(tmp_path)
        loaded, raw = load(path, dt_fs=0.5), np.load(path)
        close(loaded.energies, raw["E"][:, 0] * KCAL, rtol=1e-6)
        close(loaded.forces, raw["F"] * KCAL, rtol=1e-6)
        np.testing.assert_array_equal(loaded.positions, raw["R"])
        assert loaded.name == "md17" and loaded.velocities is None

    @pytest.mark.parametrize(
        ("unit", "factor"), [("eV", 1.0), ("kJ/mol", KCAL / 4.184), ("Hartree", 27.211386), ("KCAL/MOL", KCAL)]
    )
    def test_other_energy_units_by_name_or_from_the_file(self, tmp_path, unit, factor):
        raw = np.load(md17(tmp_path))["F"]
        close(load(md17(tmp_path), dt_fs=0.5, energy_unit=unit).forces, raw * factor, rtol=1e-6)
        close(load(md17(tmp_path, e_unit=np.array(unit)), dt_fs=0.5).forces, raw * factor, rtol=1e-6)

    def test_an_unknown_energy_unit_is_refused(self, tmp_path):
        with pytest.raises(InvalidTrajectory, match="'cal'.*kcal/mol"):
            load(md17(tmp_path), dt_fs=0.5, energy_unit="cal")

    def test_walkers_velocities_and_spacing_from_the_file(self, tmp_path):
        shape = (3, 6, 9, 3)
        changes = {"R": np.stack([ethanol(6, seed=s).positions for s in range(3)]), "V": np.ones(shape) * 0.01}
        path = md17(tmp_path, **changes, F=np.ones(shape), E=np.ones((3, 6)), dt_fs=np.array(0.5))
        walkers = load(path, stride=2)
        assert [walker.dt_fs for walker in walkers] == [1.0] * 3
        assert [walker.name for walker in walkers] == [f"md17 walker {i}" for i in range(3)]
        close(walkers[2].positions, changes["R"][2, ::2])
        close(walkers[0].velocities, 0.01)
        close(walkers[0].energies, KCAL, rtol=1e-6)

    def test_rmd17_is_sorted_and_says_that_it_is_uneven(self, tmp_path):
        order = np.array([4, 0, 2, 5, 1, 3])
        whole = ethanol(6)
        arrays = {"coords": whole.positions[order], "nuclear_charges": ETHANOL_NUMBERS, "old_indices": order * 7}
        np.savez(tmp_path / "rmd17.npz", **arrays, energies=np.arange(6.0)[order], forces=whole.forces[order])
        with pytest.raises(MissingSpacing, match="3.5 fs apart on average"):
            load(tmp_path / "rmd17.npz")
        with pytest.warns(UserWarning, match="unevenly"):
            loaded = load(tmp_path / "rmd17.npz", dt_fs=3.5)
        np.testing.assert_array_equal(loaded.positions, whole.positions)
        close(loaded.energies, np.arange(6) * KCAL, rtol=1e-6)

    def test_a_pickled_name_in_an_old_archive_does_no_harm(self, tmp_path):
        assert load(md17(tmp_path, name=np.array("ethanol", dtype=object)), dt_fs=0.5).name == "md17"

    def test_the_bundled_samples_open(self):
        from asteroid_nb.data import catalogue

        walkers = load(catalogue.SAMPLES / "ethanol.npz")
        assert len(walkers) > 2 and walkers[0].forces.dtype == np.float32


class TestTime:
    def test_formats_that_store_time_are_believed(self, tmp_path):
        save(ethanol(2001, dt_fs=0.5, full=False), tmp_path / "x.xtc")
        assert load(tmp_path / "x.xtc", top=ethanol()).dt_fs == 0.5
        assert load(tmp_path / "x.xtc", top=ethanol(), dt_fs=0.5).dt_fs == 0.5

    def test_one_ps_from_zero_is_a_time_too_where_the_format_stores_it(self, tmp_path):
        save(ethanol(5, dt_fs=1000.0), tmp_path / "x.xtc")
        assert load(tmp_path / "x.xtc", top=ethanol()).dt_fs == 1000.0

    def test_a_spacing_that_contradicts_the_file_is_refused(self, tmp_path):
        for ending in (".xtc", ".npz"):
            save(ethanol(5), tmp_path / f"x{ending}")
            with pytest.raises(InvalidTrajectory, match=r"0.5 fs apart, dt_fs=2 was given.*stride"):
                load(tmp_path / f"x{ending}", top=ethanol(), dt_fs=2.0)

    @pytest.mark.parametrize("ending", [".dcd", ".pdb", ".xyz", ".extxyz", ".traj", ".gro", ".cif", ".lammpstrj"])
    def test_invented_times_are_not_believed(self, tmp_path, ending):
        save(ethanol(5, box=True), tmp_path / f"x{ending}")
        top = None if "atoms" in FORMATS[ending][1] else ethanol()
        with pytest.raises(MissingSpacing, match=r"Pass dt_fs="):
            load(tmp_path / f"x{ending}", top=top)

    def test_uneven_times_are_refused(self, tmp_path):
        uneven = to_mdtraj(ethanol(6))
        uneven.time = np.array([0, 1, 2, 3, 5, 6]) * 1e-3
        uneven.save(str(tmp_path / "x.xtc"))
        with pytest.raises(InvalidTrajectory, match="frame 4 comes 2 fs after frame 3"):
            load(tmp_path / "x.xtc", top=ethanol())

    def test_times_that_stand_still_state_no_spacing(self, tmp_path):
        still = to_mdtraj(ethanol(6))
        still.time = np.zeros(6)
        still.save(str(tmp_path / "x.xtc"))
        with pytest.raises(MissingSpacing):
            load(tmp_path / "x.xtc", top=ethanol())
        assert load(tmp_path / "x.xtc", top=ethanol(), dt_fs=3.0).dt_fs == 3.0


class TestObjects:
    def test_mdtraj_and_back(self):
        before = ethanol(5, box=True)
        there = before.to_mdtraj()
        close(there.xyz * 10, before.positions, atol=1e-5)
        close(there.time, before.times_fs / 1000)
        back = from_mdtraj(there)
        close(back.positions, before.positions, atol=1e-5)
        close(back.cell, before.cell, atol=1e-4)
        assert back.dt_fs == before.dt_fs and back.same_atoms(before)
        assert {frozenset(pair) for pair in back.bonds.tolist()} == {frozenset(pair) for pair in ETHANOL_BONDS.tolist()}

    def test_a_turned_box_does_not_fit_into_mdtraj(self):
        turned = superpose(ethanol(5, box=True), ETHANOL_ANG @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]]))
        with pytest.raises(InvalidTrajectory, match=r"box is turned.*\.npz"):
            turned.to_mdtraj()

    def test_times_that_mdtraj_invents_are_not_believed(self):
        invented = mdtraj.Trajectory(ethanol(5).positions / 10, to_mdtraj(ethanol()).topology)
        with pytest.raises(MissingSpacing, match="MDTraj also invents"):
            from_mdtraj(invented)
        assert from_mdtraj(invented, dt_fs=2.0).dt_fs == 2.0

    def test_ase_and_back(self):
        before = ethanol(5, box=True)
        frames = to_ase(before)
        assert len(frames) == 5 and frames[0].pbc.all()
        close(frames[2].get_potential_energy(), before.energies[2])
        close(frames[2].get_velocities() * ase.units.fs, before.velocities[2], rtol=1e-6)
        back = from_ase(frames, dt_fs=0.5)
        for key in PER_FRAME:
            close(getattr(back, key), getattr(before, key), atol=1e-12)

    def test_kinetic_energy_is_the_same_in_both_units(self):
        from asteroid_nb import units

        trajectory = ethanol()
        ours = 0.5 * trajectory.masses @ (trajectory.velocities[0] ** 2).sum(1) * units.EV_PER_AMU_ANG2_PER_FS2
        close(trajectory.to_ase()[0].get_kinetic_energy(), ours, rtol=1e-9)

    def test_nglview_gets_angstroms(self):
        pytest.importorskip("nglview")
        shown = to_nglview(ethanol(3, box=True))
        assert shown.n_frames == 3
        close(shown.get_coordinates(1), ethanol(3).positions[1], atol=1e-5)

    def test_anything_that_is_a_trajectory_is_taken(self, tmp_path):
        before = ethanol(4)
        assert as_trajectory(before) is before
        close(as_trajectory(before.to_mdtraj()).positions, before.positions, atol=1e-5)
        close(as_trajectory(before.to_ase(), dt_fs=0.5).positions, before.positions)
        save(before, tmp_path / "x.traj")
        with ase.io.Trajectory(tmp_path / "x.traj") as reader:
            close(as_trajectory(reader, dt_fs=0.5).positions, before.positions)

    @pytest.mark.parametrize("thing", [None, 3, [], [1, 2], np.zeros((2, 3, 3)), "file.xtc"])
    def test_anything_else_is_refused(self, thing):
        with pytest.raises(InvalidTrajectory, match="needed is a Trajectory"):
            as_trajectory(thing)

    def test_a_spacing_must_agree_or_be_given(self):
        with pytest.raises(InvalidTrajectory, match="dt_fs=2 was given"):
            as_trajectory(ethanol(), dt_fs=2.0)
        with pytest.raises(MissingSpacing, match="carry no time"):
            as_trajectory(ethanol().to_ase())

    def test_methyl_carbons_that_a_template_forgets_get_their_bonds(self):
        topology = mdtraj.Topology()
        residue = topology.add_residue("NME", topology.add_chain())
        atoms = [
            topology.add_atom(f"{s}{i}", mdtraj.element.get_by_symbol(s), residue) for i, s in enumerate("CCOHHHHHH")
        ]
        for a, b in ETHANOL_BONDS[ETHANOL_BONDS[:, 0] > 0]:
            topology.add_bond(atoms[a], atoms[b])
        back = from_mdtraj(mdtraj.Trajectory(ETHANOL_ANG[None] / 10, topology), dt_fs=1.0)
        assert {frozenset(pair) for pair in back.bonds.tolist()} == {frozenset(pair) for pair in ETHANOL_BONDS.tolist()}

    @pytest.mark.parametrize("edge_ang", [None, 40.0])
    def test_a_hydrogen_that_a_template_takes_for_another_is_bonded_to_its_neighbour(self, edge_ang):
        topology = mdtraj.Topology()
        residue = topology.add_residue("LEU", topology.add_chain())
        atoms = [
            topology.add_atom(f"{s}{i}", mdtraj.element.get_by_symbol(s), residue) for i, s in enumerate("CCOHHHHHH")
        ]
        wrong = ETHANOL_BONDS.copy()
        hydroxyl = int(np.flatnonzero((wrong == 2).any(1) & (wrong != 1).all(1))[0])
        wrong[hydroxyl] = [0, wrong[hydroxyl][wrong[hydroxyl] != 2][0]]  # as if the far carbon held it
        for a, b in wrong:
            topology.add_bond(atoms[a], atoms[b])
        moved = mdtraj.Trajectory(ETHANOL_ANG[None] / 10, topology)
        if edge_ang:
            moved.unitcell_vectors = np.eye(3)[None] * edge_ang / 10
        back = from_mdtraj(moved, dt_fs=1.0)
        assert {frozenset(pair) for pair in back.bonds.tolist()} == {frozenset(pair) for pair in ETHANOL_BONDS.tolist()}

    def test_a_molecule_cut_by_the_box_keeps_its_bonds(self):
        moved = to_mdtraj(ethanol())
        across = np.array(moved.xyz)
        across[:, 2:3] += 3.0  # nm: one atom on the other side
        back = from_mdtraj(mdtraj.Trajectory(across, moved.topology), dt_fs=1.0)
        assert len(back.bonds) == 8

    def test_an_ion_is_bonded_to_nothing(self):
        topology = to_mdtraj(ethanol()).topology
        topology.add_atom("NA", mdtraj.element.sodium, topology.add_residue("NA", topology.add_chain()))
        positions = np.vstack([ETHANOL_ANG, ETHANOL_ANG[2] + [0, -2.2, 0]])[None]
        assert len(from_mdtraj(mdtraj.Trajectory(positions / 10, topology), dt_fs=1.0).bonds) == 8


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tables", None)
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(MissingExtra, match="pip install tables"):
        load(tmp_path / "x.h5")


def test_the_doors_open_without_what_stands_behind_them():
    heavy = "{'mdtraj', 'ase', 'torch', 'scipy', 'nglview'}"
    program = f"import sys, asteroid_nb.data.readers, asteroid_nb.data.geometry; print(*{heavy} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not loaded.stdout.split()


def test_reading_dcd_says_nothing(tmp_path, capfd):
    path = save(ethanol(), tmp_path / "x.dcd")
    load(path, top=ethanol(), dt_fs=0.5)
    assert capfd.readouterr() == ("", "")
    print("heard again")
    assert "heard again" in capfd.readouterr().out
