"""``asteroid-nb states``: pages and numbers in a folder, one message for wrong input, and nothing is trained twice."""

from __future__ import annotations

import json

import pytest
from three_wells import archive

from asteroid_nb.cli import main
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.rare_events import arms, grid, run, torsions
from asteroid_nb.rare_events.four_wells import N_FRAMES
from asteroid_nb.rare_events.grid import SMALL
from asteroid_nb.rare_events.torsions import BUNDLED, System


@pytest.fixture
def no_training(monkeypatch):
    def refused(*_):
        raise AssertionError("something was trained")

    monkeypatch.setattr(grid, "run_arm", refused)


@pytest.fixture
def asked(monkeypatch):
    """What the command asks for, without doing it."""
    found = {}
    monkeypatch.setattr(run, "run", lambda **options: found.update(options))
    return found


def test_figure_a_is_a_page_numbers_and_a_drawing(tmp_path, no_training, capsys):
    assert main(["states", "--figures", "A", "--seeds", "1", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "states.md").read_text()
    assert capsys.readouterr().out.strip() == page.strip()
    assert "### A. " in page and "**PASSED** the design's table" in page and "No rule failed." in page
    assert "`asteroid-nb states --figures A --seeds 1 --frames 600000`" in page
    (told,) = json.loads((tmp_path / "states.json").read_text())
    assert told["figure"] == "A" and len(told["rows"]) == 7 and told["rules"][0]["holds"] is True
    assert "plotly" in (tmp_path / "figure-A.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--figures", "Z"], "No figure is called 'Z'; there are A, B, C, D, E, F, G, H, I."),
        (["--figures", "A", "AB"], "No figure is called 'AB'"),
        (["--seeds", "0"], "Found 0 seeds; needed is one at least"),
        (["--torsions", "nobody=x.npz"], "--torsions nobody=x.npz must be NAME=FILE, with one of ala2, pentapeptide"),
        (["--torsions", "ala2"], "--torsions ala2 must be NAME=FILE"),
        (["--torsions", "ala2=no-such-file.npz"], "no-such-file.npz"),
    ],
)
def test_wrong_input_is_one_message_and_status_two_before_any_training(words, message, tmp_path, no_training, capsys):
    assert main(["states", *words, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_what_is_asked_for_is_passed_on_and_said_without_folders(asked, tmp_path):
    words = ["--figures", "C", "I", "--seeds", "2", "--frames", "9000", "--processes", "0"]
    assert main(["states", *words, "--torsions", "ala2=/a/folder/x.npz", "--out", str(tmp_path)]) == 0
    assert asked["names"] == ["C", "I"] and (asked["n_seeds"], asked["n_frames"], asked["processes"]) == (2, 9000, 0)
    assert [one.path for one in asked["systems"]] == ["", "/a/folder/x.npz"] and asked["folder"] == tmp_path
    assert asked["command"] == "asteroid-nb states --figures C I --seeds 2 --frames 9000 --torsions ala2=x.npz"


def test_without_a_letter_every_figure_is_made(asked, tmp_path):
    assert main(["states", "--out", str(tmp_path)]) == 0
    assert list(asked["names"]) == list("ABCDEFGHI") and asked["systems"] == [BUNDLED]
    assert asked["n_frames"] == N_FRAMES


@pytest.mark.parametrize(
    ("name", "n_seeds", "seeds"), [("D", 3, 5), ("E", 3, 5), ("D", 7, 7), ("E", 1, 1), ("C", 3, 3), ("H", 3, 3)]
)
def test_models_are_compared_on_five_seeds_where_others_have_three(name, n_seeds, seeds):
    assert {one.seed for one in run._arms(name, n_seeds, N_FRAMES)} == set(range(seeds))


def test_small_data_stand_beside_the_large_and_never_beside_smaller():
    sizes = lambda n_frames: {one.option("n_frames") for one in run._arms("C", 1, n_frames)}  # noqa: E731
    assert sizes(N_FRAMES) == {None, SMALL} and sizes(240_000) == {240_000, SMALL}
    assert sizes(SMALL) == {SMALL} and sizes(6000) == {6000}


def test_a_tiny_run_ends_and_the_same_call_again_trains_nothing(tmp_path, monkeypatch, capsys):
    for name, value in {"TRAINED_FRAMES": 5000, "N_CHAINS": 8, "CHAIN_FRAMES": 500, "N_SAMPLES": 2}.items():
        monkeypatch.setattr(arms, name, value)
    monkeypatch.setattr(torsions, "N_CLUSTERS", 30)
    system = System(name="three wells", path=str(archive(tmp_path / "wells.npz", n_frames=2000)), n_sets=2)
    begun, real = [], arms.run_arm

    def counted(folder, arm, prepare):
        begun.append(arm)
        real(folder, arm, prepare)

    monkeypatch.setattr(grid, "run_arm", counted)
    options = {"names": "CDEI", "n_seeds": 1, "n_frames": 6000, "systems": [system], "processes": 0}
    folder = tmp_path / "states"
    page = run.run(folder=folder, **options)
    assert len(begun) == len(set(begun)) == 8 + 2, "D and E share the arms of C"
    first = page.read_text()
    told = json.loads((folder / "states.json").read_text())
    assert [one["figure"] for one in told] == list("CDEI") and all(one["rows"] and one["rules"] for one in told)
    drawn = {one.stem for one in folder.glob("*.html")}
    assert {"figure-C-core-set-6000", "figure-D", "figure-E"} <= drawn
    kept = {path: path.stat().st_mtime_ns for path in (folder / "arms").iterdir()}
    assert run.run(folder=folder, **options).read_text() == first
    assert len(begun) == 10 and kept == {path: path.stat().st_mtime_ns for path in (folder / "arms").iterdir()}


def test_states_that_cannot_be_made_are_told_with_their_reason(tmp_path, monkeypatch, capsys):
    """Sixty frames enter no core: the page is written all the same, and no rule passes."""
    monkeypatch.setattr(arms, "TRAINED_FRAMES", 10)
    page = run.run(folder=tmp_path, names="C", n_seeds=1, n_frames=60, processes=0).read_text()
    assert "no result of core set, LSTM, seed 0" in page and "PASSED" not in page


def test_figures_are_known_by_their_letters_alone(tmp_path):
    with pytest.raises(InvalidSettings, match="'a'"):
        run.run(folder=tmp_path, names="a", processes=0)
