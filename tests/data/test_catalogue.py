"""The bundled samples are what their record says; downloads are whole, right, resumable, or refused with a reason."""

import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from asteroid_nb import units
from asteroid_nb.data import catalogue, downloads, engines
from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.elements import ATOMIC_NUMBERS
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import DiskFull, DownloadFailed, Interrupted, UnreadableFile

SAMPLES = ("ethanol", "malonaldehyde")
ETHANOL = np.array([[0, 0, 0], [1.5, 0, 0], [2.0, 1.3, 0], [-0.4, 1, 0], [-0.4, -0.5, 0.9], [-0.4, -0.5, -0.9],
                    [1.9, -0.5, 0.9], [1.9, -0.5, -0.9], [2.9, 1.3, 0]])  # fmt: skip


# the bundled samples


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_small_and_says_where_it_comes_from(name):
    assert (catalogue.SAMPLES / f"{name}.npz").stat().st_size <= 5_000_000
    walkers = catalogue.sample(name)
    assert len(walkers) == 6 and {walker.n_frames for walker in walkers} == {5300}
    assert all(walker.dt_fs == 1.0 and len(walker.bonds) == 8 for walker in walkers)
    record = walkers[0].provenance
    assert {"settings", "versions", "molecule", "command", "licence", "citation", "rounding"} <= set(record)
    assert record["settings"]["method"] == "GFN2-xTB" and record["settings"]["temperature_K"] == 500.0
    assert record["command"] == f"python -m asteroid_nb.data.samples {name}"
    assert "tblite" in record["versions"]
    assert len({tuple(walker.provenance["seed"]) for walker in walkers}) == 6
    assert all(abs(walker.provenance["total_energy_drift_meV"]) < 15 for walker in walkers)


@pytest.mark.parametrize("name", SAMPLES)
def test_energies_and_forces_of_a_sample_can_be_computed_again(name):
    tblite = pytest.importorskip("tblite.ase")
    for walker, frame in zip(catalogue.sample(name), (0, 1000, 2000, 3000, 4000, 5299), strict=True):
        atoms = engines.molecule(walker[frame])
        atoms.calc = tblite.TBLite(method="GFN2-xTB", verbosity=0)
        assert atoms.get_potential_energy() == pytest.approx(walker.energies[frame], abs=1e-4)
        np.testing.assert_allclose(atoms.get_forces(), walker.forces[frame], rtol=6e-4, atol=2e-3)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_has_its_temperature_and_does_not_rotate_or_drift(name):
    walkers = catalogue.sample(name)
    temperatures = []
    for walker in walkers:
        positions = walker.positions.astype(float)
        velocities = (positions[2:] - positions[:-2]) / 2
        kinetic = 0.5 * units.EV_PER_AMU_ANG2_PER_FS2 * np.einsum("tad,a->t", velocities**2, walker.masses)
        temperatures.append(2 * kinetic.mean() / (21 * units.BOLTZMANN_EV_PER_K))
        momentum = np.einsum("tad,a->td", velocities, walker.masses)
        angular = np.einsum("tad,a->td", np.cross(positions[1:-1], velocities), walker.masses)
        assert np.abs(momentum).max() < 1e-4 and np.abs(angular).max() < 0.05
        total = kinetic + walker.energies[1:-1]
        assert total.std() < 0.15 * kinetic.std(), "NVE; differences over 2 fs blunt the fastest vibrations"
    # Each walker keeps the energy it was given: a spread of 500 K / √21 around the target, blunted by about 3 %.
    assert np.mean(temperatures) == pytest.approx(485, abs=3 * 500 / np.sqrt(21 * len(walkers)))
    assert np.allclose(temperatures, [walker.provenance["mean_temperature_K"] for walker in walkers], rtol=0.05)


def test_walkers_of_a_sample_are_independent():
    first, *others = (walker.positions for walker in catalogue.sample())
    assert all(np.abs(first[0] - other[0]).max() > 0.1 for other in others)


def test_ethanol_turns_its_hydroxyl_and_its_methyl():
    """Over all walkers each of the three wells of both torsions is visited."""
    positions = np.stack([walker.positions for walker in catalogue.sample("ethanol")]).astype(float)
    for atoms, offset in (((0, 1, 2, 3), 0.0), ((2, 1, 0, 6), 0.0)):
        angle = torsion(positions, *atoms) + offset
        well = np.floor((angle % 360) / 120).astype(int)
        assert np.bincount(well.ravel(), minlength=3).min() > 0.03 * well.size
        assert (np.diff(well, axis=1) != 0).any()


