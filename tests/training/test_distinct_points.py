"""Training on distinct points: the gradient, the attack and the training are those of the whole set."""

from dataclasses import replace

import pytest
import torch

from companion import data, losses, models, saliency, store, training, transforms
from companion.training import distinct_points
from companion.training.recipe import Recipe, part

PENALTIES = [
    {},
    {"weight_norm": "l1", "lambda_w": 0.01},
    {"weight_norm": "l2", "weight_squared": True, "biases": False, "lambda_w": 0.02},
    {"weight_norm": "linf", "lambda_w": 0.3},
    {"gradient_norm": "l1", "lambda_g": 0.3},
    {"gradient_norm": "l2", "gradient_squared": True, "of": "logit", "lambda_g": 0.1},
    {"gradient_norm": "linf", "of": "logit", "lambda_g": 0.1, "weight_norm": "l2", "lambda_w": 0.02},
]


def recipe(seed=0, inputs=None, n_train=200, width=15, **settings):
    return Recipe(
        data=part("one_hot_blocks", relevant=4, n_train=n_train, n_test=4, split_seed=seed),
        model=part("one_hidden", width=width, init="torch"),
        loss=part("penalised", **settings),
        inputs=inputs,
        optimiser=part("SGD", lr=0.1),
        schedule="constant",
        epochs=8,
        batch_size=n_train,
        seed=seed,
    )


def in_double(of):
    return replace(of, x_train=of.x_train.double())


@pytest.mark.parametrize("settings", PENALTIES)
def test_the_gradient_on_weighted_points_is_that_of_the_full_batch(settings):
    r = recipe(n_train=300, **settings)
    images = in_double(store.images(r.data, "cpu"))
    stack = distinct_points.Stack(*(p.requires_grad_() for p in distinct_points.initial([r], [images])))
    found = torch.autograd.grad(
        distinct_points.loss(stack, distinct_points.points_of([images]), **settings).sum(), stack
    )
    torch.manual_seed(0)
    net = training.build_model(r, images).double()
    with torch.no_grad():
        net[2].weight.copy_(stack.w[0].T)
    losses.penalised(net, images.x_train, images.y_train, **settings).backward()
    full = net[2].weight.grad.T, net[2].bias.grad[None], net[4].weight.grad, net[4].bias.grad[None]
    for of, other in zip(found, full, strict=True):
        assert (of[0] - other).abs().max().item() < 1e-9
        assert other.abs().max() > 1e-4


@pytest.mark.parametrize("settings", PENALTIES)
def test_a_stack_ends_where_training_each_net_on_the_whole_set_ends(settings):
    recipes = [recipe(seed, **settings) for seed in (0, 1)]
    for r, (net, _, travel) in zip(recipes, distinct_points.train(recipes, [0.1] * 8), strict=True):
        assert travel == pytest.approx(0.8)
        images = store.images(r.data, "cpu")
        alone, _ = training.train(r, images)
        with torch.no_grad():
            moved = (alone(images.x_train) - training.build_model(r, images)(images.x_train)).abs().max()
            torch.testing.assert_close(net(images.x_train), alone(images.x_train), atol=1e-5, rtol=1e-4)
        assert moved > 0.1  # it learned something


def test_penalty_weights_go_to_their_own_nets():
    weak, strong = recipe(weight_norm="l2", lambda_w=0.0), recipe(weight_norm="l2", lambda_w=1.0)
    nets = [t.net for t in distinct_points.train([weak, strong], [0.1] * 8)]
    together = [net[2].weight.norm().item() for net in nets]
    alone = [distinct_points.train([r], [0.1] * 8)[0].net[2].weight.norm().item() for r in (weak, strong)]
    assert together == pytest.approx(alone, rel=1e-5) and together[0] > 1.2 * together[1]


def test_the_attack_is_adversarial_training_s():
    attack = part("adversarial", norm="linf", eps=0.2, steps=8, step_size=0.05, protocol="br_paper")
    recipes = [recipe(seed, inputs=attack) for seed in (0, 3)]
    images = [store.images(r.data, "cpu") for r in recipes]
    stack, points = distinct_points.initial(recipes, images), distinct_points.points_of(images)
    found = distinct_points.attacked(stack, points, eps=0.2, steps=8, step_size=0.05)
    x, y = (points.v[:, :, None, None] + 1) / 2, (points.sign > 0).long()
    for r, of in zip(recipes, found, strict=True):
        torch.manual_seed(r.seed)
        net = models.one_hidden(4, width=15, init="torch")
        expected = transforms.adversarial(net, x, y, **attack.kwargs)
        assert ((of + 1) / 2 - expected.flatten(1)).abs().max() < 1e-6
    net = distinct_points.train(recipes, [0.1] * 8)[1].net
    alone, _ = training.train(recipes[1], images[1])
    with torch.no_grad():
        torch.testing.assert_close(net(images[1].x_train), alone(images[1].x_train), atol=1e-4, rtol=1e-3)


