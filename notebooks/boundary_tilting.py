# %% [markdown]
# # Boundary tilting
#
# *B. Kim, J. Seo and T. Jeon, “Bridging Adversarial Robustness and Gradient Interpretability”* {cite:p}`kim2019`, section 2.
#
# Gradients of adversarially trained networks look like images; those of standard networks look like noise. The paper's explanation is geometric. A standard
# network separates the classes by a boundary that is **tilted along directions in which the data hardly vary** (Tanay and Griffin {cite:p}`tanay2016`), so the shortest way across it leaves the data. Adversarial
# training, so the conjecture, takes the tilt out: attacks, and with them gradients, then point from one class to the other.
#
# In the plane all of this can be drawn. On images it is measured: how far do attacks lie from the *manifold* of images? This page asks both questions, and what the manifold is worth.

# %% tags=["parameters", "hide-input"]
# Every name here can be changed: companion run boundary_tilting -p NAME=VALUE
# fmt: off
n_train: int = 0  # in [0, 6000]: training points of both classes together, 0 for all 6,000
seeds: list[int] = [0, 1, 2, 3, 4]  # in [0, inf): points and nets of their own for each
width: int = 128  # in [1, inf): hidden units
epochs: int = 10  # in [1, inf): passes over the training points
batch_size: int = 100  # in [1, inf): points in a training step
lr: float = 0.001  # in (0, inf): learning rate of Adam, constant
weak: float = 0.125  # in (0, 0.25]: l2 radius of the weak adversary, coordinates in [0, 1]; the paper's 0.25
strong: float = 0.25  # in (0, 0.25]: of the strong adversary; the paper's 0.5
at_steps: int = 3  # in [1, inf): PGD steps in adversarial training; the paper's 40
radii: list[float] = [0, 0.015, 0.03, 0.06, 0.1, 0.125, 0.175, 0.25]  # in [0, 0.25]: training radii of the explorer
attack_eps: float = 0.5  # in (0, 1]: l2 radius of the attacks shown and measured; the paper's 1
attack_steps: int = 40  # in [1, inf): their PGD steps
step_size: float = 1.0  # in (0, inf): step of every attack; the paper's 2
shown_points: int = 60  # in [1, 500]: points of a class drawn
dataset: str = "mnist_small"  # one of mnist_small, digits, mnist, fashion_mnist, cifar10, folder:PATH: images
images_n_train: int = 1000  # in [0, inf): training images used, 0 for all
images_n_test: int = 250  # in [0, inf): test images attacked, 0 for all
of_paper: bool = False  # the paper's nets, radii and VAE-GAN for these images, in place of the next nine
classifier: str = "compact_cnn"  # one of compact_cnn, digits_cnn, br_mnist_cnn, br_cifar_cnn: the attacked nets
image_epochs: int = 6  # in [1, inf): passes over the training images
l2_radii: list[float] = [0.5, 1.0, 2.0]  # in (0, inf): three l2 radii of adversarial training, pixels in [0, 1]
linf_radii: list[float] = [0.025, 0.05, 0.1]  # in (0, 1]: three linf radii
image_eps: float = 6.0  # in (0, inf): l2 radius of the attacks measured
gan: str = "larsen"  # one of larsen, miyato: design of the VAE-GAN
latent: int = 10  # in [1, inf): its latent dimension, and the number of principal components
gan_weight: float = 1.0  # in (0, inf): weight of its reconstruction loss in the decoder
gan_epochs: list[int] = [8]  # in [1, inf): passes over its images, tried in this order until its error is at most PCA's
image_seeds: list[int] = [0, 1, 2]  # in [0, inf): one set of nets each; the paper has one
image_lr: float = 0.003  # in (0, inf): learning rate of Adam; the paper's 0.001
image_at_steps: int = 2  # in [1, inf): PGD steps in adversarial training; the paper's 40
l2_step: float = 1.0  # in (0, inf): their length, l2; the paper's 2
linf_step: float = 0.05  # in (0, inf): their length, linf; the paper's 0.02
objectives: list[str] = ["CE"]  # one of CE, CW: what the adversary maximises in training; the paper's both
image_attack_steps: int = 15  # in [1, inf): PGD steps of the attacks measured; the paper's 40
gan_width: int = 8  # in [1, inf): width of the VAE-GAN; the paper's 64
gan_batch: int = 50  # in [1, inf): images in its training step; the paper's 100
gan_lr: float = 0.004  # in (0, inf): its rate of Adam; the paper's 0.0005, and 0.0002 for CIFAR-10
searched_images: int = 40  # in [1, inf): images whose nearest point of the VAE-GAN's manifold is searched
checked_images: int = 60  # in [1, inf): test images on which the nets' evaluation is checked
device: str = "auto"  # one of auto, cpu, cuda: where to compute
# fmt: on

# %%
from companion.publishing.running import chapter

run = chapter.begin(globals(), notebook="boundary_tilting")

# %%
import numpy as np
import pandas as pd
import torch
from IPython.display import display

from companion import attacks, checks, data, experiment, metrics, plane, playground, plots, saliency, store
from companion.publishing.claims import ledger, verdicts
from companion.publishing.explorers import explorer
from companion.publishing.pages import badges, fidelity, show, sources
from companion.training import Recipe, part

device = experiment.choose_device(device)
sizes = {"n_train": images_n_train or None, "n_test": images_n_test or None}
images = data.load(dataset, device=device, **sizes)
toy = f"the toy: {len(seeds)} seed(s)"
counts = f"{len(images.x_train)} training and {len(images.x_test)} test images, {len(image_seeds)} seed(s)"
on = "the CPU" if device == "cpu" else device
show.opening(run, f"{toy}; {images.label}: {counts}", on)
how = {"device": device, "report": run.status}

# %% [markdown]
# ## The question in one picture
#
# ```{predict} br-guess-tilt
# :value: {experiment: BR-F3b, quantity: displacement_angle, adversary: standard}
# :range: [0, 90]
# :step: 1
# :unit: "°"
#
# Two clouds of points in the plane, and a net that tells them apart, trained without any defence. If its boundary were not tilted, attacks would push a point straight towards the other cloud. By how many degrees do they miss that direction?
# ```

# %% tags=["remove-input"]
run.later("picture")
run.later("found")

# %% [markdown]
# ## The idea, equation by equation
#
# **The data.** Two classes, each a Gaussian, with one covariance that is flat in one direction:
#
# $$
# \begin{aligned}
# x \mid y &\sim \mathcal N(\mu_y, \Sigma), \qquad \mu_{1,2} = \pm\begin{pmatrix} 1.2 \\ 0.1 \end{pmatrix}, \\
# \Sigma &= \begin{pmatrix} 0.1 & -0.01 \\ -0.01 & 0.002 \end{pmatrix},
# \end{aligned}
# $$ (br-gaussians)
#
# then one scale for both axes that takes the training points into the unit square. (The paper's square is $[-1, 1]^2$: **all radii on this page are half of the paper's**, 0.125 for its 0.25.) Write $m = \mu_2 - \mu_1$ for the **line of the means**.

