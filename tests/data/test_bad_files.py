"""Bad input meets one clear error: what was found, what was needed, what to do. Nothing is left half-written."""

import errno

import numpy as np
import pytest
from small_molecules import ETHANOL_ANG, ETHANOL_NUMBERS, ethanol

from asteroid_nb.data import formats_ase, formats_mdtraj, formats_npz, readers
from asteroid_nb.data.readers import from_ase, load, save, save_walkers, to_ase, to_mdtraj
from asteroid_nb.errors import AsteroidError, DiskFull, InvalidTrajectory, MissingSpacing, UnitMismatch, UnreadableFile

# MDTraj leaves a file open where its parsers fail; Python says so when it collects it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

BINARY = (".npz", ".traj", ".xtc", ".trr", ".nc", ".dcd")
TEXT = (".extxyz", ".xyz", ".pdb", ".gro", ".cif", ".lammpstrj")
NO_ATOMS = (".xtc", ".trr", ".nc", ".dcd", ".lammpstrj")


def options(ending):
    return {"dt_fs": 0.5} | ({"top": ethanol()} if ending in NO_ATOMS else {})


def raises_with_name(error, path):
    return pytest.raises(error, match=path.name.replace(".", r"\."))


class TestFiles:
    @pytest.mark.parametrize("ending", BINARY + TEXT)
    def test_an_empty_file(self, tmp_path, ending):
        (tmp_path / f"x{ending}").touch()
        with pytest.raises(UnreadableFile, match="is empty"):
            load(tmp_path / f"x{ending}", **options(ending))

    @pytest.mark.parametrize("share", [0.02, 0.3, 0.71, 0.97])
    @pytest.mark.parametrize("ending", BINARY + TEXT)
    def test_a_truncated_file(self, tmp_path, ending, share):
        whole = save(ethanol(21, box=True), tmp_path / f"whole{ending}").read_bytes()
        cut = tmp_path / f"cut{ending}"
        # Inside a frame: text cut between two lines of its last frame is the writer's to tell.
        cut.write_bytes(whole[: int(len(whole) * share) | 1])
        with raises_with_name(AsteroidError, cut):
            load(cut, **options(ending))

    @pytest.mark.parametrize(
        "content", [b"hello, this is no trajectory at all\n" * 40, bytes(range(256)) * 8], ids=["text", "bytes"]
    )
    @pytest.mark.parametrize("ending", BINARY + TEXT)
    def test_a_foreign_file(self, tmp_path, ending, content):
        path = tmp_path / f"x{ending}"
        path.write_bytes(content)
        with raises_with_name((UnreadableFile, InvalidTrajectory), path):
            load(path, **options(ending))

    def test_a_missing_file_names_its_neighbours(self, tmp_path):
        save(ethanol(), tmp_path / "ethanol.npz")
        with pytest.raises(UnreadableFile, match=r"no file.*Did you mean ethanol\.npz"):
            load(tmp_path / "etanol.npz")
        with pytest.raises(UnreadableFile, match="Check the name"):
            load(tmp_path / "nowhere" / "x.npz")

    def test_a_folder(self, tmp_path):
        with pytest.raises(UnreadableFile, match="is a folder"):
            load(tmp_path)

    @pytest.mark.parametrize("name", ["x.txt", "x", "x.docx"])
    def test_an_unknown_ending_on_the_way_in_and_out(self, tmp_path, name):
        (tmp_path / name).write_text("something")
        with pytest.raises(UnreadableFile, match=r"no format known.*\.npz"):
            load(tmp_path / name)
        with pytest.raises(UnreadableFile, match=r"no format known.*\.npz"):
            save(ethanol(), tmp_path / name)
        assert (tmp_path / name).read_text() == "something"

    def test_no_files_at_all(self):
        with pytest.raises(UnreadableFile, match="No path"):
            load([])


