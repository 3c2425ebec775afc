"""Maps against their own and other images, maps that have seen none, and what a linear filter takes away."""

import pytest
import torch
from torch import nn

from companion import data, metrics, transforms
from companion.metrics import (
    against,
    against_others,
    focus,
    own_image,
    random_phases,
    sign_cosine,
    sign_cosines,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def images():
    return data.load("mnist_small", n_test=300)


def scores(rows, quantity="vii"):
    return {row["against"]: row["value"] for row in rows if row["quantity"] == quantity}


class TestAgainst:
    def test_by_hand(self):
        y = torch.tensor([0, 0, 1, 2])
        table = torch.arange(16.0).view(4, 4)
        found = against(table, y)
        assert found["own"].tolist() == [0, 5, 10, 15]
        assert found["same class"][:2].tolist() == [1, 4] and found["same class"][2:].isnan().all()
        assert found["another class"].tolist() == [2.5, 6.5, pytest.approx((8 + 9 + 11) / 3), 13]

    def test_the_own_score_is_vii_and_a_constant_sign_has_no_correlation(self, images):
        x, mean = images.x_test[:20], images.x_train.mean(0)
        maps = torch.randn(x.shape, generator=seeded())
        torch.testing.assert_close(
            sign_cosines(maps, x, mean=mean).diagonal(), sign_cosine(maps, x, mean=mean)
        )
        one = torch.ones_like(x)
        assert sign_cosines(one, x, mean=mean, centred=True).max() < 1e-5
        assert sign_cosines(one, x, mean=mean).min() > 0.1

    def test_a_fixed_map_has_a_focus_and_nothing_beyond_other_images(self, images):
        x, y, mean = images.x_test, images.y_test, images.x_train.mean(0)
        of = scores(against_others(mean.expand_as(x), x, y, mean=mean), "focus")
        assert of["own"] > 2 and abs(of["own − another class"]) < 0.1

    def test_focus_by_hand(self):
        x = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]).view(2, 1, 2, 2)
        maps = torch.tensor([[-3.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]).view(2, 1, 2, 2)
        # The first map is 2 on average over the bright pixels and 1 over all; where nothing is bright, and
        # for a map of zeros, there is no preference.
        assert focus(maps, x, mean=0.5).tolist() == [[2.0, 1.0], [1.0, 1.0]]

    def test_planted_maps_are_told_apart(self, images):
        """Blind maps have a VII and nothing beyond other images; class maps only beyond other classes."""
        rows = metrics.planted_scores(images, grid=8, count=300, draws=3)
        means = {}
        for row in rows:
            if row["quantity"] == "vii":
                means.setdefault((row["knows"], row["against"]), []).append(row["value"] / 3)
        found = {place: sum(values) for place, values in means.items()}
        assert found["smooth, no image", "own"] > 0.07
        for other in ("same class", "another class"):
            assert abs(found["smooth, no image", f"own − {other}"]) < 0.01
            assert found["the image", f"own − {other}"] > 0.05
        assert abs(found["the class", "own − same class"]) < 0.01
        assert found["the class", "own − another class"] > 0.1


class TestRandomPhases:
    def test_amplitudes_stay_and_so_does_the_power(self):
        maps = torch.randn(4, 3, 9, 8, generator=seeded(), dtype=torch.float64)
        turned = random_phases(maps)
        torch.testing.assert_close(torch.fft.fft2(turned).abs(), torch.fft.fft2(maps).abs())
        assert (turned - maps).square().mean() > 0.5
        # channels that are alike stay alike, and images do not share their phases
        alike = random_phases(maps[:1, :1].expand(2, 3, 9, 8))
        torch.testing.assert_close(alike[:, 0], alike[:, 2])
        assert not torch.allclose(alike[0], alike[1])

    def test_a_wave_is_moved(self):
        """cos(2 pi k n / 16) becomes cos(2 pi k n / 16 + a), with another a for each map."""
        n = 2 * torch.pi * 3 * torch.arange(16, dtype=torch.float64) / 16
        turned = random_phases(n.cos().expand(5, 1, 16, 16))
        a = torch.atan2(-(turned[:, 0, 0] * n.sin()).mean(1), (turned[:, 0, 0] * n.cos()).mean(1))
        torch.testing.assert_close(turned[:, 0, 0], (n + a[:, None]).cos())
        assert a.std() > 0.3

    def test_a_point_becomes_independent_signs(self, images):
        """One bright pixel has a flat spectrum: its VII with random phases is sqrt(2 / (pi N))."""
        x, mean = images.x_test, images.x_train.mean(0)
        point = torch.zeros_like(x)
        point[..., 14, 14] = 1
        level = sign_cosine(random_phases(point), x, mean=mean).mean().item()
        assert level == pytest.approx(metrics.vii_chance(784), rel=0.15)

    def test_no_image_is_left(self, images):
        """The image itself has VII 1; its surrogate scores alike against its own and any other image."""
        x, y, mean = images.x_test, images.y_test, images.x_train.mean(0)
        of = scores(against_others(random_phases(x - mean), x, y, mean=mean))
        assert of["own"] < 0.25 and abs(of["own − same class"]) < 0.02


class TestOfANet:
    def test_the_papers_gradient_of_a_sure_net_is_zero_and_the_exact_one_is_not(self, images):
        weight = torch.randn(10, 784, generator=seeded())
        net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10, bias=False))
        net[1].weight.data = 1000 * weight
        few = images.subset(n_test=60)
        sure = net(few.x_test).argmax(1)
        labelled = data.Images("few", "few", few.x_train, few.y_train, few.x_test, sure, few.classes)
        rows = own_image(net, labelled, count=60)
        value = {(r["gradient"], r["quantity"], r["against"]): r["value"] for r in rows}
        assert value["float32 cross-entropy", "zero gradient", "own"] > 80
        assert value["log odds", "zero gradient", "own"] == 0
        assert 0.01 < value["log odds", "vii", "random phases"] < 0.06  # weights without smoothness: .028
        assert value["log odds", "vii", "own"] == pytest.approx(
            metrics.vii(net, few.x_test, sure, mean=few.x_train.mean(0)).mean().item()
        )

    def test_the_net_that_draws_its_image_keeps_its_score(self, images):
        """Own minus another is positive for the image itself, whatever its sign."""
        x, y, mean = images.x_test, images.y_test, images.x_train.mean(0)
        of = scores(against_others(mean - x, x, y, mean=mean))
        assert of["own"] == pytest.approx(1) and of["own − same class"] > 0.2


