"""What a chapter calls in its kernel, with the cells that IPython would have seen."""

import json
import math
import types

import IPython
import numpy as np
import pytest

from companion.publishing.running import chapter, notebooks
from companion.publishing.running.parameters import ParameterError

CELL = "eps: float = 0.5  # in (0, inf): radius\nseeds: list[int] = [0]  # in [0, inf): seeds"


def begin(*cells: str, notebook: str = "small"):
    """Execute cells as a kernel does and begin a run; return it and the namespace."""
    namespace: dict = {"In": ["", *cells, "begin"]}
    for cell in cells:
        exec(cell, namespace)
    return chapter.begin(namespace, notebook=notebook), namespace


def results(run) -> dict:
    """Return results.json of a run."""
    return json.loads((run.folder / "results.json").read_text("utf-8"))


def test_values_are_coerced_in_place(checkout):
    run, namespace = begin(CELL, '# Parameters\neps = "8/255"\nseeds = "0,1"\n')
    assert namespace["eps"] == 8 / 255 and namespace["seeds"] == [0, 1]
    assert run.parameters == {"eps": 8 / 255, "seeds": [0, 1]}


def test_an_injected_typo_is_refused_with_the_nearest_name(checkout):
    with pytest.raises(ParameterError, match="small has no parameter 'seed'; did you mean 'seeds'"):
        begin(CELL, "# Parameters\nseed = 1\n")
    assert not (checkout.root / "runs").exists()


def test_other_names_are_the_chapters_own_affair(checkout):
    begin(CELL, "# Parameters of the figure\nwidth = 1\n", "import math\nother = 2")


@pytest.mark.parametrize(
    "line",
    [
        "eps = -1",
        "eps = 'abc'",
        "eps = True",
        "seeds = [0, -1]",
        "seeds = 1.5",
        "seeds = [0, 0]",
        "seeds = []",
    ],
)
def test_bad_values_are_refused(checkout, line):
    with pytest.raises(ParameterError):
        begin(CELL, f"# Parameters\n{line}\n")


def test_a_repaired_live_notebook_goes_on(checkout):
    _, namespace = begin(CELL, "# Parameters\nsede = 1\n", "# Parameters\nseeds = [3]\n")
    assert namespace["seeds"] == [3]


def test_an_edited_parameters_cell_counts_from_then_on(checkout):
    later = CELL.replace("(0, inf)", "(0, 9]").replace("0.5", "7.0")
    run, namespace = begin(CELL, "other: int = 3", later)
    assert namespace["eps"] == 7.0 and "other" not in run.parameters
    with pytest.raises(ParameterError, match=r"must be in \(0, 9\]"):
        begin(CELL, later, "eps = 10")


def test_begin_twice_is_harmless(checkout):
    run, namespace = begin(CELL)
    run.record("T1", "accuracy", 0.5)
    assert chapter.begin(namespace, notebook="small").parameters == run.parameters


def test_without_a_parameters_cell_begin_says_what_to_do(checkout):
    with pytest.raises(ParameterError, match="run the cells from the top"):
        begin("x = 3")


def test_the_message_stands_alone_in_a_kernel():
    assert ParameterError("eps = -1: no")._render_traceback_() == ["ParameterError: eps = -1: no"]


def test_folder(checkout, monkeypatch, tmp_path):
    run, _ = begin(CELL)
    assert run.folder == checkout.root / "runs" / "live" / "small"
    monkeypatch.setenv("COMPANION_NOTEBOOK", "named")
    assert begin(CELL)[0].folder.name == "named"
    monkeypatch.setenv("COMPANION_RUN_DIR", str(tmp_path / "given"))
    assert begin(CELL)[0].folder == tmp_path / "given"


def test_results_are_tidy_plain_json(checkout):
    run, _ = begin(CELL)
    assert results(run)["rows"] == []
    run.record("T1", "accuracy", np.float32(0.5), sd=np.float64(0.25), n=np.int64(3), model="net", eps=0.5)
    run.record("T1", "gap", float("nan"), sd=math.inf, attack="pgd")
    run.record("T1", "holds", True)
    wanted = [
        {
            "experiment": "T1",
            "quantity": "accuracy",
            "value": 0.5,
            "sd": 0.25,
            "n": 3,
            "model": "net",
            "eps": 0.5,
        },
        {"experiment": "T1", "quantity": "gap", "value": None, "sd": None, "attack": "pgd"},
        {"experiment": "T1", "quantity": "holds", "value": 1},
    ]
    # The spread was given but is not finite: it stays in the row, as null.
    assert results(run)["rows"] == wanted == run.rows


