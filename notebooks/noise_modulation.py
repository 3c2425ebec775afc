# %% [markdown]
# # Noise Modulation
#
# *H. Li and X. Wang, “Noise Modulation: Let Your Model Interpret Itself”* {cite:p}`li2021`.
#
# Adversarially trained networks have readable input gradients, but every step of their training first searches an attack. The paper asks for the
# gradients without the search: **multiply each training image by random noise, and the gradients become readable too.** It measures that with a
# score of its own, the Visual Interpretability of Input-gradients (VII): how well the *signs* of the gradient agree with the image.

# %% tags=["parameters", "hide-input"]
# Every name here can be changed: companion run noise_modulation -p NAME=VALUE
# fmt: off
dataset: str = "mnist_small"  # one of mnist_small, digits, mnist, fashion_mnist, cifar10, folder:PATH: the images
n_train: int = 1200  # in [0, inf): training images used, 0 for all
n_test: int = 500  # in [0, inf): test images used, 0 for all
models: list[str] = ["mlp", "lenet"]  # one of mlp, fcnn, lenet, vgg, resnet: the nets of NM-F3
model: str = "lenet"  # one of mlp, fcnn, lenet, vgg, resnet: the net of all other experiments
resnet_blocks: list[int] = [1, 1, 1]  # in [1, inf), repeats allowed: blocks in each stage of resnet; ResNet-18 has 2, 2, 2, 2
resnet_width: int = 16  # in [1, inf): filters of its first stage; ResNet-18 has 64
seeds: list[int] = [0, 1, 2]  # in [0, inf): one set of nets each
epochs: int = 8  # in [1, inf): passes over the training images
batch_size: int = 64  # in [1, inf): images in a training step
lr: float = 0.004  # in (0, inf): first learning rate of Adam
schedule: str = "cosine"  # one of cosine, constant, step: of the learning rate; the paper's is constant
select: str = "last"  # one of last, best_test: which epoch's net is kept; best_test chooses by test images
carrier: str = "gaussian"  # one of gaussian, uniform, laplace, gamma, exponential, rayleigh: what the noise is drawn from
beta: float = 0.5  # in [0, 1]: fraction of the constant in the carrier; 1 is standard training
order: str = "after"  # one of after, before, unnormalised: modulate after normalisation, before it, or with nets that do not normalise
betas: list[float] = [0, 0.5, 0.8, 1]  # in [0, 1]: fractions of NM-F4
carriers: list[str] = ["gaussian", "uniform", "laplace", "rayleigh"]  # one of gaussian, uniform, laplace, gamma, exponential, rayleigh: noises of NM-F5
controls: list[str] = ["noise by pixel"]  # one of Gaussian multiplier, noise by pixel: controls of NM-F3 beside additive noise
variants: bool = False  # also train the choices that the paper leaves open
eps: float = 0.1  # in (0, inf): linf radius in adversarial training, pixels in [0, 1]
at_steps: int = 3  # in [1, inf): PGD steps in adversarial training
attack_eps: list[float] = [0.1]  # in (0, inf): linf radii of the attacks
steps: int = 12  # in [1, inf): PGD steps of an attack
restarts: int = 1  # in [1, inf): random starts for each loss of an attack
attack_images: int = 200  # in [1, inf): test images attacked
checked_images: int = 100  # in [1, inf): test images on which each net's evaluation is checked
sign_images: int = 500  # in [2, inf): test images over which VII and its like are taken
grids: list[int] = [8, 16]  # in [4, inf): points a side of the smooth random maps; a quarter of it for 8x8 images
null_datasets: list[str] = ["digits", "mnist_small"]  # one of mnist_small, digits, mnist, fashion_mnist, cifar10, folder:PATH: further images of NM-N
second: bool = False  # also run NM-F3, NM-F4 and NM-F5 on a second set of images
second_dataset: str = "cifar10"  # one of mnist_small, digits, mnist, fashion_mnist, cifar10, folder:PATH: that set
second_n_train: int = 0  # in [0, inf): its training images used, 0 for all
second_n_test: int = 2000  # in [0, inf): its test images used, 0 for all
second_models: list[str] = ["mlp", "fcnn", "vgg", "resnet"]  # one of mlp, fcnn, lenet, vgg, resnet: its nets of NM-F3
second_model: str = "resnet"  # one of mlp, fcnn, lenet, vgg, resnet: its net of NM-F4 and NM-F5
second_seeds: list[int] = [0]  # in [0, inf): one set of nets each
second_epochs: int = 15  # in [1, inf): passes over its training images
second_betas: list[float] = [0, 0.3, 0.5, 0.8, 1]  # in [0, 1]: its fractions of NM-F4
second_carriers: list[str] = ["gaussian"]  # one of gaussian, uniform, laplace, gamma, exponential, rayleigh: its noises of NM-F5
device: str = "auto"  # one of auto, cpu, cuda: where to compute
# fmt: on

# %%
from companion.publishing.running import chapter

run = chapter.begin(globals(), notebook="noise_modulation")

# %%
from types import SimpleNamespace

import pandas as pd
from IPython.display import display

from companion import checks, data, experiment, metrics, playground, plots, store, transforms
from companion.publishing.claims import verdicts
from companion.publishing.explorers import explorer
from companion.publishing.pages import badges, fidelity, show, sources
from companion.training import Recipe, part

device = experiment.choose_device(device)
how = {"device": device, "report": run.status}


def setting(name: str, n_train: int, n_test: int, **more) -> SimpleNamespace:
    images = data.load(name, device=device, n_train=n_train or None, n_test=n_test or None)
    pixels, more["n_train"] = images.x_train.transpose(0, 1).flatten(1), n_train or None
    centre, scale = (tuple(round(v, 4) for v in of.tolist()) for of in (pixels.mean(1), pixels.std(1)))
    return SimpleNamespace(images=images, label=images.label, centre=centre, scale=scale, **more)


