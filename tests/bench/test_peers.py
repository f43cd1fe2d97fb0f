"""Peers: nothing of the test's future is told, every failure is a row, and answers must fit what was asked."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from vibrating import vibrating_ethanol

from asteroid_nb.bench.forecasts import arms, peers
from asteroid_nb.bench.forecasts.exchange import ReadBack, export, report_of, speeds_of
from asteroid_nb.bench.forecasts.peers import Peer
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS, Protocol
from asteroid_nb.bench.sources import Source
from asteroid_nb.cli import main
from asteroid_nb.errors import InvalidSettings, ModelMismatch, TrajectoryTooShort, UnreadableFile

BRIEF = Protocol(name="F1", spacing_fs=1.0, history=4, horizon=4, leads_fs=(1, 4), about="for tests")

COPY = """
import sys
sys.path.insert(0, {scripts!r})
from exchange import Exchange
import numpy as np
found = Exchange()
learnt, speeds = found.windows("train")
assert learnt.shape == speeds.shape and learnt.shape[1] == found.task["history"] + found.task["horizon"]
positions, _ = found.windows("test")
found.trained(n_parameters=3, packages=["numpy"], about="it repeats the present")
found.answer(np.repeat(positions[:, -1:], found.task["horizon"], axis=1){more})
"""


def walkers():
    return [vibrating_ethanol(60, seed=seed) for seed in range(3)]


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "F1", BRIEF)
    monkeypatch.setattr(Source, "trajectories", lambda self: walkers())
    monkeypatch.setattr(arms, "NEWTON_STEPS", {"n_steps": 5, "n_path_steps": 2})


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Return a function that makes a peer called "egno" of some lines of Python."""

    def made(lines):
        path = tmp_path / "peer.py"
        path.write_text(lines, encoding="utf-8")
        monkeypatch.setitem(peers.PEERS, "egno", Peer(title="a peer", script=path, packages=("nothing",)))

    return made


def copying(more=""):
    return COPY.format(scripts=str(peers.SCRIPTS), more=more)


def judged(folder, *, python=sys.executable, seconds=60.0):
    return peers.judge(folder, Source(), BRIEF, "egno", Path(python), seconds)


class TestVelocities:
    def test_those_of_the_file_are_taken(self):
        one = vibrating_ethanol(8)
        stored = np.random.default_rng(0).normal(size=one.positions.shape).astype(np.float32)
        found, origin = speeds_of(one.replace(velocities=stored))
        assert origin == "stored"
        np.testing.assert_array_equal(found, stored)

    def test_differences_are_exact_for_cubic_paths_and_look_back_only(self):
        one = vibrating_ethanol(12)
        times = one.times_fs[:, None, None]
        cubic = one.replace(positions=one.positions[0] + 0.02 * times - 0.004 * times**2 + 0.0003 * times**3)
        found, origin = speeds_of(cubic)
        expected = np.broadcast_to(0.02 - 0.008 * times + 0.0009 * times**2, found.shape)
        np.testing.assert_allclose(found[3:], expected[3:], atol=1e-5)
        assert origin == "differences"
        longer = cubic.positions.copy()
        longer[9:] += 0.1
        np.testing.assert_array_equal(speeds_of(cubic.replace(positions=longer))[0][:9], found[:9])

    def test_too_few_frames_are_told(self):
        with pytest.raises(TrajectoryTooShort, match="3 frames; a difference needs 4"):
            speeds_of(vibrating_ethanol(3))


