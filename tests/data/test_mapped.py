"""Trajectories that stay on disk: what goes in comes out, damage is told, and reading them holds little memory."""

from pathlib import Path

import mdtraj
import numpy as np
import pytest
from safetensors.numpy import load_file
from small_molecules import ethanol

import asteroid_nb as anb
from asteroid_nb.cli import main
from asteroid_nb.data import conversion, formats_mapped
from asteroid_nb.data.mapping import map_of, release
from asteroid_nb.data.trajectory import PER_FRAME, Trajectory
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.errors import AsteroidError, InvalidTrajectory, UnreadableFile

FRAMES = 200


@pytest.fixture(scope="module")
def full() -> Trajectory:
    """Ethanol with everything a trajectory can hold."""
    draw = np.random.default_rng(0)
    shaken = ethanol().positions[:1] + 0.02 * draw.standard_normal((FRAMES, 9, 3))
    extras = {key: draw.standard_normal((FRAMES, 9, 3)) for key in ("velocities", "forces")}
    return Trajectory(
        shaken, ethanol().atomic_numbers, 0.5, **extras, energies=draw.standard_normal(FRAMES), cell=20 * np.eye(3),
        bonds=np.array([[0, 1]]), name="all of it", provenance={"method": "made up"},
    )  # fmt: skip


@pytest.fixture
def small_pieces(monkeypatch):
    """Let pieces be of seven frames, so that every file has many."""
    monkeypatch.setattr(conversion, "PIECE_VALUES", 7 * 27)
    monkeypatch.setattr(formats_mapped, "PIECE_BYTES", 7 * 27 * 8)


def test_what_goes_in_comes_out_and_stays_on_disk(full, tmp_path, small_pieces):
    found = anb.load(anb.save(full, tmp_path / "all.safetensors"))
    for key in PER_FRAME:
        np.testing.assert_allclose(getattr(found, key), getattr(full, key), rtol=1e-6, atol=1e-6)
        assert map_of(getattr(found, key)) is not None
    assert np.array_equal(found.energies, full.energies)
    assert np.array_equal(found.bonds, full.bonds) and np.array_equal(found.masses, full.masses)
    assert (found.name, found.dt_fs, found.provenance) == (full.name, full.dt_fs, full.provenance)
    assert map_of(found[10:20].positions) is not None
    assert anb.load(tmp_path / "all.safetensors", stride=3).dt_fs == 1.5


def test_others_can_read_the_file(full, tmp_path):
    arrays = load_file(anb.save(full, tmp_path / "all.safetensors"))
    np.testing.assert_allclose(arrays["positions"], full.positions, atol=1e-6)
    assert arrays["atomic_numbers"].tolist() == full.atomic_numbers.tolist()


@pytest.mark.parametrize("ending", [".xtc", ".nc", ".dcd", ".pdb", ".cif", ".traj", ".extxyz", ".npz"])
@pytest.mark.parametrize("stride", [1, 3])
def test_a_file_is_converted_as_it_is_loaded(ending, stride, full, tmp_path, small_pieces):
    source = anb.save(full.replace(cell=None), tmp_path / f"file{ending}")
    told = {"stride": stride} | ({} if ending in (".xtc", ".nc", ".npz") else {"dt_fs": 0.5})
    told |= {"top": full} if ending in (".xtc", ".nc", ".dcd") else {}
    wanted = anb.load(source, **told)
    found = anb.load(anb.convert(source, tmp_path / "one.safetensors", **told))
    np.testing.assert_allclose(found.positions, wanted.positions, atol=1e-5)
    assert found.dt_fs == pytest.approx(wanted.dt_fs) and found.name == wanted.name


@pytest.mark.parametrize("ending, atoms", [(".xtc", "element != H"), (".traj", [0, 1, 2])])
def test_atoms_are_chosen_while_converting(ending, atoms, full, tmp_path, small_pieces):
    source = anb.save(full.replace(cell=None), tmp_path / f"file{ending}")
    told = {"top": full} if ending == ".xtc" else {"dt_fs": 0.5}
    found = anb.load(anb.convert(source, tmp_path / "heavy.safetensors", atoms=atoms, **told))
    assert found.symbols == ("C", "C", "O") and found.n_frames == FRAMES


def uneven(tmp_path: Path, full: Trajectory) -> Path:
    moved = full.replace(cell=None).to_mdtraj()
    moved.time = np.concatenate([moved.time[:100], moved.time[100:] + 1.0])
    moved.save_xtc(str(tmp_path / "uneven.xtc"))
    return tmp_path / "uneven.xtc"


def other_atoms(full: Trajectory):
    yield full[:10]
    yield full.select([0, 1, 2])[10:20]


