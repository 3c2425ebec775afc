"""Noise modulation: carriers, the multiplier of eq. 7, and training with it."""

import dataclasses
import math

import pytest
import torch
from scipy import stats
from torch import nn

from companion import data, store, training
from companion.models import Normalize
from companion.training.recipe import Recipe, part
from companion.transforms import CARRIERS, draw, modulate, modulation_sd, multiplier, noise_modulation

LAWS = {
    "gaussian": stats.norm(),
    "uniform": stats.uniform(),
    "laplace": stats.laplace(),
    "gamma": stats.gamma(1),
    "exponential": stats.expon(),
    "rayleigh": stats.rayleigh(),
}
STUDENT = "StudentT(df=5)"


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(*shape, dtype=torch.float64):
    return torch.rand(shape or (6, 3, 8, 8), generator=seeded(1), dtype=dtype)


def modulated(x, **settings):
    return noise_modulation(nn.Identity(), x, torch.zeros(len(x)), **{"generator": seeded(), **settings})


class TestCarriers:
    @pytest.mark.parametrize("carrier", CARRIERS)
    def test_named_carriers_have_the_distribution_of_the_paper(self, carrier):
        assert (
            stats.kstest(draw(carrier, (20_000,), generator=seeded()).numpy(), LAWS[carrier].cdf).pvalue
            > 0.01
        )

    @pytest.mark.parametrize(
        ("call", "law"),
        [
            (STUDENT, stats.t(5)),
            ("Normal(1, scale=2)", stats.norm(1, 2)),
            ("Gumbel(-1, 2.5)", stats.gumbel_r(-1, 2.5)),
        ],
    )
    def test_any_distribution_of_torch_can_be_written_as_its_call(self, call, law):
        assert stats.kstest(draw(call, (20_000,), generator=seeded()).numpy(), law.cdf).pvalue > 0.01

    @pytest.mark.parametrize("call", ["Cauchy(0, 1)", "RelaxedBernoulli(1.0, 0.5)", "Poisson(3)"])
    def test_moments_are_not_needed(self, call):
        assert modulated(images(), carrier=call).isfinite().all()

    def test_gamma_and_exponential_are_two_draws_of_one_distribution(self):
        """NM-E1: what they differ by in figure 5 is chance, so they must not be the same numbers."""
        gamma, exponential = (draw(c, (20_000,), generator=seeded()) for c in ("gamma", "exponential"))
        assert abs(torch.corrcoef(torch.stack([gamma, exponential]))[0, 1]) < 0.03
        assert modulation_sd("gamma", 0.3) == modulation_sd("exponential", 0.3)

    @pytest.mark.parametrize("carrier", [*CARRIERS, STUDENT])
    def test_the_generator_alone_decides(self, carrier):
        state = torch.get_rng_state()
        first = draw(carrier, (3, 5), generator=seeded())
        torch.rand(7)
        torch.set_rng_state(state)
        generator = seeded()
        assert torch.equal(first, draw(carrier, (3, 5), generator=generator))
        assert not torch.equal(first, draw(carrier, (3, 5), generator=generator))
        assert torch.equal(state, torch.get_rng_state())
        assert draw(carrier, (2,), generator=generator, dtype=torch.float64).dtype == torch.float64

    def test_sd_of_the_multiplier_for_a_gaussian_carrier(self):
        """NM-C5: it saturates at sqrt(2)."""
        sds = [round(modulation_sd("gaussian", tenth / 10), 3) for tenth in range(11)]
        assert sds == [1.414, 1.414, 1.412, 1.397, 1.346, 1.225, 1.020, 0.757, 0.478, 0.220, 0.0]

    def test_sd_of_the_multiplier_for_the_six_carriers(self):
        """NM-C7, at beta = 0.5."""
        sds = {carrier: round(modulation_sd(carrier, 0.5), 2) for carrier in CARRIERS}
        expected = {"uniform": 0.37, "rayleigh": 0.59, "gaussian": 1.22, "laplace": 1.76}
        assert sds == expected | {"gamma": 1.26, "exponential": 1.26}

    @pytest.mark.parametrize("beta", [0.0, 0.4, 0.9])
    @pytest.mark.parametrize("carrier", CARRIERS)
    def test_closed_form_and_simulation_agree(self, carrier, beta):
        simulated = modulation_sd(carrier, beta, samples=1_000_000, generator=seeded())
        assert simulated == pytest.approx(modulation_sd(carrier, beta), rel=0.02)

    def test_simulation_works_for_any_carrier(self):
        simulated = modulation_sd("Normal(0, 1)", 0.5, samples=300_000, generator=seeded())
        assert simulated == pytest.approx(modulation_sd("gaussian", 0.5), rel=0.02)
        with pytest.raises(ValueError, match=r"StudentT.*samples"):
            modulation_sd(STUDENT, 0.5)