class TestBlindMaps:
    @pytest.mark.parametrize(("channels", "grid"), [(1, 4), (3, 8)])
    def test_alike_in_all_channels_and_smooth(self, channels, grid):
        maps = metrics.smooth_maps(50, (channels, 16, 16), grid=grid, generator=seeded())
        assert maps.shape == (50, channels, 16, 16)
        assert all(torch.equal(maps[:, 0], maps[:, c]) for c in range(channels))
        neighbours = (maps[..., 1:] * maps[..., :-1]).mean() / maps.square().mean()
        assert neighbours > (0.8 if grid == 4 else 0.5)

    def test_as_many_points_as_pixels_are_independent_and_one_point_is_one_sign(self, images):
        finest = metrics.blind_vii(images, grid=28, count=300)
        assert sum(finest) / 200 == pytest.approx(metrics.vii_chance(784), rel=0.1)
        x, mean = images.x_test, images.x_train.mean(0)
        one = metrics.constant_sign_vii(x, mean=mean).mean().item()
        assert metrics.blind_vii(images, grid=1, count=300, maps=3) == [pytest.approx(one)] * 3

    def test_a_grid_finer_than_the_image_is_refused(self):
        with pytest.raises(ValueError, match="grid=17; expected 1 to 16"):
            metrics.smooth_maps(2, (1, 16, 16), grid=17)

    @pytest.mark.parametrize(
        ("name", "coarse", "fine", "one"),
        [
            ("digits", 0.161, 0.144, 0.268),
            ("mnist_small", 0.101, 0.056, 0.587),
            ("mnist", 0.104, 0.057, 0.659),
            ("folder", 0.090, 0.052, 0.346),
        ],
    )
    def test_the_levels_written_in_the_docs(self, name, coarse, fine, one):
        if name == "folder":
            folder = data.sources.data_root() / "CIFAR-10 (JPEG)"
            if not folder.is_dir():
                pytest.skip(f"CIFAR-10 as JPEG files is not in {folder}")
            name = f"folder:{folder}"
        try:
            images = data.load(name)
        except data.DataMissing as missing:
            pytest.skip(str(missing))
        found = metrics.blind_levels(images, grids=[8, 16], count=1000)
        means = [sum(values) / len(values) for values in found.values()]
        assert means == pytest.approx([coarse, fine, one], abs=0.002)
        assert list(found) == ["smooth, 8×8 grid", "smooth, 16×16 grid", "one sign everywhere"]