# %%
sources.of(data.toys.gaussians)

# %% [markdown]
# **The attack and the training.** Projected gradient ascent on the loss in an l2 ball of radius ε, from the point itself, in steps of constant length η. The paper trains on attacked points only:
#
# $$
# \begin{aligned}
# x_{t+1} &= \Pi_{\varepsilon}\Big(x_t + \eta\, \frac{\nabla_x\mathcal L(x_t, y)}{\lVert\nabla_x\mathcal L(x_t, y)\rVert}\Big), \\
# &\min_\theta\, \mathbb E\,\mathcal L\big(f_\theta(x_T), y\big) .
# \end{aligned}
# $$ (br-pgd)
#
# In the toy η is larger than every ε: after the first step the iterates lie on the ball's surface.

# %%
sources.of(attacks.pgd)

# %% [markdown]
# **The tilt, in three ways.** With attacked copies $x^*$ of the points of class 1, the mean displacement and its angle to the line of the means:
#
# $$
# \bar\delta = \mathbb E\,[x^* - x], \qquad \theta_\delta = \angle(\bar\delta, m) .
# $$ (br-displacement)
#
# Let $p$ be the point of the segment from $\mu_1$ to $\mu_2$ at which the decision changes. The boundary's normal there is the gradient of the difference of the logits:
#
# $$
# n = \frac{\nabla(z_2 - z_1)(p)}{\lVert\nabla(z_2 - z_1)(p)\rVert}, \qquad \theta_n = \angle(n, m) .
# $$ (br-normal)
#
# For a linear classifier every attack moves along $n$, so $\theta_\delta = \theta_n$ unless something is clipped. Last, do attacks land on the other class? Their distance to it, in its standard deviations (its own points have 1.25 on average):
#
# $$
# d_M(x^*) = \sqrt{(x^* - \mu_2)^\top \Sigma^{-1} (x^* - \mu_2)}\,.
# $$ (br-mahalanobis)

# %%
sources.of(metrics.tilt, metrics.boundary_normal, metrics.mahalanobis)

# %% [markdown]
# ### For linear classifiers the conjecture is a theorem
#
# The paper leaves a theoretical justification for future work. For linear classifiers there is a short one (ours).
#
# ```{prf:theorem} Robustness bounds the tilt
# :label: br-thm
# Let $x \mid y \sim \mathcal N(\mu_y, \Sigma)$ with equally likely classes, and let a linear classifier with unit normal $n$ bisect the segment of the means. Under l2 attacks of radius $\varepsilon$ its error is
#
# $$
# \mathrm{err}_\varepsilon(n) = \Phi\left(-\frac{\tfrac12\langle n, m\rangle - \varepsilon}{\sqrt{n^\top\Sigma\, n}}\right).
# $$
#
# Hence it is better than guessing if and only if its tilt $\theta = \angle(n, m)$ satisfies $\cos\theta > 2\varepsilon / \lVert m\rVert$. Without an adversary the best normal is $n \propto \Sigma^{-1} m$; as $\varepsilon \to \tfrac12\lVert m\rVert$ every
# classifier that is better than guessing has $n \to m / \lVert m\rVert$.
# ```
#
# ```{prf:proof}
# On class 2 the score $\langle n, x - \tfrac12(\mu_1 + \mu_2)\rangle$ is normal with mean $\tfrac12\langle n, m\rangle$ and variance $n^\top\Sigma n$, and the worst attack lowers it by exactly $\varepsilon$; class 1 is its mirror image. That is the error. It is below $\tfrac12$ exactly if
# $\langle n, m\rangle = \lVert m\rVert\cos\theta > 2\varepsilon$. For $\varepsilon = 0$ the fraction is $\tfrac12\langle n, m\rangle / \lVert\Sigma^{1/2}n\rVert \le \tfrac12\lVert\Sigma^{-1/2}m\rVert$ by Cauchy-Schwarz, with equality for $n \propto \Sigma^{-1}m$. The last statement is the bound at
# $2\varepsilon = \lVert m\rVert$.
# ```
#
# So without an adversary a flat covariance *invites* tilt. An adversary limits it to a cone around the line of the means,
#
# $$
# \theta \le \arccos\frac{2\varepsilon}{\lVert m\rVert} .
# $$ (br-cone)
#
# The cone is only the limit of what is better than guessing, and wide until ε comes close to half the distance of the means. What a good classifier does is the normal of least error under attack, and that turns much earlier: {ref}`BR-T <br-t>` draws both.

# %%
sources.of(metrics.linear_z, metrics.best_tilt, metrics.largest_tilt)

# %% [markdown]
# ## The toy
#
# For each seed new points and three nets: standard, weak and strong adversary. For the seed whose standard net has the median angle also the radii between.

# %%
ADVERSARIES = {"standard": 0.0, "weak": weak, "strong": strong}
if weak >= strong:
    raise ValueError(f"weak={weak}, strong={strong}; expected the second to be larger")


def adversary(norm: str, eps: float, steps: int, length: float, loss: str = "cross_entropy"):
    ball = {"norm": norm, "eps": eps, "steps": steps, "step_size": length, "loss": loss}
    return part("adversarial", **ball, protocol="br_paper") if eps else None


common = {"model": part("one_hidden", width=width), "optimiser": part("Adam", lr=lr)}
common |= {"schedule": "constant", "epochs": epochs, "batch_size": batch_size}


def drawn_points(seed: int, eps: float, norm: str = "l2", steps: int = at_steps) -> Recipe:
    of = part("gaussians", n_train=n_train or None, split_seed=seed)
    return Recipe(**common, data=of, inputs=adversary(norm, eps, steps, step_size), seed=seed)


# %%
def three(seed: int) -> dict[str, Recipe]:
    return {name: drawn_points(seed, eps) for name, eps in ADVERSARIES.items()}


def between(seed: int) -> dict[float, Recipe]:
    return {eps: drawn_points(seed, eps) for eps in sorted({0.0, *radii, weak, strong})}


toys = experiment.train(three, seeds, announce=run.announce, **how)
attack = {"eps": attack_eps, "steps": attack_steps, "step_size": step_size}
tilts = experiment.measure(metrics.tilt, toys, **attack, **how)
right = experiment.measure(metrics.clean_accuracy, toys, **how)
losses = [(m, s, store.history(of)[-1]["loss"]) for (m, s), of in toys.items()]
lost = pd.DataFrame(losses, columns=["model", "seed", "value"]).assign(quantity="training_loss")
toy_rows = pd.concat([tilts, right, lost], ignore_index=True)
run.record_frame("BR-F3b", toy_rows.rename(columns={"model": "adversary"}), ["adversary"])

# %%
typical = experiment.median_seed(tilts, model="standard", quantity="displacement_angle")
sweep = experiment.train(between, [typical], announce=run.announce, **how)
points = store.images(toys["standard", typical].data, device)