class TestMultiplier:
    @pytest.mark.parametrize("carrier", [*CARRIERS, STUDENT])
    @pytest.mark.parametrize("beta", [0.0, 0.5, 0.8])
    def test_its_mean_is_one_for_each_image(self, carrier, beta):
        """NM-C9. On an image of ones the transform returns the multiplier."""
        m = modulated(torch.ones(5, 3, 8, 8, dtype=torch.float64), carrier=carrier, beta=beta)
        torch.testing.assert_close(m.mean((1, 2, 3)), torch.ones(5, dtype=torch.float64))
        assert (m >= 0).all()

    def test_equation_7_equals_equation_9(self):
        """lambda = C_0 / N and the noise delta'' are the two parts of the DFT of c^2 (eq. 8)."""
        x, c = images(), draw("gaussian", (6, 3, 8, 8), generator=seeded(), dtype=torch.float64)
        spectrum = torch.fft.fft(c.square().flatten(1))
        c_0 = spectrum[:, :1].real.clone()
        spectrum[:, 0] = 0
        noise = torch.fft.ifft(spectrum).real
        equation_9 = x.flatten(1) * (1 + noise * noise.shape[1] / c_0)
        torch.testing.assert_close(modulate(x, c).flatten(1), equation_9)

    def test_by_hand(self):
        c = torch.tensor([[1.0, -2.0, 0.0, 1.0], [3.0, 3.0, 3.0, 3.0]])
        expected = torch.tensor([[4 / 6, 16 / 6, 0.0, 4 / 6], [1.0, 1.0, 1.0, 1.0]])
        torch.testing.assert_close(multiplier(c), expected)

    def test_a_constant_carrier_is_standard_training(self):
        x = images(dtype=torch.float32)
        assert torch.equal(modulate(x, torch.ones_like(x)), x)
        assert torch.equal(modulate(x, torch.ones_like(x), centre=(0.1, 0.2, 0.3)), x)

    def test_one_carrier_serves_a_whole_batch(self):
        x, c = images(), draw("uniform", (1, 1, 8, 8), generator=seeded(), dtype=torch.float64)
        torch.testing.assert_close(modulate(x, c), x * c**2 / c.square().mean())

    def test_centre_modulates_what_the_net_sees_after_normalising(self):
        normalise = Normalize((0.25, 0.5, 0.75), (0.5, 0.25, 0.125)).double()
        x, c = images(), draw("laplace", (6, 3, 8, 8), generator=seeded(), dtype=torch.float64)
        after = normalise(modulate(x, c, centre=(0.25, 0.5, 0.75)))
        torch.testing.assert_close(after, multiplier(c) * normalise(x))
        assert torch.equal(after, normalise(modulate(x, c, centre=torch.tensor([0.25, 0.5, 0.75]))))
        assert not torch.allclose(after, normalise(modulate(x, c)))

    def test_black_stays_black_before_normalising_only(self):
        x = torch.zeros(2, 1, 8, 8)
        assert (modulated(x) == 0).all()
        assert (modulated(x, centre=0.1) != 0).float().mean() > 0.9


