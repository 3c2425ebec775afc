"""Toy nets are trained once for each kind, kept and found again."""

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