# %%
swept = {"betas": betas, "carriers": carriers, "epochs": epochs}
first = setting(dataset, n_train, n_test, models=models, model=model, seeds=seeds, **swept)
images, sets = first.images, [first]
if second:
    swept = {"betas": second_betas, "carriers": second_carriers, "epochs": second_epochs}
    swept |= {"models": second_models, "model": second_model, "seeds": second_seeds}
    sets.append(setting(second_dataset, second_n_train, second_n_test, **swept))
counts = f"{len(images.x_train)} training and {len(images.x_test)} test images, {len(seeds)} seed(s)"
show.opening(run, f"{images.label}: {counts}", "the CPU" if device == "cpu" else device)

# %% [markdown]
# ## The question in one picture
#
# ```{predict} nm-guess-vii
# :where: {experiment: NM-S, quantity: vii, against: own, model: {first: 1}}
# :largest: [{training: standard}, {training: NM}, {training: additive noise}, {training: AT}]
#
# After which training do the signs of the gradient agree best with the image (the highest VII)?
#
# - standard training
# - noise modulation
# - additive noise of the same power
# - adversarial training
# - no clear winner
# ```

# %% tags=["remove-input"]
run.later("picture")
run.later("found")

# %% [markdown]
# ## The idea, equation by equation
#
# **From adversarial training to noise.** Adversarial training shows the net $x + \delta^*$ with an attack $\delta^*$ found along
# $\operatorname{sign}\nabla_x \mathcal L$. The paper replaces that sign by “image times some noise”, because robust nets have gradients that look
# like the image, drops everything else (NM-E4: a heuristic, not a derivation), and arrives at $x \cdot (1 + \alpha\,\delta')$, the form of an
# amplitude modulated signal.
#
# **Noise modulation (NM).** Multiply the image by a carrier $c$ twice, modulating and demodulating, and rescale. With $N = C \cdot H \cdot W$ numbers in an image,
#
# $$
# \begin{aligned}
# & \min_\theta \mathbb E\big[\mathcal L\big(f_\theta(m \odot x), y\big)\big], \\
# & m_n = \frac{N\,c_n^2}{\sum_k c_k^2}, \qquad c = \beta + (1-\beta)\,\delta ,
# \end{aligned}
# $$ (nm-modulational)
#
# with fresh $\delta \sim \mathcal N(0, I)$ for each image. The mean of $m$ is 1, $\beta = 1$ is standard training, and at test time nothing is modulated.
# The net normalises its input. With `order: after` what is multiplied is the normalised image, $x' = \mu + m \odot (x - \mu)$, as the paper's order of words suggests.

# %%
sources.of(transforms.noise_modulation, transforms.modulate, transforms.multiplier)

# %% [markdown]
# **How much noise is that?** For many pixels $m \approx c^2/\mathbb E[c^2]$; for Gaussian noise, with $s = 1 - \beta$,
#
# $$
# \operatorname{sd}(m) = \frac{\sqrt{2s^4 + 4\beta^2 s^2}}{\beta^2 + s^2},
# $$ (nm-sd)
#
# 0 at $\beta = 1$, 1.22 at $\beta = 0.5$, and saturated at $\sqrt2$ below $\beta = 0.4$: our explanation of the plateau in the paper's figure 4.
#
# **The score.** With $d = \operatorname{sign}(x - \bar x)$, $\bar x$ the mean training image, and $g = \operatorname{sign}(\nabla_x \mathcal L)$,
#
# $$
# \mathrm{VII} = \mathbb E_{(x,y)}\; \frac{|\langle d, g\rangle|}{\lVert d\rVert\,\lVert g\rVert} .
# $$ (nm-vii)
#
# It ignores magnitudes, and because of the absolute value (NM-E3) every map scores something. How much is measured {ref}`below <nm-n>`.

# %%
sources.of(transforms.modulation_sd, metrics.vii, metrics.sign_cosine)

# %% [markdown]
# (nm-idea-others)=
# **Is it about this image?** A gradient that follows its image agrees with that image better than with others. So each map is scored against its own image,
# against all other test images of its class, and against those of other classes. *Own − same class* is about this image alone; *own − another class* is about
# the image or its class. A map that has not looked at the images has 0 in both, however smooth it is. The same is done for the **magnitude**: its *focus* is how many times as large the
# gradient is on the pixels brighter than the mean image as on average; 1 for a map of one magnitude. A fixed map, such as the mean training image, may have a large focus
# on every image, so this too is read as own − another.

# %%
sources.of(metrics.against_others, metrics.against, metrics.focus)

# %% [markdown]
# (nm-nets)=
# ## The nets
#
# The trainings differ in what is done to the image: nothing, NM, adversarial training (AT), and three controls of ours with as much noise as NM, each of which gives up one thing more:
# *Gaussian multiplier*, NM's distribution; *noise by pixel*, this image (each pixel has NM's mean power over the training set); *additive noise*, the place (the same in every pixel). `controls` says which of the first two are run.

# %%
SMALL = {  # for 8x8 images
    "mlp": {"hidden": (128, 128)},
    "fcnn": {"channels": (8, 16, 16, 32, 32)},
    "lenet": {"channels": (12, 32), "kernel": 3, "padding": (1, 1)},
    "vgg": {"stages": (1, 1, 1), "width": 16},
}
RESNET = {"blocks": tuple(resnet_blocks), "width": resnet_width}


def recipe(of, net: str, seed: int, inputs=None, order: str = order) -> Recipe:
    shape = RESNET if net == "resnet" else SMALL[net] if of.images.size < 16 else {}
    normal = {} if order == "unnormalised" else {"mean": of.centre, "std": of.scale}
    chosen = {"model": part(net, **shape, **normal), "optimiser": part("Adam", lr=lr), "inputs": inputs}
    how = {"epochs": of.epochs, "batch_size": batch_size, "schedule": schedule, "select": select}
    return Recipe(data=part(of.images.name, n_train=of.n_train), **chosen, **how, seed=seed)


