"""ET's lemmas and theorems on random nets in float64: identities to rounding, bounds without a violation."""

import math
from statistics import median
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from companion import metrics, models
from companion.metrics.homogeneous import AFFINE, HOMOGENEOUS, check_class

EXACT = {"atol": 1e-9, "rtol": 0}


def random_net(seed, *, constants=True, classes=5):
    """Two convolutions with BatchNorm of random statistics; without constants, every shift and mean is 0."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        models.Normalize([0.4 if constants else 0.0], [0.3]),
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.BatchNorm2d(6, affine=bool(seed % 2)),
        nn.LeakyReLU(0.1),
        nn.AvgPool2d(2),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(6 * 4, 12),
        nn.ReLU(),
        nn.Linear(12, classes),
    ).double()
    for layer in net:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.3, 2)
            if layer.affine:
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
        if not constants:
            for name in ("bias", "running_mean"):
                value = getattr(layer, name, None)
                if value is not None:
                    value.data.zero_()
    return net


def images(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, 8, 8, generator=generator, dtype=torch.float64)


def logits_of(net, x):
    with torch.no_grad():
        return net.eval()(x)


@pytest.fixture(scope="module")
def terms():
    """3,000 cases: 60 nets of 50 images each, all that have a class within linear reach."""
    found = [metrics.alignment_terms(random_net(seed), images(50, seed)) for seed in range(60)]
    assert sum(t.rho_tilde.isfinite().sum() for t in found) > 2900
    return found


class TestTheorem1:
    @pytest.mark.slow
    def test_the_two_parts_sum_to_the_logits_on_200_nets(self):
        both = 0
        for seed in range(200):
            net, x = random_net(seed), images(4, seed)
            linear, bias = metrics.homogeneous_decomposition(net, x)
            torch.testing.assert_close(linear + bias, logits_of(net, x), **EXACT)
            both += min(linear.abs().max(), bias.abs().max()) > 0.01
        assert both > 150  # in the others the last hidden layer is dead

    def test_each_part_is_the_inner_product_it_says(self):
        """Against reverse-mode gradients of a net written out with its constants as leaves."""
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 4)
        ).double()
        net[1].running_mean.normal_()
        net[1].running_var.uniform_(0.5, 2)
        nn.init.normal_(net[1].bias)
        x = images(5, 1)
        constants = [net[0].bias, net[1].running_mean, net[1].bias, net[5].bias]
        constants = [c.detach().clone().requires_grad_() for c in constants]

        def written_out(x):
            conv_bias, mean, shift, dense_bias = constants
            h = F.conv2d(x, net[0].weight, conv_bias)
            scale = net[1].weight / (net[1].running_var + net[1].eps).sqrt()
            h = (h - mean.view(3, 1, 1)) * scale.view(3, 1, 1) + shift.view(3, 1, 1)
            return F.linear(F.max_pool2d(h.relu(), 2).flatten(1), net[5].weight, dense_bias)

        linear, bias = metrics.homogeneous_decomposition(net, x)
        for i in range(5):
            for k in range(4):
                point = x[i : i + 1].clone().requires_grad_()
                slope, *rest = torch.autograd.grad(written_out(point)[0, k], [point, *constants])
                along = sum((c * g).sum() for c, g in zip(constants, rest, strict=True)).detach()
                torch.testing.assert_close(linear[i, k], (point * slope).sum().detach(), **EXACT)
                torch.testing.assert_close(bias[i, k], along, **EXACT)

    def test_leaving_the_running_means_out_breaks_it(self):
        net, x = random_net(1), images(20, 1)
        linear, bias = metrics.homogeneous_decomposition(net, x)
        point = x.clone().requires_grad_()
        net.eval()
        biases = [layer.bias for layer in net if getattr(layer, "bias", None) is not None]
        without = torch.zeros_like(bias)
        logits = net(point)
        for i in range(20):
            for k in range(5):
                slopes = torch.autograd.grad(logits[i, k], biases, retain_graph=True)
                without[i, k] = sum((b * g).sum() for b, g in zip(biases, slopes, strict=True)).detach()
        assert (linear + without - logits.detach()).abs().median() > 0.01

    @settings(max_examples=40, deadline=None)
    @given(
        seed=st.integers(0, 2**31),
        widths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
        classes=st.integers(2, 7),
        slope=st.sampled_from([0.0, 0.01, 0.5]),
        pool=st.sampled_from([nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(3), nn.Identity()]),
        norm=st.booleans(),
        bias=st.booleans(),
    )
    def test_any_architecture_of_the_class(self, seed, widths, classes, slope, pool, norm, bias):
        torch.manual_seed(seed)
        layers, before = [], 1
        for width in widths:
            layers.append(nn.Conv2d(before, width, 3, padding=1, bias=bias))
            if norm:
                layers.append(nn.BatchNorm2d(width))
                layers[-1].running_mean.normal_()
                layers[-1].running_var.uniform_(0.2, 3)
            layers.append(nn.LeakyReLU(slope) if slope else nn.ReLU())
            before = width
        net = nn.Sequential(*layers, pool, nn.Flatten(), nn.LazyLinear(classes, bias=bias)).double()
        x = images(3, seed)
        logits = logits_of(net, x)  # also gives the lazy layer its shape
        linear, constant = metrics.homogeneous_decomposition(net, x)
        torch.testing.assert_close(linear + constant, logits, **EXACT)
        if not bias and not norm:
            torch.testing.assert_close(constant, torch.zeros_like(constant), **EXACT)

    @pytest.mark.slow
    def test_residual_nets(self):
        torchvision = pytest.importorskip("torchvision")
        torch.manual_seed(0)
        for net, shape in (
            (torchvision.models.resnet50(num_classes=7), (2, 3, 32, 32)),
            (models.wide_resnet(depth=10, width=1, size=8), (2, 3, 8, 8)),
        ):
            for layer in net.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.running_mean.normal_(std=0.1)
            net, x = net.double(), torch.rand(shape, dtype=torch.float64)
            linear, bias = metrics.homogeneous_decomposition(net, x)
            logits = logits_of(net, x)
            torch.testing.assert_close(linear + bias, logits, atol=0, rtol=1e-9)
            found = metrics.alignment_terms(net.float(), x.float())
            assert (found.rho_tilde <= found.bound_2a * (1 + 1e-3)).all()

    def test_chunks_dtypes_and_flags(self):
        net, x = random_net(3).train(), images(7, 3)
        whole = metrics.homogeneous_decomposition(net, x)
        for chunk in (1, 3):
            for a, b in zip(whole, metrics.homogeneous_decomposition(net, x, chunk=chunk), strict=True):
                torch.testing.assert_close(a, b, **EXACT)
        single = metrics.homogeneous_decomposition(net.float(), x.float())
        torch.testing.assert_close(single[1].double(), whole[1], atol=1e-4, rtol=1e-4)
        assert all(layer.training for layer in net) and not net[1]._forward_hooks


class TestLemma2:
    @pytest.mark.slow
    def test_without_constants_rho_is_the_binarised_alignment(self):
        for seed in range(200):
            net, x = random_net(seed, constants=False), images(4, seed)
            rho, alpha = metrics.linearised_robustness(net, x), metrics.binarised_alignment(net, x)
            reached = rho.isfinite()
            assert reached.any()
            torch.testing.assert_close(rho[reached], alpha[reached], **EXACT)

    def test_constants_break_it(self):
        net, x = random_net(2), images(20, 2)
        gap = metrics.linearised_robustness(net, x) - metrics.binarised_alignment(net, x)
        assert gap.abs().median() > 0.01


class TestBounds:
    def test_theorem_2_has_no_violation(self, terms):
        for t in terms:
            assert (t.rho_tilde <= t.bound_2a + 1e-9).all()
            assert (t.bound_2a <= t.bound_2b + 1e-9).all()

    def test_theorem_3_fails_as_printed_and_holds_with_gamma(self, terms):
        """ET-E1: eq. 16 must have the unit vector of gamma; the printed one fails where F(x) = F(xi), too."""
        printed = sum((t.rho_tilde > t.bound_3_printed + 1e-9).sum() for t in terms)
        same = sum((t.same_prediction & (t.rho_tilde > t.bound_3_printed + 1e-9)).sum() for t in terms)
        assert printed > 300 and same > 300
        for t in terms:
            assert (t.rho_tilde <= t.bound_3 + 1e-9).all()

    def test_every_term_is_what_its_formula_says(self, terms):
        net, x, t = random_net(0), images(50, 0), terms[0]
        net.eval()
        for i in range(10):
            point = x[i].clone().requires_grad_()
            z = net(point[None])[0]
            g = torch.stack([torch.autograd.grad(v, point, retain_graph=True)[0] for v in z])
            top = int(z.argmax())
            ratios = [
                math.inf if k == top else ((z[top] - z[k]) / (g[top] - g[k]).norm()).item() for k in range(5)
            ]
            near = min(range(5), key=ratios.__getitem__)
            g_plus, linear = g[top] - g[near], (x[i] * (g[top] - g[near])).sum()
            beta = (z[top] - z[near]).detach() - linear
            xi = x[i] + beta * g_plus / g_plus.square().sum()
            at_xi = xi.clone().requires_grad_()
            scores = net(at_xi[None])[0]
            gamma = torch.autograd.grad(scores[top], at_xi)[0]

            def unit(v):
                return v / v.norm()

            expected = {
                "predicted": torch.tensor(top),
                "rival": torch.tensor(near),
                "same_prediction": scores.argmax() == top,
                "g": g[top],
                "g_plus": g_plus,
                "gamma": gamma,
                "xi": xi,
                "psi_plus": (z[top] - z[near]).detach(),
                "linear_plus": linear,
                "beta_plus": beta,
                "alpha": (x[i] * unit(g[top])).sum().abs(),
                "alpha_plus": (x[i] * unit(g_plus)).sum().abs(),
                "alpha_xi": (xi * unit(gamma)).sum().abs(),
                "rho_tilde": torch.tensor(ratios[near], dtype=torch.float64),
                "shift": beta.abs() / g_plus.norm(),
                "turn": x[i].norm() * (unit(g_plus) - unit(g[top])).norm(),
                "turn_xi_printed": xi.norm() * (unit(g_plus) - unit(g[top])).norm(),
                "turn_xi": xi.norm() * (unit(g_plus) - unit(gamma)).norm(),
            }
            for name, value in expected.items():
                torch.testing.assert_close(getattr(t, name)[i], value, **EXACT, msg=name)

    def test_the_short_functions_agree_with_the_terms(self, terms):
        net, x = random_net(0), images(50, 0)
        assert torch.equal(metrics.alignment(net, x), terms[0].alpha)
        assert torch.equal(metrics.binarised_alignment(net, x), terms[0].alpha_plus)
        assert torch.equal(metrics.linearised_robustness(net, x), terms[0].rho_tilde)
        chunked = metrics.alignment_terms(net, x, chunk=7)
        for name in ("alpha", "rho_tilde", "beta_plus", "turn_xi"):
            torch.testing.assert_close(getattr(chunked, name), getattr(terms[0], name), **EXACT)


class TestLinearNets:
    """ET-C1: on a binary affine net rho~ is the distance |<x, z> + b| / ||z||, and alpha at xi."""

    @settings(max_examples=50, deadline=None)
    @given(seed=st.integers(0, 2**31), shift=st.sampled_from([0.0, 0.5, -3.0]))
    def test_binary(self, seed, shift):
        torch.manual_seed(seed)
        w, x = torch.randn(6, dtype=torch.float64), torch.rand(4, 6, dtype=torch.float64)
        net = nn.Linear(6, 2).double()
        net.weight.data, net.bias.data = torch.stack([w, -w]), torch.tensor([shift, -shift]).double()
        t = metrics.alignment_terms(net, x)
        distance = (x @ w + shift).abs() / w.norm()
        torch.testing.assert_close(t.rho_tilde, distance, **EXACT)
        torch.testing.assert_close(t.alpha_xi, distance, **EXACT)
        torch.testing.assert_close(t.shift, torch.full_like(distance, abs(shift)) / w.norm(), **EXACT)
        assert (t.rho_tilde <= t.alpha + t.shift + 1e-9).all()
        if shift == 0:
            torch.testing.assert_close(t.alpha, distance, **EXACT)

    def test_scaling_the_logits_changes_no_distance(self):
        net, x = random_net(4), images(10, 4)
        before = metrics.alignment_terms(net, x)
        net[-1].weight.data *= 20
        net[-1].bias.data *= 20
        after = metrics.alignment_terms(net, x)
        for name in ("alpha", "alpha_plus", "rho_tilde", "shift", "turn", "turn_xi", "alpha_xi"):
            torch.testing.assert_close(getattr(after, name), getattr(before, name), **EXACT)
        torch.testing.assert_close(after.beta_plus, 20 * before.beta_plus, **EXACT)

    def test_a_net_that_never_turns_is_infinitely_robust(self):
        """No class has another gradient: nothing can be reached, and no bound is broken."""
        net = nn.Linear(4, 3).double()
        nn.init.zeros_(net.weight)
        t = metrics.alignment_terms(net, torch.rand(2, 4, dtype=torch.float64))
        assert t.rho_tilde.isinf().all() and (t.alpha == 0).all()
        for bound in (t.bound_2a, t.bound_2b, t.bound_3, t.bound_3_printed):
            assert bound.isinf().all()


def small(*layers):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), *layers, nn.Linear(6, 3)).double()


class Functional(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.dense, self.function = nn.Linear(64, 3), function

    def forward(self, x):
        return self.function(self.dense(x.flatten(1)))


class Rival(nn.Module):
    """The predicted logit is affine, the others end in a tanh."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(64, 3)
        self.dense.bias.data[0] = 2

    def forward(self, x):
        z = self.dense(x.flatten(1))
        return torch.cat([z[:, :1], (3 * z[:, 1:]).tanh()], 1)


