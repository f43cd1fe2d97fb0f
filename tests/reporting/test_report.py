"""The exported page: whole, small, without a network, its texts escaped, its windows those of the errors."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from small_run import small_run, small_table

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch
from asteroid_nb.exhibit import Exhibit
from asteroid_nb.forecast.run import Run
from asteroid_nb.reporting import report as reporting
from asteroid_nb.reporting.contents import chosen_windows, packed_windows
from asteroid_nb.reporting.offline import script
from asteroid_nb.reporting.report import report


@pytest.fixture(scope="module")
def exhibit() -> Exhibit:
    return Exhibit.of(small_run(), errors=small_table())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "page.html"
    return report(small_run(), path, errors=small_table(), title="<script>alert(1)</script> & co")


@pytest.fixture(scope="module")
def text(written) -> str:
    return written.read_text(encoding="utf-8")


def held(text: str, name: str) -> bytes:
    found = re.search(rf'<script type="text/plain" id="{name}">([^<]*)</script>', text)
    assert found is not None
    return gzip.decompress(base64.b64decode(found[1]))


@pytest.fixture(scope="module")
def contents(text) -> dict:
    return json.loads(held(text, "anb-page"))


def test_the_page_is_small_and_asks_for_nothing(text):
    assert len(text) < 15e6
    outside = re.sub(r'<script type="text/plain".*?</script>', "", text, flags=re.DOTALL)
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", outside)
    assert not re.search(r"https?://", outside)


def test_names_and_titles_are_text(text, contents):
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in text
    assert "<b>2</b>" not in re.sub(r'<script type="text/plain".*?</script>', "", text, flags=re.DOTALL)
    figures = json.dumps(contents["panels"])
    assert "<b>2</b>" not in figures


def test_windows_that_are_played_are_those_that_were_measured(exhibit):
    table = exhibit.table
    truth, forecast = exhibit.pair(7)
    history = exhibit.history
    apart = np.square(forecast.positions[history:] - truth.positions[history:].astype(float)).sum(-1)
    assert_allclose(apart, table.squared[exhibit.name][7], rtol=1e-4, atol=1e-7)
    assert_allclose(forecast.positions[:history], truth.positions[:history], atol=1e-5)
    assert truth.positions[0] == pytest.approx(exhibit.place(7)[0].positions[table.starts[7]])


def test_positions_survive_the_packing(exhibit):
    pairs = exhibit.pairs([3, 11])
    packed, centres, step_ang = packed_windows(pairs, 0.5)
    assert step_ang == 1e-3
    n_frames, n_atoms = len(exhibit.times_fs), 9
    n_steps = 2 * 2 * n_frames * n_atoms * 3
    steps = np.frombuffer(packed, "<i2", n_steps).reshape(2, 2, n_frames, n_atoms, 3)
    back = steps / 1000 + centres[:, None, None, None]
    for window, pair in zip(back, pairs, strict=True):
        for path, given in zip(window, pair, strict=True):
            assert np.abs(path - given.positions).max() <= 0.0005001
    errors = np.frombuffer(packed, np.uint8, offset=2 * n_steps).reshape(2, n_frames, n_atoms)
    assert errors[:, : exhibit.history].max() == 0 < errors[:, -1].max()


def test_a_reference_of_any_size_fits_and_atoms_that_flew_off_stop_at_its_border(exhibit):
    ((truth, forecast),) = exhibit.pairs([3])
    wide = np.array(truth.positions, dtype=float)
    wide[:, 0] += [90.0, 0, 0]
    lost = wide + np.eye(9)[1][:, None] * [0.0, 500, 0]
    pair = tuple(Trajectory(path, truth.atomic_numbers, 1.0, check_distances=False) for path in (wide, lost))
    packed, centres, step_ang = packed_windows([pair], 0.5)
    steps = np.frombuffer(packed, "<i2", 2 * wide.size).reshape(2, *wide.shape)
    back = steps * step_ang + centres[0]
    assert np.abs(back[0] - wide).max() <= 0.51 * step_ang < 0.002
    others = np.arange(9) != 1
    assert_allclose(back[1][:, others], back[0][:, others])
    assert (back[1][:, 1, 1] > wide[:, :, 1].max() + 50).all()


def test_large_molecules_keep_fewer_windows_in_detail(exhibit):
    one = np.random.default_rng(0).uniform(0, 60, (1, 200, 3))
    large = [Trajectory(one, [6] * 200, 1.0, check_distances=False)]
    stand_in = SimpleNamespace(
        run=exhibit.run, table=exhibit.table, trajectories=large, worst_first=exhibit.worst_first
    )
    assert len(chosen_windows(exhibit, 12)[1]) == 5
    assert chosen_windows(stand_in, 12)[1].tolist() == [0]  # type: ignore[arg-type]


def test_the_map_calls_windows_as_the_menu_does(tmp_path, exhibit):
    path = report(exhibit.run, tmp_path / "page.html", errors=exhibit.table, most_windows=12)
    page = json.loads(held(path.read_text(encoding="utf-8"), "anb-page"))
    heat, windows = page["panels"][1]["figure"], page["windows"]
    packed = heat["data"][0]["customdata"]
    cells = np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"]).reshape(12, -1, 3)
    assert sorted(cells[:, 0, 0]) == sorted(window["index"] for window in windows) != list(range(12))
    assert (exhibit.table.starts[cells[..., 0]] == cells[..., 2]).all()
    assert windows[0]["label"].startswith(f"worst: window {windows[0]['index']},")
    assert f"the worst window is number {windows[0]['index']} " in heat["layout"]["meta"]["alt"]


def test_names_with_bars_stay_in_their_cell(exhibit):
    table = exhibit.table
    strange = {name: "a | b --- <i>" if name == "copy" else name for name in table.names}
    swap = lambda errors: {strange[name]: array for name, array in errors.items()}  # noqa: E731
    renamed = replace(table, squared=swap(table.squared), absolute=swap(table.absolute))
    shown = reporting._table(Exhibit(run=exhibit.run, trajectories=exhibit.trajectories, table=renamed))
    assert "<td>a | b --- &lt;i&gt;</td>" in shown
    rows = re.findall("<tr>.*?</tr>", shown)
    assert len(rows) == 1 + len(table.names) and len({len(re.findall("<t[hd]", row)) for row in rows}) == 1


def test_a_folder_is_no_page(exhibit, tmp_path):
    with pytest.raises(InvalidSettings, match="is a folder; needed is the name of the page"):
        report(exhibit.run, tmp_path, errors=exhibit.table)


def test_the_worst_windows_are_kept_first_and_none_twice(exhibit):
    kept, detailed = chosen_windows(exhibit, 12)
    means = exhibit.table.per_window(exhibit.name).mean(1)
    assert len(kept) == len(set(kept.tolist())) <= 12 and means[kept[0]] == means.max()
    assert (np.diff(means[kept]) <= 0).all()
    assert detailed[0] == 0 and detailed[-1] == len(kept) - 1


def test_a_page_keeps_one_window_if_told_so(exhibit):
    kept, detailed = chosen_windows(exhibit, 1)
    assert kept.tolist() == [exhibit.worst_first[0]] and detailed.tolist() == [0]


def test_every_panel_has_figures_with_titles_units_and_words(contents):
    kinds = [panel["kind"] for panel in contents["panels"]]
    assert kinds == ["figures", "heatmap", "bars", "attention", "delay", "figures"]
    errors, windows, bars, attention, delay, _ = contents["panels"]
    figures = [*errors["figures"].values(), windows["figure"], *bars["figures"]]
    figures += [one["template"] for one in attention["records"]]
    figures += [figure for one in delay["windows"] for atom in one["figures"] for figure in atom]
    for figure in figures:
        layout = figure["layout"]
        assert layout["title"]["text"] and len(layout["meta"]["alt"]) > 40
        assert layout["xaxis"]["title"]["text"]
    assert len(bars["figures"]) == small_run().settings.horizon


def test_attention_is_that_of_the_recorded_window(contents, exhibit):
    from asteroid_nb.forecast.rollout import attention, window_at

    panel = contents["panels"][3]
    one = panel["windows"][0]
    trajectory, start = exhibit.place(contents["windows"][one["window"]]["index"])
    records = attention(exhibit.run, window_at(exhibit.run, trajectory, start))
    assert [record["name"] for record in panel["records"]] == list(records)
    for record, weights in zip(panel["records"], one["weights"], strict=True):
        shown = np.reshape(weights, record["shape"])
        assert_allclose(shown, records[record["name"]], atol=6e-5)
        assert record["shape"][2:] == [len(record["labels"]["queries"]), len(record["labels"]["keys"])]


def test_a_model_without_delay_matrices_says_so_in_their_place(tmp_path):
    run = small_run(sti=False)
    path = report(run, tmp_path / "page.html")
    panels = json.loads(held(path.read_text(), "anb-page"))["panels"]
    assert "sti=False" in panels[4]["missing"]


def test_the_page_runs_the_notebooks_own_programs():
    program = script()
    assert "class Player" not in program and "drawMolecule" in program and program.count("function panelOf") == 1
    assert "export " not in re.sub(r"//.*", "", program)
    assert "</script" not in program


def test_errors_of_another_run_are_refused(exhibit):
    table = small_table()
    other = replace(table, squared={name: 1.1 * errors for name, errors in table.squared.items()})
    with pytest.raises(ModelMismatch, match="do not belong to this run"):
        Exhibit.of(small_run(), errors=other)
    with pytest.raises(ModelMismatch, match="needed are those of 'STI-Transformer'"):
        Exhibit(run=exhibit.run, trajectories=exhibit.trajectories, table=_renamed(table))


def test_errors_that_differ_by_rounding_are_this_runs(exhibit):
    import dataclasses

    noise = np.random.default_rng(0).uniform(0.99, 1.01, size=exhibit.table.squared[exhibit.name].shape)
    squared = {**exhibit.table.squared, exhibit.name: exhibit.table.squared[exhibit.name] * noise}
    Exhibit.of(small_run(), errors=dataclasses.replace(exhibit.table, squared=squared))


def _renamed(table):
    swap = lambda errors: {f"old {name}": array for name, array in errors.items()}  # noqa: E731
    return replace(table, squared=swap(table.squared), absolute=swap(table.absolute))


def test_errors_of_other_atoms_are_refused(exhibit):
    few = {
        key: {name: array[:, :, :5] for name, array in getattr(exhibit.table, key).items()}
        for key in ("squared", "absolute")
    }
    table = replace(exhibit.table, **few, atom_labels=exhibit.table.atom_labels[:5])
    with pytest.raises(ModelMismatch, match=r"atoms C1, C2, O1, H1 … \(5\), the trajectories hold .* \(9\)"):
        Exhibit(run=exhibit.run, trajectories=exhibit.trajectories, table=table)


def test_a_run_that_predicts_nan_is_blamed_itself(exhibit):
    run = copy.copy(exhibit.run)
    run.model = copy.deepcopy(run.model)
    with torch.no_grad():
        next(run.model.parameters()).fill_(torch.nan)
    spoiled = Exhibit(run=run, trajectories=exhibit.trajectories, table=exhibit.table)
    with pytest.raises(InvalidTrajectory, match="STI-Transformer predicts NaN or infinity in 2 of 2 windows"):
        spoiled.pairs([0, 3])


def test_errors_of_other_trajectories_are_refused(exhibit):
    with pytest.raises(ModelMismatch, match="end after their trajectory"):
        Exhibit(run=exhibit.run, trajectories=[one[:60] for one in exhibit.trajectories], table=exhibit.table)


def test_a_run_from_a_folder_is_told_how_to_get_its_split(tmp_path):
    loaded = Run.load(small_run().save(tmp_path / "run"))
    with pytest.raises(ModelMismatch, match="run.split"):
        report(loaded, tmp_path / "page.html")


def test_a_page_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("old")
    monkeypatch.setattr(reporting, "page", lambda **_: "\ud800")  # cannot be written as UTF-8
    with pytest.raises(UnicodeEncodeError):
        report(small_run(), path, errors=small_table())
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