def with_nan(full: Trajectory):
    yield full[:10]
    broken = np.array(full.positions[10:20])
    broken[3, 2, 1] = np.nan
    yield full[10:20].replace(positions=broken)


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda full, folder: uneven(folder, full), "unevenly spaced"),
        (lambda full, folder: other_atoms(full), "cannot follow"),
        (lambda full, folder: with_nan(full), "NaN or infinity"),
        (lambda full, folder: iter(()), "no frame"),
        (lambda full, folder: anb.save(full[:20], folder / "gone.npz").with_name("other.npz"), "There is no file"),
    ],
)
def test_a_source_that_fails_leaves_what_was_there(make, says, full, tmp_path, small_pieces):
    kept = anb.save(full[:5], tmp_path / "one.safetensors")
    before = kept.read_bytes()
    with pytest.raises(AsteroidError, match=says):
        source = make(full, tmp_path)
        anb.convert(source, kept, **({"top": full} if isinstance(source, Path) else {}))
    assert kept.read_bytes() == before
    assert not list(tmp_path.glob(".unfinished*"))


def test_several_walkers_are_no_single_trajectory(tmp_path):
    from asteroid_nb.data.readers import save_walkers

    with pytest.raises(InvalidTrajectory, match="2 walkers"):
        anb.convert(save_walkers([ethanol(), ethanol()], tmp_path / "two.npz"), tmp_path / "one.safetensors")
    with pytest.raises(UnreadableFile, match=r"must end in \.safetensors"):
        anb.convert(ethanol(), tmp_path / "one.npz")


@pytest.mark.parametrize("damage", [lambda raw: raw[:-40], lambda raw: b"x" * len(raw), lambda raw: raw[:100]])
def test_a_damaged_file_is_told(damage, full, tmp_path):
    path = anb.save(full, tmp_path / "all.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UnreadableFile, match="cut short or damaged"):
        anb.load(path)


def test_weights_are_no_trajectory(tmp_path):
    from safetensors.numpy import save_file

    save_file({"weights": np.zeros(3, dtype=np.float32)}, tmp_path / "weights.safetensors")
    with pytest.raises(UnreadableFile, match="no trajectory of ours"):
        anb.load(tmp_path / "weights.safetensors")


def test_windows_of_a_map_are_those_of_memory(full, tmp_path):
    mapped = anb.load(anb.save(full, tmp_path / "all.safetensors"))
    shape = WindowShape(history=4, horizon=4, stride_frames=2)
    there, here = (Windows([one], shape)[[0, 7, 50]] for one in (mapped, full))
    np.testing.assert_allclose(there.history, here.history, atol=1e-5)
    release(mapped.positions)
    np.testing.assert_allclose(mapped.positions, full.positions, atol=1e-6)


def resident_file_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssFile"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is told by /proc, which is Linux's")
def test_gathering_windows_gives_memory_back(tmp_path, monkeypatch):
    still = np.tile(ethanol().positions[:1].astype(np.float32), (1, 100, 1)) + 8.0 * np.arange(100).repeat(9)[:, None]
    box = Trajectory(still, np.tile(ethanol().atomic_numbers, 100), 1.0, bonds=np.zeros((0, 2), dtype=int))
    pieces = (box.replace(positions=np.tile(still, (1000, 1, 1))) for _ in range(12))
    mapped = anb.load(anb.convert(pieces, tmp_path / "box.safetensors"))
    windows = Windows([mapped], WindowShape(history=4, horizon=4))
    monkeypatch.setattr("asteroid_nb.data.windows.RELEASED_BYTES", 2**24)
    before, most = resident_file_bytes(), 0
    for _ in windows.batches(5, shuffle_seed=0, most=4000):  # every part of 130 MB, several times over
        most = max(most, resident_file_bytes() - before)
    assert most < 65 * 2**20, f"{most / 2**20:.0f} MB"


def test_maps_of_few_weights_are_fitted_on_enough_windows(monkeypatch):
    monkeypatch.setattr("asteroid_nb.data.windows.MOST_FITTED", 0)
    windows = Windows(anb.sample("ethanol")[:1], WindowShape())
    some = windows.enough()
    assert len(some) == 1024 and some.starts[-1, 1] == windows.starts[-1, 1]
    assert some.enough() is some