# %% [markdown]
# (br-e1)=
# ### BR-E1: the printed covariance is none
#
# The paper's appendix prints 0.0002 for the variance along the second axis; its code has 0.002. A covariance matrix has no negative eigenvalue, and the package refuses the printed one.

# %%
MATRICES = {"printed": data.toys.PRINTED_COVARIANCE, "used here": data.toys.COVARIANCE}
facts = [{"covariance": name, **metrics.covariance_facts(of)} for name, of in MATRICES.items()]
facts = pd.DataFrame(facts)
run.record_frame("BR-E1", facts.melt("covariance", var_name="quantity"), ["covariance"])
caption = "<b>BR-E1</b>. A variance below 0 in one direction, and a correlation below −1: no distribution has the printed matrix."
show.listed(facts, list(facts), caption=caption)


# %% [markdown]
# (br-f3b)=
# ### BR-F3b: standard, weak and strong adversary
#
# The paper shows one net each and prints no numbers. The picture above shows the seed whose standard net has the median angle; here are all seeds.

# %%
def of_toy(quantity: str) -> pd.DataFrame:
    return experiment.where(toy_rows, quantity=quantity)


ANGLES = {"displacement_angle": "mean displacement", "normal_angle": "boundary's normal"}
falling = {q: experiment.falling_seeds(of_toy(q), list(ADVERSARIES)) for q in ANGLES}
for quantity, count in falling.items():
    run.record("BR-F3b", "ordered seeds", count, n=len(seeds), of=quantity)
falls = ", ".join(f"{falling[q]} of {len(seeds)} ({title})" for q, title in ANGLES.items())
turned = experiment.by_model(of_toy("displacement_angle"))

# %%
SHADE = {"standard": "#666666", "weak": "#56B4E9", "strong": "#0072B2"}
finding = f"<b>BR-F3b</b>. Angles to the line of the means, and distance of attacks to the other class: mean, 95 % t-interval and seeds. Mean displacement: {', '.join(f'{name} {of.mean:.1f}°' for name, of in turned.items())}. The angle falls from standard to weak to strong in this many seeds: {falls}."
panels = {"mahalanobis": "Mahalanobis distance", **ANGLES}
figures = [plots.dots({panels[q]: of_toy(q)}, list(ADVERSARIES), SHADE.get) for q in (*ANGLES, "mahalanobis")]
plots.show_all(figures, alt="Tilt and distance of three nets, panel", finding=finding)

# %%
half, loss = of_toy("half_distance")["value"], experiment.where(lost, model="strong")["value"].mean()
caption = f"<b>BR-F3b in numbers</b>, mean ± sd over {len(seeds)} seed(s); attacks of radius {attack_eps:g} on test points of class 1. The strong adversary is a limiting case: half the distance of the means is {half.min():.3f} to {half.max():.3f}, its radius {strong:g}, and its nets end with a training loss of {loss:.3f} where guessing has {np.log(2):.3f}."
kept = toy_rows[~toy_rows["quantity"].isin(["half_distance", "signed_angle"])]
kept = kept.assign(quantity=kept["quantity"].str.replace("_", " "))
show.measured(kept, rows="quantity", columns="model", digits=2, best=False, caption=caption)

# %% [markdown]
# (br-t)=
# ### BR-T: the tilt against the radius, and what theory expects
#
# {prf:ref}`br-thm` gives two curves with nothing fitted: the cone {eq}`br-cone`, and the normal of the best linear classifier under attack. The nets stand beside them.

# %%
swept = experiment.measure(metrics.tilt, sweep, **attack, **how)
run.record_frame("BR-T", swept.rename(columns={"model": "eps"}), ["eps", "seed"])
first = points.x_train, points.y_train
for of, gap in metrics.theory_gaps(*first).items():
    run.record("BR-T", "gap", gap, of=of)
along = swept.pivot(index="model", columns="quantity", values="value")
theory = pd.DataFrame(metrics.linear_theory(*first, list(along.index))).set_index("eps")
gaps = experiment.tilt_gaps(toys, of_toy("normal_angle"), model="weak", eps=weak, device=device)
gap, at_weak = experiment.difference(gaps, "weak", "optimum"), gaps.groupby("model")["value"].mean()
within = f"At ε = {weak:g} the boundary of the nets is {at_weak['weak']:.1f}° off the line of the means, the best linear classifier under that attack {at_weak['optimum']:.1f}° (difference over {gap.n} seeds {gap:.1f}). "

# %%
weakly = f"at ε = {weak:g} it allows {theory['cone'][weak]:.0f}°; the boundary has {along['normal_angle'][weak]:.1f}°"
finding = f"<b>BR-T</b>, seed {typical}, {len(theory)} nets. Grey: no linear classifier there is better than guessing. The cone: {weakly}. The dashed optimum there: {theory['best'][weak]:.1f}°. All seeds: {within}Without an adversary the optimum is {theory['best'][0.0]:.0f}°, the net's after {epochs} epochs {along['normal_angle'][0.0]:.0f}°."
grid = list(np.linspace(0, 0.999 * half.iloc[0], 60))
curves = pd.DataFrame(metrics.linear_theory(*first, grid)).set_index("eps")
plots.show(plane.theory(curves, along), alt="Tilt against the radius.", finding=finding, width="34rem")

# %% [markdown]
# ## Images
#
# On images nobody can draw the boundary. The paper asks instead whether attacks *leave the data*. With a projection π onto a manifold of images,
#
# $$
# d_\pi(x) = \lVert x - \pi(x)\rVert_2
# $$ (br-dpi)
#
# is the **manifold distance**. The paper's π is a VAE-GAN {cite:p}`larsen2016`, for CIFAR-10 with the decoder and the spectrally normalised discriminator of Miyato et al. {cite:p}`miyato2018`: $\pi(x) = \mathrm{dec}(\mathrm{enc}(x))$. A distance from a manifold is worth what the manifold is worth: a model that misses *test* images misses attacks too, for reasons of its own.
# So here the same attacks are judged by three projections: as many **principal components** of the training images as the VAE-GAN has latent dimensions, the **nearest training image**, and the **VAE-GAN**. And beside each attack stand steps of the same length from the same image, which say what a step without a net does: a **random step**; a **scaled random step**, as wide in every pixel as the training images are (plain noise also changes pixels that no image uses); and a step towards a training image of **another class**.

# %%
sources.of(metrics.off_manifold, metrics.random_step, metrics.step_towards, metrics.projection)

# %% [markdown]
# The nets, and the VAE-GAN. It is trained for the first number of epochs in the list at which its error on held-out training images is at most that of PCA, else for the last.

