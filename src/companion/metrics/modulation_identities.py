"""The algebra of noise modulation and of VII's chance level, executed (NM eq. 7, 9 and 10)."""

from typing import Any

import torch

from companion import transforms
from companion.data import Images
from companion.metrics.vii import vii_chance


def modulation_identities(
    images: Images, *, carrier: str, beta: float, draws: int = 400_000
) -> list[dict[str, Any]]:
    """What should be equal: rows of `identity`, `compares`, `value` and `expected`.

    On 64 test images in double precision with a random carrier: the mean of the multiplier, and eq. 7 against
    eq. 9. Then sd(m) of every carrier at beta 0.5 and VII of random signs, each from `draws` random numbers
    against its closed form.
    """
    generator = torch.Generator().manual_seed(0)
    x = images.x_test[:64].cpu().double()
    c = beta + (1 - beta) * transforms.draw(carrier, x.shape, generator=generator, dtype=x.dtype)
    power, total = c.square(), c.square().flatten(1).sum(1).view(-1, 1, 1, 1)
    pixels = x[0].numel()
    seventh = x * pixels * power / total
    ninth = x * (1 + (power - total / pixels) * pixels / total)
    mean = transforms.multiplier(c).flatten(1).mean(1)
    rows = [
        ("mean(m)", "largest |mean of m − 1|", (mean - 1).abs().max().item(), 0.0),
        ("eq. 7 = eq. 9", "largest difference of the two forms", (seventh - ninth).abs().max().item(), 0.0),
    ]
    for name in transforms.CARRIERS:
        drawn = transforms.modulation_sd(name, 0.5, samples=draws, generator=generator)
        rows.append((f"sd(m), {name}", "draws and closed form", drawn, transforms.modulation_sd(name, 0.5)))
    for count in (64, 784, 3072):
        heads = torch.distributions.Binomial(count, torch.tensor(0.5, dtype=torch.float64))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            sums = (2 * heads.sample((draws // 10,)) - count).abs().mean().item() / count
        rows.append((f"chance, {count} pixels", "draws and √(2 / (πN))", sums, vii_chance(count)))
    return [dict(zip(("identity", "compares", "value", "expected"), row, strict=True)) for row in rows]