def torsion(positions, i, j, k, l):  # noqa: E741
    """Return degrees in −180 … 180."""
    first, axis, last = (positions[..., b, :] - positions[..., a, :] for a, b in ((i, j), (j, k), (k, l)))
    one, other = np.cross(first, axis), np.cross(axis, last)
    sine = np.sum(np.cross(one, other) * axis, axis=-1) / np.linalg.norm(axis, axis=-1)
    return np.degrees(np.arctan2(sine, np.sum(one * other, axis=-1)))


# names


def test_every_name_can_be_described_and_found_in_any_case():
    for name in catalogue.names():
        text = catalogue.describe(name.upper())
        assert "Cite: " in text and "Licence: " in text and name in text
    assert len(set(catalogue.names())) == len(catalogue.names()) == 30
    assert "φ and ψ" in catalogue.describe("alanine-dipeptide") and "OpenMM" in catalogue.describe("alanine-dipeptide")


def test_an_unknown_name_suggests_near_ones():
    with pytest.raises(catalogue.UnknownName, match="Did you mean .*md17-ethanol"):
        catalogue.load_named("md17-ethanoll")
    with pytest.raises(catalogue.UnknownName, match="is not bundled"):
        catalogue.sample("md17-aspirin")
    with pytest.raises(catalogue.UnknownName, match="is bundled with the package"):
        catalogue.download("ethanol")


# downloads, from a server on this machine


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``cut`` closes the connection after that many bytes, ``ranges`` lists what was asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.cut, self.ranges, self.kind, self.status = {}, None, [], "application/octet-stream", 200
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        server = self.server
        body = server.files.get(self.path.lstrip("/"))
        if body is None or server.status != 200:
            return self.send_error(server.status if body is not None else 404)
        wanted = self.headers.get("Range")
        server.ranges.append(wanted)
        start = int(wanted.split("=")[1].rstrip("-")) if wanted else 0
        if wanted and start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Type", server.kind)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:] if server.cut is None else body[start : start + server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def gdml(elements="CCOHHHHHH", n_frames=50, start=ETHANOL):
    z = np.array([ATOMIC_NUMBERS[symbol] for symbol in elements])
    rng = np.random.default_rng(0)
    positions = start[: len(z)] + 0.01 * rng.standard_normal((n_frames, len(z), 3))
    return {
        "R": positions,
        "F": np.full_like(positions, 10.0),
        "E": np.full((n_frames, 1), -100.0),
        "z": z.astype("u1"),
    }


def fetch(server, tmp_path, name="md17-ethanol", **options):
    return catalogue.load_named(name, cache=tmp_path, base_url=server.url, progress=False, **options)


def test_md17_arrives_in_our_units_and_is_fetched_once(server, tmp_path):
    server.files["md17_ethanol.npz"] = npz(**gdml())
    data = fetch(server, tmp_path)
    assert isinstance(data, Trajectory) and data.dt_fs == 0.5 and data.n_frames == 50
    np.testing.assert_allclose(data.positions, gdml()["R"])
    assert data.energies[0] == pytest.approx(-4.33641, abs=1e-4)
    assert data.forces[0, 0, 0] == pytest.approx(0.433641, abs=1e-5)
    assert "Chmiela" in data.provenance["citation"] and data.provenance["licence"]
    server.files.clear()
    assert fetch(server, tmp_path).n_frames == 50


def test_md22_has_its_own_spacing(server, tmp_path):
    grid = np.stack(np.meshgrid(*[np.arange(4) * 1.2] * 3), axis=-1).reshape(-1, 3)
    server.files["md22_Ac-Ala3-NHMe.npz"] = npz(**gdml("C" * 12 + "N" * 4 + "O" * 4 + "H" * 22, start=grid))
    assert fetch(server, tmp_path, "md22-ac-ala3-nhme").dt_fs == 1.0