class Gated(nn.Module):
    """A convolution whose channels are multiplied by a sigmoid of their means (squeeze and excite)."""

    def __init__(self):
        super().__init__()
        self.convolution, self.squeeze = nn.Conv2d(1, 6, 3, padding=1), nn.Linear(6, 6)
        self.dense = nn.Linear(6 * 64, 3)
        for parameter in self.squeeze.parameters():
            parameter.data *= 0.1  # gates near 1/2 are nearly constant

    def forward(self, x):
        h = self.convolution(x).relu()
        gate = self.squeeze(h.mean((2, 3))).sigmoid()
        return self.dense((h * gate[:, :, None, None]).flatten(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
class TestTheClassOfTheorem1:
    @pytest.mark.parametrize("build", [Rival, Gated])
    def test_a_function_outside_it_is_refused_on_any_logit_however_small(self, build, dtype):
        """Checked on the predicted logit, or to rounding in float32, some of these nets break theorem 2."""
        for seed in range(50):
            torch.manual_seed(seed)
            net = build().to(dtype)
            for measure in (metrics.alignment_terms, metrics.homogeneous_decomposition):
                with pytest.raises(ValueError, match="miss the logits"):
                    measure(net, images(1, seed).to(dtype))

    def test_piecewise_linear_nets_are_accepted(self, dtype):
        """Also where pools and ReLUs are at their kinks, on images with a black background."""
        for seed in range(20):
            net, x = random_net(seed).to(dtype), images(20, seed).to(dtype)
            x[10:] = x[10:] * (x[10:] > 0.7)
            x[-1] = 0
            terms = metrics.alignment_terms(net, x)
            linear, bias = metrics.homogeneous_decomposition(net, x)
            assert {terms.rho_tilde.dtype, linear.dtype, bias.dtype} == {dtype}
            assert (terms.rho_tilde <= terms.bound_2a * (1 + 1e-3) + 1e-5).all()


class TestBadInput:
    @pytest.mark.parametrize(
        "layer", [nn.Softmax(1), nn.Sigmoid(), nn.GELU(), nn.LayerNorm(6), nn.ReLU6(), nn.GroupNorm(2, 6)]
    )
    def test_a_layer_outside_the_class_is_named(self, layer):
        for function in (metrics.homogeneous_decomposition, metrics.alignment_terms):
            with pytest.raises(ValueError, match=rf"2 \({type(layer).__name__}\).*theorem 1"):
                function(small(layer), images(2, 0))

    def test_a_module_with_weights_of_its_own_is_named(self):
        with pytest.raises(ValueError, match="attention"):
            check_class(nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2)}))

    def test_batchnorm_without_running_statistics(self):
        with pytest.raises(ValueError, match="running statistics"):
            check_class(nn.BatchNorm1d(3, track_running_stats=False))

    @pytest.mark.parametrize("function", [F.gelu, torch.tanh, lambda z: z + 1])
    def test_a_function_outside_the_class_is_found_by_the_sum(self, function):
        for measure in (metrics.homogeneous_decomposition, metrics.alignment_terms):
            with pytest.raises(ValueError, match="miss the logits"):
                measure(Functional(function).double(), images(3, 0))

    @pytest.mark.parametrize(
        ("net", "words"),
        [
            (Functional(lambda z: z.softmax(1)), "probabilities.*softmax"),
            (nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), "single class"),
            (Functional(lambda z: z * math.nan), "NaN"),
            (nn.Conv2d(1, 2, 3), r"shape \(3, 2, 6, 6\)"),
        ],
    )
    def test_what_is_not_logits(self, net, words):
        for name in (
            "alignment",
            "binarised_alignment",
            "linearised_robustness",
            "homogeneous_decomposition",
        ):
            with pytest.raises(ValueError, match=words):
                getattr(metrics, name)(net.double(), images(3, 0))

    @pytest.mark.parametrize(
        ("x", "words"),
        [
            (images(2, 0) * 3 - 1, r"expected \[0, 1\]"),
            (images(2, 0) * math.nan, "expected"),
            (images(2, 0).long(), "float"),
        ],
    )
    def test_images(self, x, words):
        for name in ("alignment", "alignment_terms", "homogeneous_decomposition"):
            with pytest.raises(ValueError, match=words):
                getattr(metrics, name)(small(nn.ReLU()), x)

    @pytest.mark.parametrize("name", ["alignment", "alignment_terms", "homogeneous_decomposition"])
    def test_chunk(self, name):
        with pytest.raises(ValueError, match="chunk=0"):
            getattr(metrics, name)(small(nn.ReLU()), images(2, 0), chunk=0)

    def test_no_layer_is_of_both_kinds(self):
        assert not set(AFFINE) & set(HOMOGENEOUS)


