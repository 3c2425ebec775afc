"""Sweeps: what they run, what they may take, what they gather; with Snakemake on this machine."""

import json
import os
import signal

import pytest

from companion.publishing.pages import side_by_side
from companion.publishing.paths import UserError
from companion.publishing.running import runner, sweeps
from tests.cluster import sweep
from tests.cluster.sweep import FOUR, THREE

from .test_runner import alive, leftovers, wait_for


def test_values():
    assert sweeps.values("0..3,7") == ["0", "1", "2", "3", "7"]
    assert sweeps.values("0.1, 8/255") == ["0.1", "8/255"]
    assert sweeps.values("-1..1") == ["-1", "0", "1"]
    assert sweeps.values("[0.5, 1]") == ["[0.5, 1]"]
    for wrong in ("3..1", "0..999999999"):
        with pytest.raises(UserError, match="smaller end first, and at most 10000 values"):
            sweeps.values(wrong, "seeds")


def test_every_combination_is_a_run_of_its_own(checkout):
    sweep.prepare(checkout)
    found = sweeps.plan("small", "quick", ["seeds=0..2", "eps=0.1,0.2,1/10"])
    assert [(job.values["seeds"], job.values["eps"]) for job in found.jobs] == [
        ([s], eps) for s in (0, 1, 2) for eps in (0.1, 0.2)
    ]  # 1/10 is 0.1, which is there
    assert found.jobs[0].label == "small" and len({job.label for job in found.jobs}) == 6
    (alone,) = runner.plan(["small"], "quick", (), ["seeds=2", "eps=0.2"])
    assert found.jobs[-1].hash == alone.hash and found.jobs[-1].command == alone.command
    (whole,) = sweeps.plan("small", "quick", ["seeds=[0,1]"]).jobs
    assert whole.values["seeds"] == [0, 1]


@pytest.mark.parametrize(
    "given, message",
    [
        (["epss=1"], "small has no parameter 'epss' (from -p); did you mean 'eps'?"),
        (["eps=0.1,-1"], "eps = -1 (from -p): must be in (0, inf)"),
        (["eps=1", "eps=2"], "a parameter is given twice"),
        (["seeds=0..999", "eps=1,2,3,4,5,6,7,8,9,10,11"], "these are 11000 runs; give at most 10000"),
    ],
)
def test_mistakes_are_named_before_anything_runs(checkout, given, message):
    sweep.prepare(checkout)
    with pytest.raises(UserError) as raised:
        sweeps.plan("small", "quick", given)
    assert str(raised.value).startswith(message)


def test_the_budget_follows_from_what_has_run(checkout):
    sweep.prepare(checkout)
    (job,) = sweeps.plan("small", "quick", []).jobs
    assert sweeps.budget(job) == {"minutes": 10, "memory_mb": 500, "threads": 1, "gpus": 0}
    for name, notebook, wall, complete in (
        ("small", "small", 600, True),
        ("small@1", "small", 1200, True),
        ("small@2.failed", "small", 9000, False),
        ("smaller", "smaller", 9000, True),
    ):
        checkout.folder(name).mkdir(parents=True)
        record = {"notebook": notebook, "wall_s": wall, "peak_memory_mb": wall, "complete": complete}
        (checkout.folder(name) / "run.json").write_text(json.dumps(record))
    assert sweeps.budget(job) == {"minutes": 45, "memory_mb": 2800, "threads": 1, "gpus": 0}


def test_budgets_of_the_repository_can_be_read(monkeypatch, checkout):
    sweep.prepare(checkout)
    text = (sweep.ROOT / "workflow" / "budgets.yaml").read_text("utf-8")
    (checkout.root / "workflow" / "budgets.yaml").write_text(text)
    (job,) = sweeps.plan("small", "quick", []).jobs
    assert set(sweeps.budget(job)) == {"minutes", "memory_mb", "threads", "gpus"}


def test_the_page_shows_runs_side_by_side_and_takes_no_text_for_markup():
    row = {"experiment": "<b>T1", "quantity": "accuracy", "model": '"><script>', "values": [1], "sd": None}
    runs = [
        {
            "setting": {"eps": text},
            "command": "",
            "rows": [row | {"value": value}],
            "record": {"wall_s": 1.5, "command": "companion run x -p 'note=</td>'"},
        }
        for text, value in (("<i>1", 0.25), ("2", 0.75), ("3", None))
    ]
    shown = side_by_side.page("A & B", runs)
    assert "<td>0.25</td><td>0.75</td><td></td>" in shown and shown.count("<circle") == 2
    assert "accuracy, model=&quot;&gt;&lt;script&gt;" in shown and "A &amp; B" in shown
    for markup in ("<script", "<b>", "<i>", "note=</td>", "http:", "https:"):
        assert markup not in shown


@sweep.needs_snakemake
@pytest.mark.slow
def test_a_sweep_that_is_interrupted_goes_on(checkout):
    sweep.prepare(checkout)
    with sweep.begun(*THREE, "--jobs", "2") as process:
        kernel = wait_for(lambda: sweep.kernel(checkout), 200)
        process.send_signal(signal.SIGINT)
        assert "companion: interrupted; all kernels ended" in sweep.end(process, 130)
    wait_for(lambda: not alive(kernel), 20)
    complete = [path for path in checkout.folder("small").parent.glob("small*") if path.is_dir()]
    assert leftovers(checkout.folder("small")) == []

    said = sweep.whole(*THREE, "--jobs", "2")
    assert sweep.ran(said) == 6 - len(complete) > 0
    assert sweep.table(checkout) == sweep.expected(3)

    said = sweep.whole(*FOUR, "--jobs", "2")
    assert "8 runs: 6 up to date, 2 to run" in said and said.count(": done in ") == 2
    assert sweep.table(checkout) == sweep.expected(4)
    assert (checkout.root / sweep.FOLDER / "index.html").read_text("utf-8").count("<circle") == 8


@sweep.needs_snakemake
@pytest.mark.slow
def test_a_run_that_fails_leaves_the_others_and_its_earlier_results(checkout):
    sweep.prepare(checkout)
    (checkout.root / "kernel").touch()
    assert sweep.ran(sweep.whole("-p", "eps=0.1,0.2")) == 2
    notebook = checkout.root / "notebooks" / "small.ipynb"
    before = (checkout.folder("small") / "run.json").read_bytes()
    notebook.write_text(notebook.read_text().replace("import os", "assert eps > 0.1; import os"))
    said = sweep.whole("-p", "eps=0.1,0.2", status=1)
    assert "2 runs: 0 up to date, 2 to run" in said
    assert "small: not complete; log: runs/quick/small.failed/log.txt" in said
    assert "1 runs are missing; the same command again runs them" in said
    assert (checkout.folder("small") / "run.json").read_bytes() == before


def test_without_snakemake_one_line_says_what_to_install(checkout, monkeypatch):
    sweep.prepare(checkout)
    monkeypatch.setattr(sweeps, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs Snakemake"):
        sweeps.start(sweeps.plan("small", "quick", []))
    assert not os.path.exists(checkout.root / "runs")
