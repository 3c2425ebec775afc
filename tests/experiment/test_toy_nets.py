"""Toy nets are trained once for each kind, kept and found again."""

import pandas as pd
import pytest
import torch

from companion import experiment
from companion.training import distinct_points, minibatches
from tests.training.test_distinct_points import recipe

STEPS = [0.1] * 6


@pytest.fixture
def nets():
    settings = {"weight_norm": "l2", "weight_squared": True}
    plain = {(("standard", 0.0), s): recipe(s) for s in (0, 1)}
    return plain | {(("weights l2", w), 0): recipe(0, lambda_w=w, **settings) for w in (0.01, 0.1)}


def test_kept_nets_are_found_again_and_are_those_of_the_stack(nets, tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    first = experiment.toy_nets(nets, STEPS)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = experiment.toy_nets(nets, STEPS)
    (alone,) = minibatches.train([nets[("weights l2", 0.1), 0]], STEPS)
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    x = torch.rand(5, 4, 1, 1)
    with torch.no_grad():
        for place in nets:
            assert torch.equal(first[place].net(x), again[place].net(x))
            assert (first[place].loss, first[place].travel) == (again[place].loss, again[place].travel)
        torch.testing.assert_close(again[("weights l2", 0.1), 0].net(x), alone.net(x), atol=1e-5, rtol=1e-4)


def test_other_steps_and_the_other_training_are_other_nets(nets, tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    one = dict(list(nets.items())[:1])
    for how in ({"steps": STEPS}, {"steps": STEPS[:3]}, {"steps": STEPS, "train": distinct_points.train}):
        experiment.toy_nets(one, **how)
    assert len(list(tmp_path.glob("toy-*.safetensors"))) == 3


def test_the_frame_has_a_row_for_every_score(nets, tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    trained = experiment.toy_nets(nets, STEPS)
    frame = experiment.toy_frame(trained, 4)
    assert set(frame["quantity"]) >= {"top1", "bottom1", "ratio", "loss", "travel"}
    assert len(frame) == 4 * frame["quantity"].nunique()
    attacked = experiment.toy_attacked(trained, 4, radii={"linf": [0.1]}, steps=2)
    assert len(attacked) == 2 * 4 and set(attacked["protocol"]) == {"strong", "sh"}


def test_the_schedule_is_the_papers():
    steps = experiment.paper_steps(4000, a_epoch=40, lr=0.1)
    assert len(steps) == 160_000 and steps[0] == 0.1 and steps[50 * 40] == pytest.approx(0.075)
    assert steps[-1] == pytest.approx(0.001) and sum(steps) == pytest.approx(919, abs=2)


def test_nets_are_trained_on_and_have_the_product_of_weight_and_steps(nets, tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    growing = {"first": 0.1, "steady": 5, "growth": 1.5, "largest": 0.5, "last": 0.1}
    frame = experiment.toy_trained_on(nets, [4, 2], 4, growing=growing)
    assert list(dict.fromkeys(frame["sum"])) == [2, 4]
    travel = frame[frame["quantity"] == "travel"]
    assert (travel["product"] / travel["value"]).tolist() == pytest.approx(travel["lambda"].tolist())
    assert travel[travel["sum"] == 4]["value"].min() == pytest.approx(4, rel=0.1)


def test_nets_of_one_product_are_compared_and_no_others():
    rows = [(0.1, 20, 0.9), (0.2, 10, 0.8), (0.1, 10, 0.5), (0.2, 20, 0.1)]
    frame = pd.DataFrame(
        [{"lambda": w, "sum": t, "seed": s, "value": v + s * w} for w, t, v in rows for s in (0, 1)]
    )
    found = experiment.apart_at_equal_product(frame)
    assert list(found) == ["2"] and found["2"] == pytest.approx([0.1, 0.0])


def test_the_radius_is_named_by_its_norm():
    rows = [("linf", "strong", 0.1, 100.0), ("linf", "strong", 0.2, 95.0), ("l1", "strong", 0.5, 100.0)]
    columns = ["norm", "protocol", "radius", "value"]
    found = experiment.toy_reach(pd.DataFrame(rows, columns=columns).assign(net="standard", seed=0))
    assert dict(zip(found["quantity"], found["value"], strict=True)) == {
        "radius, linf": 0.1,
        "radius, l1": 0.5,
    }
    assert list(found["attack"]) == ["linf, strong", "l1, strong"]