class TestFilter:
    def test_the_wiener_filter_is_the_closed_form(self):
        """White noise of power N on an image of power S at one frequency: S / (S + N) there, 0 elsewhere."""
        wave = torch.cos(2 * torch.pi * torch.arange(16) / 16).expand(16, 16)
        clean = torch.randn(4000, 1, 1, 1, generator=seeded()) * wave
        noise = torch.randn(clean.shape, generator=seeded(1))
        out = metrics.wiener(torch.ones_like(noise[:1]) + wave, like=clean + noise, clean=clean)
        power = 64.0  # |fft|^2 of the wave at its two frequencies is 128^2; of the noise 256
        share = 128.0**2 / (128.0**2 + 256)
        assert share == pytest.approx(power / (power + 1), rel=1e-3)
        torch.testing.assert_close(out[0, 0], share * wave, atol=0.03, rtol=0)

    def test_it_takes_noise_away_and_brings_no_image_back_whole(self, images):
        stages = metrics.demodulation(images, carrier="gaussian", beta=0.5, centre=(0.13,))
        clean = stages["image x"]
        before, after = (metrics.image_correlation(stages[n], clean) for n in ("demodulated m·x", "filtered"))
        assert before == pytest.approx(0.63, abs=0.02) and after == pytest.approx(0.86, abs=0.02)


def test_additive_noise_is_as_much_as_modulation_adds(images):
    x, centre = images.x_test, (0.13,)
    chosen = {"carrier": "gaussian", "beta": 0.5, "centre": centre}
    moved = transforms.noise_modulation(None, x, None, **chosen, generator=seeded()) - x
    sigma = transforms.as_much_noise(x, **chosen)
    added = transforms.additive_noise(None, x, None, sigma=sigma, generator=seeded()) - x
    assert added.square().mean().sqrt().item() == pytest.approx(sigma, rel=0.01)
    assert moved.square().mean().sqrt().item() == pytest.approx(sigma, rel=0.02)
    # one follows the image, the other does not
    far = (x - 0.13).abs() > 0.5
    assert moved[far].std() > 3 * moved[~far].std() and added[far].std() < 1.05 * added[~far].std()
    with pytest.raises(ValueError, match="sigma=-1"):
        transforms.additive_noise(None, x, None, sigma=-1)


def test_the_identities_of_modulation_hold(images):
    for row in metrics.modulation_identities(images, carrier="laplace", beta=0.3):
        exact = row["identity"].startswith(("mean", "eq."))
        bound = {"abs": 1e-12} if exact else {"rel": 0.03}
        assert row["value"] == pytest.approx(row["expected"], **bound), row["identity"]