class TestContents:
    @pytest.mark.parametrize("ending", [".npz", ".extxyz", ".dcd", ".trr"])
    def test_nan_names_the_file_and_the_frame(self, tmp_path, ending):
        good, path = ethanol(5), tmp_path / f"x{ending}"
        broken = good.positions.copy()
        broken[3, 2, 1] = np.nan
        if ending == ".npz":
            np.savez(path, positions=broken, atomic_numbers=good.atomic_numbers, dt_fs=0.5)
        elif ending == ".extxyz":
            frames = to_ase(good.replace(forces=None, energies=None))
            frames[3].positions[2, 1] = np.nan
            __import__("ase.io").io.write(path, frames)
        else:
            moved = to_mdtraj(good)
            moved.xyz[3, 2, 1] = np.nan
            moved.save(str(path))
        with pytest.raises(InvalidTrajectory, match=rf"x\{ending}.*NaN.*frame 3 of 5"):
            load(path, **options(ending))

    @pytest.mark.parametrize("ending", [".npz", ".extxyz", ".dcd", ".pdb"])
    def test_nm_written_as_angstrom(self, tmp_path, ending):
        shrunk = ethanol(5).replace(positions=ethanol(5).positions / 10)
        save(shrunk, tmp_path / f"x{ending}")
        with pytest.raises(UnitMismatch, match=r"look like nm.*nm × 10"):
            load(tmp_path / f"x{ending}", **options(ending))

    @pytest.mark.parametrize("ending", NO_ATOMS)
    def test_another_topology(self, tmp_path, ending):
        save(ethanol(5, box=True), tmp_path / f"x{ending}")
        with pytest.raises(InvalidTrajectory, match="same atoms as the topology"):
            load(tmp_path / f"x{ending}", top=ethanol().select(range(7)), dt_fs=0.5)

    @pytest.mark.parametrize("ending", [".npz", ".extxyz", ".pdb"])
    def test_another_topology_for_a_file_with_atoms_of_its_own(self, tmp_path, ending):
        save(ethanol(5), tmp_path / f"x{ending}")
        with pytest.raises(InvalidTrajectory, match="9 atoms.*differ from the 7"):
            load(tmp_path / f"x{ending}", top=ethanol().select(range(7)), dt_fs=0.5)
        assert load(tmp_path / f"x{ending}", top=ethanol(), dt_fs=0.5).n_atoms == 9

    @pytest.mark.parametrize("ending", NO_ATOMS)
    def test_no_topology(self, tmp_path, ending):
        save(ethanol(5, box=True), tmp_path / f"x{ending}")
        with pytest.raises(UnreadableFile, match="holds no atoms.*top="):
            load(tmp_path / f"x{ending}", dt_fs=0.5)

    def test_topologies_that_are_none(self, tmp_path):
        path = save(ethanol(5), tmp_path / "x.dcd")
        with pytest.raises(UnreadableFile, match="no topology file"):
            load(path, top=tmp_path / "absent.pdb", dt_fs=0.5)
        with pytest.raises(InvalidTrajectory, match="given as int"):
            load(path, top=9, dt_fs=0.5)
        (tmp_path / "broken.pdb").write_text("ATOM      1  C   MOL")
        with pytest.raises(AsteroidError, match=r"broken\.pdb"):
            load(path, top=tmp_path / "broken.pdb", dt_fs=0.5)

    @pytest.mark.parametrize("symbol", ["Xx", "Q", "X"])
    @pytest.mark.parametrize("ending", [".xyz", ".extxyz"])
    def test_an_unknown_element_in_xyz(self, tmp_path, ending, symbol):
        (tmp_path / f"x{ending}").write_text(f"2\n\n{symbol} 0 0 0\nH 0 0 1\n")
        with pytest.raises(InvalidTrajectory, match=r"(?i)unknown element.*virtual sites"):
            load(tmp_path / f"x{ending}", dt_fs=1.0)

    def test_virtual_sites_are_named_and_can_be_left_out(self, tmp_path):
        lines = [
            f"ATOM  {i:5d} {name:^4s} HOH A   1    {x:8.3f}{y:8.3f}   0.000  1.00  0.00          {element:>2s}\n"
            for i, (name, element, x, y) in enumerate(
                [("O", "O", 0, 0), ("H1", "H", 0.96, 0), ("H2", "H", -0.24, 0.93), ("MW", "EP", 0.1, 0.1)], start=1
            )
        ]
        (tmp_path / "water.pdb").write_text("".join([*lines, "END\n"]))
        with pytest.raises(InvalidTrajectory, match=r"1 atoms.*virtual sites.*MW.*atoms="):
            load(tmp_path / "water.pdb", dt_fs=1.0)
        assert load(tmp_path / "water.pdb", dt_fs=1.0, atoms=[0, 1, 2]).symbols == ("O", "H", "H")

    @pytest.mark.parametrize("atoms", [[0, 9], [-1], [], [0, 0], [0.5], [[0, 1]], [True, False]])
    @pytest.mark.parametrize("ending", [".npz", ".pdb"])
    def test_atoms_that_cannot_be_chosen(self, tmp_path, ending, atoms):
        save(ethanol(5), tmp_path / f"x{ending}")
        with pytest.raises(InvalidTrajectory, match="different indices from 0 to 8"):
            load(tmp_path / f"x{ending}", dt_fs=0.5, atoms=atoms)

    @pytest.mark.parametrize(("words", "said"), [("resname ==", "no MDTraj selection"), ("name ZZ", "leaves none")])
    def test_selections_that_choose_nothing(self, tmp_path, words, said):
        save(ethanol(5), tmp_path / "x.pdb")
        with pytest.raises(InvalidTrajectory, match=said):
            load(tmp_path / "x.pdb", dt_fs=0.5, atoms=words)

    def test_selections_in_words_need_mdtraj(self, tmp_path):
        save(ethanol(5), tmp_path / "x.npz")
        with pytest.raises(InvalidTrajectory, match="Pass atom indices"):
            load(tmp_path / "x.npz", atoms="element != H")

    @pytest.mark.parametrize("stride", [0, -1, 1.5, True, None])
    def test_strides_that_are_none(self, tmp_path, stride):
        save(ethanol(5), tmp_path / "x.npz")
        with pytest.raises(InvalidTrajectory, match="stride was"):
            load(tmp_path / "x.npz", stride=stride)

    def test_frames_of_different_molecules(self):
        frames = [*to_ase(ethanol(2)), *to_ase(ethanol(1).select(range(8)))]
        with pytest.raises(InvalidTrajectory, match="frame 2 holds C2H5O, frame 0 C2H6O"):
            from_ase(frames, dt_fs=1.0)
        with pytest.raises(InvalidTrajectory, match="no frame"):
            from_ase([], dt_fs=1.0)

    def test_frames_with_and_without_a_box(self):
        with pytest.raises(InvalidTrajectory, match="some have none"):
            from_ase([*to_ase(ethanol(1)), *to_ase(ethanol(1, box=True))], dt_fs=1.0)

    def test_forces_that_only_some_frames_carry_are_left_out(self):
        frames = to_ase(ethanol(3))
        frames[1].calc = None
        assert from_ase(frames, dt_fs=1.0).forces is None

    def test_a_dcd_with_fewer_frames_than_promised(self, tmp_path):
        whole = save(ethanol(10), tmp_path / "x.dcd").read_bytes()
        frame_bytes = 3 * (9 * 4 + 8)
        (tmp_path / "x.dcd").write_bytes(whole[: -3 * frame_bytes])
        with pytest.raises(UnreadableFile, match="promises 10 frames, 7 are there"):
            load(tmp_path / "x.dcd", top=ethanol(), dt_fs=0.5)