# %%
def modulated(of, carrier: str = carrier, beta: float = beta, order: str = order, **more):
    if beta == 1:
        return None  # standard training bit for bit (NM-ID)
    centre = of.centre if order == "after" else 0.0
    return part("noise_modulation", carrier=carrier, beta=beta, centre=centre, **more)


def trainings(of) -> dict:
    like = {"carrier": carrier, "beta": beta, "centre": of.centre if order == "after" else 0.0}
    noises = experiment.noise_controls(of.images.x_train, **like)
    attack = part("adversarial", norm="linf", eps=eps, steps=at_steps)
    noises = {name: noises[name] for name in (*controls, "additive noise")}
    return {"standard": None, "NM": modulated(of), **noises, "AT": attack}


# %%
COLOUR = plots.COLOURS | {"NM": plots.COLOURS["noise modulation"], "AT": plots.COLOURS["adversarial"]}


def kinds(seed: int) -> dict[str, Recipe]:
    return {name: recipe(first, model, seed, inputs) for name, inputs in trainings(first).items()}


def trained(of, recipes_of) -> dict:
    return experiment.train(recipes_of, of.seeds, announce=run.announce, **how)


nets, ORDER = trained(first, kinds), list(trainings(first))
FOUR = ["standard", "NM", "additive noise", "AT"]
of_four = {key: of for key, of in nets.items() if key[0] in FOUR}


def net(name: str, seed: int = seeds[0]):
    return store.get(nets[name, seed], device=device)


# %% [markdown]
# What is measured of a net: accuracy, and VII and its like with two gradients. Those of the cross-entropy and of the log odds have the same sign in exact arithmetic; float32
# rounds the former for images of which the net is sure ({ref}`NM-G <nm-g>`). All figures use the log odds.

# %%
EXACT, FLOAT32 = metrics.GRADIENTS
OWN, SAME, ANOTHER = "own", "own − same class", "own − another class"
PHASES, OTHERS = "random phases", "another class"


def measured(of, nets: dict) -> pd.DataFrame:
    accuracy = experiment.measure(metrics.clean_accuracy, nets, of.images, **how)
    scores = experiment.measure(metrics.own_image, nets, of.images, count=sign_images, **how)
    return pd.concat([accuracy, scores], ignore_index=True)


def of_scores(scores: pd.DataFrame, against: str = "own", quantity: str = "vii") -> pd.DataFrame:
    return experiment.where(scores, quantity=quantity, against=against, gradient=EXACT)


def accuracy_of(scores: pd.DataFrame) -> pd.DataFrame:
    return experiment.where(scores, quantity="clean_accuracy")


PANELS = {"VII": (OWN, "vii"), f"VII, {ANOTHER}": (ANOTHER, "vii")}
PANELS |= {"focus": (OWN, "focus"), f"focus, {ANOTHER}": (ANOTHER, "focus")}