class TestExchange:
    @pytest.fixture
    def parts(self):
        return BRIEF.parts(walkers())

    def test_windows_are_ours_and_the_test_has_no_future(self, tmp_path, parts):
        told = export(tmp_path, parts, BRIEF, seconds=9, seed=1, most=(5, 7))
        assert told == "differences"
        train, test = (np.load(tmp_path / f"{name}.npz") for name in ("train", "test"))
        assert train["positions"].shape == train["velocities"].shape == (len(parts.train), 8, 9, 3)
        assert test["positions"].shape == test["velocities"].shape == (7, 4, 9, 3)
        assert len(np.load(tmp_path / "validation.npz")["positions"]) == 5
        np.testing.assert_array_equal(test["positions"], parts.test.subset(most=7)[:].history.numpy())
        window = parts.train[3:4]
        np.testing.assert_array_equal(train["positions"][3, 4:], window.truth[0].numpy())
        task = json.loads((tmp_path / "task.json").read_text(encoding="utf-8"))
        assert task["dt_fs"] == 1.0 and task["atomic_numbers"][:3] == [6, 6, 8] and task["seconds"] == 9

    def test_velocities_belong_to_their_frames(self, tmp_path, parts):
        export(tmp_path, parts, BRIEF, seconds=9, seed=1, most=(5, 7))
        found = np.load(tmp_path / "train.npz")["velocities"]
        known, _ = speeds_of(parts.train.trajectories[0])
        for row in (0, 5, len(found) - 1):
            first = parts.train.starts[row, 1]
            np.testing.assert_array_equal(found[row], known[first : first + 16 : 2])

    def answered(self, folder, parts, **changes):
        export(folder, parts, BRIEF, seconds=9, seed=1, most=(5, 7))
        seen = np.load(folder / "test.npz")["positions"]
        np.savez(folder / "forecast.npz", **{"positions": np.repeat(seen[:, -1:], 4, axis=1)} | changes)

    def test_answers_are_found_by_their_history_in_any_order(self, tmp_path, parts):
        self.answered(tmp_path, parts)
        asked = parts.test.subset(most=7)[[4, 0]]
        found = ReadBack("a peer", tmp_path).forecast(asked)
        np.testing.assert_array_equal(found[:, 3].numpy(), asked.history[:, -1].numpy())

    def test_a_window_that_was_not_asked_for_is_told(self, tmp_path, parts):
        self.answered(tmp_path, parts)
        with pytest.raises(ModelMismatch, match="not asked for 1 of 1 windows"):
            ReadBack("a peer", tmp_path).forecast(parts.test[1:2])

    def test_another_shape_is_told(self, tmp_path, parts):
        self.answered(tmp_path, parts, positions=np.zeros((7, 3, 9, 3)))
        with pytest.raises(ModelMismatch, match=r"forecast \[7, 3, 9, 3\].*\[7, 4, 9, 3\]"):
            ReadBack("a peer", tmp_path)

    def test_files_that_say_nothing_are_told(self, tmp_path, parts):
        self.answered(tmp_path, parts)
        (tmp_path / "forecast.npz").write_bytes(b"no archive")
        (tmp_path / "report.json").write_text('{"n_parameters": 3}', encoding="utf-8")
        with pytest.raises(UnreadableFile, match="forecast.npz holds no positions"):
            ReadBack("a peer", tmp_path)
        with pytest.raises(UnreadableFile, match="core_seconds"):
            report_of(tmp_path)

    def test_an_earlier_answer_is_not_taken_for_a_new_one(self, tmp_path, parts):
        self.answered(tmp_path, parts)
        export(tmp_path, parts, BRIEF, seconds=9, seed=1, most=(5, 7))
        assert not (tmp_path / "forecast.npz").exists()


def _runs(stat):
    """Return whether a process is there and no zombie."""
    try:
        return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.usefixtures("brief")