@pytest.fixture
def execute(monkeypatch):
    """Say which execution of a cell it is, as IPython's shell does."""
    return lambda count: monkeypatch.setattr(
        IPython, "get_ipython", lambda: types.SimpleNamespace(execution_count=count)
    )


def test_a_cell_executed_again_does_not_double_its_rows(checkout, execute):
    run, _ = begin(CELL)
    execute(3)
    run.record("T1", "accuracy", 0.1, model="a")
    run.record("T1", "accuracy", 0.2, model="b")
    execute(4)
    run.record("T1", "accuracy", 0.3, model="a")
    assert [(row["model"], row["value"]) for row in results(run)["rows"]] == [("a", 0.3), ("b", 0.2)]
    with pytest.raises(ValueError, match="as 0.3 and as 0.4"):
        run.record("T1", "accuracy", 0.4, model="a")


def test_a_second_row_with_the_same_labels_is_refused(checkout, execute):
    """Two carriers of one spread, in a loop that forgot to name the carrier: one of two rows was lost."""
    run, _ = begin(CELL)
    execute(3)
    run.record("NM-C7", "vii", [0.1, 0.3], model="mlp", sd_of_m=1.26)
    run.record("NM-C7", "accuracy", 90.0, model="mlp", sd_of_m=1.26)
    with pytest.raises(ValueError) as caught:
        run.record("NM-C7", "vii", [0.5], model="mlp", sd_of_m=np.float64(1.26))
    assert str(caught.value) == (
        "small: NM-C7, vii (model=mlp, sd_of_m=1.26) is recorded twice in one run of a cell, as 0.2 and "
        "as 0.5; add a label in which the two differ"
    )
    run.record("NM-C7", "vii", 0.5, model="mlp", sd_of_m=1.26, carrier="gamma")
    assert [row["value"] for row in results(run)["rows"]] == [0.2, 90.0, 0.5]


def test_a_runner_executes_no_cell_twice(checkout, execute, monkeypatch):
    monkeypatch.setenv("COMPANION_RUN_DIR", str(checkout.root / "run"))
    run, _ = begin(CELL)
    execute(3)
    run.record("T1", "accuracy", 0.1)
    execute(4)
    with pytest.raises(ValueError, match="no labels"):
        run.record("T1", "accuracy", 0.1)


def test_a_number_for_each_repetition_leaves_mean_spread_and_list(checkout, execute):
    run, _ = begin(CELL)
    execute(1)
    run.record("T", "x", [1.0, 2.0, 6.0])
    run.record("T", "one", (4,))
    run.record("T", "gap", [1.0, float("nan")])
    three, one, gap = run.rows
    assert (three["value"], three["n"], three["values"]) == (3.0, 3, [1.0, 2.0, 6.0])
    assert three["sd"] == pytest.approx(7**0.5)
    assert (one["value"], one["n"], "sd" in one) == (4, 1, False)
    assert (gap["value"], gap["n"], gap["values"]) == (None, 2, [1.0, None])
    execute(2)
    run.record("T", "x", [0.0])
    assert len(run.rows) == 3 and run.rows[0]["values"] == [0.0] and "sd" not in run.rows[0]


@pytest.mark.parametrize("value", ["0.5", ["a"], object()])
def test_values_must_be_numbers(checkout, value):
    run, _ = begin(CELL)
    with pytest.raises(TypeError, match="is no number"):
        run.record("T1", "accuracy", value)
    assert results(run)["rows"] == []


def test_device_and_status(checkout):
    run, _ = begin(CELL)
    run.set_device("cuda:0")
    run.status("net 2/9\nepoch 3")
    assert results(run)["device"] == "cuda:0"
    assert (run.folder / "status").read_text("utf-8") == "net 2/9 epoch 3"