class TestNoiseModulation:
    def test_equation_10(self):
        x, beta = images(), 0.3
        c = beta + (1 - beta) * torch.randn(x.shape, generator=seeded(), dtype=x.dtype)
        torch.testing.assert_close(
            modulated(x, beta=beta), x * c.square() * c[0].numel() / c.square().sum((1, 2, 3), keepdim=True)
        )

    def test_strength_is_the_closed_form(self):
        m = modulated(torch.ones(4, 1, 200, 200), carrier="exponential", beta=0.2)
        assert m.std((1, 2, 3)).tolist() == pytest.approx([modulation_sd("exponential", 0.2)] * 4, rel=0.05)

    def test_beta_one_is_the_image_and_draws_nothing(self):
        x, generator = images(), seeded()
        before = generator.get_state()
        assert modulated(x, beta=1, generator=generator, centre=0.3, carrier=STUDENT) is x
        assert torch.equal(before, generator.get_state())

    def test_nothing_is_clipped_and_the_input_stays(self):
        x = images()
        kept = x.clone()
        assert modulated(x, beta=0.0).max() > 3
        assert torch.equal(x, kept)

    def test_noise_is_fresh_for_each_call_image_and_channel(self):
        generator, ones = seeded(), torch.ones(2, 3, 8, 8)
        first, second = (modulated(ones, generator=generator) for _ in range(2))
        assert not torch.equal(first, second)
        assert not torch.equal(first[0], first[1])
        assert not torch.equal(first[:, 0], first[:, 1])
        assert not torch.allclose(first.mean((2, 3)), torch.ones(2, 3), atol=0.01)  # N counts all channels

    def test_shared_noise_is_one_carrier_for_all_channels(self):
        m = modulated(torch.ones(2, 3, 8, 8), shared=True)
        assert torch.equal(m, m[:, :1].expand_as(m))
        assert not torch.equal(m[0], m[1])
        torch.testing.assert_close(m.mean((1, 2, 3)), torch.ones(2))

    @pytest.mark.parametrize("settings", [{}, {"shared": True}, {"carrier": STUDENT}])
    def test_fixed_noise_belongs_to_the_image(self, settings):
        x, generator = images(), seeded()
        before = generator.get_state()
        one = modulated(x, fixed_seed=0, generator=generator, **settings)
        assert torch.equal(before, generator.get_state())
        order = [4, 1, 0]
        channels_last = x[order].to(memory_format=torch.channels_last)
        assert torch.equal(modulated(channels_last, fixed_seed=0, **settings), one[order])
        assert not torch.equal(modulated(x, fixed_seed=1, **settings), one)
        ones = modulated(torch.ones_like(x), fixed_seed=0, **settings)
        assert not torch.allclose(ones[0], one[0] / x[0])  # another image, other noise
        m = one / x
        torch.testing.assert_close(m.mean((1, 2, 3)), torch.ones(6, dtype=x.dtype))

    @pytest.mark.parametrize("beta", [-0.1, 1.01, math.nan])
    def test_beta_outside_the_unit_interval(self, beta):
        with pytest.raises(ValueError, match=rf"beta={beta}.*\[0, 1\]"):
            modulated(images(), beta=beta)

    @pytest.mark.parametrize(
        ("carrier", "message"),
        [
            ("gausian", "expected one of gaussian.*did you mean 'gaussian'"),
            ("StudenT(df=3)", "did you mean 'StudentT'"),
            ("StudentT", "numbers for arguments"),
            ("Normal(0, -1)", "scale"),
            ("Normal(0, x)", "numbers for arguments"),
            ("Normal(0, 1", "numbers for arguments"),
            ("Dirichlet([1.0])", "numbers for arguments"),
            ("kl_divergence(1, 2)", "expected one of"),
            ("42", "expected one of"),
        ],
    )
    def test_unknown_carrier(self, carrier, message):
        with pytest.raises(ValueError, match=message):
            modulated(images(), carrier=carrier)

    @pytest.mark.parametrize(("carrier", "beta"), [("Bernoulli(0)", 0), ("Poisson(0)", 0.0)])
    def test_a_carrier_that_is_almost_surely_zero(self, carrier, beta):
        with pytest.raises(ValueError, match=r"almost surely zero"):
            modulated(images(), carrier=carrier, beta=beta)
        assert torch.equal(modulated(images(), carrier=carrier, beta=0.5), images())  # then it is constant

    def test_a_carrier_that_is_zero_by_chance(self):
        with pytest.raises(ValueError, match=r"carrier of image \d+ is zero everywhere"):
            modulated(images(), carrier="Bernoulli(0.002)", beta=0.0)
        with pytest.raises(ValueError, match="carrier of image 1 is zero everywhere"):
            modulate(torch.rand(2, 1, 2, 2), torch.tensor([1.0, 0.0]).view(2, 1, 1, 1))


