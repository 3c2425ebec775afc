"""What measuring a net may not do to it, and what it may not take for a number."""

import dataclasses
import functools

import pytest
import torch
from torch import nn

from companion import attacks, data, guards, metrics, models, saliency, store, training
from companion.store import nets
from companion.training import loop
from companion.training.recipe import Recipe, part


def test_a_map_in_train_mode_leaves_the_running_statistics_where_they_were():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 4)).eval()
    x, y = torch.rand(5, 1, 8, 8), torch.zeros(5, dtype=torch.long)
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    saliency.input_gradient(net, x, y, mode="train")
    saliency.class_gradients(net, x, mode="train")
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())
    attacks.pgd(net, x, y, norm="linf", eps=0.1, steps=1, mode="train")  # as in training, where they move
    assert not torch.equal(net[1].running_mean, before["1.running_mean"])


class Cusp(nn.Module):
    """Logits whose gradient is NaN at the grey image."""

    def forward(self, x):
        flat = x.flatten(1)
        cusp = ((flat - 0.5) ** 2).sum(1, keepdim=True).sqrt()
        return torch.cat([flat[:, :2] + cusp, flat[:, 2:3]], 1)


@pytest.mark.parametrize(
    "measure",
    [
        metrics.alignment,
        metrics.linearised_robustness,
        metrics.binarised_alignment,
        lambda net, x: metrics.vii(net, x, torch.zeros(len(x), dtype=torch.long), mean=0.4),
    ],
)
def test_a_gradient_that_is_no_number_is_measured_as_none(measure):
    """It would have alignment 0 and an infinite robustness."""
    x = torch.rand(3, 1, 2, 2)
    x[1] = 0.5
    with pytest.raises(guards.NoGradient, match="1 of 3"):
        measure(Cusp(), x)


def small_net(classes=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, classes))


def images(n=4):
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(0))


BALL = {"norm": "linf", "eps": 0.1}

#: What differentiates the model, as (model, x, y) -> result; every one of small cost.
DIFFERENTIATE = {
    "pgd": lambda net, x, y: attacks.pgd(net, x, y, **BALL, steps=2),
    "pgd bfloat16": lambda net, x, y: attacks.pgd(net, x, y, **BALL, steps=2, dtype=torch.bfloat16),
    "fgsm": lambda net, x, y: attacks.fgsm(net, x, y, **BALL),
    "apgd": lambda net, x, y: attacks.apgd(net, x, y, **BALL, steps=2),
    "evaluate": lambda net, x, y: attacks.evaluate(net, x, y, **BALL, steps=2),
    "ir_paper": lambda net, x, y: attacks.evaluate(net, x, y, **BALL, steps=2, protocol="ir_paper"),
    "ddn": lambda net, x, y: attacks.ddn(net, x, y, steps=2),
    "l2_bim": lambda net, x, y: attacks.l2_bim(net, x, y, steps=2, search=2),
    "carlini_wagner": lambda net, x, y: attacks.carlini_wagner(net, x, y, steps=2, search=2),
    "gradient_line_search": lambda net, x, y: attacks.gradient_line_search(net, x, y, steps=2),
    "input_gradient": saliency.input_gradient,
    "smoothgrad": lambda net, x, y: saliency.smoothgrad(net, x, y, samples=2),
    "loss_gradient": saliency.loss_gradient,
    "class_gradients": lambda net, x, y: saliency.class_gradients(net, x),
    "jacobian_norms": lambda net, x, y: metrics.jacobian_norms(net, x),
    "vii": lambda net, x, y: metrics.vii(net, x, y, mean=0.4),
    "alignment": lambda net, x, y: metrics.alignment(net, x),
    "alignment_terms": lambda net, x, y: metrics.alignment_terms(net, x),
    "homogeneous_decomposition": lambda net, x, y: metrics.homogeneous_decomposition(net, x),
}

#: What only asks for logits.
PREDICT = {
    "correct": attacks.correct,
    "flips": attacks.flips,
    "square": lambda net, x, y: attacks.square(net, x, y, **BALL, queries=2),
    "changed": lambda net, x, y: metrics.changed(net, x, x),
}

every_use = pytest.mark.parametrize(
    "use", [pytest.param(f, id=n) for n, f in (DIFFERENTIATE | PREDICT).items()]
)


class Returns(nn.Module):
    """A net whose logits come wrapped in something else."""

    def __init__(self, wrap):
        super().__init__()
        self.net, self.wrap = small_net(), wrap

    def forward(self, x):
        return self.wrap(self.net(x))


def message(error):
    """The error's text, which has to be one line."""
    assert "\n" not in str(error.value)
    return str(error.value)