def rmd17(member="rmd17/npz_data/rmd17_ethanol.npz"):
    raw = gdml(n_frames=4)
    old = np.array([30, 10, 40, 20])
    raw["R"][:] = ETHANOL + 0.001 * old[:, None, None]
    body = npz(coords=raw["R"], forces=raw["F"], energies=raw["E"][:, 0], nuclear_charges=raw["z"], old_indices=old)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:bz2") as tar:
        entry = tarfile.TarInfo(member)
        entry.size = len(body)
        tar.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()


def test_rmd17_is_sorted_by_time_and_warns_of_its_spacing(server, tmp_path):
    server.files["rmd17.tar.bz2"] = rmd17()
    with pytest.warns(UserWarning, match=r"5 fs apart on average, but unevenly"):
        data = fetch(server, tmp_path, "rmd17-ethanol")
    assert (np.diff(data.positions[:, 0, 0]) > 0).all()
    (tmp_path / "rmd17.tar.bz2").unlink()
    server.files.clear()
    with pytest.warns(UserWarning, match="sorted by old_indices"):
        assert fetch(server, tmp_path, "rmd17-ethanol").n_frames == 4
    server.files["rmd17.tar.bz2"] = rmd17("rmd17/npz_data/other.npz")
    with pytest.raises(UnreadableFile, match="holds no rmd17_uracil.npz"):
        fetch(server, tmp_path, "rmd17-uracil")


def heavy_atoms_nm():
    """Return [frames, 30] nm of a stretched chain with alanine dipeptide's ten heavy atoms."""
    chain = np.array([[0, 0, 0], [1.5, 0, 0], [2.1, 1.05, 0], [2.2, -1.15, 0], [3.6, -1.3, 0], [4.2, -0.5, 1.2],
                      [4.2, -2.7, 0], [3.5, -3.7, 0], [5.5, -2.75, 0], [6.2, -4.0, 0]])  # fmt: skip
    return (np.repeat(chain[None] / 10, 5, axis=0)).reshape(5, 30).astype(np.float32)


def without_hash(monkeypatch, name):
    import dataclasses

    entry = dataclasses.replace(catalogue.CATALOGUE[name], known_hash=None)
    monkeypatch.setitem(catalogue.CATALOGUE, name, entry)


def test_mdshare_is_nm_and_ps_at_the_door(server, tmp_path, monkeypatch):
    file = "alanine-dipeptide-3x250ns-heavy-atom-positions.npz"
    server.files[file] = npz(arr_0=heavy_atoms_nm(), arr_1=heavy_atoms_nm(), arr_2=heavy_atoms_nm())
    with pytest.raises(DownloadFailed, match="another file than the one published"):
        fetch(server, tmp_path, "ala2-positions")
    without_hash(monkeypatch, "ala2-positions")
    runs = fetch(server, tmp_path, "ala2-positions")
    assert [run.dt_fs for run in runs] == [1000.0] * 3
    assert np.linalg.norm(runs[0].positions[0, 1] - runs[0].positions[0, 0]) == pytest.approx(1.5)
    assert "".join(runs[0].symbols) == "CCONCCCONC"
    without_hash(monkeypatch, "ala2-dihedrals")
    server.files["alanine-dipeptide-3x250ns-backbone-dihedrals.npz"] = npz(arr_0=np.zeros((7, 2)))
    (angles,) = fetch(server, tmp_path, "ala2-dihedrals")
    assert isinstance(angles, Coordinates) and angles.values.shape == (7, 2) and angles.dt_fs == 1000.0
    assert angles.names == ("φ", "ψ") and angles.periodic and "Nüske" in angles.provenance["citation"]


def test_torsions_in_degrees_are_refused(server, tmp_path, monkeypatch):
    without_hash(monkeypatch, "ala2-dihedrals")
    server.files["alanine-dipeptide-3x250ns-backbone-dihedrals.npz"] = npz(arr_0=np.full((7, 2), 60.0))
    with pytest.raises(DownloadFailed, match="not the data set.*Angles run up to 60"):
        fetch(server, tmp_path, "ala2-dihedrals")


def test_a_broken_transfer_is_continued_where_it_stopped(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "CHUNK_BYTES", 1000)
    body = server.files["md17_ethanol.npz"] = npz(**gdml())
    server.cut = 5000
    with pytest.raises(DownloadFailed, match="5000 bytes are kept and will be continued"):
        fetch(server, tmp_path)
    assert not (tmp_path / "md17_ethanol.npz").exists()
    server.cut = None
    assert fetch(server, tmp_path).n_frames == 50
    assert server.ranges == [None, "bytes=5000-"]
    assert (tmp_path / "md17_ethanol.npz").read_bytes() == body


