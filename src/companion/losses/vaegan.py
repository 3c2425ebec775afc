"""The three losses of BR's VAE-GAN, taken one after the other."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from companion import guards
from companion.models.vaegan import VaeGan


def vaegan(
    model: VaeGan,
    x: Tensor,
    y: Tensor,
    *,
    weight: float,
    discriminator_steps: int = 1,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """Yields the encoder's loss, the decoder's, then `discriminator_steps` times the discriminator's.

    Each is the mean over the batch, computed when it is asked for, with fresh noise, and has a gradient in
    its own part of the model only: a training that updates after each alternates as the code does.
    Source: BR appendix A.3 and its released code (facts 2.3), with z drawn from the encoder's distribution,
    z' from N(0, I), rec = dec(z) and l1 the sum over the pixels in BR's units, [-1, 1]:
        encoder        l1(x, rec) + KL(z || N(0, I))
        decoder        weight * l1(x, rec) - log D(rec) - log D(dec(z'))
        discriminator  -log D(x) - log(1 - D(rec)) - log(1 - D(dec(z')))
    weight: BR's code has 5e-3 for MNIST, 5e-4 for Fashion-MNIST, 1e-2 for CIFAR-10. discriminator_steps: 1,
    and 5 for CIFAR-10, all on this batch. x: (B, C, H, W) in [0, 1]; labels are not used.
    Deviation: exact logarithms from logits, where the code adds 1e-8 to probabilities.
    """
    with _held(model.decoder):
        mean, log_variance = model.encode(x)
        reconstruction = model.decode(draw_latent(mean, log_variance, generator=generator))
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        loss = (_l1(x, reconstruction) + divergence).mean()
    yield loss
    with _held(model.encoder, model.discriminator):
        reconstruction, sample = _reconstruction_and_sample(model, x, generator)
        fooled = softplus(-model.discriminate(reconstruction)) + softplus(-model.discriminate(sample))
        loss = (weight * _l1(x, reconstruction) + fooled).mean()
    yield loss
    for _ in range(discriminator_steps):
        with _held(model.encoder, model.decoder):
            reconstruction, sample = _reconstruction_and_sample(model, x, generator)
            told = softplus(model.discriminate(reconstruction)) + softplus(model.discriminate(sample))
            loss = (softplus(-model.discriminate(x)) + told).mean()
        yield loss


def draw_latent(mean: Tensor, log_variance: Tensor, *, generator: torch.Generator | None) -> Tensor:
    """z ~ N(mean, exp(log_variance)), reparametrised: (B, latent)."""
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean + (log_variance / 2).exp() * noise


def _reconstruction_and_sample(
    model: VaeGan, x: Tensor, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    z = draw_latent(*model.encode(x), generator=generator)
    prior = torch.randn(z.shape, generator=generator, device=z.device, dtype=z.dtype)
    return model.decode(z), model.decode(prior)


def _l1(x: Tensor, reconstruction: Tensor) -> Tensor:
    return 2 * (x - reconstruction).abs().flatten(1).sum(1)  # BR's pixels are twice as far apart


@contextmanager
def _held(*modules: nn.Module) -> Iterator[None]:
    """No gradient into these modules' parameters; their mode stays as it is."""
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(guards.frozen(module, "train" if module.training else "eval", moving=True))
        yield