CONVENTIONS = [
    {"origin": 0.5},
    {"origin": torch.linspace(0, 1, 64, dtype=torch.float64).view(1, 8, 8)},
    {"common": -0.7},
    {"centred": True},
    {"origin": 1.0, "common": 2.0, "centred": True},
]


class TestConventions:
    """Origin, common function and gauge change no decision and no distance, and keep the bounds valid."""

    @pytest.mark.parametrize("convention", CONVENTIONS)
    def test_what_stays_and_what_the_bounds_say(self, terms, convention):
        for seed in range(10):
            net, x, before = random_net(seed), images(50, seed), terms[seed]
            after = metrics.alignment_terms(net, x, **convention)
            for name in ("predicted", "rival", "rho_tilde", "g_plus", "psi_plus"):
                assert torch.equal(getattr(after, name), getattr(before, name)), name
            near = after.rho_tilde.isfinite()
            for bound in (after.bound_2a, after.bound_2b, after.bound_3):
                assert (after.rho_tilde <= bound + 1e-9)[near].all()
            torch.testing.assert_close(
                after.linear_plus + after.beta_plus, after.psi_plus, atol=1e-9, rtol=1e-9
            )

    def test_the_logits_really_with_a_common_function(self):
        """Against a net that adds c ||x - origin||^2 / 2 to every logit itself."""

        class Added(nn.Module):
            def __init__(self, net, c, origin):
                super().__init__()
                self.net, self.c, self.origin = net, c, origin

            def forward(self, x):
                return self.net(x) + self.c * (x - self.origin).flatten(1).square().sum(1, keepdim=True) / 2

        net, x = random_net(5).eval(), images(20, 5)
        told = metrics.alignment_terms(net, x, common=0.3)
        added = Added(net, 0.3, 0.0).eval()
        torch.testing.assert_close(told.alpha, metrics.alignment(added, x), **EXACT)
        torch.testing.assert_close(told.rho_tilde, metrics.linearised_robustness(added, x), **EXACT)
        centred = metrics.alignment_terms(net, x, common=0.3, centred=True)
        plain = metrics.alignment_terms(net, x, centred=True)
        for name in ("alpha", "alpha_xi", "turn", "turn_xi"):
            torch.testing.assert_close(getattr(centred, name), getattr(plain, name), **EXACT)

    def test_an_origin_is_a_net_on_shifted_pixels(self):
        """alpha_plus from the origin o is that of the net h -> net(h + o) at x - o, by its definition."""
        net, x, o = random_net(6).eval(), images(20, 6), 0.4
        told = metrics.alignment_terms(net, x, origin=o)
        g = told.g_plus.flatten(1)
        expected = ((x - o).flatten(1) * g).sum(1).abs() / g.norm(dim=1).clamp_min(1e-300)
        torch.testing.assert_close(told.alpha_plus, expected, **EXACT)
        torch.testing.assert_close(told.beta_plus, told.psi_plus - ((x - o).flatten(1) * g).sum(1), **EXACT)

    def test_the_measured_alignments_are_those_of_the_terms(self):
        net, x = random_net(7), images(30, 7)
        plain = metrics.alignment_terms(net, x)
        for origin, c in ((0.0, 0.0), (0.5, 0.2), (1.0, -0.4)):
            moved = metrics.alignment_terms(net, x, origin=origin, common=c)
            centred = metrics.alignment_terms(net, x, origin=origin, centred=True)
            found = metrics.alignments(plain, x, origin, c)
            torch.testing.assert_close(found["alpha"], moved.alpha, **EXACT)
            torch.testing.assert_close(found["alpha_plus"], moved.alpha_plus, **EXACT)
            torch.testing.assert_close(found["centred alpha"], centred.alpha, **EXACT)

    def test_the_control_takes_the_next_image_of_the_same_predicted_class(self):
        other, has = metrics.next_of_class(torch.tensor([3, 1, 3, 2, 3, 1]))
        assert other.tolist() == [2, 5, 4, 3, 0, 1]
        assert has.tolist() == [True, True, True, False, True, True]

    def test_alignment_with_another_image_of_the_class(self):
        net, x = random_net(7), images(30, 7)
        g = metrics.alignment_terms(net, x, centred=True)
        other, has = metrics.next_of_class(g.predicted)
        along = (x[other] * g.g).flatten(1).sum(1).abs() / g.g.flatten(1).norm(dim=1)
        held = SimpleNamespace(x_test=x)
        rows = {row["quantity"]: row for row in metrics.alignment_values(net, held, count=30)}
        expected = median(along[has].tolist())
        assert rows["class alpha"]["value"] == pytest.approx(expected)
        assert rows["own over class"]["value"] == pytest.approx(median(g.alpha[has].tolist()) / expected)

    def test_a_net_that_does_not_look_at_the_image_has_no_ratio(self):
        net = random_net(7)
        for p in net.parameters():
            p.data.zero_()
        held = SimpleNamespace(x_test=images(30, 7))
        rows = {row["quantity"]: row for row in metrics.alignment_values(net, held, count=30)}
        assert rows["class alpha"]["value"] == 0 and math.isnan(rows["own over class"]["value"])

    def test_one_origin_serves_fifty_images_and_not_more_than_there_are_pixels(self):
        net = random_net(8)
        x = images(120, 8)
        near = metrics.alignment_terms(net, x).rho_tilde.isfinite()
        (few,), (many,) = (metrics.shared_origin(net, x[near][:n]) for n in (50, 120))
        assert few["value"] < 1e-9 < 1e-3 < many["value"]
        assert next(net.parameters()).dtype == torch.float64