class TestArchives:
    def write(self, path, **arrays):
        base = {"R": ethanol(5).positions, "z": ETHANOL_NUMBERS}
        np.savez(path, **{key: value for key, value in (base | arrays).items() if value is not None})
        return path

    @pytest.mark.parametrize("missing", ["R", "z"])
    def test_a_missing_key_lists_those_found_and_needed(self, tmp_path, missing):
        path = self.write(tmp_path / "x.npz", **{missing: None}, extra=np.ones(2))
        with pytest.raises(UnreadableFile, match=r"keys \['.*extra.*'\]; needed are .*R and z \(MD17\).*coords"):
            load(path, dt_fs=1.0)

    def test_no_spacing(self, tmp_path):
        with pytest.raises(MissingSpacing, match="MD17 was saved every 0.5 fs"):
            load(self.write(tmp_path / "x.npz"))

    def test_pickled_arrays_are_not_opened(self, tmp_path):
        path = self.write(tmp_path / "x.npz", R=np.array([ETHANOL_ANG, None], dtype=object))
        with pytest.raises(UnreadableFile, match="'R' is a pickled object array"):
            load(path, dt_fs=1.0)

    def test_a_pickle_that_would_run_code_does_not(self, tmp_path):
        class Hostile:
            def __reduce__(self):
                return (open, (str(tmp_path / "touched"), "w"))

        path = self.write(
            tmp_path / "x.npz", E=np.array([Hostile()], dtype=object), name=np.array(Hostile(), dtype=object)
        )
        with pytest.raises(UnreadableFile, match="pickled"):
            load(path, dt_fs=1.0)
        assert not (tmp_path / "touched").exists()

    def test_one_bare_array(self, tmp_path):
        with open(tmp_path / "x.npz", "wb") as handle:
            np.save(handle, ETHANOL_ANG)
        with pytest.raises(UnreadableFile, match="one bare array"):
            load(tmp_path / "x.npz", dt_fs=1.0)

    def test_a_flipped_byte(self, tmp_path):
        path = self.write(tmp_path / "x.npz")
        content = bytearray(path.read_bytes())
        content[400] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(UnreadableFile, match="'R' is damaged"):
            load(path, dt_fs=1.0)

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"F": np.ones((5, 8, 3))}, "forces have shape"),
            ({"E": np.ones(4)}, "energies have shape"),
            ({"z": ETHANOL_NUMBERS[:8]}, "9 atoms, the topology names 8"),
            ({"z": np.zeros(9, int)}, "Unknown element"),
            ({"R": np.ones((5, 27))}, "positions|Positions"),
            ({"dt_fs": np.array(-0.5)}, "positive number"),
        ],
    )
    def test_arrays_that_disagree_name_the_file(self, tmp_path, arrays, words):
        path = self.write(tmp_path / "x.npz", **({"dt_fs": np.array(1.0)} | arrays))
        with pytest.raises(InvalidTrajectory, match=rf"x\.npz.*({words})"):
            load(path)

    def test_rmd17_without_its_order(self, tmp_path):
        np.savez(tmp_path / "x.npz", coords=ethanol(5).positions, nuclear_charges=ETHANOL_NUMBERS)
        with pytest.raises(UnreadableFile, match="lacks 'old_indices'"):
            load(tmp_path / "x.npz", dt_fs=1.0)

    def test_a_provenance_that_is_no_json(self, tmp_path):
        arrays = {"positions": ethanol(5).positions, "atomic_numbers": ETHANOL_NUMBERS, "dt_fs": 1.0}
        np.savez(tmp_path / "x.npz", **arrays, provenance="{")
        with pytest.raises(UnreadableFile, match="no JSON"):
            load(tmp_path / "x.npz")


