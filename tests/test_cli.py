"""The command: a whole walk on a small trajectory, and one clear message for every wrong input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import asteroid_nb as anb
from asteroid_nb.cli import main
from asteroid_nb.data.readers import save_walkers

TINY = ["--preset", "tiny", "--epochs", "1", "--batch-size", "32", "--device", "cpu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three short walkers of the bundled ethanol, in one file."""
    path = tmp_path_factory.mktemp("data") / "walkers.npz"
    save_walkers([walker[:160] for walker in anb.sample("ethanol")[:3]], path)
    return path


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", str(data), *TINY, "--out", str(folder)]) == 0
    return folder


def test_training_writes_a_model_folder(run):
    record = json.loads((run / "settings.json").read_text())
    assert record["dt_fs"] == 1.0 and record["settings"]["history"] == 8
    assert (run / "weights.safetensors").stat().st_size > 1000


def test_a_forecast_begins_with_the_history_and_goes_on(run, data, tmp_path):
    out = tmp_path / "forecast.npz"
    assert main(["forecast", str(run), str(data), "--start", "20", "--blocks", "3", "--out", str(out)]) == 0
    forecast, truth = anb.load(out), anb.load(data)[-1]
    assert forecast.n_frames == 8 + 3 * 8
    np.testing.assert_allclose(forecast.positions[:8], truth.positions[20:28], atol=1e-5)


def test_evaluation_names_every_rival_and_writes_figures(run, data, tmp_path, capsys):
    assert main(["evaluate", str(run), str(data), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for rival in ("copy", "mean of history", "constant velocity", "AR(", "ridge, equivariant", "ridge, superposed"):
        assert rival in printed
    assert (tmp_path / "errors.npz").is_file()
    figures = {path.stem for path in (tmp_path / "figures").glob("*.html")}
    assert {"error_over_horizon", "attention", "training", "error_per_atom", "worst_windows"} <= figures


def test_a_setting_can_be_changed_by_name(data, tmp_path):
    assert (
        main(["train", str(data), *TINY, "--out", str(tmp_path), "--set", "width=24", "--set", "noise_ang=0.01"]) == 0
    )
    settings = json.loads((tmp_path / "settings.json").read_text())["settings"]
    assert settings["width"] == 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "no-such-thing"], "neither a file nor a named data set"),
        (["train", "{data}", "--preset", "giant"], "No preset is called 'giant'"),
        (["train", "{data}", "--set", "colour=red"], "names no setting"),
        (["train", "{data}", "--set", "decode=sideways"], "choose one of 'autoregressive', 'parallel', 'none'"),
        (["train", "{data}", "--set", "history=500"], "Shorten the history"),
        (["forecast", "no-run", "{data}"], "is not a model folder"),
        (["forecast", "{run}", "{data}", "--start", "1000"], "it does not fit into"),
        (["forecast", "{run}", "malonaldehyde"], "holds the species"),
        (["train", "{data}", "--resume", "--out", "{empty}"], "no checkpoint"),
    ],
)
def test_wrong_input_is_one_message_and_status_two(arguments, message, data, run, tmp_path, capsys):
    words = [word.format(data=data, run=run, empty=tmp_path) for word in arguments]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_lengths_in_nanometres_are_refused(data, tmp_path, capsys):
    arrays = dict(np.load(data))
    np.savez(tmp_path / "nm.npz", **{**arrays, "positions": arrays["positions"] / 10})
    assert main(["train", str(tmp_path / "nm.npz"), *TINY]) == 2
    assert "look like nm" in capsys.readouterr().err


def test_ctrl_c_keeps_a_checkpoint_and_resume_finishes(data, tmp_path):
    words = [sys.executable, "-m", "asteroid_nb.cli", "train", str(data), *TINY, "--out", str(tmp_path)]
    words[words.index("--epochs") + 1] = "200"
    root = str(Path(__file__).parents[1])
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE, text=True)
    wait_until = time.monotonic() + 180
    while not (tmp_path / "checkpoint.pt").is_file() and time.monotonic() < wait_until:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "--resume" in output
    assert anb.Run.load(tmp_path).history, "what was learnt is a model that loads"


def test_a_page_is_written_from_the_run_folder_alone(run, data, capsys):
    assert main(["report", str(run), "--windows", "6", "--title", "a & b"]) == 0
    page = run / "report.html"
    assert f"{page} (" in capsys.readouterr().out
    assert "<h1>a &amp; b</h1>" in page.read_text(encoding="utf-8")


def test_a_page_elsewhere_from_data_that_are_named(run, data, tmp_path):
    out = tmp_path / "deep" / "page.html"
    assert main(["report", str(run), str(data), "--windows", "6", "--out", str(out)]) == 0
    assert out.stat().st_size < 15e6


def test_a_run_that_does_not_say_what_it_was_trained_on_asks_for_it(run, tmp_path, capsys):
    import shutil

    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    (moved / "data.json").write_text("{")
    assert main(["report", str(moved)]) == 2
    assert f"asteroid-nb report {moved} DATA" in capsys.readouterr().err


def test_data_that_moved_away_are_missed_by_name(run, tmp_path, capsys):
    import json
    import shutil

    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    told = json.loads((moved / "data.json").read_text())
    (moved / "data.json").write_text(json.dumps({**told, "data": [str(tmp_path / "gone.npz")]}))
    assert main(["report", str(moved)]) == 2
    assert "gone.npz" in capsys.readouterr().err


def test_what_the_data_need_is_remembered_from_any_folder(tmp_path, monkeypatch):
    import argparse

    from asteroid_nb import commands

    (tmp_path / "a.dcd").write_bytes(b"")
    (tmp_path / "top.pdb").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    commands.remember(tmp_path / "run", argparse.Namespace(data=["a.dcd"], top="top.pdb", dt_fs=0.5, stride=2))
    monkeypatch.chdir("/")
    told = commands.remembered(tmp_path / "run")
    assert told.data == [str(tmp_path / "a.dcd")] and told.top == str(tmp_path / "top.pdb")
    assert (told.dt_fs, told.stride) == (0.5, 2)


def test_a_folder_where_a_file_should_be_written_is_one_message(run, data, tmp_path, capsys):
    (tmp_path / "folder.npz").mkdir()
    assert main(["forecast", str(run), str(data), "--out", str(tmp_path / "folder.npz")]) == 2
    assert "folder.npz" in capsys.readouterr().err