# %%
ours = {"l2": l2_radii, "linf": linf_radii, "epochs": image_epochs, "model": classifier}
ours |= {"design": gan, "latent": latent, "weight": gan_weight, "passes": gan_epochs}
ours |= {"updates": 1, "betas": [0.5, 0.999]}
chosen = experiment.paper_of_manifolds(dataset) if of_paper else ours
if {len(chosen["l2"]), len(chosen["linf"])} != {3}:
    raise ValueError(f"l2_radii={l2_radii}, linf_radii={linf_radii}; expected three of each")

# %%
LOSS, RADII = {"CE": "cross_entropy", "CW": "margin"}, ("small", "middle", "large")
STEP, PANEL = {"l2": l2_step, "linf": linf_step}, ["norm", "objective", "radius"]
places = [(n, o, r) for n in STEP for o in objectives for r in RADII]
EPS = {(norm, r): eps for norm in STEP for r, eps in zip(RADII, sorted(chosen[norm]), strict=True)}
KINDS = {"digits_cnn": part("digits_cnn", dropout=0.0)}  # the paper's nets have no dropout
base = {"data": part(dataset, n_train=images_n_train or None), "epochs": chosen["epochs"]}
base |= {"optimiser": part("Adam", lr=image_lr), "schedule": "constant", "batch_size": 100}
base["model"] = KINDS.get(chosen["model"], part(chosen["model"]))


# %%
def named(norm: str, objective: str, radius: str) -> str:
    return f"{norm} {EPS[norm, radius]:g}, {objective}"


def classifiers(seed: int) -> dict[str, Recipe]:
    def against(norm: str, objective: str, radius: str):
        return adversary(norm, EPS[norm, radius], image_at_steps, STEP[norm], LOSS[objective])

    trained = {named(*of): Recipe(**base, inputs=against(*of), seed=seed) for of in places}
    return {"standard": Recipe(**base, seed=seed), **trained}


nets = experiment.train(classifiers, image_seeds, announce=run.announce, **how)

# %%
PCA, NEAREST, GAN = "principal components", "nearest training image", "VAE-GAN"
shape = {"design": chosen["design"], "latent": chosen["latent"], "width": gan_width}
held = part(dataset, n_train=images_n_train or None, hold_out=0.1)
model = {"data": held, "model": part("vaegan", **shape), "batch_size": gan_batch, "schedule": "constant"}
model |= {"loss": part("vaegan", weight=chosen["weight"], discriminator_steps=chosen["updates"])}
model |= {"optimiser": part("Adam", lr=gan_lr, betas=chosen["betas"])}
tries, size = [Recipe(**model, epochs=n) for n in chosen["passes"]], {"dimensions": chosen["latent"]}
vaegan, held_out = experiment.good_enough(tries, **size, announce=run.announce, **how)
most = min(images.x_train.flatten(1).shape) // 2
wider = {"wider": [n for n in (3 * chosen["latent"], 10 * chosen["latent"]) if n <= most]}
errors = experiment.measure(metrics.projection_errors, {(GAN, 0): vaegan}, images, **size, **wider, **how)

# %% [markdown]
# (br-f1n)=
# ### BR-F1n: the nets, and their evaluation
#
# A difference between attacks means little if the adversarially trained nets are not robust, or cannot classify. Each net is attacked in both norms, at the largest training radius of the norm.

# %%
LARGEST = {norm: EPS[norm, "large"] for norm in STEP}
STRONGEST = {norm: named(norm, objectives[0], "large") for norm in LARGEST}
judged = {"steps": 10, "count": checked_images, "seed": lambda of: of.seed}


def forced(norm: str) -> pd.DataFrame:
    against = {"norm": norm, "eps": LARGEST[norm]}
    return experiment.measure(metrics.strong_accuracy, nets, images, **against, **judged, **how)


clean = experiment.measure(metrics.clean_accuracy, nets, images, **how)
robust = pd.concat([forced(norm) for norm in LARGEST], ignore_index=True)
of_images = {"dataset": images.label}
run.record_frame("BR-F1n", clean, **of_images)
run.record_frame("BR-F1n", robust, ["model", "attack", "protocol"], **of_images)
caption = f"<b>BR-F1n</b>, {images.label}, per cent, mean ± sd over {len(image_seeds)} seed(s). Attacked: first {checked_images} test images at most, strong protocol, PGD-10, both losses; at these radii a net keeps at most {robust['value'].max():.0f} %. CE, CW: what the adversary maximised in training."
show.measured(pd.concat([clean.assign(attack="clean"), robust]), caption=caption)

# %%
UNTRAINED = ["R9", "R11", "R12", "R22"] if run.profile == "smoke" else []


def checked(name: str, norm: str):
    of = {"norm": norm, "eps": LARGEST[norm], "steps": 10, "limit": checked_images}
    net, plain = (store.get(nets[n, image_seeds[0]], device=device) for n in (name, "standard"))
    of |= {"baseline": plain, "recipe": nets[name, image_seeds[0]]}
    report = checks.fast(net, images.x_test, images.y_test, **of)
    return run.check(f"{name}, attacked in {norm}", report, expected=UNTRAINED)


caption = f"<b>Evaluation checks</b> of the nets at both ends, seed {image_seeds[0]}, {checked_images} test images at most."
ends = [("standard", "l2"), *((name, norm) for norm, name in STRONGEST.items())]
badges.table([checked(*end) for end in ends], caption=caption)

# %% [markdown]
# (br-f1q)=
# ### BR-F1q: is the manifold one? (ours)
#
# The error of each projection on images that it has not seen.

# %%
ON, HELD = "test images", "held-out training images"
known = pd.concat([errors.assign(on=ON, epochs=vaegan.epochs), held_out.assign(on=HELD)])
run.record_frame("BR-F1q", known.assign(quantity="error"), ["on", "projection", "epochs"], **of_images)
test_error = errors.set_index("projection")["value"]
spare = test_error[GAN] - test_error[PCA]
tried = ", ".join(f"{n}" for n in held_out["epochs"].unique())
caption = f"<b>BR-F1q</b>, {images.label}: mean l2 distance of images from their projection, pixels in [0, 1]. {chosen['latent']} components; VAE-GAN of width {gan_width}, {vaegan.epochs} epochs (tried: {tried}). On test images its error is {'above' if spare > 0 else 'below'} that of PCA by {abs(spare):.2f}."
last = experiment.where(known, epochs=vaegan.epochs)
show.measured(last, rows="projection", columns="on", digits=2, best=False, caption=caption)

# %% [markdown]
# (br-f1)=
# ### BR-F1: how far attacks lie from the manifold
#
# ```{predict} br-guess-manifold
# :where: {experiment: BR-F1, quantity: distance, judge: own}
# :largest: [{training: standard, norm: "", objective: "", radius: ""}, {training: AT, norm: l2, objective: CE, radius: small}, {training: AT, norm: l2, objective: CE, radius: large}]
#
# A VAE-GAN has learnt what images look like. The attacks on which nets end farthest from the images it can make?
#
# - standard nets
# - nets trained against a small l2 adversary
# - nets trained against a large l2 adversary
# - no clear difference
# ```
#
# Large l2 attacks on the cross-entropy, as in the paper's figure 1. Attacks that changed no prediction are dropped; whose prediction, the text does not say (BR-E8): here the attacked net's, and in {ref}`the numbers below <br-f1l>` the standard net's too, which the code asks.

