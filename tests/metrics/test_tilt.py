"""The tilt of linear nets whose tilt is known, and the theory of the linear case against its closed form."""

import math

import pytest
import torch
from torch import nn

from companion import data, metrics
from companion.data import toys


def net_turned(points, degrees):
    """A linear net whose normal is turned by so many degrees from the line of the means, which it bisects."""
    first, second = (points.x_train[points.y_train == k].mean(0).flatten() for k in (0, 1))
    line, middle = second - first, (first + second) / 2
    at = math.atan2(line[1], line[0]) + math.radians(degrees)
    normal = torch.tensor([math.cos(at), math.sin(at)])
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([torch.zeros(2), 10 * normal]))
        net[1].bias.copy_(torch.tensor([0.0, -10 * (normal @ middle)]))
    return net


@pytest.fixture(scope="module")
def points():
    return data.maker("gaussians")(n_train=1000, n_test=400)


@pytest.mark.parametrize("degrees", [0.0, 25.0, -40.0])
def test_a_linear_net_is_tilted_as_it_was_made(points, degrees):
    found = metrics.tilt(net_turned(points, degrees), points, eps=0.02, steps=3, step_size=0.05)
    assert found["normal_angle"] == pytest.approx(abs(degrees), abs=0.01)
    assert found["displacement_angle"] == pytest.approx(abs(degrees), abs=3)  # a few points are clipped
    assert found["displacement_cosine"] == pytest.approx(math.cos(math.radians(found["displacement_angle"])))
    if degrees:
        assert math.copysign(1, found["signed_angle"]) == math.copysign(1, degrees)


def test_without_a_boundary_between_the_means_there_is_no_angle(points):
    net = net_turned(points, 0.0)
    with torch.no_grad():
        net[1].bias[1] = -100.0
    assert math.isnan(metrics.normal_angle(net, points))


def test_attacks_are_on_the_first_class_and_as_long_as_they_may_be(points):
    moved = metrics.attacked_points(net_turned(points, 0.0), points, eps=0.05, steps=2, step_size=1.0)
    own = points.x_test[points.y_test == 0]
    assert moved.shape == own.shape
    assert (moved - own).flatten(1).norm(dim=1).median() == pytest.approx(0.05, abs=1e-4)


def test_z_is_the_error_of_the_theorem_counted_on_points():
    """Phi(-z) against the fraction of many points that a turned classifier, attacked, misclassifies."""
    covariance, line = torch.tensor(toys.COVARIANCE).double(), torch.tensor([-2.4, -0.2]).double()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2_000_000, 2, generator=generator, dtype=torch.float64)
    x = noise @ torch.linalg.cholesky(covariance).T + line / 2  # class 2, with the middle at the origin
    z = metrics.linear_z(line, covariance, torch.tensor([50.0]), 0.3).item()
    at = math.atan2(line[1], line[0]) + math.radians(50)
    score = x @ torch.tensor([math.cos(at), math.sin(at)]).double() - 0.3
    error = 0.5 * math.erfc(z / math.sqrt(2))
    assert (score < 0).double().mean().item() == pytest.approx(error, rel=0.05)


def test_the_best_tilt_has_both_ends_of_the_theorem_and_the_cone_its_edge(points):
    gaps = metrics.theory_gaps(points.x_train, points.y_train)
    assert set(map(type, gaps.values())) == {float} and max(gaps.values()) < 1
    line = torch.tensor([3.0, 4.0])
    assert metrics.largest_tilt(line, 0.0) == 90 and metrics.largest_tilt(line, 9.0) == 0
    assert metrics.largest_tilt(line, 1.25) == pytest.approx(60)
    rows = metrics.linear_theory(points.x_train, points.y_train, [0.0, 0.1, 0.2])
    assert [row["eps"] for row in rows] == [0.0, 0.1, 0.2]
    assert all(row["best"] < row["cone"] for row in rows)
    best = [row["best"] for row in rows]
    assert best == sorted(best, reverse=True)


def test_the_numbers_of_the_exercise_are_those_of_the_toy():
    """br-ex-cost: the radius from which the upright classifier is better, 0.58 of the tilted one's edge."""
    line, covariance = torch.tensor([-2.4, -0.2]).double(), torch.tensor(toys.COVARIANCE).double()
    tilted = torch.linalg.solve(covariance, line)
    upright, tilted = line / line.norm(), tilted / tilted.norm()
    s1, s2 = ((n @ covariance @ n).sqrt().item() for n in (upright, tilted))
    cosine = (upright @ tilted).item()
    assert s2 / s1 == pytest.approx(0.114, abs=0.0005) and cosine == pytest.approx(0.234, abs=0.0005)
    share = (1 - s2 / (s1 * cosine)) / (1 - s2 / s1)
    assert share == pytest.approx(0.58, abs=0.005)
    eps = share * line.norm().item() / 2 * cosine
    theta = torch.tensor([0.0, math.degrees(math.acos(cosine))])
    z = torch.stack([metrics.linear_z(line, covariance, s * theta, eps) for s in (1, -1)])
    assert (z[:, 1] - z[:, 0]).abs().min() < 1e-6  # equal for the side on which the optimum lies


def test_the_printed_matrix_is_no_covariance():
    printed, used = (metrics.covariance_facts(of) for of in (toys.PRINTED_COVARIANCE, toys.COVARIANCE))
    assert printed["smallest eigenvalue"] == pytest.approx(-7.9e-4, rel=0.01)
    assert printed["correlation"] < -1 < used["correlation"] == pytest.approx(-0.707, abs=0.001)
    assert used["smallest eigenvalue"] > 0