class TestWriting:
    @pytest.mark.parametrize("ending", [".npz", ".xtc", ".dcd", ".pdb", ".nc", ".extxyz", ".traj"])
    @pytest.mark.parametrize(
        ("stop", "becomes"),
        [
            (OSError(errno.ENOSPC, "No space left on device"), DiskFull),
            (RuntimeError("writer's own words"), InvalidTrajectory),
            (KeyboardInterrupt(), KeyboardInterrupt),
        ],
        ids=["disk full", "writer fails", "stopped"],
    )
    def test_failures_leave_the_old_file(self, tmp_path, monkeypatch, ending, stop, becomes):
        old = save(ethanol(3), tmp_path / f"x{ending}").read_bytes()

        def half(trajectory, path):
            path.write_bytes(b"half")
            raise stop

        for module in (formats_ase, formats_mdtraj, formats_npz):
            monkeypatch.setattr(module, "write", half)
        with pytest.raises(becomes):
            save(ethanol(4), tmp_path / f"x{ending}")
        assert (tmp_path / f"x{ending}").read_bytes() == old
        assert len(list(tmp_path.iterdir())) == 1

    def test_a_full_disk_is_recognised_behind_a_foreign_error(self, tmp_path, monkeypatch):
        def fails(trajectory, path):
            raise RuntimeError("XTC write error: whatever")

        monkeypatch.setattr(formats_mdtraj, "write", fails)
        monkeypatch.setattr(readers.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100})())
        with pytest.raises(DiskFull, match=r"x\.xtc could not be written"):
            save(ethanol(), tmp_path / "x.xtc")
        assert not list(tmp_path.iterdir())

    def test_walkers_meet_a_full_disk(self, tmp_path, monkeypatch):
        def full(*arguments, **arrays):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(np, "savez_compressed", full)
        with pytest.raises(DiskFull):
            save_walkers([ethanol()], tmp_path / "x.npz")
        assert not list(tmp_path.iterdir())

    def test_what_a_format_cannot_hold_is_said(self, tmp_path):
        with pytest.raises(InvalidTrajectory, match=r"\.lammpstrj cannot hold.*Save it as \.npz"):
            save(ethanol(), tmp_path / "x.lammpstrj")
        assert not list(tmp_path.iterdir())
