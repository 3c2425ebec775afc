"""Manifold distance: exact on a linear autoencoder, ordered on digits; densities and verdicts by hand."""

import math

import pytest
import torch
from torch import nn

from companion import metrics, store
from companion.training.recipe import Recipe, part


class Linear(nn.Module):
    """Orthonormal directions through a centre: enc(x) = W (x - c), dec(z) = c + W^T z, with posterior sd."""

    def __init__(self, sd=0.0, bias=0.0):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        basis = torch.linalg.qr(torch.randn(12, 3, generator=generator, dtype=torch.float64))[0]
        self.directions = nn.Parameter(basis.T)
        self.sd, self.bias = sd, bias

    def encode(self, x):
        mean = (x.flatten(1) - 0.5) @ self.directions.T + self.bias
        return mean, torch.full_like(mean, 2 * math.log(self.sd) if self.sd else -torch.inf)

    def decode(self, z):
        return (0.5 + z @ self.directions).view(-1, 3, 2, 2)


X = torch.rand(40, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def residual():
    flat = X.flatten(1) - 0.5
    w = Linear().directions.detach()
    return flat - flat @ w.T @ w


def test_a_linear_autoencoder_s_projection_is_exact():
    found = metrics.manifold_distance(Linear(), X)
    torch.testing.assert_close(found, residual().norm(dim=1))
    torch.testing.assert_close(metrics.projection(Linear(), X).flatten(1), X.flatten(1) - residual())
    on_it = metrics.projection(Linear(), X).clamp(0, 1)
    inside = (on_it == metrics.projection(Linear(), X)).flatten(1).all(1)
    assert inside.any() and metrics.manifold_distance(Linear(), on_it)[inside].max() < 1e-12


def test_a_sampled_latent_adds_its_variance():
    model, generator = Linear(sd=0.2), torch.Generator().manual_seed(0)
    draws = [metrics.manifold_distance(model, X, latent="sampled", generator=generator) for _ in range(400)]
    squared = torch.stack(draws).square()
    expected = residual().square().sum(1) + 3 * 0.2**2
    # the added part is 0.04 times a chi-square of 3 degrees: sd 0.098 a draw, 16000 draws
    assert (squared.mean(0) - expected).mean().abs() < 4 * 0.098 / math.sqrt(16_000)
    again = torch.Generator().manual_seed(0)
    torch.testing.assert_close(
        metrics.manifold_distance(model, X, latent="sampled", generator=again), draws[0]
    )


def test_the_optimised_latent_finds_what_a_wrong_encoder_misses():
    wrong = Linear(bias=0.7)
    assert (metrics.manifold_distance(wrong, X) > residual().norm(dim=1) + 0.2).all()
    found = metrics.manifold_distance(wrong, X, latent="optimised", steps=300)
    torch.testing.assert_close(found, residual().norm(dim=1), rtol=1e-4, atol=0)
    wild = metrics.manifold_distance(Linear(), X, latent="optimised", steps=3, lr=10.0)
    torch.testing.assert_close(wild, residual().norm(dim=1))  # never farther than the mean's
    assert all(p.requires_grad and p.grad is None for p in wrong.parameters())


def test_the_result_does_not_depend_on_the_batch():
    for latent in ("mean", "optimised"):
        settings = {"latent": latent, "steps": 5}
        whole, parts = (
            metrics.manifold_distance(Linear(bias=0.1), X, **settings, batch_size=b) for b in (40, 7)
        )
        torch.testing.assert_close(whole, parts)


@pytest.mark.parametrize("change", [{"latent": "mode"}, {"steps": 0}, {"lr": 0}, {"x": 2 * X}])
def test_errors(change):
    with pytest.raises(ValueError):
        metrics.manifold_distance(**({"model": Linear(), "x": X} | change))


def test_changed_asks_the_judge_about_both_images():
    judge = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        judge[1].weight.copy_(torch.tensor([[0.0], [1.0]]))
        judge[1].bias.copy_(torch.tensor([0.0, -0.5]))  # class 1 above 0.5
    x, attacked = (torch.tensor(v)[:, None, None, None] for v in ([0.1, 0.1, 0.9], [0.9, 0.4, 0.2]))
    assert metrics.changed(judge, x, attacked).tolist() == [True, False, True]
    assert metrics.changed(judge, x, attacked, batch_size=2).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="expected"):
        metrics.changed(judge, x, 2 * attacked)


def test_density_is_the_mean_of_the_kernels():
    values, at = [0.0, 1.0, 3.0], [0.5, 2.0]
    width = 0.25 * math.sqrt(7 / 3)  # the sample's variance is 7/3
    expected = [
        sum(math.exp(-((a - v) ** 2) / (2 * width**2)) for v in values) / (3 * width * math.sqrt(2 * math.pi))
        for a in at
    ]
    assert metrics.density(values, at).tolist() == pytest.approx(expected)


@pytest.mark.slow
def test_a_vae_gan_of_digits_knows_digits_from_noise_and_from_shuffled_digits(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    recipe = Recipe(
        part("digits"),
        part("vaegan", width=8),
        loss=part("vaegan", weight=1.0),
        optimiser=part("Adam", lr=4e-3, betas=(0.5, 0.999)),
        schedule="constant",
        epochs=6,
    )
    model, images = store.get(recipe), store.images(recipe.data, "cpu")
    generator = torch.Generator().manual_seed(0)
    x = images.x_test
    noise = torch.rand(x.shape, generator=generator)
    shuffled = x.flatten(1)[:, torch.randperm(64, generator=generator)].view_as(x)
    train, test, shuffled, noise = (
        metrics.manifold_distance(model, images) for images in (images.x_train[:360], x, shuffled, noise)
    )
    mean_image = (x - images.x_train.mean(0)).flatten(1).norm(dim=1)
    assert train.mean() < mean_image.mean()  # it looks at the image it is given
    assert train.mean() < shuffled.mean() - 1 and train.mean() < noise.mean() - 1
    assert abs(train.mean() - test.mean()) < 0.15 and test.max() < noise.mean()