def test_announcements_stay(checkout, capsys):
    run, _ = begin(CELL)
    run.announce("4 nets to train,\nabout 2 min")
    run.announce("more")
    assert (run.folder / "announcements").read_text("utf-8") == "4 nets to train, about 2 min\nmore\n"
    assert "4 nets" in capsys.readouterr().out


def test_a_label_may_be_called_as_the_code_calls_something(checkout):
    run, _ = begin(CELL)
    run.record("T1", "accuracy", 0.5, kept=0.3)
    assert run.rows[0]["kept"] == 0.3


def test_recorded_rows(checkout):
    run, _ = begin(CELL)
    assert run.recorded() == []
    (checkout.root / "results").mkdir()
    (checkout.root / "results" / "small.json").write_text('{"rows": [{"value": 1}], "run": {}}')
    assert run.recorded() == [{"value": 1}] and run.recorded_when() == ""


def test_a_recorded_experiment_has_a_row_for_each_seed(checkout):
    run, _ = begin(CELL)
    assert run.recorded_frame("T1").empty
    kept = [{"experiment": e, "value": 2.0, "values": [1.0, 3.0], "epochs": 5} for e in ("T1", "T2")]
    (checkout.root / "results").mkdir()
    (checkout.root / "results" / "small.json").write_text(json.dumps({"rows": kept, "run": {}}))
    found = run.recorded_frame("T1")
    assert found["value"].tolist() == [1.0, 3.0] and set(found["epochs"]) == {5}


def test_a_record_of_an_earlier_version_of_its_chapter_says_so(checkout):
    run, _ = begin(CELL)
    (checkout.root / "results").mkdir()
    kept = {
        "started": "2026-11-20T01:00",
        "code": notebooks.code_hash(notebooks.read(checkout.notebook("small"))),
    }
    record = checkout.root / "results" / "small.json"
    record.write_text(json.dumps({"rows": [], "run": kept}))
    assert run.recorded_when() == "2026-11-20"
    record.write_text(json.dumps({"rows": [], "run": kept | {"code": "other"}}))
    assert run.recorded_when() == "2026-11-20, by an earlier version of this chapter"


def test_budgets_are_those_of_this_run_of_other_profiles_and_of_the_recorded_one(checkout, monkeypatch):
    monkeypatch.setenv("COMPANION_NOTEBOOK", "small")
    monkeypatch.setenv("COMPANION_PROFILE", "quick")
    for profile, seconds in (("quick", 1.0), ("gpu", 2.0)):
        folder = checkout.root / "runs" / profile / "small"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"wall_s": seconds, "device": "GPU"}))
    (checkout.root / "results").mkdir()
    (checkout.root / "results" / "small.json").write_text('{"rows": [], "run": {"wall_s": 3.0}}')
    run, _ = begin(CELL)
    found = {b["run"]: b for b in run.budgets()}
    assert list(found) == ["this run (quick), so far", "recorded run", "profile gpu"]
    assert found["recorded run"]["wall_s"] == 3.0 and found["recorded run"]["device"] is None
    assert found["profile gpu"] == {
        "run": "profile gpu", "wall_s": 2.0, "cpu_s": None, "peak_memory_mb": None, "device": "GPU",
    }  # fmt: skip


def test_provenance_strip(checkout, monkeypatch):
    checkout.notebook("small", parameters=CELL + '\nnote: str = "plain"')
    checkout.profile("quick", "small", "eps: 0.25\n")
    monkeypatch.setenv("COMPANION_PROFILE", "quick")
    run, _ = begin(CELL + '\nnote: str = "plain"', "# Parameters\neps = 0.25\nnote = '<b> & c'\n")
    run.set_device("cpu")
    strip = run.provenance_strip().html
    assert 'class="cmp-strip"' in strip and "quick" in strip and "cpu" in strip and "MB" in strip
    assert "eps=0.25" in strip and "seeds" not in strip  # only what differs from the notebook's defaults
    assert "<b> & c" not in strip and "&lt;b&gt; &amp; c" in strip
    # The command names what differs from the profile, so eps is not in it.
    assert "companion run small --profile quick -p &#x27;note=&lt;b&gt; &amp; c&#x27;" in strip
    assert str(checkout.root) not in strip