@every_use
class TestModel:
    def test_of_one_class_nothing_is_misclassified(self, use):
        """With all labels 0 it would pass for robust."""
        with pytest.raises(ValueError) as error:
            use(small_net(classes=1), images(), torch.zeros(4, dtype=torch.int64))
        assert "single class" in message(error) and "at least 2" in message(error)

    @pytest.mark.parametrize(
        ("wrap", "kind"),
        [(lambda z: (z, z), "tuple"), (lambda z: {"logits": z}, "dict")],
        ids=["tuple", "dict"],
    )
    def test_that_returns_no_tensor(self, use, wrap, kind):
        with pytest.raises(TypeError) as error:
            use(Returns(wrap), images(), torch.zeros(4, dtype=torch.int64))
        assert f"returns a {kind}" in message(error) and "logits alone" in message(error)

    def test_that_is_a_function(self, use):
        net = small_net()
        with pytest.raises(TypeError) as error:
            use(lambda x: net(x), images(), torch.zeros(4, dtype=torch.int64))
        assert "function" in message(error) and "nn.Module" in message(error)


@every_use
class TestImages:
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
    def test_of_another_precision(self, use, dtype):
        with pytest.raises(ValueError) as error:
            use(small_net(), images().to(dtype), torch.zeros(4, dtype=torch.int64))
        assert f"x has dtype {dtype}" in message(error) and "x.to(torch.float32)" in message(error)

    def test_of_numpy(self, use):
        with pytest.raises(TypeError) as error:
            use(small_net(), images().numpy(), torch.zeros(4, dtype=torch.int64))
        assert "ndarray" in message(error) and "torch.as_tensor(x)" in message(error)

    def test_none(self, use):
        with pytest.raises(ValueError) as error:
            use(small_net(), images(0), torch.zeros(0, dtype=torch.int64))
        assert "(0, 1, 4, 4)" in message(error) and "no images" in message(error)


def test_labels_of_numpy():
    with pytest.raises(TypeError, match=r"y is of type ndarray.*torch.as_tensor\(y\)"):
        attacks.correct(small_net(), images(), torch.zeros(4, dtype=torch.int64).numpy())