# %%
PLACES = [("standard", "standard", "", "", ""), *((named(*of), "AT", *of) for of in places)]
PLACES = pd.DataFrame(PLACES, columns=["model", "training", *PANEL])
MODELS, MANIFOLDS = list(PLACES["model"]), (PCA, NEAREST, GAN)
ball = {"eps": image_eps, "steps": image_attack_steps, "step_size": l2_step}
others = {"gan": vaegan, "judge": lambda of: nets["standard", of.seed], "seed": lambda of: of.seed}
found = experiment.measure(metrics.off_manifold, nets, images, **others, **ball, **size, **wider, **how)
found = PLACES.merge(found, on="model")
attacked, stepped = (experiment.where(found, set=of) for of in ("attack", "random step"))
tests = experiment.where(found, set="image", model="standard").assign(model=ON, training=ON)
STEPS = {"random step": "random", "scaled step": "random, scaled", "step to a class": "another class"}
references = found[found["set"].isin(STEPS)]
plain = experiment.where(references, model="standard")
plain = plain.assign(model=plain["set"].map(STEPS), training=plain["set"].map(STEPS))

# %%
LABELS = ["training", *PANEL]
as_judged = pd.concat([attacked, tests, tests.assign(judge="standard")])
run.record_frame("BR-F1", experiment.where(as_judged, projection=GAN), [*LABELS, "judge"], **of_images)
rest = found[found["set"].isna()]
run.record_frame("BR-F1", rest, LABELS, **of_images)
own = experiment.where(pd.concat([as_judged, plain]), judge="own")
distances, shares = (experiment.where(own, quantity=of) for of in ("distance", "share outside"))
run.record_frame("BR-F1q", distances, [*LABELS, "projection"], **of_images)
run.record_frame("BR-F1s", shares, [*LABELS, "projection"], **of_images)
run.record_frame("BR-F1r", references, [*LABELS, "set", "projection"], **of_images)


# %%
def on(projection: str, frame: pd.DataFrame = attacked) -> pd.DataFrame:
    return experiment.where(frame, projection=projection, judge="own", quantity="distance")


panels, random = ({f"distance, {m}": on(m, f) for m in MANIFOLDS} for f in (attacked, stepped))
tint = {n: plots.COLOURS["standard" if n == "standard" else "adversarial"] for n in MODELS}
figures = plots.dots_each(panels, MODELS, tint.get, random)
for fig, name in zip(figures, MANIFOLDS, strict=True):
    fig.axes[0].axvline(test_error[name], color="#009E73", linestyle=":")

# %%
SHOWN = ("standard", *STRONGEST.values())
mean = {m: on(m).groupby("model")["value"].mean() for m in MANIFOLDS}
chance = {m: on(m, stepped).groupby("model")["value"].mean()["standard"] for m in MANIFOLDS}
told = {m: "; ".join(f"{name} {mean[m][name]:.2f}" for name in SHOWN) for m in MANIFOLDS}
told = {m: f"{of}; a random step {chance[m]:.2f}; test images {test_error[m]:.2f}" for m, of in told.items()}
finding = f"<b>BR-F1</b>, {images.label}, successful attacks of l2 radius {image_eps:g}: mean distance, 95 % t-interval and seeds. Crosses: random steps, each as long as an attack on that net. Dotted: test images. PCA: {told[PCA]}. VAE-GAN: {told[GAN]}."
plots.show_all(figures, alt="Distance of attacks from the manifold by net, panel", finding=finding)

# %% [markdown]
# ```{predict} br-guess-share
# :where: {experiment: BR-F1s, quantity: share outside, projection: principal components}
# :largest: [{training: standard, norm: "", objective: "", radius: ""}, {training: AT, norm: l2, objective: CE, radius: large}, {training: random, norm: "", objective: "", radius: ""}, {training: another class, norm: "", objective: "", radius: ""}]
#
# Principal components span a plane near the images. Of which step does the largest share point out of this plane?
#
# - an attack on a standard net
# - an attack on the most strongly trained net
# - a random step
# - a step to an image of another class
# - no clear difference
# ```
#
# (br-f1s)=
# **How much of the step is outside?** With the plane's projection P, a step δ and the image's own residual r,
#
# $$
# \begin{aligned}
# d^2(x + \delta) = d^2(x) &+ 2\langle r, \delta\rangle \\
# &+ \lVert (I - P)\,\delta\rVert^2 .
# \end{aligned}
# $$ (br-share)
#
# So an attack also comes nearer where it cancels what the plane cannot show of the image (the second term). The **share outside**, $\lVert (I - P)\,\delta\rVert / \lVert\delta\rVert$, asks about the step alone.

# %%
caption = f"<b>BR-F1s</b> (ours): share of the step outside the plane, mean ± sd over {len(image_seeds)} seed(s). Random, another class: steps as long as the attacks on the standard nets, from the same images."
show.measured(shares, columns="projection", digits=3, best=False, caption=caption)

# %% [markdown]
# (br-f1d)=
# **How large a plane?** “Test images are nearer than attacks” (BR-C11) may depend on how many components make the plane.

# %%
PLANES = {chosen["latent"]: PCA, **{n: f"{n} {PCA}" for n in wider["wider"]}}
away = {n: experiment.seeds_above(on(of, found), "attack", "image") for n, of in PLANES.items()}
by_size = ", ".join(f"{n} of {len(image_seeds)} with {count} components" for count, n in away.items())
by_plane = distances[distances["projection"].isin(PLANES.values())]
caption = f"<b>BR-F1d</b> (ours): mean distance by plane, mean ± sd over {len(image_seeds)} seed(s). Test images here are those whose attack on the standard net succeeded. Seeds in which the attacks on every net are farther from the plane than their own images: {by_size}."
show.measured(by_plane, rows="model", columns="projection", digits=2, best=False, caption=caption)

# %% [markdown]
# **The three claims, side by side.** The paper's manifold is the VAE-GAN's; PCA's is a control of this page.

# %%
IDS = ["BR-C1", "BR-C2", "BR-C11"]
SAME = {"VAE-GAN": IDS, "PCA": [f"{claim}, PCA" for claim in IDS]}
caption = f"<b>BR-C1, C2, C11</b> on {images.label}, {len(image_seeds)} seed(s), by manifold. On test images the VAE-GAN errs by {test_error[GAN]:.2f}, PCA by {test_error[PCA]:.2f}."
verdicts.beside(run.notebook, run.rows, SAME, caption=caption)


# %% [markdown]
# (br-f1-picture)=
# **One picture.** An image, its attacks on a standard and on an adversarially trained net, the projections, and what is left: the residual, whose length is the manifold distance.