def test_a_transfer_that_was_whole_but_not_yet_moved_is_taken(server, tmp_path):
    body = server.files["md17_ethanol.npz"] = npz(**gdml())
    (tmp_path / f"{downloads.UNFINISHED}md17_ethanol.npz").write_bytes(body)
    assert fetch(server, tmp_path).n_frames == 50


def test_an_unfinished_file_longer_than_the_real_one_is_begun_again(server, tmp_path):
    body = server.files["md17_ethanol.npz"] = npz(**gdml())
    (tmp_path / f"{downloads.UNFINISHED}md17_ethanol.npz").write_bytes(body + b"more")
    assert fetch(server, tmp_path).n_frames == 50


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (gdml("CCOOHHHHH"), "holds C2H5O2 .*md17-ethanol is C2H6O"),
        ({key: value for key, value in gdml().items() if key != "F"}, "not one trajectory with forces"),
        (gdml() | {"R": gdml()["R"] / 10}, "look like nm"),
        (gdml() | {"R": np.full((50, 9, 3), np.nan)}, "NaN"),
    ],
)
def test_a_file_that_is_not_the_data_set_is_thrown_away(server, tmp_path, arrays, words):
    server.files["md17_ethanol.npz"] = npz(**arrays)
    with pytest.raises(DownloadFailed, match=rf"not the data set it should be \(.*{words}"):
        fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_truncated_on_the_server_is_refused(server, tmp_path):
    server.files["md17_ethanol.npz"] = npz(**gdml())[:-100]
    with pytest.raises(DownloadFailed, match="not the data set"):
        fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_error_page_is_refused(server, tmp_path):
    server.files["md17_ethanol.npz"], server.kind = b"<html>Please log in</html>", "text/html; charset=utf-8"
    with pytest.raises(DownloadFailed, match="answered with a web page"):
        fetch(server, tmp_path)
    server.kind = "application/octet-stream"
    with pytest.raises(DownloadFailed, match="not the data set"):
        fetch(server, tmp_path)
    server.status = 503
    with pytest.raises(DownloadFailed, match="answered 503"):
        fetch(server, tmp_path)
    server.files.clear()
    with pytest.raises(DownloadFailed, match="answered 404"):
        fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_it_says_what_to_fetch_and_where_to_put_it(server, tmp_path):
    server.shutdown()
    server.server_close()
    expected = rf"fetch {server.url}/md17_ethanol.npz by hand, place it at {tmp_path}/md17_ethanol.npz"
    with pytest.raises(DownloadFailed, match=expected):
        fetch(server, tmp_path)
    (tmp_path / "md17_ethanol.npz").write_bytes(npz(**gdml()))
    assert fetch(server, tmp_path).n_frames == 50


def test_a_silent_server_is_left_after_the_time_out(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DownloadFailed, match="timed out"):
            catalogue.download("md17-ethanol", cache=tmp_path, base_url=url, progress=False, timeouts_s=(0.3, 0.3))


def test_mirrors_are_tried_in_turn(server, tmp_path):
    server.files["second"] = npz(**gdml())
    urls = (f"{server.url}/first", f"{server.url}/second")
    path = downloads.fetch(urls, tmp_path / "file.npz", check=lambda path: None, progress=False)
    assert path.read_bytes() == server.files["second"]


def test_ctrl_c_and_a_full_disk_keep_what_came(server, tmp_path, monkeypatch):
    server.files["md17_ethanol.npz"] = npz(**gdml())
    monkeypatch.setattr(downloads, "CHUNK_BYTES", 1000)
    for stop, expected in ((KeyboardInterrupt(), Interrupted), (OSError(28, "No space left"), DiskFull)):
        seen = []

        def update(self, n, *, seen=seen, stop=stop):
            seen.append(n)
            if len(seen) == 4:
                raise stop

        with monkeypatch.context() as patch, pytest.raises(expected, match="[Rr]un the same call again"):
            patch.setattr(downloads.tqdm, "update", update)
            fetch(server, tmp_path)
    assert fetch(server, tmp_path).n_frames == 50
    assert server.ranges == [None, "bytes=4000-", "bytes=8000-"]
