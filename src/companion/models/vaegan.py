"""BR's VAE-GANs, whose reconstruction represents the nearest point of the image manifold."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class VaeGan(nn.Module):
    """Encoder, decoder and discriminator of images in [0, 1]; `vaegan` builds and documents it."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder, self.discriminator = encoder, decoder, discriminator

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent's distribution, (B, latent) each."""
        mean, log_variance = self.encoder(2 * x - 1).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """Images in [0, 1] from latents (B, latent)."""
        return (self.decoder(z) + 1) / 2

    def discriminate(self, x: Tensor) -> Tensor:
        """Logits (B,) of x being a real image."""
        return self.discriminator(2 * x - 1).squeeze(1)

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction from the latent's mean."""
        return self.decode(self.encode(x)[0])


def vaegan(
    in_channels: int = 1,
    size: int = 28,
    classes: int = 10,
    *,
    design: str = "larsen",
    latent: int = 10,
    width: int = 64,
    kernel: int = 4,
) -> VaeGan:
    """A VAE-GAN for images (N, in_channels, size, size) in [0, 1]; inside, pixels lie in [-1, 1].

    Source: BR appendix A.3. Glorot-uniform weights, zero biases and TensorFlow's "same" padding, as in the
    code.
    in_channels: of the images.
    size: side of the square input in pixels.
    classes: not used; labels play no part.
    design: "larsen" for MNIST and Fashion-MNIST (after Larsen et al. 2016), or "miyato" for CIFAR-10 (after
    Miyato et al. 2018), with spectral normalisation in the discriminator.
    latent: BR has 10, and 128 for CIFAR-10.
    width: filters of the encoder's first layer; all other widths are multiples of it.
    kernel: of the encoder, 4, or the 5 of the CIFAR-10 code (BR-E5).
    Train it with losses.vaegan.
    Deviations: batch normalisation comes before the ReLU, as the text has it (the code puts it after), with
    torch's momentum. Sizes other than 28 and 32 are ours: on 8x8 digits use width 16.
    Raises ValueError for another design or kernel, and for a size that is neither 28 nor a multiple of 8.
    """
    if design not in ("larsen", "miyato"):
        raise ValueError(f'design={design!r}; expected "larsen" or "miyato"')
    if size % 8 and (size, design) != (28, "larsen"):
        raise ValueError(f"size={size}; expected a multiple of 8 pixels, or 28 with the design of MNIST")
    if kernel not in (4, 5):
        raise ValueError(f"kernel={kernel}; expected 4, or the 5 of the official CIFAR-10 code")
    small = -(-size // 8)  # three strides of 2, rounded up
    encoder = nn.Sequential(
        *_halve(in_channels, width, kernel),
        *_halve(width, 2 * width, kernel),
        *_halve(2 * width, 4 * width, kernel),
        nn.Flatten(),
        nn.Linear(4 * width * small**2, 2 * latent),
        nn.BatchNorm1d(2 * latent),
    )
    build = {"larsen": (_larsen_decoder, _larsen_critic), "miyato": (_miyato_decoder, _miyato_critic)}
    decoder, discriminator = build[design]
    model = VaeGan(
        encoder, decoder(in_channels, size, width, latent), discriminator(in_channels, size, width)
    )
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    return model


def _halve(before: int, after: int, kernel: int = 4, norm: bool = True) -> list[nn.Module]:
    """Stride 2; the padding, one more at the end, halves sizes and rounds them up."""
    convolution = nn.Conv2d(before, after, kernel, stride=2)
    return [nn.ZeroPad2d((1, 2, 1, 2)), convolution, *([nn.BatchNorm2d(after)] if norm else []), nn.ReLU()]


def _double(before: int, after: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]


def _larsen_decoder(channels: int, size: int, width: int, latent: int) -> nn.Sequential:
    start = 2 if size == 28 else size // 8
    units = 4 * width * start**2
    if size == 28:  # 2, 4, 7, 14, 28
        same = nn.ConvTranspose2d(4 * width, 2 * width, 4)
    else:
        same = nn.ConvTranspose2d(4 * width, 2 * width, 3, padding=1)
    return nn.Sequential(
        nn.Linear(latent, units),
        nn.BatchNorm1d(units),
        nn.ReLU(),
        nn.Unflatten(1, (4 * width, start, start)),
        *_double(4 * width, 4 * width),
        *(same, nn.BatchNorm2d(2 * width), nn.ReLU()),
        *_double(2 * width, width // 2),
        nn.ConvTranspose2d(width // 2, channels, 4, stride=2, padding=1),
        nn.Tanh(),
    )


def _larsen_critic(channels: int, size: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        *_halve(channels, width // 2, norm=False),
        *_halve(width // 2, 2 * width),
        *_halve(2 * width, 4 * width),
        *_halve(4 * width, 4 * width),
        nn.Flatten(),
        nn.Linear(4 * width * (-(-size // 16)) ** 2, 8 * width),
        nn.BatchNorm1d(8 * width),
        nn.ReLU(),
        nn.Linear(8 * width, 1),
    )


def _miyato_decoder(channels: int, size: int, width: int, latent: int) -> nn.Sequential:
    start = size // 8
    return nn.Sequential(
        nn.Linear(latent, 8 * width * start**2),
        nn.Unflatten(1, (8 * width, start, start)),
        *_double(8 * width, 4 * width),
        *_double(4 * width, 2 * width),
        *_double(2 * width, width),
        nn.Conv2d(width, channels, 3, padding=1),
        nn.Tanh(),
    )


def _miyato_critic(channels: int, size: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    widths = (channels, width, width, 2 * width, 2 * width, 4 * width, 4 * width, 8 * width)
    for i, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        convolution = nn.Conv2d(before, after, 4 if i % 2 else 3, stride=1 + i % 2, padding=1)
        layers += [spectral_norm(convolution), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * width * (size // 8) ** 2, 1))