# %%
def on_manifold(x: torch.Tensor) -> dict[str, torch.Tensor]:
    gan_net = store.get(vaegan, device=device)
    return metrics.projections(x, images.x_train, gan=gan_net, **size)


def attacks_on(name: str, few: list[int]) -> torch.Tensor:
    net = store.get(nets[name, image_seeds[0]], device=device)
    of = {"norm": "l2", **ball, "protocol": attacks.BR_PAPER}
    return attacks.pgd(net, images.x_test[few], images.y_test[few], **of)


# %%
def residuals(i: int, names=(PCA, GAN), of=("standard", STRONGEST["l2"])):
    x = torch.cat([images.x_test[i : i + 1], *(attacks_on(name, [i]) for name in of)])
    maps, titles = on_manifold(x), ["image", *(f"attack, {name}" for name in of)]
    return plots.projected({t: (x[k], {n: maps[n][k] for n in names}) for k, t in enumerate(titles)})


picked = plots.one_of_each(images.y_test, 8)[-2:]
pair = torch.cat([images.x_test[picked], attacks_on(STRONGEST["l2"], picked)])
missed = (pair - on_manifold(pair)[PCA]).flatten(1).norm(dim=1).split(len(picked))
closer = int((missed[1] < missed[0]).sum())
finding = f"In {closer} of these {len(picked)} the attack on {STRONGEST['l2']} lies nearer to the plane than the image itself: there it cancels part of the image's own residual. Two test images of {images.label}, attacks of radius {image_eps:g}, seed {image_seeds[0]}; each with its projections and residuals. Above a residual: its length. Residuals from −1 (blue) to 1 (red), the rest from 0 to 1."
alt = "An image, two attacks, their projections and residuals."
above, below = (residuals(i) for i in picked)
display(plots.show(above, alt=alt), plots.show(below, alt=alt, finding=finding))

# %% [markdown]
# (br-f1m)=
# ### BR-F1m: beside the paper's figure
#
# The paper prints no numbers, and its code draws distances shifted and scaled by the range of the clean test images' distances. On that axis the modes of its densities, read off its figure to within 0.02, can be laid beside this run's.

# %%
test_each = errors.set_index("projection")["each"]
modes = experiment.relative_modes(experiment.where(own, quantity="distance"), test_each)
modes = modes[modes["projection"].isin([GAN, PCA])]
run.record_frame("BR-F1m", modes, [*LABELS, "projection"], **of_images)

# %%
like = ledger.STAND_INS.get(images.label, (images.label,))[0]
rows = [{"column": f"paper, {like}", **r} for r in ledger.printed(run.notebook) if r["dataset"] == like]
kept = [r for r in run.recorded() if r["experiment"] == "BR-F1m"]
rows += [{**r, "column": f"recorded, {r['projection']}"} for r in kept]
theirs = pd.DataFrame(rows, columns=["column", "value", *LABELS]).fillna("")
theirs = modes[["model", *LABELS]].drop_duplicates().merge(theirs, on=LABELS)
both = pd.concat([theirs, modes.assign(column="here, " + modes["projection"])])
caption = f"<b>BR-F1m</b>: the most frequent distance; 0 and 1 are the smallest and the largest distance of test images. Here {images.label}, mean ± sd over {len(image_seeds)} seed(s)."
show.measured(both, columns="column", digits=2, best=False, caption=caption)


# %%
def pooled(frame: pd.DataFrame, name: str, manifold: str) -> list[float]:
    return [v for each in on(manifold, experiment.where(frame, model=name))["each"] for v in each]


def densities(manifold: str):
    sets = {f"attacks, {name}": pooled(attacked, name, manifold) for name in ("standard", STRONGEST["l2"])}
    sets |= {"random steps": pooled(stepped, "standard", manifold), ON: test_each[manifold]}
    tints = ("#666666", "#0072B2", "#E69F00", "#009E73")
    return plots.areas(sets, tints, title=manifold, label="manifold distance")


finding = "Densities of the distances, seeds pooled, kernels as wide as a quarter of a set's deviation, as in the paper's code. Random steps start at the images attacked on the standard nets, and are as long as these attacks."
plots.show_all([densities(m) for m in (PCA, GAN)], alt="Densities of distances, panel", finding=finding)

# %% [markdown]
# (br-f1l)=
# **Whose prediction counts, and which latent.** Beside the distances from the VAE-GAN: how many attacks count by either judge, and how long the attacks are. The encoder's mean makes π a function; the released code *samples* the latent; the paper's footnote 2 wants the *nearest* image the decoder can make, which has to be searched.

# %%
JUDGES = {"own": "distance", "standard": "distance (code)"}
NAMES = {"length": "length", "success, own": "success, %", "success, standard": "success (code), %"}
numbers = experiment.where(attacked, projection=GAN, quantity="distance")
numbers = numbers.assign(column=numbers["judge"].map(JUDGES))
rest = rest.assign(column=rest["quantity"].map(NAMES))
caption = f"<b>BR-F1 in numbers</b>, VAE-GAN, mean ± sd over {len(image_seeds)} seed(s). Success: attacks that change the attacked net's prediction; (code): the standard net's. Distances and lengths in pixels of [0, 1], half of the paper's."
show.measured(pd.concat([numbers, rest]), columns="column", digits=2, best=False, caption=caption)

# %%
few = list(range(min(searched_images, len(images.x_test))))
search = {"sets": {f"attacks, {n}": attacks_on(n, few) for n in SHOWN}, "count": len(few), "search": 50}
latents = experiment.measure(metrics.latent_distances, {(GAN, 0): vaegan}, images, **search, **how)
run.record_frame("BR-F1p", latents.rename(columns={"set": "of"}), ["of", "latent"], **of_images)
caption = f"<b>BR-F1p</b>: mean distance of {len(few)} images, seed {image_seeds[0]}, by latent; all attacks, successful or not. Optimised: 50 steps of Adam from the mean."
show.measured(latents, rows="set", columns="latent", digits=2, best=False, caption=caption)

# %% [markdown]
# (br-f2)=
# ### BR-F2 and BR-F6: attacks and gradients to look at

# %%
six = plots.one_of_each(images.y_test, 6)
x, y = images.x_test[six], images.y_test[six]


def gradients(name: str) -> list[torch.Tensor]:
    net = store.get(nets[name, image_seeds[0]], device=device).double()
    return [plots.clipped(g.float()) for g in saliency.loss_gradient(net, x.double(), y)]


shown = [("image", list(x)), *((name, list(attacks_on(name, six))) for name in SHOWN)]
maps = [("image", list(x)), *((name, gradients(name)) for name in SHOWN)]
told_f2 = f"<b>BR-F2.</b> Test images, one of each of {len(six)} classes, and attacks of l2 radius {image_eps:g}, on the scale from 0 to 1."
told_f6 = "<b>BR-F6.</b> Gradients of the loss for the predicted class, clipped as in the paper at the percentiles 0.5 and 99.5; red: the loss rises with the pixel, blue: it falls; each map on its own scale."
plots.save(plots.gallery(maps, pixels="first row"), run.folder / "question")
above, below = plots.gallery(shown, pixels="all", cell=0.7), plots.gallery(maps, pixels="first row", cell=0.7)
display(plots.show(above, alt="Attacks on three nets.", finding=told_f2))
plots.show(below, alt="Gradients of three nets.", finding=told_f6)