class TestAlgebra:
    def test_gaps_are_rounding_bounds_hold_and_the_printed_one_fails(self):
        rows = metrics.algebra(4, 4)
        assert {row["claim"] for row in rows} == {"ET-C1", "ET-C2", "ET-C3", "ET-C4", "ET-C5", "ET-lemma1"}
        assert all(row["value"] < 1e-9 for row in rows if row["quantity"] == "gap")
        assert all(row["value"] == 0 for row in rows if row["quantity"] == "violations")
        (printed,) = [r for r in rows if r["quantity"] == "violations as printed, per cent"]
        (without,) = [r for r in rows if r["quantity"] == "gap without running means"]
        assert printed["value"] > 0 and without["value"] > 1e-3

    def test_the_counter_example(self):
        found = metrics.counter_example()
        assert found["rho_tilde"] == 0.75 < found["theorem 3 with gamma"]
        assert abs(found["theorem 3 as printed"]) < 1e-12

    def test_the_bracket_of_the_outlooks_penalty_is_not_negative(self):
        net = random_net(9).float()
        (row,) = metrics.penalty_bracket(net, images(20, 9))
        assert row["value"] > -1e-9 and next(net.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    "layer",
    [
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.PixelUnshuffle(2),
        nn.ReflectionPad2d(1),
        nn.ReplicationPad2d(1),
    ],
)
def test_linear_layers_without_constants_are_in_the_class(layer):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), layer, nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)).double()
    x = images(4, 0)
    logits = logits_of(net, x)
    linear, bias = metrics.homogeneous_decomposition(net, x)
    torch.testing.assert_close(linear + bias, logits, **EXACT)
