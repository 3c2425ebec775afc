"""BR's VAE-GAN: the appendix's layers, and three losses that stay in their own parts."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from companion import losses, models, store, training
from companion.store import nets
from companion.training.recipe import Recipe, part

DIGITS = Recipe(
    part("digits", n_train=100),
    part("vaegan", width=8, latent=4),
    loss=part("vaegan", weight=1.0),
    optimiser=part("Adam", lr=2e-3, betas=(0.5, 0.999)),
    schedule="constant",
    epochs=2,
)


def count(module):
    return sum(p.numel() for p in module.parameters())


def conv(before, after, kernel=4):
    return before * after * kernel**2 + after


def norm(features):
    return 2 * features


def test_the_mnist_design_has_the_layers_of_the_appendix():
    net = models.vaegan()
    dense = 4 * 4 * 256 * 20 + 20 + norm(20)
    assert count(net.encoder) == sum(
        (conv(1, 64), norm(64), conv(64, 128), norm(128), conv(128, 256), norm(256), dense)
    )
    dense = 10 * 1024 + 1024 + norm(1024)
    deconvolutions = conv(256, 256) + norm(256) + conv(256, 128) + norm(128) + conv(128, 32) + norm(32)
    assert count(net.decoder) == dense + deconvolutions + 32 * 16 + 1
    convolutions = conv(1, 32) + conv(32, 128) + norm(128) + conv(128, 256) + norm(256) + conv(256, 256)
    assert count(net.discriminator) == convolutions + norm(256) + (1024 * 512 + 512 + norm(512)) + 513
    sizes = [tuple(layer(torch.zeros(2, *shape)).shape[1:]) for layer, shape in (
        (net.decoder[:4], (10,)), (net.decoder[4:7], (256, 2, 2)), (net.decoder[7:10], (256, 4, 4)),
        (net.decoder[10:13], (128, 7, 7)), (net.encoder[:4], (1, 28, 28)), (net.encoder[8:12], (128, 7, 7)),
    )]  # fmt: skip
    assert sizes == [(256, 2, 2), (256, 4, 4), (128, 7, 7), (32, 14, 14), (64, 14, 14), (256, 4, 4)]


def test_the_cifar_design_normalises_the_discriminator_s_spectra():
    torch.manual_seed(0)
    net = models.vaegan(3, 32, 10, design="miyato", latent=128, kernel=5)
    assert net.encoder[1].weight.shape == (64, 3, 5, 5) and net.decoder[0].out_features == 8192
    widths = [layer.out_channels for layer in net.discriminator if isinstance(layer, nn.Conv2d)]
    assert widths == [64, 64, 128, 128, 256, 256, 512]
    assert net.discriminator[-1].in_features == 4 * 4 * 512
    net.train()
    for _ in range(50):
        net.discriminate(torch.rand(1, 3, 32, 32))  # power iteration
    first = net.discriminator[0].weight
    assert torch.linalg.matrix_norm(first.flatten(1), 2).item() == pytest.approx(1, rel=0.02)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in net.discriminator)


@pytest.mark.parametrize("design", ["larsen", "miyato"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 28, 28)])
def test_images_come_back_in_their_shape_and_range(design, shape):
    if (design, shape[1]) == ("miyato", 28):
        with pytest.raises(ValueError, match="multiple of 8"):
            models.vaegan(1, 28, 10, design="miyato")
        return
    net = models.vaegan(shape[0], shape[1], 10, design=design, width=8, latent=3).eval()
    x = torch.rand(2, *shape)
    assert net(x).shape == x.shape and 0 <= net(x).min() <= net(x).max() <= 1
    mean, log_variance = net.encode(x)
    assert mean.shape == log_variance.shape == (2, 3) and net.discriminate(x).shape == (2,)
    assert torch.equal(net(x), net.decode(mean))
    with pytest.raises(ValueError):
        models.vaegan(**({"design": "dcgan"} if design == "larsen" else {"kernel": 3}))


class Plain(nn.Module):
    """A model of one latent, small enough to compute by hand: rec = z for every pixel, D = sum of pixels."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder, self.discriminator = (nn.Linear(1, 1, bias=False) for _ in range(3))
        for layer, value in ((self.encoder, 0.5), (self.decoder, 2.0), (self.discriminator, 3.0)):
            nn.init.constant_(layer.weight, value)

    def encode(self, x):
        mean = self.encoder(x.mean((1, 2, 3))[:, None])
        return mean, torch.full_like(mean, -200.0)  # as good as no noise

    def decode(self, z):
        return self.decoder(z)[:, :, None, None].expand(-1, 1, 2, 2)

    def discriminate(self, x):
        return self.discriminator(x.sum((1, 2, 3))[:, None]).squeeze(1)