def test_a_confident_net_keeps_its_gradient():
    """1 - p rounds to 0 in single precision from a margin of 17 on; its sigmoid form does not."""
    r = recipe(gradient_norm="l1", lambda_g=1.0)
    images = [store.images(r.data, "cpu")]
    stack = distinct_points.initial([r], images)
    sure = distinct_points.Stack(stack.w, stack.b, stack.v * 0, torch.tensor([[[0.0, 20.0]]]))
    leaf = sure.c.requires_grad_()
    distinct_points.loss(sure, distinct_points.points_of(images)).sum().backward()
    assert leaf.grad.abs().max() > 0.1  # the class that is wrong
    points = distinct_points.points_of(images)
    right = points._replace(sign=torch.ones_like(points.sign))
    leaf.grad = None
    distinct_points.loss(sure, right).sum().backward()
    assert 1e-9 < leaf.grad.abs().max() < 1e-8


def test_step_sizes_sum_to_the_way_asked_for_and_end_small():
    found = distinct_points.step_sizes(100.0, first=0.1, steady=50, growth=1.05, largest=2.0, last=0.01)
    assert sum(found) == pytest.approx(100, rel=0.01)
    assert found[:50] == [0.1] * 50 and max(found) == 2.0 and found[-1] <= 0.01
    assert len(found) < 300  # 1,000 of the first size
    with pytest.raises(ValueError, match="travel=4"):
        distinct_points.step_sizes(4.0, first=0.1, steady=50, growth=1.05, largest=2.0, last=0.01)


def test_a_net_whose_loss_rises_takes_smaller_steps_and_its_neighbour_does_not():
    """A step eta on lambda * ||w||^2 turns w into (1 - 2 lambda eta) w: at 3 and 0.8, away from 0."""
    settings = {"weight_norm": "l2", "weight_squared": True}
    calm, steep = (recipe(width=200, lambda_w=value, **settings) for value in (0.0, 3.0))
    steps = [0.1] * 2 + [0.8] * 40
    first, second = distinct_points.train([calm, steep], steps)
    assert first.travel == pytest.approx(sum(steps), rel=1e-4)
    assert 0.1 * len(steps) <= second.travel < 0.5 * sum(steps)
    assert second.loss == pytest.approx(0.693, abs=0.02)  # at its minimum, all weights zero
    assert second.net[2].weight.abs().max() < 0.1


@pytest.mark.parametrize(
    ("recipes", "words"),
    [
        ([], "no recipes to train"),
        ([replace(recipe(), model=part("mlp"))], "one_hidden nets"),
        ([replace(recipe(), loss=part("cross_entropy"))], "loss penalised"),
        ([recipe(), recipe(width=16)], "2 kinds of recipes"),
        ([recipe(weight_norm="l1"), recipe(weight_norm="l2")], "2 kinds of recipes"),
        ([recipe(weight_norm="l1", lambda_w=-1.0)], "lambda_w=-1"),
        ([recipe(inputs=part("adversarial", norm="linf", eps=0.1, steps=2))], "no random start"),
        ([recipe(n_train=3)], "same distinct points"),
    ],
)
def test_recipes_that_do_not_stack_are_named(recipes, words):
    if len(recipes) == 1 and "same" in words:
        recipes = [*recipes, recipe(1, n_train=3)]
    with pytest.raises(ValueError, match=words):
        distinct_points.train(recipes, [0.1])


def test_weight_decay_finds_the_uniform_map():
    """The max-margin solution in the norm of the weights has equal slopes along all coordinates."""
    steps = distinct_points.step_sizes(200.0, first=0.1, steady=60, growth=1.05, largest=2.0, last=0.02)
    points = store.images(recipe().data, "cpu")
    x, y, _ = data.toys.distinct(points.x_train, points.y_train)
    decayed, plain = (
        recipe(width=150, weight_norm="l2", weight_squared=True, lambda_w=v) for v in (0.02, 0.0)
    )
    off = []
    for net, _, _ in distinct_points.train([decayed, plain], steps):
        maps = saliency.input_gradient(net.double(), x.double(), y, of="cross_entropy").flatten(1).abs()
        off.append((maps / maps.mean(1, keepdim=True) - 1).abs().max().item())
    assert off[0] < 0.02 and off[1] > 0.1