# %% [markdown]
# (br-explorer)=
# ## Explore it
#
# Move the training radius: boundary, attacks and angle follow. Every position is a net of its own. No kernel, no network.

# %%
def drawn_plane(of: Recipe, title: str):
    net, own = store.get(of, device=device), store.images(of.data, device)
    return plane.plane(net, own, metrics.attacked_points(net, own, **attack), count=shown_points, title=title)


def frame(eps: float):
    alt = f"Regions, points and attacks of the net trained with radius {eps:g}."
    shown = plots.show(drawn_plane(sweep[eps, typical], ""), alt=alt, width="24rem")
    numbers = {title: f"{along[q][eps]:.1f}°" for q, title in ANGLES.items()}
    best, cone = theory.loc[eps, ["best", "cone"]]
    numbers |= {"best linear classifier": f"{best:.1f}°", "cone": f"{cone:.0f}°"}
    numbers["Mahalanobis distance to class 2"] = f"{along['mahalanobis'][eps]:.1f}"
    return {"regions and attacks": plane.shortened(shown)}, numbers


caption = f"<b>The boundary against the training radius.</b> Seed {typical}. Blue, orange: {shown_points} test points of each class and the net's regions; green: attacks of radius {attack_eps:g} on class 1. Arrow: the mean displacement of all attacks; dashed: the line of the means."
explorer.over(["training radius ε"], {(eps,): frame(eps) for eps in theory.index}, caption=caption)

# %% [markdown]
# (br-image-explorer)=
# Choose an image, the attacked net and a manifold: what is left of the attack when its projection is taken away?

# %%
THREE = {images.classes[int(images.y_test[i])]: i for i in six[:3]}
frames = {}
for name in MODELS:
    net, moved = store.get(nets[name, image_seeds[0]], device=device), attacks_on(name, list(THREE.values()))
    for manifold, on_it in on_manifold(moved).items():
        of_three = playground.left_over(net, images, list(THREE.values()), moved, on_it)
        frames |= {(c, name, manifold): of for c, of in zip(THREE, of_three, strict=True)}
caption = f"Attacks of l2 radius {image_eps:g}, seed {image_seeds[0]}; residuals from −1 (blue) to 1 (red)."
explorer.over(["image", "attacked net", "manifold"], frames, caption=caption)

# %% [markdown]
# (br-claims)=
# ## Verdicts on the claims
#
# The rules are data, `book/claims/br.yaml`; `companion claims` decides them again on any run's rows. The paper's claims about images are about MNIST, Fashion-MNIST and CIFAR-10. Claims marked “ours” are not the paper's. {doc}`../book/decisions` says how an answer is reached. Claims BR-C4 to C10 stand in {doc}`remove_and_retrain`.

# %%
about = f"Two Gaussians, {len(seeds)} seed(s); {images.label}, {len(image_seeds)} seed(s). Angles in degrees."
display(*verdicts.table(run.notebook, run.rows, about))

# %% tags=["hide-input"]
angle = experiment.where(of_toy("displacement_angle"), seed=typical).set_index("model")["value"]
finding = f"Green: what an l2 attack of radius {attack_eps:g} makes of points of class 1 (blue). Arrow: the mean displacement; dashed: the line of the means; above: the angle between them. Left standard, right trained against radius {strong:g}; shown is seed {typical}, whose standard net has the median angle. Mean over {len(seeds)} seed(s): {', '.join(f'{n} <b>{of.mean:.1f}°</b>' for n, of in turned.items())}; the angle falls from net to net in {falling['displacement_angle']} of {len(seeds)}."
panels = [drawn_plane(toys[n, typical], f"{n}: {angle[n]:.1f}°") for n in ("standard", "strong")]
run.fill("picture", plots.show_all(panels, alt="Points, boundary and attacks, panel", finding=finding))

# %% tags=["hide-input"]
WORD = verdicts.words(run.notebook, run.rows)
word = {m: ", ".join(f"{id} {WORD[id]}" for id in ids) for m, ids in SAME.items()}
FAR = {1: "farther", 0: "not told apart", -1: "nearer"}
apart = experiment.told_apart(on(PCA, own), [*STEPS.values(), ON], "standard", FAR)
outside = experiment.where(shares, projection=PCA)
share = outside.groupby("model")["value"].mean()
share = "; ".join(f"{of} {share[of]:.2f}" for of in (*SHOWN, *STEPS.values()))
miss = "more" if test_error[GAN] > test_error[NEAREST] else "less"
less = experiment.difference(outside, STRONGEST["l2"], "standard")
show.found(
    run,
    [
        f"<b>In the plane</b> the mean attack is {turned['standard'].mean:.0f}° off the line of the means for standard nets, {turned['weak'].mean:.1f}° with the weak and {turned['strong'].mean:.1f}° with the strong adversary; the boundary's normal falls in this order in {falling['normal_angle']} of {len(seeds)} seeds ({show.link('br-f3b')}).",
        f"<b>Theory.</b> {within}The cone of all that is better than guessing, seed {typical}: {weakly} ({show.link('br-t')}).",
        f"<b>On images</b> attacks lie this far from the plane of {chosen['latent']} principal components: {told[PCA]} ({show.link('br-f1')}).",
        f"<b>Against chance.</b> Distance from that plane, minus that of the attacks on standard nets, for steps as long and for test images. {apart}. The rules, with the spread of all nets and a one-sided limit, call the claim that both random steps lie farther {WORD['BR-F1q, chance']} by distance and {WORD['BR-F1s, chance']} by share ({show.link('br-f1d', 'table')}).",
        f"<b>The step alone.</b> Share of its length outside the plane: {share}. From standard to {STRONGEST['l2']} it changes by {less:.3f} ({show.link('br-f1s', 'table')}).",
        f"<b>Which plane.</b> The attacks on every net are farther from the plane than their own images in this many seeds: {by_size}. So C11 {'depends' if len(set(away.values())) > 1 else 'does not depend'} on the plane's size here ({show.link('br-f1d', 'table')}).",
        f"<b>Which manifold.</b> On test images the one VAE-GAN errs by {test_error[GAN]:.2f}, PCA by {test_error[PCA]:.2f}, the nearest training image by {test_error[NEAREST]:.2f} ({show.link('br-f1q', 'table')}): it errs {miss} than the nearest training image. ± is over classifiers only. By the VAE-GAN: {word['VAE-GAN']}. By PCA: {word['PCA']}.",
        f"On the paper's claims: {verdicts.in_short(run.notebook, run.rows)} ({show.link('br-claims', 'verdicts')})",
        f"Not run here: {'' if of_paper else 'the nets and the number of images of the paper; '}adversaries other than {' and '.join(objectives)}. {images.label}, {counts}; ± are 95 % t-intervals over seeds.",
    ],
)

