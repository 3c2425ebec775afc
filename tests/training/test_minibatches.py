"""Mini-batches of a set's distinct points: batches, gradient and training are those of the set."""

from dataclasses import replace

import pytest
import torch

from companion import losses, store, training
from companion.training import distinct_points, minibatches
from tests.training.test_distinct_points import PENALTIES, recipe

BATCH = 40


def small(seed=0, **settings):
    return replace(recipe(seed, **settings), batch_size=BATCH)


def test_an_epoch_shows_every_point_once_in_another_order_each_time():
    of = small()
    images = store.images(of.data, "cpu")
    points = distinct_points.points_of([images])
    batches = minibatches.counts(points, of)
    first, second = (torch.stack([next(batches) for _ in range(5)]) for _ in range(2))
    for epoch in (first, second):
        assert (epoch.sum(1) - 1).abs().max() < 1e-6
        assert (epoch.mean(0) - points.fractions[0]).abs().max() < 1e-6
    assert not torch.equal(first, second)
    assert (first - points.fractions[0]).abs().max() > 0.02  # noise


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_the_gradient_by_hand_is_that_of_the_loss(norm, biases, squared):
    settings = {"weight_norm": norm, "biases": biases, "weight_squared": squared}
    check_gradient(settings | {"lambda_w": torch.tensor([0.3, 0.0])})


@pytest.mark.parametrize("settings", PENALTIES)
def test_and_with_the_penalties_of_distinct_points(settings):
    lambdas = {k: torch.tensor([v, 0.5 * v]) for k, v in settings.items() if k.startswith("lambda")}
    check_gradient(settings | lambdas)


def check_gradient(settings):
    recipes = [recipe(seed, n_train=300) for seed in (0, 1)]
    images = [store.images(r.data, "cpu") for r in recipes]
    stack = distinct_points.Stack(*(p.requires_grad_() for p in distinct_points.initial(recipes, images)))
    points = distinct_points.points_of(images)
    expected = torch.autograd.grad(distinct_points.loss(stack, points, **settings).sum(), stack)
    for found, of in zip(minibatches.gradients(stack, points, **settings), expected, strict=True):
        torch.testing.assert_close(found, of, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("settings", [PENALTIES[0], PENALTIES[2], PENALTIES[4]])
def test_a_net_ends_where_steps_on_these_very_batches_end(settings):
    of = small(3, **settings)
    images = store.images(of.data, "cpu")
    (found,) = minibatches.train([of], [0.1] * 10)
    torch.manual_seed(of.seed)
    net = training.build_model(of, images)
    order = torch.Generator().manual_seed(of.seed)
    for _ in range(2):
        for chosen in torch.randperm(200, generator=order).view(-1, BATCH):
            loss = losses.penalised(net, images.x_train[chosen], images.y_train[chosen], **of.loss.kwargs)
            net.zero_grad()
            loss.backward()
            with torch.no_grad():
                for p in net.parameters():
                    p -= 0.1 * p.grad
    with torch.no_grad():
        torch.testing.assert_close(found.net(images.x_train), net(images.x_train), atol=1e-5, rtol=1e-4)
    assert found.travel == pytest.approx(1.0)
    expected = losses.penalised(net, images.x_train, images.y_train, **of.loss.kwargs)
    assert found.loss == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(
    "inputs",
    [None, training.part("adversarial", norm="linf", eps=0.2, steps=4, step_size=0.1, protocol="br_paper")],
)
def test_the_whole_set_as_one_batch_is_full_batch_training(inputs):
    of = recipe(1, inputs=inputs)
    (found,), (expected,) = minibatches.train([of], [0.1] * 8), distinct_points.train([of], [0.1] * 8)
    x = store.images(of.data, "cpu").x_train
    with torch.no_grad():
        torch.testing.assert_close(found.net(x), expected.net(x), atol=1e-5, rtol=1e-4)


def test_the_attack_by_hand_is_that_of_distinct_points():
    recipes = [recipe(seed) for seed in (0, 1)]
    images = [store.images(r.data, "cpu") for r in recipes]
    stack, points = distinct_points.initial(recipes, images), distinct_points.points_of(images)
    attack = {"eps": 0.2, "steps": 8, "step_size": 0.05}
    found = minibatches.attacked(stack, points, **attack)
    assert (found - distinct_points.attacked(stack, points, **attack)).abs().max() < 1e-6
    assert (found - points.v).abs().max() > 0.3


def test_a_batch_that_does_not_divide_the_set_is_refused():
    with pytest.raises(ValueError, match="batch_size=30"):
        minibatches.train([replace(recipe(), batch_size=30)], [0.1])