def test_the_losses_by_hand():
    x = torch.tensor([0.2, 0.6])[:, None, None, None].expand(-1, 1, 2, 2)
    x = x + torch.tensor([[0.1, -0.1], [0.0, 0.0]])  # means 0.2 and 0.6, which are the reconstructions too
    generator = torch.Generator().manual_seed(0)
    found = [loss.item() for loss in losses.vaegan(Plain(), x, None, weight=0.3, generator=generator)]
    generator.manual_seed(0)
    torch.randn(2, 1, generator=generator)
    priors = []
    for _ in range(2):
        torch.randn(2, 1, generator=generator)
        priors.append(2 * torch.randn(2, 1, generator=generator).squeeze(1))
    l1 = 2 * 0.2  # two pixels off by 0.1, in pixels of [-1, 1]
    mean = torch.tensor([0.1, 0.3])
    assert found[0] == pytest.approx((l1 + 0.5 * (mean.square() - 1 + 200)).mean().item())
    real = fake = 12 * torch.tensor([0.2, 0.6])  # logits of D: 3 times the sum over four pixels
    log_d = F.logsigmoid
    decoder = 0.3 * l1 - log_d(fake) - log_d(12 * priors[0])
    assert found[1] == pytest.approx(decoder.mean().item())
    critic = -log_d(real) - log_d(-fake) - log_d(-12 * priors[1])
    assert found[2] == pytest.approx(critic.mean().item())


def test_each_loss_reaches_its_own_part_alone_and_sees_the_update_before_it():
    net = models.vaegan(1, 8, 10, width=8, latent=3)
    x, parts = torch.rand(8, 1, 8, 8), ("encoder", "decoder", *["discriminator"] * 3)
    values = losses.vaegan(net, x, None, weight=1.0, discriminator_steps=3)
    for name, loss in zip(parts, values, strict=True):
        net.zero_grad(set_to_none=True)
        loss.backward()
        for other in ("encoder", "decoder", "discriminator"):
            gradients = [p.grad for p in getattr(net, other).parameters()]
            assert (
                all(g is not None for g in gradients)
                if other == name
                else not any(g is not None for g in gradients)
            )
    assert all(p.requires_grad for p in net.parameters()) and net.training
    values = losses.vaegan(net, x, None, weight=1.0, generator=torch.Generator().manual_seed(0))
    next(values)
    with torch.no_grad():
        net.encoder[-2].weight.fill_(torch.nan)
    assert next(values).isnan()  # the decoder's loss is of the encoder as it is now


def test_the_training_updates_after_each_loss_and_the_store_keeps_the_model(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    net = store.get(DIGITS)
    x = store.images(DIGITS.data, "cpu").x_test
    monkeypatch.setattr(nets, "train", None)  # a second training would fail
    torch.testing.assert_close(store.get(DIGITS)(x), net(x))
    assert net(x).shape == x.shape and len(store.history(DIGITS)) == 2


@pytest.mark.parametrize("design", ["larsen", "miyato"])
def test_a_resumed_training_ends_with_the_same_weights(design, tmp_path):
    recipe = dataclasses.replace(
        DIGITS,
        model=part("vaegan", width=8, latent=4, design=design),
        loss=part("vaegan", weight=1.0, discriminator_steps=2),
    )
    images = store.images(recipe.data, "cpu")
    whole, _ = training.train(recipe, images)

    class Stop(Exception):
        pass

    def stop_at_the_second_epoch(share):
        if share == 1:
            raise Stop

    path = tmp_path / "part"
    with pytest.raises(Stop):
        training.train(
            recipe, images, checkpoint=path, checkpoint_every=-1, progress=stop_at_the_second_epoch
        )
    resumed, _ = training.train(recipe, images, checkpoint=path)
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