class TestJudging:
    def test_a_peer_that_copies_has_the_errors_of_copy(self, tmp_path, script):
        script(copying())
        record = judged(tmp_path)
        expected = arms.fit_rivals(tmp_path, Source(), "F1")["copy"]
        np.testing.assert_allclose(record["test"]["rmse_ang"], expected["rmse_ang"], rtol=1e-6)
        assert record["n_parameters"] == 3 and record["versions"]["numpy"] == np.__version__
        assert 0 < record["core_seconds"] < 60

    def test_what_is_finished_is_kept_and_failures_are_tried_again(self, tmp_path, script, monkeypatch):
        script("raise SystemExit('no luck')")
        assert "no luck" in judged(tmp_path)["failed"]
        (peers.PEERS["egno"].script).write_text(copying(), encoding="utf-8")
        first = judged(tmp_path)
        monkeypatch.setattr(peers, "ended", lambda *_, **__: pytest.fail("run again"))
        assert judged(tmp_path) == first

    @pytest.mark.parametrize(
        ("lines", "said"),
        [
            (copying("[:, 1:]"), "asked for were"),
            (copying().replace("found.answer", "len"), "forecast.npz holds no positions"),
            (copying().replace("found.trained", "dict"), "report.json says not"),
            ("import nonesuch", "ended with status 1: ModuleNotFoundError"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path, script, lines, said):
        script(lines)
        assert said in judged(tmp_path)["failed"]

    def test_no_folder_of_this_machine_is_told(self, tmp_path, script):
        script(f"raise SystemExit('not found: {tmp_path}/some/weights.pt')")
        assert judged(tmp_path)["failed"].endswith("not found: …/weights.pt")

    def test_a_python_that_is_not_there_is_told(self, tmp_path, script):
        script(copying())
        assert "install it with --install" in judged(tmp_path, python=tmp_path / "bin/python")["failed"]

    def test_a_peer_that_does_not_end_is_ended_with_its_children(self, tmp_path, script, monkeypatch):
        monkeypatch.setattr(peers, "PATIENCE_S", 8.0)  # a busy machine starts Python slowly
        script(
            "import pathlib, subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            "pathlib.Path('child').write_text(str(child.pid))\n"
            "time.sleep(60)\n"
        )
        begun = time.monotonic()
        assert "ended after 8 s by the clock" in judged(tmp_path, seconds=0.01)["failed"]
        assert time.monotonic() - begun < 30
        if sys.platform == "linux":
            child = Path(f"/proc/{next(tmp_path.rglob('child')).read_text()}/stat")
            deadline = time.monotonic() + 10
            while _runs(child) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not _runs(child)

    def test_a_peer_that_trained_for_too_long_has_no_result(self, tmp_path, script):
        busy = "import time\nwhile time.process_time() < 7: pass\n"
        script(busy + copying())
        assert "1 s were allowed" in judged(tmp_path, seconds=1.0)["failed"]


@pytest.mark.usefixtures("brief")
class TestCommand:
    def asked(self, folder, *more):
        return main(["bench", "peers", "--peers", "egno", "--out", str(folder), *more])

    def test_one_page_has_peers_rivals_and_reasons(self, tmp_path, script):
        script(copying())
        assert self.asked(tmp_path, "--peer", f"egno={sys.executable}", "--seconds", "60") == 0
        page = (tmp_path / "peers.md").read_text(encoding="utf-8")
        for name in ("copy", "ridge, superposed", "learned Newton", "a peer", "ESTAG", "TrajCast"):
            assert f"| {name} |" in page
        rows = {line.split(" | ")[0][2:]: line.split(" | ")[1:8] for line in page.splitlines() if line[:2] == "| "}
        assert rows["a peer"][:4] == rows["copy"][:4]
        assert "it repeats the present (numpy" in page and "from scratch" in page
        assert str(tmp_path) not in page and sys.executable not in page

    def test_a_peer_without_an_environment_is_a_row(self, tmp_path, script):
        script(copying())
        assert self.asked(tmp_path, "--seconds", "60") == 0
        assert "a peer has no result: its Python cannot be run" in (tmp_path / "peers.md").read_text(encoding="utf-8")

    def test_the_budget_is_what_our_own_model_took(self, tmp_path, script, monkeypatch):
        seen = []
        monkeypatch.setattr(peers, "judge", lambda *given: seen.append(given[-1]) or {"failed": "not run"})
        script(copying())
        assert self.asked(tmp_path) == 0
        taken = arms.fit_rivals(tmp_path, Source(), "F1")["learned Newton"]["core_seconds"]
        assert taken <= seen[0] <= taken + 1

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            (["--seconds", "0"], "--seconds was 0"),
            (["--peer", "egno"], "no NAME=PYTHON"),
            (["--peer", "nobody=python"], "No peer is called 'nobody'"),
            (["--protocols", "F9"], "No protocol is called 'F9'"),
        ],
    )
    def test_wrong_options_are_told(self, tmp_path, capsys, more, said):
        assert self.asked(tmp_path, *more) == 2
        assert said in capsys.readouterr().err

    def test_without_a_time_of_our_own_one_must_be_given(self):
        with pytest.raises(InvalidSettings, match="--seconds"):
            peers._budget({"copy": {}})


class TestInstalling:
    def test_what_does_not_install_says_why(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        nothing = Peer(title="a peer", script=Path("peer.py"), packages=("no-such-package-at-all",))
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
        said = peers.install(tmp_path / "home", nothing)
        assert said is not None and "does not install (no-such-package-at-all)" in said
        assert not peers.python_of(tmp_path / "home").is_file()


def test_scripts_of_peers_need_nothing_of_ours():
    for path in peers.SCRIPTS.glob("*.py"):
        assert "import asteroid_nb" not in path.read_text(encoding="utf-8")
        assert "from asteroid_nb" not in path.read_text(encoding="utf-8")
    assert {one.script.parent for one in peers.PEERS.values()} == {peers.SCRIPTS}
    assert all(one.script.is_file() for one in peers.PEERS.values())