# %% [markdown]
# ## What differs from the paper, and what the paper left out
#
# Setting by setting. Where one is a parameter of this chapter, its values in the profiles stand below it.

# %%
fidelity.table("boundary_tilting")


# %% [markdown]
# **Errata used on this page.** BR-E1 (the printed covariance: {ref}`shown <br-e1>`), BR-E2 (the lost sign: eq. {eq}`br-gaussians`), BR-E4 (which class is attacked: {ref}`BR-F3b <br-f3b>`), BR-E5, BR-E8 (whose prediction decides success: {ref}`BR-F1 <br-f1>`). The others concern {doc}`remove_and_retrain`.
#
# ## Exercises
#
# ```{exercise} When is the upright classifier better?
# :label: br-ex-cost
# In {prf:ref}`br-thm` let θ be the tilt of $\Sigma^{-1}m$. For which ε does the untilted classifier, $n \propto m$, have the lower error than $n \propto \Sigma^{-1}m$? Compare it with the edge of the cone for the tilted one.
# ```
#
# ```{solution} br-ex-cost
# :class: dropdown
# Let $s_1$ and $s_2$ be the standard deviations along $m$ and along the tilted normal. Compare $(\tfrac12\lVert m\rVert - \varepsilon)/s_1$ with $(\tfrac12\lVert m\rVert\cos\theta - \varepsilon)/s_2$: they are equal at
# $\varepsilon^* = \tfrac12\lVert m\rVert\,(s_1\cos\theta - s_2)/(s_1 - s_2)$. The tilted one is at the edge of its cone at $\tfrac12\lVert m\rVert\cos\theta$; $\varepsilon^*$ is a fraction $(1 - s_2/(s_1\cos\theta))/(1 - s_2/s_1)$ of that.
# It is near 1 only where $s_2/s_1 \ll \cos\theta$. The toy is not such a case: with its $\Sigma$ and $m$, $s_2/s_1 = 0.114$ and $\cos\theta = 0.234$, so $\varepsilon^*$ is 0.58 of the edge. Between the two radii the tilted classifier is still better than guessing, and the untilted one better than it.
# ```
#
# ```{exercise} The other way round
# :label: br-ex-round
# Make the covariance isotropic, $\Sigma = \sigma^2 I$. What does the theorem say of the tilt with and without an adversary, and what does the conjecture then explain?
# ```
#
# ```{solution} br-ex-round
# :class: dropdown
# $\Sigma^{-1}m \propto m$: the best classifier has no tilt at any ε, and adversarial training has nothing to take away. The conjecture is about data that are flat in some direction, as images are in most. `data.toys.gaussians(covariance=((0.05, 0), (0, 0.05)))` draws such points.
# ```
#
# ```{exercise} Train longer
# :label: br-ex-long
# The standard net's boundary has gone only part of the way to the best linear classifier's tilt. Run the chapter with `-p epochs=100`. Which of the three nets changes most, and what does that say about the word “standard”?
# ```
#
# ```{solution} br-ex-long
# :class: dropdown
# `companion run boundary_tilting -p epochs=100 -p seeds=0` trains only nets the store does not have; compare the columns of {ref}`BR-F3b <br-f3b>`. The theorem says where the minimum of the *linear* problem lies; training for ten epochs has not arrived there, so the angle of a standard net is a property of its training
# time as well.
# ```
#
# ```{exercise} A better manifold
# :label: br-ex-manifold
# Raise `latent` from 10 to 50. What happens to the error of PCA on test images, to the distance of attacks on standard nets, and to that of a random step? Which of the three gaps is a property of the nets?
# ```
#
# ```{solution} br-ex-manifold
# :class: dropdown
# `companion run boundary_tilting -p latent=50` trains a VAE-GAN; all other nets are in the store. More components explain more of the test images, so their error falls most. A random step spreads over all directions, of which 50 are still few, so it comes nearer less than the others do. What the nets decide is where their attacks lie between the two.
# ```
#
# ```{exercise} Beyond the limit
# :label: br-ex-limit
# `data.toys.gaussians` leaves the means about 0.53 apart. What must happen to nets trained with ε above half of that? Try it below with the playground's slider at its end, and with a recipe of your own beyond it.
# ```
#
# ```{solution} br-ex-limit
# :class: dropdown
# The balls around the two means overlap, so that a linear classifier that bisects them is worse than guessing on most attacked points; the best answer is to say $\tfrac12$ everywhere. The net becomes constant up to noise, the loss stays at $\ln 2$, and where (or whether) a boundary crosses the segment of the means is chance: `metrics.normal_angle` then says NaN.
# ```
#
# ## Play with it
#
# Retrain the toy's net against an adversary of your choice; it takes a second or two.

# %%
def play(radius: float = strong, norm: str = "l2", steps: int = at_steps, seed: int = seeds[0]):
    title = f"{norm} {radius:g}, {steps} step(s)" if radius else "standard"
    fig = drawn_plane(drawn_points(seed, radius, norm, steps), title)
    return plots.show(fig, alt=f"The toy's net trained with {title}.", width="24rem")


of_play = {"radius": (0.0, 0.35, 0.01), "norm": ["l2", "linf"], "steps": (1, 40), "seed": (0, 20)}
playground.controls(play, live=run.profile is None, **of_play)


# %% [markdown]
# Any test image, any net: image, attack, projection and residual.

# %%
def play_image(image: int = picked[0], training: str = STRONGEST["l2"], manifold: str = PCA):
    fig = residuals(image, (manifold,), ("standard", training))
    return plots.show(fig, alt=f"Image {image}, its attacks and their residuals.", width="26rem")


of_play = {"image": (0, len(images.y_test) - 1), "training": MODELS[1:], "manifold": list(MANIFOLDS)}
playground.controls(play_image, live=run.profile is None, **of_play)

# %% [markdown]
# ## Rerun it
#
# ```sh
# companion run boundary_tilting -p strong=0.2                   # another adversary: only its nets are trained
# companion run boundary_tilting -p at_steps=40                  # the paper's steps
# companion run boundary_tilting -p objectives=CE,CW             # both adversaries on images
# companion run boundary_tilting -p dataset=folder:PATH          # your images, such as 28x28 grey or 32x32 colour
# companion run boundary_tilting --profile gpu                   # MNIST; -p dataset=fashion_mnist or cifar10: their settings follow
# companion run boundary_tilting --profile paper                 # the paper's settings: prints its estimate first
# papermill notebooks/boundary_tilting.ipynb out.ipynb -f notebooks/profiles/quick/boundary_tilting.yaml -p epochs 20
# ```

# %%
show.costs(run)

# %%
run.provenance_strip()
