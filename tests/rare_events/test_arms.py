"""One arm: its record says what was done, twice the same arm gives the same record, and finished arms are kept."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch, TrainingDiverged
from asteroid_nb.files import replacing
from asteroid_nb.finding import plain
from asteroid_nb.rare_events import arms, four_wells, grid
from asteroid_nb.rare_events.arms import MODELS, Arm, Prepared, run_arm
from asteroid_nb.rare_events.four_wells import CELLS, CORE_SET, NEAREST, arm, prepare
from asteroid_nb.rare_events.grid import CLEANED, COARSE, FINE, SMALL, arms_of, train_all
from asteroid_nb.states.language import n_parameters

N_FRAMES, N_CHAINS, CHAIN_FRAMES = 6000, 8, 1000


def small(patch):
    for name, value in {
        "TRAINED_FRAMES": 10_000, "MOST_EPOCHS": 60, "N_CHAINS": N_CHAINS, "CHAIN_FRAMES": CHAIN_FRAMES, "N_SAMPLES": 5,
    }.items():  # fmt: skip
        patch.setattr(arms, name, value)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    small(monkeypatch)


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def kept(folder, one):
    return json.loads(one.path(folder).read_text(encoding="utf-8"), parse_constant=refuse)


def tiny(states=NEAREST, model="LSTM", seed=0, **options):
    return arm(states, model, seed, n_frames=N_FRAMES, **options)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """One record per model, made once."""
    folder = tmp_path_factory.mktemp("arms")
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        for model in MODELS:
            run_arm(folder, tiny(model=model), prepare)
        return {model: kept(folder, tiny(model=model)) for model in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_a_record_says_what_was_done(records, model):
    record = records[model]
    assert (record["states"], record["model"], record["seed"]) == (NEAREST, model, 0)
    assert record["options"] == [["n_frames", N_FRAMES]] and record["dt_fs"] == 100.0 and record["n_states"] == 4
    assert record["n_training_frames"] == 5 * N_FRAMES // 6
    assert record["n_epochs"] == 2, "10,000 frames to look at, of 5,000"
    assert 1 <= record["best_epoch"] <= 2 and 0 < record["validation_loss"] < np.log(4)
    assert record["seconds"]["training"] > 0 and "failed" not in record


@pytest.mark.parametrize("model", MODELS)
def test_a_record_holds_the_kinetics_of_all_three(records, model):
    given = {of: records[model][f"{of}_kinetics"] for of in ("model", "data", "chain")}
    assert given["model"]["n_frames"] == given["chain"]["n_frames"] == N_CHAINS * CHAIN_FRAMES, "warming up is let go"
    assert given["data"]["n_frames"] == N_FRAMES, "all replicas, the held-out one included"
    for of, found in given.items():
        assert found["lags_frames"] == [1, 2, 5, 10, 20, 50, 100]
        assert np.shape(found["timescales_fs"]) == (7, 3)
        assert sum(found["populations"]) == pytest.approx(1) and np.shape(found["passage_fs"]) == (4, 4)
        assert (found["low_fs"] is None) == (of == "chain")
    assert given["data"] != given["model"] != given["chain"]


def test_the_data_of_a_record_are_those_of_its_states(records):
    """The slowest timescale at one step, beside the formula for a count matrix."""
    found = prepare(tiny())
    counts = np.zeros((4, 4))
    for one in [*found.train, found.held_out]:
        np.add.at(counts, (one.states[:-1], one.states[1:]), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    second = np.sort(np.linalg.eigvals(shares).real)[-2]
    assert records["LSTM"]["data_kinetics"]["timescales_fs"][0][0] == pytest.approx(-100.0 / np.log(second), rel=0.05)


def test_both_models_see_the_same_data_and_rivals(records):
    one, other = (records[model] for model in MODELS)
    for key in ("data_kinetics", "chain_kinetics", "n_training_frames"):
        assert one[key] == other[key], key
    assert one["model_kinetics"] != other["model_kinetics"]


@pytest.mark.parametrize("model", MODELS)
def test_the_same_arm_twice_is_the_same_record(records, model, tmp_path):
    run_arm(tmp_path, tiny(model=model), prepare)
    again = kept(tmp_path, tiny(model=model))
    assert {**again, "seconds": None} == {**records[model], "seconds": None}


def test_another_seed_is_another_record(records, tmp_path):
    run_arm(tmp_path, tiny(seed=1), prepare)
    for key in ("data_kinetics", "model_kinetics", "chain_kinetics", "validation_loss"):
        assert kept(tmp_path, tiny(seed=1))[key] != records["LSTM"][key]


def test_the_held_out_replica_teaches_nothing(records, tmp_path, monkeypatch):
    """Of one epoch, so that none is chosen by it: another one changes the loss, and not what the model makes."""
    monkeypatch.setattr(arms, "MOST_EPOCHS", 1)
    honest = prepare(tiny())
    spoiled = honest._replace(held_out=dataclasses.replace(honest.held_out, states=honest.held_out.states[::7]))
    found = []
    for place, prepared in enumerate((honest, spoiled)):
        run_arm(tmp_path / str(place), tiny(), lambda _, prepared=prepared: prepared)
        found.append(kept(tmp_path / str(place), tiny()))
    assert found[0]["n_epochs"] == 1
    differ = {key for key in found[0] if found[0][key] != found[1][key]}
    assert differ == {"validation_loss", "data_kinetics", "seconds"}


def test_epochs_are_as_many_as_the_frames_to_look_at_and_no_more_than_most(tmp_path, monkeypatch):
    n_epochs = []

    def trained(*arguments, **options):
        n_epochs.append(options["n_epochs"])
        raise InterruptedError

    monkeypatch.setattr(arms, "train_language", trained)
    for frames, most in ((10_000, 60), (60_000, 60), (10**9, 60), (1, 60), (60_000, 4)):
        monkeypatch.setattr(arms, "TRAINED_FRAMES", frames)
        monkeypatch.setattr(arms, "MOST_EPOCHS", most)
        with pytest.raises(InterruptedError):
            run_arm(tmp_path, tiny(), prepare)
    assert n_epochs == [2, 12, 60, 1, 4]


def test_the_transformer_is_of_the_lstms_size():
    for n_states in (4, 200):
        lstm, transformer = (n_parameters(arms._settings(model, n_states), n_states) for model in MODELS)
        assert transformer == pytest.approx(lstm, rel=0.1), n_states


def test_many_states_have_timescales_alone(tmp_path):
    run_arm(tmp_path, tiny(FINE), prepare)
    record = kept(tmp_path, tiny(FINE))
    assert record["n_states"] > 100
    found = record["data_kinetics"]
    assert found["passage_fs"] is found["populations"] is found["low_fs"] is None and found["timescales_fs"][0][0] > 0


def test_cells_are_learnt_and_core_sets_judged(tmp_path):
    run_arm(tmp_path, tiny(CELLS), prepare)
    record = kept(tmp_path, tiny(CELLS))
    assert record["n_states"] > 50 and np.shape(record["data_kinetics"]["passage_fs"]) == (4, 4)
    assert len(record["model_kinetics"]["populations"]) == 4, "few states once judged"


# --- What cannot be -------------------------------------------------------------------------------------------------


def test_states_that_cannot_be_made_leave_the_reason(tmp_path):
    def nothing(_):
        raise InvalidTrajectory("No trajectory enters the core 3.")

    run_arm(tmp_path, tiny(), nothing)
    record = kept(tmp_path, tiny())
    assert record["failed"] == "InvalidTrajectory: No trajectory enters the core 3." and record["states"] == NEAREST
    assert "model_kinetics" not in record


def test_other_errors_end_the_arm_and_leave_nothing(tmp_path):
    def broken(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_arm(tmp_path, tiny(), broken)
    assert not tiny().path(tmp_path).exists()


def test_chains_that_cannot_be_judged_leave_the_reason_beside_the_data(tmp_path):
    """A model that never enters a core is a result: the grid goes on, and the data are judged all the same."""
    honest = prepare(tiny())

    def judged(several):
        if ", chain " in several[0].name:
            raise InvalidTrajectory("None of 8 sequences enters a core.")
        return list(several)

    run_arm(tmp_path, tiny(), lambda _: Prepared(honest.train, honest.held_out, judged))
    record = kept(tmp_path, tiny())
    assert record["model_kinetics"] == record["chain_kinetics"] == {"failed": "None of 8 sequences enters a core."}
    assert "timescales_fs" in record["data_kinetics"]


def test_what_never_moves_leaves_the_reason(tmp_path):
    honest = prepare(tiny())
    still = type(honest.held_out)(np.zeros(500, dtype=int), 4, 100.0)
    run_arm(tmp_path, tiny(), lambda _: honest._replace(judged=lambda several: [still]))
    assert "ever changes its state" in kept(tmp_path, tiny())["data_kinetics"]["failed"]


def test_numbers_that_json_lacks_become_null():
    made = plain({"a": np.array([1.0, np.nan, np.inf]), 2: (np.float64(0.5), -np.inf), "n": np.int64(3), "b": True})
    assert made == {"a": [1.0, None, None], "2": [0.5, None], "n": 3, "b": True}
    assert type(made["n"]) is int and made["b"] is True


@pytest.mark.parametrize("error", [InvalidTrajectory, InvalidSettings, ModelMismatch, TrainingDiverged])
def test_a_grid_survives_an_arm_whose_training_cannot_be(error, tmp_path, monkeypatch):
    def failing(*_, **__):
        raise error("too bad")

    monkeypatch.setattr(arms, "train_language", failing)
    run_arm(tmp_path, tiny(), prepare)
    assert kept(tmp_path, tiny())["failed"] == f"{error.__name__}: too bad"


def test_what_states_are_made_with_is_part_of_their_name(tmp_path, monkeypatch):
    before = tiny().path(tmp_path)
    monkeypatch.setattr(four_wells, "DWELL_FRAMES", 3)
    assert tiny().path(tmp_path) != before


def test_a_model_nobody_knows_is_refused():
    with pytest.raises(InvalidSettings, match="'GRU'; there are LSTM and Transformer"):
        Arm(states=CORE_SET, model="GRU", seed=0)


# --- Names of records, and grids that go on ------------------------------------------------------------------------


def test_other_settings_have_another_file(tmp_path, monkeypatch):
    variants = [
        tiny(),
        tiny(seed=1),
        tiny(model="Transformer"),
        tiny(CORE_SET),
        arm(NEAREST, "LSTM", 0),
        tiny(interval=0.5),
    ]
    variants.append(Arm(states=NEAREST, model="LSTM", seed=0, lags_frames=(1, 2), options=tiny().options))
    variants.append(dataclasses.replace(tiny(), made_with="other data"))
    paths = [one.path(tmp_path) for one in variants]
    for name in ("TRAINED_FRAMES", "MOST_EPOCHS", "N_CHAINS", "CHAIN_FRAMES", "N_SAMPLES", "LANGUAGE_FIT"):
        with monkeypatch.context() as patch:
            patch.setattr(arms, name, 1)
            paths.append(tiny().path(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(arms, "__version__", "another")
        paths.append(tiny().path(tmp_path))
    assert len(set(paths)) == len(paths) and tiny().path(tmp_path) == paths[0]
    assert all(path.parent == tmp_path / "arms" and "," not in path.name and " " not in path.name for path in paths)


@pytest.fixture
def counted(monkeypatch):
    """Arms that leave a record at once, and the list of them."""
    begun = []

    def run(folder, one, prepare):
        begun.append(one)
        if one.seed == 2 and begun.count(one) == 1:
            raise KeyboardInterrupt
        with replacing(one.path(folder)) as temporary:
            temporary.write_text(json.dumps({"seed": one.seed}))

    monkeypatch.setattr(grid, "run_arm", run)
    return begun


def test_a_finished_arm_is_kept_and_records_come_in_the_order_asked_for(counted, tmp_path):
    one, other = tiny(seed=0), tiny(seed=1)
    assert [record["seed"] for record in train_all(tmp_path, [one], processes=0)] == [0]
    assert [record["seed"] for record in train_all(tmp_path, [other, one, other], processes=0)] == [1, 0, 1]
    assert counted == [one, other], "none twice"


def test_an_interrupted_grid_goes_on(counted, tmp_path):
    asked = [tiny(seed=seed) for seed in range(4)]
    with pytest.raises(KeyboardInterrupt):
        train_all(tmp_path, asked, processes=0)
    assert [one.seed for one in counted] == [0, 1, 2]
    assert [record["seed"] for record in train_all(tmp_path, asked, processes=0)] == [0, 1, 2, 3]
    assert [one.seed for one in counted] == [0, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("figure", "n_arms"),
    [("A", 0), ("B", 0), ("C", 16), ("C small", 8), ("D", 4), ("E", 4), ("F", 16), ("G", 12), ("H", 10)],
)
def test_every_figure_asks_for_arms_that_can_be_made(figure, n_arms):
    asked = arms_of(figure, [0, 1])
    assert len(asked) == len(set(asked)) == n_arms
    assert {one.states for one in asked} <= set(four_wells.CHOICES)
    assert {one.seed for one in asked} <= {0, 1}


def test_figures_share_arms():
    assert set(arms_of("D", [0])) == set(arms_of("E", [0])) <= set(arms_of("C", [0]))
    assert {one for one in arms_of("H", [0]) if one.states not in CLEANED} <= set(arms_of("C", [0]))
    assert {one for one in arms_of("F", [0]) if not one.options} <= set(arms_of("C", [0]))


@pytest.mark.parametrize("n_frames", [SMALL, 600_000, 60_000])
def test_arms_of_figure_f_cover_one_physical_time(n_frames):
    times = {
        round(one.option("n_frames", four_wells.N_FRAMES) * one.option("interval", four_wells.INTERVAL), 6)
        for one in arms_of("F", [0], n_frames=n_frames)
    }
    assert times == {n_frames * four_wells.INTERVAL}


def test_a_size_asked_for_is_that_of_every_arm():
    for figure in ("C", "D", "E", "H"):
        assert {one.option("n_frames") for one in arms_of(figure, [0], n_frames=1200)} == {1200}
    assert {one.option("n_frames") for one in arms_of("G", [0], n_frames=1200)} == {1200}
    assert {one.option("n_frames") for one in arms_of("G", [0])} == {grid.N_FRAMES_G}
    assert {one.states for one in arms_of("G", [0])} == {FINE, COARSE}