def seen(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    made = {title: of_scores(scores, *of) for title, of in PANELS.items()}
    return made | {"accuracy, %": accuracy_of(scores)}


def levels(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {"VII": of_scores(scores, PHASES), "focus": of_scores(scores, OTHERS, "focus")}


GREY = "Grey: in VII the same gradients with random phases, in focus against images of another class."


def record(about: str, scores: pd.DataFrame, of, *labels: str) -> None:
    paper = experiment.where(scores, quantity="vii", against="own")
    run.record_frame(about, accuracy_of(scores), labels, dataset=of.label)
    run.record_frame(about, paper, [*labels, "gradient"], dataset=of.label)


# %%
scores = measured(first, nets)
run.record("data", "test images", len(images.x_test), dataset=images.label)
picked = plots.one_of_each(images.y_test, 4)
x, y = images.x_test[picked], images.y_test[picked]
gradients = {name: metrics.log_odds_gradient(net(name), x, y) for name in FOUR}
vii, _, focus, own_focus, _ = (of.groupby("model")["value"].mean() for of in seen(scores).values())
blind_vii, blind_focus = (of.groupby("model")["value"].mean() for of in levels(scores).values())

# %% tags=["hide-input"]
figures, parts = [], {"signs: what VII sees": "sign", "magnitudes: what the eye sees": "abs"}
for title, part_of in parts.items():
    rows = [("image", list(x[:3])), *((n, list(getattr(g, part_of)()[:3])) for n, g in gradients.items())]
    figures.append(plots.gallery(rows, pixels="first row", cell=1.2))
    figures[-1].axes[0].set_title(title, loc="left")
by_image = [("", [x[i], *(g[i] for g in gradients.values())]) for i in range(3)]
plots.save(plots.gallery(by_image, columns=["", *gradients], pixels="first column"), run.folder / "question")
scored = [(n, vii[n], blind_vii[n], focus[n], blind_focus[n]) for n in gradients]
listed = "; ".join("{} VII {:.3f} ({:.3f}), focus {:.2f} ({:.2f})".format(*of) for of in scored)
caption = f"Test images of {images.label}, one of each of the first classes, none chosen by hand. Left, the signs of the loss's gradient (red: the loss rises with the pixel; blue: it falls); right, its magnitude (white: zero), each map up to its largest value. "
caption += f"{model}, seed {seeds[0]}. Means over {len(seeds)} seed(s), in brackets what a gradient scores that ignores its image (random phases; images of another class): {listed}. Focus: the gradient's mean size where the image is brighter than the mean image, over its mean size."
run.fill("picture", plots.show_all(figures, alt="Images and four nets' gradients, panel", finding=caption))

# %% [markdown]
# ## Experiments
#
# (nm-n)=
# ### NM-N: what do maps score that have seen no image? (ours)
#
# The paper gives no level to compare VII with. Independent random signs score $\sqrt{2/(\pi N)}$, but gradients are smoother, so that is too low a bar. **The level of this page** are each net's own
# gradients with the phases of their Fourier transforms drawn at random: as smooth as they were, no image in them, a new map for each image. They stand beside the nets in {ref}`NM-S <nm-s>`.

# %%
sources.of(metrics.random_phases)

# %% [markdown]
# **Smooth maps** of a fixed smoothness: Gaussian values on a coarse grid, bilinear to full size, the same in all channels. Most are smoother than gradients. Each is scored on all test images, so the
# spread below is that of a net that shows *every* image the same map; with a new map for each image the mean is the same and hardly varies.
# On 1,000 test images of CIFAR-10 (as JPEG 75): .090 on the 8×8 grid (95 % of the maps .058 to .142), .052 on 16×16; the paper's best net there scores .069. On MNIST: .104 (.042 to .254), .057.

# %%
looked_at = {name: data.load(name, device=device) for name in null_datasets}
looked_at = {of.label: of for of in [*looked_at.values(), *(of.images for of in sets)]}
blind = {label: metrics.blind_levels(of, grids=grids, count=sign_images) for label, of in looked_at.items()}

# %%
rows = []
for label, of in looked_at.items():
    chance = {"independent signs": [metrics.vii_chance(of.x_test[0].numel())]}
    for name, values in (chance | blind[label]).items():
        run.record("NM-N", "vii", values, dataset=label, map=name)
        rows += [{"maps": name, "images": label, "value": v} for v in values]
caption = f"<b>NM-N</b>: VII, mean ± sd over 200 maps, each shown for all of at most {sign_images} test images; for 8×8 images a quarter of the grid."
in_vii = {"best": False, "digits": 3}
show.measured(pd.DataFrame(rows), rows="maps", columns="images", **in_vii, caption=caption)

# %% [markdown]
# **Does “own − another” tell them apart?** Planted maps whose answer is known: smooth maps, a new one for each image; the class's mean image less the mean of all; and the image itself under noise.

# %%
known = metrics.planted_scores(images, grid=min(grids), count=sign_images)
known = experiment.where(pd.DataFrame(known), quantity="vii")
run.record_frame("NM-N", known, ["knows", "against"], dataset=images.label)
caption = "<b>Planted maps</b>, by what they know: VII, mean ± sd over 5 draws."
kept = known[known["against"].isin((OWN, SAME, ANOTHER))]
show.measured(kept, rows="knows", columns="against", **in_vii, caption=caption)

# %% [markdown]
# (nm-s)=
# ### NM-S: signs, magnitudes, and which noise (ours)
#
# What gradients score against their own image, its class, and other classes, by training.

# %%
about = {"model": model, "dataset": images.label}
finding = f"{images.label}, {model}: mean of each training, 95 % t-interval, {len(seeds)} seed(s). {GREY} Intervals of two trainings may overlap where their difference, paired by seed, is clear: nets of a seed share their start and the order of the images."
figures = plots.dots_each(seen(scores), ORDER, COLOUR.get, levels(scores))
plots.show_all(figures, alt="By kind of training: panel", finding=finding)


# %%
def in_numbers(found: pd.DataFrame, rows: str, caption: str) -> plots.Shown:
    columns = [of_scores(found, place) for place in (OWN, PHASES, SAME, ANOTHER)]
    caption = f"{caption}: VII by what the gradient is held against; mean ± sd over {found['seed'].nunique()} seed(s)."
    return show.measured(pd.concat(columns), rows=rows, columns="against", **in_vii, caption=caption)


in_numbers(scores, "model", f"<b>NM-S</b>, {images.label}, {model}")

# %% [markdown]
# **A conjecture on the magnitude**, not tested here: to second order, noise in the input adds $\tfrac12 \sum_n \operatorname{var}(x'_n)\,\partial^2 \mathcal L/\partial x_n^2$ to the loss, and modulation's
# variance is $\operatorname{sd}(m)^2 (x_n - \mu)^2$. If that were all, a net would become insensitive where the image is far from its mean. The focus of {ref}`NM-F3's nets <nm-f3>` need not agree.
#
# (nm-g)=
# ### NM-G: the paper's gradient and the exact one
#
# When a net is sure, float32 rounds $p_y$ to 1: the cross-entropy's gradient loses a term or vanishes, and its sign is another function's.

# %%
both = experiment.where(scores, quantity="vii", against="own")
gain = {}
for g in metrics.GRADIENTS:
    of = experiment.where(both, gradient=g)
    gain[g] = experiment.difference(of, "NM", "standard")
    run.record("NM-G", "gain", list(experiment.by_seed(of, "NM", "standard")), **about, of=g)
gained = " and ".join(f"{of:.3f} with the {g}" for g, of in gain.items())
zero = experiment.where(scores, quantity="zero gradient", gradient=FLOAT32).groupby("model", sort=False)
dead = ", ".join(f"{name} {value:.0f} %" for name, value in zero["value"].mean().items())
caption = f"<b>NM-G</b>: VII by the gradient whose signs are taken. NM's gain: {gained}. Images whose float32 gradient is zero: {dead}."
show.measured(both, columns="gradient", **in_vii, caption=caption)


# %% [markdown]
# (nm-f3)=
# ### NM-F3: accuracy against VII, net by net

# %%
def by_model(of) -> pd.DataFrame:
    inputs = {name: how for name, how in trainings(of).items() if name != "AT"}
    pairs = [(name, how) for name in dict.fromkeys([*of.models, of.model]) for how in inputs]
    some = trained(of, lambda seed: {(n, t): recipe(of, n, seed, inputs[t]) for n, t in pairs})
    found = measured(of, some)
    found[["model", "training"]] = found["model"].tolist()
    return found.assign(net=found["model"] + ", " + found["training"])


def record_nets(of, found: pd.DataFrame) -> None:
    record("NM-F3", found, of, "model", "training")
    exact = experiment.where(found, gradient=EXACT).drop(columns="gradient")
    run.record_frame("NM-S", exact, ["model", "training", "against"], dataset=of.label)


by_net = {of.label: by_model(of) for of in sets}
record_nets(first, experiment.where(scores, model="AT").assign(training="AT", model=model))
for of in reversed(sets):
    record_nets(of, by_net[of.label])
    one = blind[of.label]["one sign everywhere"] * len(of.seeds)
    run.record("NM-F3", "vii", one, level="one sign everywhere", dataset=of.label)


# %%
def drawn_nets(label: str, found: pd.DataFrame) -> plots.Shown:
    found = found[found["training"].isin(("standard", "NM"))]
    mean = {title: of.groupby("net")["value"].mean() for title, of in seen(found).items()}
    panels, accuracy = ("VII", f"VII, {ANOTHER}"), mean["accuracy, %"].rename("accuracy, %")
    points = [pd.DataFrame({accuracy.name: accuracy, title: mean[title]}) for title in panels]
    figures = [plots.named_points(of, lambda n: COLOUR[n.split(", ")[1]], size=(4.8, 3.4)) for of in points]
    level = levels(found)["VII"].groupby("net")["value"].mean()
    figures[0].axes[0].plot(accuracy, level, "x", color=plots.LEVEL)
    told = f"{label}, β = {beta:g}, {carrier}, means over {found['seed'].nunique()} seed(s). Grey: the same gradients with random phases."
    return plots.show_all(figures, alt="VII against accuracy, net by net: panel", finding=told)


display(*(drawn_nets(label, found) for label, found in by_net.items()))

# %%
for label, found in by_net.items():
    display(in_numbers(found, "net", f"<b>NM-F3</b>, {label} (the paper prints no numbers)"))
    rest = pd.concat([of.assign(what=title) for title, of in list(seen(found).items())[2:]])
    told = {"best": False, "digits": 2, "caption": "<b>Focus and accuracy</b> of the same nets."}
    display(show.measured(rest, rows="net", columns="what", **told))

# %%
gallery = [("image", list(x)), *((name, list(g)) for name, g in gradients.items())]
told = f"<b>NM-F1</b>, {images.label}, {model}, seed {seeds[0]}: the loss's gradient; each map ± its largest value."
figure = plots.gallery(gallery, pixels="first row", cell=1.1)
plots.show(figure, alt="Images and their loss gradients by training.", finding=told, width="34rem")


# %% [markdown]
# (nm-f4)=
# ### NM-F4: from standard training to pure noise
#
# The paper sweeps β for its ResNet-18 on CIFAR-10, one seed.
#
# ```{predict} nm-guess-beta
# :rule: {trend: {of: {experiment: NM-F4, quantity: vii, gradient: log odds, model: {first: 1}, dataset: {first: 1}}, along: beta, direction: rising}}
#
# At β = 0 the image is multiplied by noise alone, at β = 1 it is left as it is. How does VII change as β goes from 0 to 1?
#
# - it rises
# - it falls
# - no clear change
# ```

# %%
def by_beta(of) -> pd.DataFrame:
    levels = sorted({*of.betas, 0.5, beta, 1.0})
    some = trained(of, lambda s: {b: recipe(of, of.model, s, modulated(of, beta=b)) for b in levels})
    found = measured(of, some).rename(columns={"model": "beta"}).assign(model=of.model)
    record("NM-F4", found, of, "model", "beta")
    for q, frame in {"clean_accuracy": accuracy_of(found), "vii": of_scores(found)}.items():
        labels = {"of": q, "model": of.model, "dataset": of.label}
        for place, values in experiment.flattening(frame, "beta", 0.5).items():
            run.record("NM-F4", "plateau", values, where=place, **labels)
    return found


by_betas = {of.label: by_beta(of) for of in sets}


# %%
def drawn_betas(label: str, found: pd.DataFrame) -> plots.Shown:
    noise = [{"beta": b, "value": transforms.modulation_sd(carrier, b)} for b in found["beta"].unique()]
    curves = seen(found) | {"sd of the multiplier m": pd.DataFrame(noise)}
    figures = plots.curves_each(curves, "beta", COLOUR["NM"], levels(found))
    told = f"<b>{label}</b>, {carrier}, {found['seed'].nunique()} seed(s); bands: 95 % t-intervals. {GREY}"
    return plots.show_all(figures, alt="Against beta: panel", finding=told)


display(*(drawn_betas(label, found) for label, found in by_betas.items()))


# %% [markdown]
# (nm-f5)=
# ### NM-F5: which carrier?
#
# If only the size of the multiplication mattered, the carriers would be ordered by sd(m): at β = 0.5 Uniform (.37) would cost least, then Rayleigh (.59). The paper reports that Rayleigh costs least and Laplace most.
# Gamma(1, 1) *is* Exponential(1) (NM-E1): a difference between these two is noise.

# %%
def by_carrier(of) -> pd.DataFrame:
    noises = {c: modulated(of, carrier=c) for c in dict.fromkeys([carrier, *of.carriers])}
    recipes = {"none": None} | noises
    some = trained(of, lambda s: {c: recipe(of, of.model, s, i) for c, i in recipes.items()})
    found = measured(of, some)
    size = {c: round(transforms.modulation_sd(c, beta), 4) for c in noises}
    named = found.assign(carrier=found["model"], model=of.model, sd_of_m=found["model"].map(size))
    record("NM-F5", named, of, "model", "carrier")
    record("NM-C7", named.dropna(subset="sd_of_m"), of, "model", "carrier", "sd_of_m")
    return found


by_carriers = {of.label: by_carrier(of) for of in sets}


def twins(label: str, of: pd.DataFrame) -> str:
    if not {"gamma", "exponential"} <= set(of["model"]):
        return "Gamma and Exponential were not both run."
    apart = list(experiment.by_seed(of, "gamma", "exponential"))
    run.record("NM-E1", "vii", apart, dataset=label, of="gamma − exponential")
    noise = f"{experiment.resolution(of):.3f}" if of["seed"].nunique() > 1 else "not known from one seed"
    return f"Gamma − Exponential: {experiment.difference(of, 'gamma', 'exponential'):.3f} in VII; noise, by the spread of all carriers: {noise}."


# %%
def drawn_carriers(label: str, found: pd.DataFrame) -> plots.Shown:
    noise = {c: transforms.modulation_sd(c, beta) for c in found["model"].unique() if c != "none"}
    order = ["none", *sorted(noise, key=noise.get)]
    tint = dict.fromkeys(noise, COLOUR["NM"]) | {"none": COLOUR["standard"]}
    listed = ", ".join(f"{c} {noise[c]:.2f}" for c in order[1:])
    told = f"<b>{label}</b>, from top to bottom by sd(m): {listed}. {twins(label, of_scores(found))} {GREY}"
    figures = plots.dots_each(seen(found), order, tint.get, levels(found))
    return plots.show_all(figures, alt="By carrier: panel", finding=told)


display(*(drawn_carriers(label, found) for label, found in by_carriers.items()))

# %% [markdown]
# (nm-r)=
# ### NM-R: the same nets under attack (ours)
#
# ```{predict} nm-guess-robust
# :where: {experiment: NM-R, quantity: robust_accuracy, attack: {first: 1}, model: {first: 1}}
# :largest: [{training: NM}, {training: additive noise}, {training: standard}]
# :unit: "%"
#
# None of these three trainings has seen an attack. Whose nets get most images right under one?
#
# - noise modulation
# - additive noise of the same power
# - standard training
# - no clear winner
# ```
#
# The paper makes no claim on robustness. Its premise is that readable gradients and robustness come together; do VII and robustness? Strong protocol
# ({doc}`cross-entropy and margin loss, worst case per image <interpretation_regularization>`).

# %%
few = images.subset(n_test=min(attack_images, len(images.x_test)))
budget = {"steps": steps, "step_size": None, "restarts": 1, "strong_restarts": restarts, "norm": "linf"}
budget |= {"seed": lambda recipe: recipe.seed, **how}
radii = sorted({*attack_eps, eps})
attacked = [experiment.measure(metrics.robust_accuracy, of_four, few, eps=e, **budget) for e in radii]
robust = experiment.where(pd.concat(attacked), protocol="strong").assign(quantity="robust_accuracy")
named = robust.rename(columns={"model": "training"})
run.record_frame("NM-R", named, ["training", "attack", "protocol"], **about)
LINF = f"linf {eps:g}"
caption = f"<b>NM-R</b>, per cent, mean ± sd over {len(seeds)} seed(s); {model}, PGD-{steps}, {len(few.x_test)} test images attacked. AT: {LINF}, PGD-{at_steps}."
clean = accuracy_of(scores).assign(attack="clean")
show.measured(pd.concat([clean[clean["model"].isin(FOUR)], robust]), caption=caption)


# %%
def checked(name: str):
    ball = {"norm": "linf", "eps": eps, "steps": steps, "grid_points": checked_images // 2}
    about = {"baseline": None if name == "standard" else net("standard"), "recipe": nets[name, seeds[0]]}
    report = checks.fast(net(name), images.x_test, images.y_test, **ball, **about, limit=checked_images)
    untrained = ["R9", "R10", "R11", "R12", "R22"] if run.profile == "smoke" else []
    return run.check(name, report, expected=untrained)


caption = f"<b>Evaluation checks</b> at {LINF}, seed {seeds[0]}, {checked_images} test images. Open a cell for what each says."
badges.table([checked(name) for name in FOUR], caption=caption)

# %% [markdown]
# ### NM-F2: what modulation does to an image
#
# White noise lies on all frequencies alike, an image mostly on the low ones. So a linear filter can take part of it away: the Wiener filter, fitted on training images, is the best one that treats all positions alike.

# %%
stages = metrics.demodulation(images, carrier=carrier, beta=beta, centre=first.centre)
clean = stages["image x"]
alike = {n: metrics.image_correlation(stages[n], clean) for n in ("demodulated m·x", "filtered")}
for name, value in alike.items():
    run.record("NM-F2", "correlation", value, n=len(clean), dataset=images.label, of=name)
told = (
    f"{carrier}, β = {beta:g}. Left, an image around its mean; right, log amplitudes by frequency, mean of {len(clean)} images, zero in the middle. Demodulated images "
    f"correlate with the originals by {alike['demodulated m·x']:.2f}, after the Wiener filter by {alike['filtered']:.2f}."
)
plots.show(playground.stages(stages), alt="Stages of modulation, and their spectra.", finding=told)

# %% [markdown]
# ### NM-F6: eighty gradients

# %%
eighty = images.x_test[:80], images.y_test[:80]
maps = metrics.log_odds_gradient(net("NM"), *eighty)
figures = [plots.mosaic(eighty[0], 10, signed=False), plots.mosaic(maps, 10, signed=True)]
told = f"The first {len(maps)} test images and their gradients in the noise-modulated {model} (seed {seeds[0]}): none selected. Each map ± its largest value."
plots.show_all(figures, alt="Test images, and their gradients in the same places: panel", finding=told)


# %% [markdown]
# (nm-explore)=
# ### Turn β and the carrier yourself
#
# Nets of the first seed. The modulated copy is clipped to [0, 1] to be shown.

# %%
def frames(found: pd.DataFrame, key: str, inputs_of) -> dict:
    made = {}
    for level, rows in experiment.where(found, seed=seeds[0]).groupby(key, sort=False):
        inputs = inputs_of(level)
        of = store.get(recipe(first, model, seeds[0], inputs), device=device)
        texts = {name: f"{value['value'].item():.3g}" for name, value in seen(rows).items()}
        for i in range(len(x)):
            pictures = playground.seen_in_training(of, x[i:], y[i:], inputs)
            made[level, images.classes[int(y[i])]] = pictures, texts
    return made


# %%
told = f"<b>β</b>, {carrier}; {model}. Red: the loss rises with the pixel; white in the signs: exactly 0."
made = frames(by_betas[images.label], "beta", lambda b: modulated(first, beta=b))
display(explorer.over(("β", "image"), made, caption=told))
noises = {"none": None} | {c: modulated(first, carrier=c) for c in transforms.CARRIERS}
made = frames(by_carriers[images.label], "model", noises.get)
explorer.over(("carrier", "image"), made, caption=f"<b>The carrier</b>, β = {beta:g}, the same.")

# %% [markdown]
# (nm-c8)=
# ### NM-C8: what a training costs
#
# At least 20 steps of each training are timed, the trainings in turns, after a turn to warm up.

# %%
timed = {key: of for key, of in of_four.items() if key[0] != "additive noise"}
cost = experiment.relative_cost(timed, images, base="standard", turns=1 + -(-10 // len(seeds)))
twice = (experiment.where(cost, model="standard, again")["value"] - 1).abs().max()
steady = twice < 0.1  # else nothing is said of a tenth
cost = cost.assign(quantity="relative_cost" if steady else "relative_cost, machine not steady")
run.record_frame("NM-C8", cost.rename(columns={"model": "training"}), ["training"], **about)
run.record("NM-C8", "relative_cost", [(at_steps + 1) / 2] * len(seeds), training="(T + 1) / 2", **about)
caption = f"<b>NM-C8</b>: time of a step, {model}, batches of {batch_size}, median over turns. An attack of T = {at_steps} steps needs T more forward and backward passes. "
caption += f"Timed again, a standard net differs by up to {100 * twice:.0f} %: {'less' if steady else 'not less'} than the tenth that the claim allows."
show.measured(cost.assign(what="of standard"), columns="what", best=False, digits=2, caption=caption)


# %% [markdown]
# (nm-d)=
# ### NM-D: what the paper leaves open
#
# There is no official code. Each line changes one choice that the paper does not state.

# %%
def choices(seed: int) -> dict[str, Recipe]:
    made = {
        "as in this chapter": modulated(first),
        "modulated before normalisation": modulated(first, order="before"),
        "one fixed noisy copy of each image": modulated(first, fixed_seed=0),
        "one carrier for all channels": modulated(first, shared=True),
    }
    recipes = {name: recipe(first, model, seed, inputs) for name, inputs in made.items()}
    plain = modulated(first, order="unnormalised")
    return recipes | {"no normalisation": recipe(first, model, seed, plain, order="unnormalised")}


if variants:
    found = measured(first, trained(first, choices)).rename(columns={"model": "choice"})
    record("NM-D", found.assign(model=model), first, "model", "choice")
    display(in_numbers(found, "choice", f"<b>NM-D</b>, {images.label}, {model}"))
else:
    print("NM-D was not run: variants=false in this profile.")

# %% [markdown]
# (nm-id)=
# ### NM-ID: the algebra, executed

# %% tags=["hide-output"]
identities = metrics.modulation_identities(images, carrier=carrier, beta=beta)
few = images.subset(n_train=min(len(images.x_train), 4 * batch_size))
constant = part("noise_modulation", beta=1.0, centre=first.centre)
gap = experiment.weight_gap(*(recipe(first, model, seeds[0], i) for i in (None, constant)), few)
at_one = {"identity": f"β = 1, {model}", "compares": "largest difference of a weight"}
identities.append(at_one | {"value": gap, "expected": 0.0})
for row in identities:
    run.record("NM-ID", row["identity"], row["value"], n=1, expected=row["expected"])
caption = "<b>NM-ID</b>: value should equal expected. β = 1 against standard training, from the same seed."
show.listed(pd.DataFrame(identities), ["identity", "compares", "value", "expected"], caption=caption)

# %% [markdown]
# ## Paper, this run, recorded run
#
# The paper's only numbers are those of its figure 4, read off the authors' figure file (error about .0005): CIFAR-10, ResNet-18, one seed.

# %%
for quantity, title, places in (("clean_accuracy", "accuracy, %", 1), ("vii", "VII", 4)):
    caption = f"<b>NM-F4</b>, {title}, means over seeds."
    table = {"gradient": EXACT, "digits": places, "caption": caption}
    display(show.along(run, "NM-F4", quantity, "beta", **table))

# %% [markdown]
# ## Verdicts on the paper's claims
#
# The rules are data, `book/claims/nm.yaml`. The paper's claims are decided on VII as printed, with the exact gradient; ours on own − another, and on gradients with random phases. What was
# changed or written after trials on held-out training images says so.

# %%
told = f"{images.label}, {len(seeds)} seed(s). Accuracies in points."
display(*verdicts.table(run.notebook, run.rows, told))


# %% tags=["hide-input"]
def added(quantity: str, place: str, training: str, digits: int = 3) -> str:
    of = of_scores(by_net[images.label], place, quantity)
    return experiment.changes(of, training, "standard", digits)


hit = experiment.where(robust, attack=LINF)
forced = {name: experiment.difference(hit, name, "standard") for name in FOUR[1:]}
by_noise = "; ".join(f"{name} {added('vii', SAME, name)}" for name in ORDER[1:-1])
absent = {"a second set of images": second, "what the paper leaves open": variants}
missing = " and ".join(name for name, there in absent.items() if not there)
show.found(
    run,
    [
        f"<b>VII has no natural zero.</b> In the {model} noise modulation takes it from {vii['standard']:.3f} to {vii['NM']:.3f}. The same gradients with random phases, as smooth and without an image, score {blind_vii['standard']:.3f} and {blind_vii['NM']:.3f} ({show.link('nm-s')}); one sign everywhere {one[0]:.3f} ({show.link('nm-n', 'table')}).",
        f"<b>Is it about the image, and which property of the noise does it?</b> Change of VII, own image − others of its class: {by_noise} ({show.link('nm-f3', 'tables')}; what each noise gives up: {show.link('nm-nets', 'the nets')}).",
        f"<b>Signs and magnitudes.</b> On pixels brighter than the mean image the {model}'s gradient is {focus['standard']:.2f} times its mean in standard nets; {own_focus['standard']:.2f} of that is more than on images of another class. After noise modulation {focus['NM']:.2f} and {own_focus['NM']:.2f}, after adversarial training {focus['AT']:.2f} and {own_focus['AT']:.2f}. Change of this difference by noise modulation: {added('focus', ANOTHER, 'NM', 2)} ({show.link('nm-s')}).",
        f"<b>Robustness.</b> Under {LINF}, noise modulation changes the {model}'s accuracy by {forced['NM']} points, additive noise by {forced['additive noise']}, adversarial training by {forced['AT']} ({show.link('nm-r', 'table')}).",
        f"<b>The gradient used</b>: noise modulation's gain in the {model}'s VII is {gained} ({show.link('nm-g', 'table')}).",
        f"Not run here: {missing or 'nothing'}. {images.label}, {counts}; changes are against standard training, paired by seed, ± their 95 % t-intervals over seeds.",
    ],
)

# %% [markdown]
# ## What differs from the paper, and what the paper left out
#
# Setting by setting. Where one is a parameter of this chapter, its values in the profiles stand below it. The same for all chapters: {doc}`../book/fidelity`.

# %% tags=["hide-output"]
fidelity.table("noise_modulation")


# %% [markdown]
# **Errata used on this page.** NM-E1 (Gamma(1, 1) is Exponential(1)): {ref}`NM-F5 <nm-f5>`. NM-E2: the plateau begins at β < 0.6 in a caption, at 0.5 in the text. NM-E3 (the absolute value before the mean): {ref}`NM-N <nm-n>`. NM-E4 (from gradient
# to noise by analogy). NM-E5: PGD iterations are called epochs. NM-E6 (one model, one seed): intervals everywhere. NM-E7: eq. 8 is one-dimensional; only its zero frequency is used. NM-E8: δ is three things.
#
# ## Exercises
#
# ```{exercise} The plateau
# :label: nm-ex-plateau
# For which β is eq. {eq}`nm-sd` largest, and how flat is it there? Why does the multiplier not grow without bound as the constant goes to zero?
# ```
#
# ```{solution} nm-ex-plateau
# :class: dropdown
# With $r = \beta/s$ and $u = 1/(1+r^2) \in (0, 1]$, $\operatorname{sd}(m)^2 = 4u - 2u^2$, which increases up to $u = 1$: the maximum is $2$, at $\beta = 0$, with a vanishing derivative, and $u - 1$ is itself quadratic in β. So sd(m) falls only like
# the fourth power of β: 1.414 at 0.1, 1.412 at 0.2, 1.397 at 0.3. Demodulation divides by the mean of $c^2$: making the noise larger makes nothing larger.
# ```
#
# ```{exercise} The best blind guess
# :label: nm-ex-blind
# A map knows nothing of the image, but may have any sign at each pixel. Which one has nearly the largest VII on a data set?
# ```
#
# ```{solution} nm-ex-blind
# :class: dropdown
# Without the absolute value the sum is linear in $g$, so $g_n$ takes the sign of the mean of $d_n$ over the data set: minus where most images are darker than their mean, plus where most are brighter. With the absolute value this is nearly the best. It beats one sign everywhere as soon as some
# pixel is bright in more than half of the images. `metrics.sign_cosine(map, x, mean=...)` scores any map.
# ```
#
# ```{exercise} A level for your net
# :label: nm-ex-null
# Why is *own − another* a better level than random maps of some smoothness, and what would a gradient have to look like to have a large VII and nothing left of it?
# ```
#
# ```{solution} nm-ex-null
# :class: dropdown
# It needs no choice of a grid: the net's own gradients, with their own smoothness and bias of sign, are held against images that they do not belong to. A gradient of one sign, or any fixed map, has a VII and nothing left.
# ```
#
# ## Play with it
#
# Choose a carrier, β and an image, and see its modulated copy, the spectrum, and the gradient of a net trained so. A net for a new choice is trained when it is asked for, in seconds, and kept.

# %%
def play(carrier: str = carrier, beta: float = beta, image: int = 0) -> plots.Shown:
    chosen = store.get(recipe(first, model, seeds[0], modulated(first, carrier, beta)), device=device)
    fig = playground.modulation(chosen, images, image, carrier=carrier, beta=beta, centre=first.centre)
    alt = f"Image {image}, modulated by {carrier} noise, its spectrum; the loss's gradient, signs, magnitude."
    return plots.show(fig, alt=alt, width="34rem")


choices_of = {"carrier": list(transforms.CARRIERS), "beta": (0.0, 1.0, 0.1)}
playground.controls(play, live=run.profile is None, image=(0, len(images.y_test) - 1), **choices_of)

# %% [markdown]
# ## Rerun it
#
# ```sh
# companion run noise_modulation -p beta=0.8                # another fraction: only nets that depend on it are trained
# companion run noise_modulation -p model=mlp -p seeds=0    # another net for the sweeps
# companion run noise_modulation --profile gpu              # MNIST, and the paper's figures 3 to 5 on CIFAR-10
# papermill notebooks/noise_modulation.ipynb out.ipynb -f notebooks/profiles/quick/noise_modulation.yaml -p beta 0.8
# ```

# %%
show.costs(run)

# %%
run.provenance_strip()