class Half(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = small_net().bfloat16()

    def forward(self, x):
        return self.net(x.bfloat16()).float()


def test_a_model_that_converts_its_images_is_let_through():
    net = Half().train()
    adversarial = attacks.pgd(net, images(), torch.zeros(4, dtype=torch.int64), **BALL, steps=2)
    assert adversarial.dtype == torch.float32 and all(module.training for module in net.modules())


@pytest.mark.parametrize("use", [pytest.param(f, id=n) for n, f in DIFFERENTIATE.items()])
def test_inference_mode(use):
    net, x = small_net(), images()
    with torch.no_grad():
        y = net(x).argmax(1)
    with torch.inference_mode(), pytest.raises(ValueError) as error:
        use(net, x, y)
    assert type(error.value) is ValueError  # NoGradient would send to attacks without gradients
    assert "torch.inference_mode()" in message(error) and "outside" in message(error)


def test_predictions_need_no_gradient():
    net, x, y = small_net(), images(), torch.zeros(4, dtype=torch.int64)
    with torch.inference_mode():
        assert attacks.correct(net, x, y).shape == (4,)
        assert attacks.square(net, x, y, **BALL, queries=2).shape == x.shape


class Exported(nn.Module):
    """The way out that the message names."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def train(self, mode=True):
        return self

    def forward(self, x):
        return self.net(x)


def test_an_exported_program():
    net, x, y = small_net().eval(), images(), torch.zeros(4, dtype=torch.int64)
    exported = torch.export.export(net, (x,)).module()
    for use in (attacks.correct, DIFFERENTIATE["pgd"], DIFFERENTIATE["ddn"]):
        with pytest.raises(ValueError) as error:
            use(exported, x, y)
        assert "exported" in message(error) and "train() only returns self" in message(error)
    settings = BALL | {"steps": 2, "start": "none"}
    assert torch.equal(attacks.pgd(Exported(exported), x, y, **settings), attacks.pgd(net, x, y, **settings))


#: (model, x, y, norm, eps) -> result, for everything that takes a ball
IN_A_BALL = {
    "pgd": lambda *of, **ball: attacks.pgd(*of, **ball, steps=2),
    "apgd": lambda *of, **ball: attacks.apgd(*of, **ball, steps=2),
    "square": lambda *of, **ball: attacks.square(*of, **ball, queries=2),
    "fgsm": attacks.fgsm,
    "evaluate": lambda *of, **ball: attacks.evaluate(*of, **ball, steps=2),
    "curve": lambda *of, norm, eps: attacks.curve(*of, norm=norm, eps=[eps], steps=2),
}


@pytest.mark.parametrize("use", [pytest.param(f, id=n) for n, f in IN_A_BALL.items()])
class TestRadius:
    def test_as_text(self, use):
        with pytest.raises(TypeError) as error:
            use(small_net(), images(), torch.zeros(4, dtype=torch.int64), norm="linf", eps="8/255")
        assert "eps='8/255'" in message(error) and "number" in message(error)

    @pytest.mark.parametrize(("norm", "eps", "widest"), [("linf", 8, 1), ("linf", 1.01, 1), ("l2", 4.1, 4)])
    def test_beyond_the_box(self, use, norm, eps, widest):
        with pytest.raises(ValueError) as error:
            use(small_net(), images(), torch.zeros(4, dtype=torch.int64), norm=norm, eps=eps)
        assert f"eps={eps}" in message(error) and f"at most {widest}," in message(error)
        assert f"did you mean {eps}/255?" in message(error)

    @pytest.mark.parametrize(("norm", "eps"), [("linf", 1), ("l2", 4.0)])
    def test_the_whole_box_is_a_ball(self, use, norm, eps):
        use(small_net(), images(), torch.zeros(4, dtype=torch.int64), norm=norm, eps=eps)


@pytest.mark.parametrize("attack", [attacks.ddn, attacks.l2_bim])
def test_first_radius_as_text(attack):
    with pytest.raises(TypeError, match="eps='0.3'.*number"):
        attack(small_net(), images(), torch.zeros(4, dtype=torch.int64), eps="0.3")


def test_where_nothing_stands_any_more_an_evaluation_goes_on():
    net, x = small_net(), images()
    y = (net(x).argmax(1) + 1) % 3
    for protocol in ("strong", "reference"):
        assert attacks.evaluate(net, x, y, **BALL, protocol=protocol, steps=2).worst == 0


def test_a_boundary_needs_two_classes_and_gradients():
    a, b = torch.zeros(1, 4, 4), torch.ones(1, 4, 4)
    with pytest.raises(ValueError, match="single class"):
        metrics.boundary_point(small_net(classes=1), a, b)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([torch.zeros(16), torch.ones(16)]))
        net[1].bias.copy_(torch.tensor([8.0, 0.0]))
    torch.testing.assert_close(metrics.boundary_normal(net, a, b), torch.full((16,), 0.25))
    with torch.inference_mode(), pytest.raises(ValueError, match="inference_mode"):
        metrics.boundary_normal(net, a, b)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self, pixels, classes):
        super().__init__()
        self.first, self.second = nn.Linear(pixels, pixels), nn.Linear(pixels, pixels)
        self.second.weight = self.first.weight
        self.last = nn.Linear(pixels, classes)

    def forward(self, x):
        return self.last(self.second(self.first(x.flatten(1)).relu()).relu())


def recipe_of(build, monkeypatch, **changes):
    """A short training of what build(pixels, classes) returns, in place of a net of the package."""

    def model(in_channels, size, classes):
        return build(in_channels * size**2, classes)

    monkeypatch.setattr(models, "digits_cnn", functools.wraps(models.digits_cnn)(model))
    return Recipe(part("digits", n_train=101, n_test=20), part("digits_cnn"), epochs=1, **changes)


def test_a_net_with_tied_parameters_is_kept_and_found_again(monkeypatch, tmp_path):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    recipe = recipe_of(Tied, monkeypatch)
    trained = store.get(recipe)
    monkeypatch.setattr(nets, "train", None)
    found = store.get(recipe)
    assert found.second.weight is found.first.weight
    assert torch.equal(found.first.weight, trained.first.weight)
    assert torch.equal(found.second.bias, trained.second.bias)


def test_a_last_batch_of_one_that_batchnorm_cannot_take_ends_before_the_first_step(monkeypatch):
    recipe = recipe_of(
        lambda pixels, classes: nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, 8), nn.BatchNorm1d(8), nn.Linear(8, classes)
        ),
        monkeypatch,
    )
    chosen = data.load("digits", n_train=101, n_test=20)
    training.train(dataclasses.replace(recipe, batch_size=51), chosen)
    monkeypatch.setattr(loop, "_step", None)
    with pytest.raises(ValueError) as error:
        training.train(recipe, chosen)
    assert "101 training images in batches of 50" in message(error)
    assert "BatchNorm" in message(error) and "another batch_size or n_train" in message(error)


def test_a_last_batch_of_one_that_batchnorm_takes_is_trained_on_as_before(monkeypatch):
    """Its statistics are over pixels too. Asking the net costs no random number and moves no statistics."""
    recipe = recipe_of(
        lambda pixels, classes: nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(72, classes)
        ),
        monkeypatch,
    )
    chosen = data.load("digits", n_train=101, n_test=20)
    asked = training.train(recipe, chosen)[0].state_dict()
    monkeypatch.setattr(loop, "_check_last_batch", lambda *_: None)
    unasked = training.train(recipe, chosen)[0].state_dict()
    assert all(torch.equal(value, unasked[name]) for name, value in asked.items())