PLAIN = Recipe(
    part("digits", n_train=150),
    part("mlp", hidden=(16, 16)),
    optimiser=part("Adam", lr=0.003),
    schedule="constant",
    epochs=3,
)


def with_inputs(**settings):
    return dataclasses.replace(PLAIN, inputs=part("noise_modulation", **settings))


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


class TestTraining:
    @pytest.mark.parametrize("model", [PLAIN.model, part("lenet", kernel=3, padding=(1, 1))])
    def test_beta_one_is_standard_training_bit_for_bit(self, model):
        """NM-C9, with everything else that draws numbers: crops and flips."""
        digits = data.load("digits", n_train=150)
        for augment in (False, True):
            plain, same, other = (
                weights(training.train(dataclasses.replace(recipe, augment=augment, model=model), digits)[0])
                for recipe in (PLAIN, with_inputs(beta=1.0), with_inputs(beta=0.9))
            )
            assert torch.equal(plain, same)
            assert not torch.equal(plain, other)

    @pytest.mark.parametrize("settings", [{}, {"carrier": STUDENT, "beta": 0.0}, {"fixed_seed": 3}])
    def test_a_training_resumed_from_its_checkpoint_ends_with_the_same_weights(self, settings, tmp_path):
        digits, recipe = data.load("digits", n_train=150), with_inputs(**settings)
        state = torch.get_rng_state()
        whole, _ = training.train(recipe, digits)
        assert torch.equal(state, torch.get_rng_state())

        class Stop(Exception):
            pass

        def stop_at_two_thirds(share):
            if share > 0.5:
                raise Stop

        path = tmp_path / "part"
        with pytest.raises(Stop):
            training.train(recipe, digits, checkpoint=path, checkpoint_every=0, progress=stop_at_two_thirds)
        seen = []
        resumed, _ = training.train(recipe, digits, checkpoint=path, progress=seen.append)
        assert seen[0] > 0.5
        assert torch.equal(weights(whole), weights(resumed))

    def test_fixed_noise_is_a_data_set_preprocessed_once(self):
        digits = data.load("digits", n_train=150)
        fixed = {"carrier": "rayleigh", "beta": 0.2, "fixed_seed": 5}
        noisy = dataclasses.replace(digits, x_train=modulated(digits.x_train, **fixed))
        at_each_step, _ = training.train(with_inputs(**fixed), digits)
        before, _ = training.train(PLAIN, noisy)
        assert torch.equal(weights(at_each_step), weights(before))

    def test_modulated_nets_have_keys_of_their_own(self):
        recipes = [
            PLAIN,
            with_inputs(),
            with_inputs(carrier=STUDENT),
            with_inputs(centre=(0.3,)),
            with_inputs(beta=0.4),
        ]
        assert len({store.key(recipe) for recipe in recipes}) == len(recipes)