def test_an_epoch_may_draw_some_windows(tmp_path):
    walkers = anb.sample("ethanol")[:3]
    told = {"settings": "tiny", "n_epochs": 2, "batch_size": 16, "folder": tmp_path, "observers": ()}
    run = anb.train([one[:400] for one in walkers], windows_per_epoch=70, **told)
    assert run.history[-1]["step"] == 2 * (70 // 16)
    with pytest.raises(AsteroidError, match="windows_per_epoch"):
        anb.train([one[:400] for one in walkers], windows_per_epoch=40, resume=True, **told)
    with pytest.raises(AsteroidError, match="one batch of 16 or more"):
        anb.train([one[:400] for one in walkers], windows_per_epoch=0, **told)


def test_the_topology_of_mdtraj_serves_too(full, tmp_path, small_pieces):
    source = anb.save(full.replace(cell=None), tmp_path / "file.xtc")
    top = full.replace(cell=None).to_mdtraj()
    assert isinstance(top, mdtraj.Trajectory)
    assert anb.load(anb.convert(source, tmp_path / "one.safetensors", top=top)).n_frames == FRAMES


def test_the_command_line_converts(full, tmp_path, capsys):
    source = anb.save(full.replace(cell=None), tmp_path / "file.xtc")
    anb.save(full[:1].replace(cell=None), tmp_path / "top.pdb")
    told = ["--top", str(tmp_path / "top.pdb"), "--atoms", "element != H", "--stride", "2"]
    assert main(["convert", str(source), *told, "--out", str(tmp_path / "heavy.safetensors")]) == 0
    assert "100 frames × 3 atoms" in capsys.readouterr().out
    assert main(["convert", str(source), "--out", str(tmp_path / "heavy.npz")]) == 2


def test_a_trajectory_is_converted_with_the_stride_and_atoms_asked_for(full, tmp_path):
    found = anb.load(anb.convert(full, tmp_path / "some.safetensors", stride=10, atoms=[2, 0]))
    assert (found.n_frames, found.dt_fs, found.symbols) == (20, 5.0, ("O", "C"))
    with pytest.raises(InvalidTrajectory, match="dt_fs=7 was given"):
        anb.convert(full, tmp_path / "some.safetensors", dt_fs=7.0)
    with pytest.raises(InvalidTrajectory, match="are for files"):
        anb.convert(iter([full]), tmp_path / "some.safetensors", stride=2)


@pytest.mark.parametrize("stride", [0, -1, 2.5, True])
def test_a_stride_is_a_whole_number(stride, full, tmp_path):
    with pytest.raises(InvalidTrajectory, match="whole number of frames"):
        anb.convert(anb.save(full.replace(cell=None), tmp_path / "a.xtc"), tmp_path / "b.safetensors", stride=stride)


@pytest.mark.parametrize("source", [lambda full: ["a.xtc"], lambda full: [full.to_mdtraj()]])
def test_pieces_must_be_trajectories(source, full, tmp_path):
    with pytest.raises(InvalidTrajectory, match="needed is a file, a Trajectory or pieces"):
        anb.convert(source(full), tmp_path / "b.safetensors")


def test_what_cannot_be_kept_is_told_before_anything_is_read(full, tmp_path):
    def pieces():
        yield full.replace(provenance={"made": object()})
        raise AssertionError("a second piece was asked for")

    with pytest.raises(InvalidTrajectory, match="is no JSON"):
        anb.convert(pieces(), tmp_path / "b.safetensors")


@pytest.mark.parametrize("lost", ["dt_fs", "name", "provenance", "positions", "atomic_numbers"])
def test_a_file_that_lacks_a_part_is_told(lost, full, tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = anb.save(full, tmp_path / "all.safetensors")
    with safe_open(path, "np") as whole:
        about = {key: value for key, value in whole.metadata().items() if key != lost}
    arrays = {key: value for key, value in load_file(path).items() if key != lost}
    save_file(arrays, path, metadata=about)
    with pytest.raises(UnreadableFile, match=f"lacks or garbles .*{lost}"):
        anb.load(path)


def test_frames_that_became_nan_are_told(full, tmp_path):
    path = anb.save(full, tmp_path / "all.safetensors")
    raw = bytearray(path.read_bytes())
    raw[formats_mapped.HEADER_BYTES : formats_mapped.HEADER_BYTES + 27 * 4] = b"\xff" * 27 * 4
    path.write_bytes(raw)
    with pytest.raises(InvalidTrajectory, match="NaN or infinity"):
        anb.load(path)


def test_frames_of_any_number_are_kept_whole(full, tmp_path):
    """51 frames of nine atoms leave what follows them at no multiple of eight bytes."""
    odd = full[:51].replace(velocities=None, forces=None, cell=None)
    found = anb.load(anb.save(odd, tmp_path / "odd.safetensors"))
    assert np.array_equal(found.energies, odd.energies) and np.array_equal(found.masses, odd.masses)
