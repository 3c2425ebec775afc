# %% [markdown]
# # Remove and retrain
#
# *B. Kim, J. Seo and T. Jeon, “Bridging Adversarial Robustness and Gradient Interpretability”* {cite:p}`kim2019`, sections 3.2 and 3.3.
#
# Gradients of adversarially trained networks *look* like the object ({doc}`boundary_tilting`). Do they also say which pixels *matter*? One test does not ask the eye: **remove** the pixels a
# map ranks first, **retrain** a network on what is left, and see how much accuracy is lost (ROAR, {cite:p}`hooker2019`). The paper finds that the score rises with the radius of adversarial
# training. This page asks what such a score rewards: the map of *this* image, or an order of pixels that would do for any image.

# %% tags=["parameters", "hide-input"]
# Every name here can be changed: companion run remove_and_retrain -p NAME=VALUE
# fmt: off
dataset: str = "mnist_small"  # one of mnist_small, digits, mnist, fashion_mnist, cifar10, folder:PATH: images
n_train: int = 800  # in [0, inf): training images used, 0 for all
n_test: int = 0  # in [0, inf): test images used, 0 for all
classifier: str = "small_mlp"  # one of auto, small_mlp, digits_cnn, br_mnist_cnn, br_cifar_cnn: attributed and retrained nets; auto: the paper's for these images
seeds: list[int] = [0, 1, 2]  # in [0, inf): one set of attributed nets each; the paper's code has one
epochs: int = 15  # in [1, inf): passes over the training images, of the attributed nets; the paper's 20
retrain_epochs: int = 7  # in [1, inf): of the retrained nets; the paper's 20
batch_size: int = 100  # in [1, inf): images in a training step
lr: float = 0.003  # in (0, inf): learning rate of Adam; the paper's 0.001
sgd_lr: float = 0.1  # in (0, inf): of SGD, momentum 0.9, for the nets of other trainings (BR-T)
beside_epochs: int = 5  # in [1, inf): passes of these nets where their architecture is another one
l2_eps: float = 1.5  # in [0, inf): largest l2 radius of adversarial training, pixels in [0, 1]; 0: the paper's for these images
linf_eps: float = 0.1  # in [0, 1]: largest linf radius; 0: the paper's
strengths: list[float] = [0.5, 1]  # in (0, 1]: training radii as fractions of the largest; the paper's 0.05 to 1 in 20 steps
objectives: list[str] = ["CE"]  # one of CE, CW: what the adversary maximises in training; the paper's both
at_steps: int = 3  # in [1, inf): PGD steps in adversarial training; the paper's 40
l2_step: float = 1.0  # in (0, inf): their length, l2; the code's 1 (2 in its pixels)
linf_step: float = 0.5  # in (0, 1]: their length, linf, as a fraction of the largest radius; the code's 0.5 on CIFAR-10
shares: list[float] = [0.4, 0.7, 0.9]  # in (0, 1): fractions of the pixels that are replaced; the paper's 0.1, 0.3, 0.5, 0.7, 0.9
repeats: int = 1  # in [1, inf): nets retrained for each fraction, map and attributed net; the paper's 3
random_repeats: int = 4  # in [1, inf): nets for the random order of each seed, and other orders beside it
unit: str = "pixel"  # one of pixel, entry: whole pixels, or every channel of a pixel on its own (Hooker et al.)
fill: str = "channel_mean"  # one of channel_mean, mean, black, grey, white: what takes the place of a pixel
leak_share: float = 0.01  # in (0, 1): besides `shares`, a fraction at which nets see masks alone
planted_images: int = 1500  # in [2, inf): noise images with a label planted in one of four places
attack_steps: int = 20  # in [1, inf): PGD steps of the attacks on the nets
attack_images: int = 300  # in [1, inf): test images attacked
checked_images: int = 100  # in [1, inf): test images on which each net's evaluation is checked
keep_nets: bool = False  # keep the retrained nets, not only what was measured on them
device: str = "auto"  # one of auto, cpu, cuda: where to compute
# fmt: on

# %%
from companion.publishing.running import chapter

run = chapter.begin(globals(), notebook="remove_and_retrain")

# %%
from dataclasses import replace

import pandas as pd
from IPython.display import display

from companion import checks, data, experiment, metrics, playground, plots, saliency, store
from companion.publishing.claims import verdicts
from companion.publishing.explorers import explorer
from companion.publishing.pages import badges, fidelity, series, show, sources
from companion.training import Mask, Recipe, part

device = experiment.choose_device(device)
images = data.load(dataset, device=device, n_train=n_train or None, n_test=n_test or None)
counts = f"{len(images.x_train)} training and {len(images.x_test)} test images, {len(seeds)} seed(s)"
show.opening(run, f"{images.label}: {counts}", "the CPU" if device == "cpu" else device)
how = {"device": device, "report": run.status}

# %% [markdown]
# ## The question in one picture

# %% tags=["remove-input"]
run.later("picture")
run.later("found")

# %% [markdown]
# ## The idea, equation by equation
#
# **Two maps.** The gradient of the cross-entropy for the *predicted* class $\hat y(x)$, and its product with the pixels,
#
# $$
# \begin{aligned}
# g_{\mathrm G}(x) &= \nabla_x\,\mathrm{CE}\big(f(x), \hat y(x)\big), \\
# g_{\mathrm{GX}}(x) &= (x - \tfrac12) \odot g_{\mathrm G}(x) .
# \end{aligned}
# $$ (br-attributions)
#
# A pixel's score is the absolute value, summed over its channels. The paper's pixels lie in $[-1, 1]$: its $x$ is twice our $x - \tfrac12$, so that black counts as much as white.

# %%
sources.of(saliency.loss_gradient, saliency.gradient_x_input)

# %% [markdown]
# **The masks.** With the $D$ pixels of an image ranked by their scores, ROAR at fraction $q$ replaces the $\mathrm{round}(qD)$ *first* ones by the training images' mean of each channel, KAR the *last* ones, in training and test images alike.

# %%
sources.of(saliency.ranks, saliency.masked)

# %% [markdown]
# **The scores.** Let $a(q)$ be the test accuracy of a net of the same kind, trained from scratch on the masked training images and tested on the masked test images, and $a_{\mathrm{rand}}(q)$ the same for a random order. Then
#
# $$
# \begin{aligned}
# \mu_{\mathrm{ROAR}}(f, g) &= \int_0^1 a_{\mathrm{rand}}(q) - a(q)\;dq, \\
# \mu_{\mathrm{KAR}}(f, g) &= \int_0^1 a(q) - a_{\mathrm{rand}}(q)\;dq ,
# \end{aligned}
# $$ (br-mu)
#
# by the trapezoidal rule, in points of accuracy. Zero is the random order; both are positive for a good map. The criterion that section 3.2 announces, for an attribution $g$ and nets of one architecture, is
#
# $$
# \min_{f \in \mathcal F_{\mathrm{Adv}}} \mu(f, g) > \max_{f \in \mathcal F_{\mathrm{Std}}} \mu(f, g) .
# $$ (br-criterion)
#
# What the paper then reports are correlations of μ with the training radius. A correlation near 1 does not imply {eq}`br-criterion`, nor the other way round.

# %%
sources.of(experiment.retrained, experiment.mu_roar, experiment.mu_kar)

# %% [markdown]
# (br-idea-orders)=
# **Orders that are not the image's own (ours).** A score is read as praise for the map of an image. Three controls say how much of it that is:
#
# - **pixel variance**: pixels ranked by their standard deviation over the training images. One order for all images; it asks no net.
# - **mean map**: pixels ranked by the mean of $|g_{\mathrm G}|$ over the training images. One order for all images; it asks the net, but not about any image.
# - **another image's map**: the own map exchanged for that of another image *of the same predicted class*, in training and in test images. It is as sparse, as smooth and tells as much of the decision,
#   since masks of maps made for the predicted class leak it ({ref}`BR-E12 <br-e12>`); but it is not about this image. *Own − another's* is what the score credits to the image's own map.

# %%
sources.of(saliency.gradient_elsewhere, saliency.given_order, metrics.gradient_spread)

# %% [markdown]
# ## The nets
#
# One standard net a seed, and nets trained against an adversary of growing radius in each norm. Where a radius or the net is left open, these images get the paper's.

# %%
PAPERS = {"cifar10": (0.8, 0.02, "br_cifar_cnn")}  # largest l2 and linf radius, net
PAPERS |= dict.fromkeys(("mnist", "fashion_mnist"), (2.0, 0.1, "br_mnist_cnn"))
of_paper = PAPERS.get(dataset, (1.5, 0.1, "small_mlp"))
LARGEST = {"l2": l2_eps or of_paper[0], "linf": linf_eps or of_paper[1]}
STEP = {"l2": l2_step, "linf": linf_step * LARGEST["linf"]}
KINDS = {"small_mlp": part("mlp", hidden=(64, 64)), "digits_cnn": part("digits_cnn", dropout=0.0)}
kind = of_paper[2] if classifier == "auto" else classifier
OPTIMISERS = {"Adam": part("Adam", lr=lr), "SGD": part("SGD", lr=sgd_lr, momentum=0.9)}
chosen = {"model": KINDS.get(kind, part(kind)), "optimiser": OPTIMISERS["Adam"], "schedule": "constant"}
data_part = part(dataset, n_train=n_train or None, n_test=n_test or None)
base = Recipe(data=data_part, **chosen, epochs=retrain_epochs, batch_size=batch_size)

# %%
LOSS = {"CE": "cross_entropy", "CW": "margin"}
PANEL, levels, FIRST = ["norm", "objective", "strength"], sorted({0.0, *strengths}), objectives[0]


def named(norm: str, objective: str, strength: float) -> str:
    return f"{norm} {strength * LARGEST[norm]:g}, {objective}" if strength else "standard"


def adversary(norm: str, objective: str, strength: float):
    ball = {"norm": norm, "eps": strength * LARGEST[norm], "steps": at_steps, "step_size": STEP[norm]}
    return part("adversarial", **ball, loss=LOSS[objective], protocol="br_paper") if strength else None


def attributed(seed: int) -> dict[str, Recipe]:
    own = replace(base, epochs=epochs, seed=seed)
    return {named(*of): replace(own, inputs=adversary(*of)) for of in places}


places = [(norm, objective, s) for norm in LARGEST for objective in objectives for s in levels]
nets = experiment.train(attributed, seeds, announce=run.announce, **how)

# %%
PLACES = pd.DataFrame(places, columns=PANEL).assign(model=[named(*of) for of in places])
MODELS = list(dict.fromkeys(PLACES["model"]))  # the standard net is one in all panels
PLAIN = [name for name in MODELS if FIRST in name or name == "standard"]  # the controls are for these
STRONGEST = {norm: named(norm, FIRST, levels[-1]) for norm in LARGEST}
ENDS = ("standard", *STRONGEST.values())

# %% [markdown]
# **Other trainings (ours).** These nets are of one architecture and one optimiser. Does what they show depend on either? So a standard net and one trained against the largest l2 radius are trained for another architecture and for SGD too.

# %%
BESIDE = "compact_cnn" if kind == "small_mlp" else "small_mlp"
STATES = {"standard": None, "adversarial": adversary("l2", FIRST, levels[-1])}
lasting = {n: (KINDS.get(n, part(n)), e) for n, e in ((kind, epochs), (BESIDE, beside_epochs))}
GRID = experiment.grid(base, lasting, OPTIMISERS, STATES)
GRID.loc[:1, "model"] = ["standard", STRONGEST["l2"]]  # the chapter's own nets
OTHERS = GRID[2:].set_index("model")["recipe"].to_dict()


def others(seed: int) -> dict[str, Recipe]:
    return {model: replace(recipe, seed=seed) for model, recipe in OTHERS.items()}


def training_of(name: str) -> str:
    return "standard" if name.endswith("standard") else "adversarial"


def colour(name: str) -> str:
    return plots.COLOURS[training_of(name)]


every = nets | experiment.train(others, seeds, announce=run.announce, **how)

# %% [markdown]
# ### What is retrained
#
# A curve is a mask, a metric and a seed. The random order of a seed serves all its nets and both metrics; all retrained nets are of the first net's kind, and start from other weights than the net they judge.

# %%
FILL, METRIC = {"black": 0.0, "grey": 0.5, "white": 1.0}, {"largest": "ROAR", "smallest": "KAR"}
REMOVE = dict(zip(METRIC.values(), METRIC, strict=True))
OWN, GX, OTHER, MEAN = "G", "GX", "another image's map", "mean map"
RANDOM, AGAIN, ONE, VARIANCE = "random", "another random order", "one random net", "pixel variance"


def curve(seed: int, order: str, model="", remove="largest", again=repeats, draw=0, **what) -> dict:
    fixed = {"remove": remove, "unit": unit, "fill": FILL.get(fill, fill)}
    mask = Mask(0.5, **fixed, seed=draw or seed, **what)
    labels = {"seed": seed, "order": order, "model": model, "metric": METRIC[remove]}
    first = (draw or 1000) + seed * again
    return {**labels, "mask": mask, "seeds": [first + k for k in range(again)]}


def mean_size(net):
    return saliency.loss_gradient(net, images.x_train, images.y_train).abs().mean(0)


def maps_of(model: str, seed: int) -> dict:
    own = {OWN: part("loss_gradient")}
    paper = {**own, GX: part("gradient_x_input")}
    if model not in (*PLAIN, *OTHERS):
        return paper
    size = mean_size(store.get(every[model, seed], device=device))
    controls = {OTHER: part("gradient_elsewhere"), MEAN: experiment.one_order(size)}
    return {**(own if model in OTHERS else paper), **controls}


# %%
by_variance = experiment.one_order(images.x_train.std(0))
asked = [curve(seed, RANDOM, again=random_repeats) for seed in seeds]
draws = [(seed, k) for seed in seeds for k in range(random_repeats)]  # other orders, fresh nets
asked += [curve(s, AGAIN, f"draw {k}", draw=10_000 * (k + 1) + s) for s, k in draws]
asked += [curve(s, ONE, f"draw {k}") | {"seeds": [1000 + s * random_repeats + k]} for s, k in draws]
for (model, seed), net in every.items():
    for order, chosen in maps_of(model, seed).items():
        removed = ["largest"] if model in OTHERS or order == MEAN else METRIC
        asked += [curve(seed, order, model, r, source=net, map=chosen) for r in removed]
for seed in seeds:  # a mask with a map needs a net, which is not looked at
    of = {"source": nets["standard", seed], "map": by_variance}
    asked += [curve(seed, VARIANCE, remove=remove, **of) for remove in METRIC]

# %%
settings = {"fractions": shares, "keep_nets": keep_nets, "announce": run.announce}
curves = experiment.retrained(base, pd.DataFrame(asked), **settings, **how)
mu = experiment.scores(curves[curves["order"] != RANDOM], experiment.where(curves, order=RANDOM))
clean = experiment.measure(metrics.fraction_correct, every, images, **how)
clean = clean.assign(value=100 * clean["value"], quantity="clean_accuracy")
placed = PLACES.merge(mu, on="model").merge(clean[["model", "seed", "value"]], on=["model", "seed"])
placed = placed.rename(columns={"order": "map", "value_x": "value", "value_y": "accuracy"})
f4, alone = placed[placed["map"].isin([OWN, GX])], {o: mu[mu["order"] == o] for o in (VARIANCE, AGAIN)}

# %%
of_images = {"dataset": images.label}
run.record("data", "test images", len(images.x_test), **of_images)
run.record_frame("BR-F4", f4.assign(quantity="mu"), ["metric", "map", *PANEL], **of_images)
run.record_frame("BR-F5", PLACES.merge(clean, on="model"), PANEL, **of_images)
seen_by = curves.assign(quantity="retrained accuracy")
run.record_frame("BR-K", seen_by, ["order", "model", "metric", "share"], **of_images)


def average(frame: pd.DataFrame, **labels) -> float:
    return experiment.where(frame, **labels)["value"].mean()


# %%
SHOWN = [("random order", RANDOM, ""), ("pixel variance", VARIANCE, ""), ("standard net", OWN, "standard")]
SHOWN += [(f"{norm}-trained net", OWN, STRONGEST[norm]) for norm in LARGEST]
MASK = {(c["seed"], c["order"], c["model"], c["metric"]): c["mask"] for c in asked}
picked = plots.one_of_each(images.y_test, 4)[-2:]
drawn = [share for share in shares if share <= 0.7][-3:]
middle = drawn[-1]


def seen(order: str, model: str, metric: str, share: float):
    mask = replace(MASK[seeds[0], order, model, metric], fraction=share)
    return store.images_of(replace(base, mask=mask), device).x_test


# %% tags=["hide-input"]
def dissolved(i: int):
    rows = [("whole", [images.x_test[i]] * len(drawn))]
    rows += [(title, [seen(order, model, "ROAR", q)[i] for q in drawn]) for title, order, model in SHOWN]
    return plots.gallery(rows, columns=[f"{q:.0%} gone" for q in drawn], pixels="all", cell=1.1)


lost = {t: average(curves, order=o, model=m, metric="ROAR", share=middle) for t, o, m in SHOWN}
listed = ", ".join(f"{title} <b>{value:.0f} %</b>" for title, value in lost.items())
caption = (
    f"Two test images of {images.label}; below each, the pixels that an order ranks first are replaced by the mean grey (seed {seeds[0]}; from 0, black, to 1, white). "
    f"Accuracy of nets retrained on such images, {middle:.0%} gone: {listed}. It depends on what the pixels told, and on what the pattern of holes tells."
)
alt = "An image, and below it the image with more and more pixels replaced, by five orders:"
run.fill("picture", plots.show_all([dissolved(i) for i in picked], alt=alt, finding=caption))
rows = [("", [seen(order, model, "ROAR", middle)[i] for _, order, model in SHOWN]) for i in picked]
columns = [title for title, _, _ in SHOWN]
plots.save(plots.gallery(rows, columns=columns, pixels="all", cell=1.4), run.folder / "question")

# %% [markdown]
# ## Experiments
#
# (br-p)=
# ### BR-P: does the score measure?
#
# Before it judges gradients, the test is put to maps whose worth is known. Noise images get their label written into a tenth of their pixels, **in one of four places**; the map of an image marks its own place, whatever the label.
# So it is right image by image, it does not leak the label, and another image's map of the same class is right one time in four. And on the real images other random orders, each with retrained nets of its own, say how large the score of nothing is.

# %%
given = {"count": planted_images, "unit": unit}
found = {seed: experiment.planted_scores(images, replace(base, seed=seed), **given) for seed in seeds}
planted = pd.DataFrame({"seed": seed, **row} for seed, rows in found.items() for row in rows).dropna()
run.record_frame("BR-P", planted, ["metric"], map="planted")
nothing = experiment.apart(mu, AGAIN, ONE)
size, of_nothing = alone[AGAIN]["value"].abs().mean(), experiment.mean_difference(nothing)
for order, of in {AGAIN: nothing, VARIANCE: alone[VARIANCE]}.items():
    run.record_frame("BR-R", of.assign(quantity="mu"), ["metric"], map=order, **of_images)
run.record("BR-R", "mean |mu|", size, n=len(alone[AGAIN]), map=AGAIN, **of_images)

# %%
rows = [planted.assign(model="planted label: " + planted["quantity"].replace("mu", "μ"))]
rows += [of.assign(model=f"{o}: μ") for o, of in ((VARIANCE, alone[VARIANCE]), (AGAIN, nothing))]
caption = f"<b>BR-P, BR-R</b>, points of accuracy, mean ± sd over {len(seeds)} seed(s); the last two on {images.label}. Another random order: {len(nothing)} pairs of nets, none in two pairs; under KAR the nets are the same, so μ is minus that under ROAR. On average {of_nothing}; a single one is off by {size:.1f}."
show.measured(pd.concat(rows), columns="metric", digits=2, best=False, caption=caption)

# %% [markdown]
# (br-n)=
# ### BR-N: the attributed nets
#
# The paper's figures rescale radii to $[0, 1]$, so that l2 and linf share an axis. That does not make them equally strong (BR-E9). Each net is attacked in both norms, at the largest training radius of the norm.

# %%
judged = {"steps": attack_steps, "count": attack_images, "seed": lambda r: r.seed}


def forced(norm: str) -> pd.DataFrame:
    ball = {"norm": norm, "eps": LARGEST[norm]}
    return experiment.measure(metrics.strong_accuracy, nets, images, **ball, **judged, **how)


robust = pd.concat([forced(norm) for norm in LARGEST], ignore_index=True)
run.record_frame("BR-N", robust, ["model", "attack", "protocol"], **of_images)
caption = f"<b>BR-N</b>, {images.label}, per cent, mean ± sd over {len(seeds)} seed(s). Attacked: first {attack_images} test images at most, strong protocol, PGD-{attack_steps}, both losses. CE, CW: what the adversary maximised in training."
show.measured(pd.concat([clean.query("model in @MODELS").assign(attack="clean"), robust]), caption=caption)

# %%
UNTRAINED = ["R9", "R11", "R12", "R22"] if run.profile == "smoke" else []


def checked(name: str, norm: str):
    ball = {"norm": norm, "eps": LARGEST[norm], "steps": attack_steps}
    net, plain = (store.get(nets[n, seeds[0]], device=device) for n in (name, "standard"))
    about = {"baseline": plain, "recipe": nets[name, seeds[0]], "limit": checked_images}
    report = checks.fast(net, images.x_test, images.y_test, **ball, **about)
    return run.check(f"{name}, attacked in {norm}", report, expected=UNTRAINED)


caption = f"<b>Evaluation checks</b> of the nets at both ends, seed {seeds[0]}, {checked_images} test images at most."
ends = [("standard", norm) for norm in LARGEST] + [(name, norm) for norm, name in STRONGEST.items()]
badges.table([checked(*end) for end in ends], caption=caption)

# %% [markdown]
# (br-f4)=
# ### BR-F4: the score against the training radius, and beside three orders that are not the image's own
#
# Solid and dashed in blue: the paper's two maps. The other lines are the controls of {ref}`the idea <br-idea-orders>`.

# %%
LINES = {GX: ("#0072B2", "-"), OWN: ("#0072B2", "--"), OTHER: ("#56B4E9", "-"), MEAN: ("#E69F00", "-")}
of_first = experiment.where(placed, objective=FIRST)


def against_radius(metric: str, norm: str):
    of = experiment.where(of_first, metric=metric, norm=norm)
    # the mean map is scored under ROAR only
    drawn = [(o, experiment.where(of, map=o), *LINES[o]) for o in LINES if o in set(of["map"])]
    level = {VARIANCE: (average(alone[VARIANCE], metric=metric), "#D55E00")}
    axes = (f"training radius, fraction of {LARGEST[norm]:g}", "μ, points")
    return plots.lines(drawn, "strength", title=f"{metric}, {norm}", labels=axes, levels=level)


# %%
def grows(metric: str, order: str) -> str:
    of = experiment.where(mu, metric=metric, order=order)
    return " and ".join(f"{experiment.difference(of, STRONGEST[n], 'standard')} ({n})" for n in LARGEST)


flat = experiment.by_model(alone[VARIANCE].assign(model=alone[VARIANCE]["metric"]))
caption = (
    f"<b>BR-F4</b>, {images.label}, adversary {FIRST}; mean and 95 % t-interval, {len(seeds)} seed(s); zero is the random order. From the standard net to the largest radius the ROAR score of G "
    f"changes by {grows('ROAR', OWN)} points, of GX by {grows('ROAR', GX)}. Pixel variance, which asks no net, scores {flat['ROAR']} under ROAR and {flat['KAR']} under KAR."
)
figures = [against_radius(metric, norm) for metric in METRIC.values() for norm in LARGEST]
alt = f"μ against training radius. From zero to the largest G changes by {grows('ROAR', OWN)} under ROAR and {grows('KAR', OWN)} under KAR, the mean map by {grows('ROAR', MEAN)} under ROAR. Panel"
plots.show_all(figures, alt=alt, finding=caption)

# %% [markdown]
# (br-c9)=
# ### BR-C9: beside the paper, and the criterion that was announced
#
# Series by series, the standard net's score, the lowest score of an adversarially trained net, and at how many radii it does not exceed the standard net's: equation {eq}`br-criterion` holds where that is none.
# Beside them what the paper reports, Spearman's correlation of μ with the training radius and with clean accuracy. Its scores are read off its figure (CIFAR-10, one net a radius).

# %%
ranks = {}
for place, of in f4.groupby(list(series.LABELS), sort=False):
    ranks[place] = [experiment.rank_correlation(of, x) for x in ("strength", "accuracy")]
    labels = dict(zip(series.LABELS, place, strict=True)) | of_images
    for experiment_id, value in zip(("BR-F4", "BR-F5"), ranks[place], strict=True):
        run.record(experiment_id, "spearman over all nets", value, n=len(of), **labels)
inside = ", ".join(f"{count} series under {m}" for m, count in series.in_print(run.notebook).items())
caption = f"<b>BR-F4, F5 and C9</b>: μ of the standard net; lowest μ after adversarial training; radii where it is not above the standard net's. ρ over the nets of all seeds. In the paper's whole figure the criterion holds for {inside}."
series.table(run, ranks, caption=caption)


# %% [markdown]
# (br-v)=
# ### BR-V: what does the score reward? (ours)
#
# Where do the gradients of these nets lie? The mean of $|g_{\mathrm G}|$ over the training images, beside the standard deviation of the pixels: first for growing radii, then for **other trainings**. A radius is one way to change a net; its optimiser and its architecture are others.
# A net also has gradients at pixels that are the same in all training images, from which it learns nothing, so the correlation is given twice: over all pixels, and over those that vary.

# %%
def beside_spread(names: dict[str, list[str]], titles: list[str]):
    own = {m: mean_size(store.get(every[m, seeds[0]], device=device)) for of in names.values() for m in of}
    rows = [(label, [*map(own.get, of), images.x_train.std(0)]) for label, of in names.items()]
    return plots.gallery(rows, columns=[*titles, "spread"], cell=0.9)


titles = [f"{s:g}" if s else "standard" for s in levels]
radii = beside_spread({n: [named(n, FIRST, s) for s in levels] for n in LARGEST}, titles)
by_state = {state: list(of["model"]) for state, of in GRID.groupby("training", sort=False)}
trainings = beside_spread(by_state, list(dict.fromkeys(GRID["net"] + "\n" + GRID["optimiser"])))
finding = f"Mean |g| of seed {seeds[0]}, and the pixels' standard deviation; white: 0, red: each map's largest value. First by training radius (fraction of the largest) for {kind} and Adam, then by training; adversarial: l2 {LARGEST['l2']:g}."
plots.show_all([radii, trainings], alt="Maps of mean |g| beside the pixels' spread", finding=finding)

# %%
spreads = experiment.measure(metrics.gradient_spread, every, images, **how)
lies = experiment.where(PLACES, objective=FIRST).merge(spreads, on="model")
run.record_frame("BR-V", lies, PANEL, **of_images)
controls = of_first[of_first["map"] != GX].replace({"map": {OWN: "own map"}}).assign(quantity="mu")
run.record_frame("BR-V", controls, ["metric", "map", *PANEL], **of_images)
in_roar = mu[mu["metric"] == "ROAR"].assign(quantity="mu, " + mu["order"])
of_grid = GRID.merge(pd.concat([spreads, clean, in_roar]), on="model")
of_grid["model"] = of_grid["net"] + ", " + of_grid["optimiser"] + ", " + of_grid["training"]
run.record_frame("BR-T", of_grid, ["net", "optimiser", "training"], **of_images)

# %%
VARY, FLAT = "spread, pixels that vary", f"mu, {MEAN}"
digits = {VARY: 2, FLAT: 1, "clean_accuracy": 1}
moved = {q: experiment.from_to(of_grid, q, "training", d) for q, d in digits.items()}
by_radius = ", ".join(f"{n} {average(spreads, quantity=VARY, model=n):.2f}" for n in PLAIN)
by_adversary = experiment.added(of_grid, VARY, "training", "adversarial", "standard")
by_sgd = experiment.added(of_grid.query("training == 'standard'"), VARY, "optimiser", "SGD", "Adam")
finding = f"<b>BR-V, BR-T</b>. Mean, 95 % t-interval and seeds; blue: adversarial; grey crosses: the own maps. Left, correlation over pixels that vary, standard → adversarial (l2 {LARGEST['l2']:g}): {moved[VARY]}. Right, μ of the mean map: {moved[FLAT]}. Clean accuracy, %: {moved['clean_accuracy']}. The correlation by radius, {kind} and Adam: {by_radius}."
titles = {VARY: "correlation ρ", FLAT: "ROAR μ, points"}
drawn_of = {title: experiment.where(of_grid, quantity=q) for q, title in titles.items()}
crosses = {titles[FLAT]: experiment.where(of_grid, quantity=f"mu, {OWN}")}
figures = plots.dots_each(drawn_of, list(of_grid["model"].unique()), colour, crosses)
alt = f"Eight nets. Correlation: {moved[VARY]}. μ of the mean map: {moved[FLAT]}. Panel"
plots.show_all(figures, alt=alt, finding=finding)

# %% [markdown]
# (br-own)=
# **What is left of the image's own map?** Its score minus that of another image's map with the same predicted class. Zero: the score does not know which image the map belongs to; {ref}`maps that are right image by image <br-p>` get far more.
# Below zero under ROAR: removing pixels by the own map costs *less* accuracy than removing as many by another image's. How much of that is the holes, and not what they hide? The same difference is taken for nets that see the masks and nothing of the images ({ref}`BR-E12 <br-e12>`).

# %%
readers = {place: of for place, of in nets.items() if place[0] in ENDS}
read_at = sorted({leak_share, *shares})
leak = experiment.readings(base, readers, fractions=read_at, unit=unit, device=device)
blind = leak[(leak["quantity"] == "accuracy") & leak["share"].isin(shares)]
blind = blind.drop(columns="quantity").assign(metric="ROAR")
of_masks = experiment.scores(blind, experiment.where(curves, order=RANDOM))

# %%
own, beyond = experiment.apart(mu, OWN, OTHER), experiment.apart(mu, MEAN, OWN)
of_masks = experiment.apart(of_masks, "own", "another's")
gaps = {"own − another's": own, "mean map − own": beyond, "own − another's, masks only": of_masks}
for quantity, of in gaps.items():
    of = of.assign(quantity=quantity, training=of["model"].map(training_of))
    run.record_frame("BR-O", of, ["model", "metric", "training"], **of_images)
credit = {metric: experiment.by_model(of) for metric, of in own.groupby("metric", sort=False)}
listed = {m: experiment.listed(of) for m, of in own.groupby("metric", sort=False)}

# %%
titled = {m: {f"{m}, points": experiment.where(own, metric=m)} for m in credit}
figures = [plots.dots(titled[m], list(of), colour) for m, of in credit.items()]
for fig in figures:
    fig.axes[0].axvline(0, color="#888888", linewidth=1)
finding = f"<b>Own − another's</b>, points of μ: mean, 95 % t-interval and seeds. ROAR: {listed['ROAR']}. KAR: {listed['KAR']}. Nets that see masks only, ROAR: {experiment.listed(of_masks)}."
alt = f"Own minus another's map. ROAR: {listed['ROAR']}. KAR: {listed['KAR']}. Panel"
plots.show_all(figures, alt=alt, finding=finding)

# %% [markdown]
# (br-f5)=
# ### BR-F5: the score against clean accuracy
#
# Adversarial training costs clean accuracy, so a score that rises with the radius falls with accuracy. Section 3.3 reads this as a trade-off, and compares the norms at equal accuracy: it says l2 is better at finding what matters (ROAR), linf at finding what does not (KAR).

# %%
equal = experiment.at_equal_accuracy(f4)
run.record_frame("BR-F5", equal.assign(quantity="at equal accuracy"), list(series.LABELS), **of_images)
led = experiment.where(equal, map=GX, objective=FIRST).assign(model=equal["norm"])
of_roar, of_kar = (experiment.where(led, metric=metric) for metric in METRIC.values())
leads = experiment.difference(of_roar, "l2", "linf"), experiment.difference(of_kar, "linf", "l2")
fallen = clean.groupby("model")["value"].mean()
kinds = {"standard": "#666666", "l2": "#0072B2", "linf": "#56B4E9"}

# %%
dots = f4.rename(columns={"accuracy": "clean accuracy, %", "value": "μ, points"})
dots["kind"] = dots["norm"].where(dots["strength"] > 0, "standard")
panels = {f"{m}, {g}": experiment.where(dots, metric=m, map=g) for m in METRIC.values() for g in (OWN, GX)}
finding = (
    f"<b>BR-F5</b>, every net of {len(seeds)} seed(s). Clean accuracy falls from {fallen['standard']:.1f} % to {fallen[STRONGEST['l2']]:.1f} % (l2) and {fallen[STRONGEST['linf']]:.1f} % (linf); "
    f"in the paper from 73.7 % to about 60 %. At equal accuracy, GX, adversary {FIRST}: l2 minus linf {leads[0]} under ROAR, linf minus l2 {leads[1]} under KAR."
)
drawn_dots = plots.points(panels, "clean accuracy, %", "μ, points", kinds, group="kind", names="training")
plots.show(drawn_dots, alt="Score of every net against its clean accuracy, four panels.", finding=finding)

# %% [markdown]
# (br-c10)=
# ### BR-C10: plain gradients below random
#
# In the paper's figure every l2-trained net, and the standard net, has a *negative* KAR score for the plain gradient: keeping the pixels with the largest gradient is worse than keeping random ones. The text does not say so.

# %%
of_mask = experiment.where(blind, order="own", model="standard")


def retrained_curves(metric: str):
    lines = [(OWN, "standard", "#666666", "-"), (VARIANCE, "", "#D55E00", ":")]
    lines += [(OWN, STRONGEST[norm], kinds[norm], "-") for norm in LARGEST]
    of, flat = experiment.where(curves, metric=metric), experiment.where(curves, order=RANDOM)
    drawn = [(f"{o} {m}".strip(), experiment.where(of, order=o, model=m), *style) for o, m, *style in lines]
    drawn.append((RANDOM, flat, "#888888", ":"))
    if metric == "ROAR":
        drawn.append(("only the mask of G standard", of_mask, "#009E73", "--"))
    axes = ("fraction of the pixels replaced", "accuracy, %")
    return plots.lines(drawn, "share", title=f"{metric}: {REMOVE[metric]} first", labels=axes)


# %%
below = series.below_random(run, "KAR", "l2", OWN)
of_rest = experiment.where(curves, metric="ROAR", order=OWN, model="standard")
told = [f"{q:.0%} gone {average(of_mask, share=q):.0f} and {average(of_rest, share=q):.0f}" for q in shares]
finding = f"<b>BR-C10</b>. Mean and 95 % t-interval, {len(seeds)} seed(s). The KAR score of the plain gradient is below zero for {below}. ROAR, standard net: nets that see the mask alone, beside nets that see the rest of the image, %: {', '.join(told)}."
figures = [retrained_curves(metric) for metric in METRIC.values()]
alt = f"Accuracy against the fraction of pixels replaced; mask alone and rest of the image, %: {', '.join(told)}. Panel"
plots.show_all(figures, alt=alt, finding=finding)

# %% [markdown]
# (br-e12)=
# ### BR-E12: does the mask give the decision away?
#
# The maps are those of the *predicted* class, on test images too, so the position of the holes depends on the net's decision, and a retrained net may learn to read it {cite:p}`rong2022`. To measure this alone, nets are trained on **the masks only**: one where a pixel stays, zero where it goes, nothing of the image.
# Such a mask may also show the *object*, its outline for example. So readers also get **another image's mask**, of the same predicted class, in training and test: of this image it knows nothing but the decision. Where the net errs, a reader of the object would name the true label; a reader of the decision repeats the error.

# %%
told = leak.assign(sees=leak["share"].isin(shares).map({True: "mask", False: "mask, few pixels"}))
run.record_frame("BR-E12", told, ["model", "order", "share", "sees"], **of_images)
errors = experiment.where(leak, quantity="decision_on_errors", share=middle, order="another's")
repeats_errors = experiment.by_model(errors)
repeated = ", ".join(f"{n} {of.mean:.0f} %" for n, of in repeats_errors.items()) or "no net made errors"
few = {n: average(leak, share=read_at[0], order="own", quantity="decision", model=n) for n in ENDS}

# %%
READ = {"accuracy": "label", "decision": "decision", "decision_on_errors": "decision where it is wrong"}
table = experiment.where(leak, share=middle).replace({"quantity": READ})
caption = f"<b>BR-E12</b>, {images.label}, per cent of the test images, mean ± sd over {len(seeds)} seed(s); nets that see only which {middle:.0%} of the pixels go, by the own map or by that of another image of the same predicted class. Where the net errs, readers of another image's mask repeat the error in {repeated}. From {read_at[0]:.1%} of the pixels the own masks tell of the decisions: {', '.join(f'{n} {v:.0f} %' for n, v in few.items())}."
table = table.assign(model=table["model"] + ", " + table["order"])
show.measured(table, columns="quantity", caption=caption, best=False)

# %% [markdown]
# **What follows.** A clear map can lower its own ROAR score: a mask that spells the decision lets a retrained net answer without the pixels that were taken away. One order for all images leaks nothing, which is one reason why the mean map can outscore the maps it is the mean of.
# Rong et al. {cite:p}`rong2022` find scores of this kind strongly affected by what the shape of the mask tells; Song et al. {cite:p}`song2023`, one of whom is an author of the paper
# read here, find that processing which asks neither net nor data, such as blurring, often raises a ROAR score. So μ compares maps *and* what their masks tell; *own − another's* holds the leaked decision fixed, though not the image's own outline: what it is for masks alone says how much that can be.
#
# (br-retrain-explorer)=
# ## Explore it
#
# Choose the adversary, its training radius, and how many pixels go: the image as the retrained nets see it, and what they reach. No kernel, no network.

# %%
i, VIEWS = picked[-1], ((OWN, "ROAR"), (OTHER, "ROAR"), (MEAN, "ROAR"), (VARIANCE, "ROAR"), (OWN, "KAR"))
NONE = {VARIANCE: ""}  # its masks belong to no net


def pictures_of(name: str, order: str, metric: str) -> dict[float, bytes]:
    return {q: plots.png(seen(order, NONE.get(order, name), metric, q)[i]) for q in shares}


made = {(name, *view): pictures_of(name, *view) for name in PLAIN for view in VIEWS}


def frame(norm: str, strength: float, share: float):
    name = named(norm, FIRST, strength)
    pictures, numbers = {"image": plots.png(images.x_test[i])}, {}
    for order, metric in VIEWS:
        of = {"order": order, "metric": metric, "model": NONE.get(order, name)}
        pictures[f"{order}, {metric}"] = made[name, order, metric][share]
        value = average(curves, **of, share=share)
        numbers[f"{order}, {metric}"] = f"{value:.0f} %, μ {average(mu, **of):+.1f}"
    return pictures, numbers


RADIUS, GONE = "training radius, fraction of the largest", "fraction of the pixels replaced"
frames = {(n, s, q): frame(n, s, q) for n in LARGEST for s in levels for q in shares}
caption = f"Masks of seed {seeds[0]}; accuracies of retrained nets and μ: means over {len(seeds)} seed(s), adversary {FIRST}."
controls = {"adversary": list(LARGEST), RADIUS: levels, GONE: shares}
explorer.frames(controls, frames, start=("l2", 0.0, middle), caption=caption)

# %% [markdown]
# (br-retrain-claims)=
# ## Verdicts on the claims
#
# The rules are data, `book/claims/br_retrain.yaml`; `companion claims` decides them again on any run's rows. The paper's claims are about CIFAR-10; other images decide nothing about them. Claims marked “ours” are not the paper's. {doc}`../book/decisions` says how an answer is reached.

# %%
about = f"{images.label}, {len(seeds)} seed(s). Scores in points of accuracy."
display(*verdicts.table(run.notebook, run.rows, about))

# %% tags=["hide-input"]
at_ends = {o: ", ".join(f"{average(in_roar, order=o, model=n):.1f} ({n})" for n in ENDS) for o in (OWN, MEAN)}
signs = {m: [sum(of.sign == s for of in found.values()) for s in (1, 0, -1)] for m, found in credit.items()}
counted = {m: f"higher for {a}, not told apart for {b}, lower for {c}" for m, (a, b, c) in signs.items()}
credited = experiment.where(planted, quantity="own − another's")
worth = " and ".join(f"{average(credited, metric=m):.1f} ({m})" for m in METRIC.values())
show.found(
    run,
    [
        f"<b>The paper's finding.</b> From the standard net to the largest radius the ROAR score of the gradient changes by {grows('ROAR', OWN)} points, its KAR score by {grows('KAR', OWN)} ({show.link('br-f4')}).",
        f"<b>What is rewarded.</b> Under ROAR an order by plain pixel variance, the same for all images and asking no net, scores {flat['ROAR']}. One order for all images by a net's mean |g| scores {at_ends[MEAN]}; the net's maps, image by image, score {at_ends[OWN]} ({show.link('br-f4')}).",
        f"<b>What moves the mean |g| to where pixels vary?</b> Their correlation, standard → adversarial (l2): {moved[VARY]}. The adversary adds {by_adversary}. In standard nets SGD in place of Adam adds {by_sgd}. The mean map's ROAR score: {moved[FLAT]} ({show.link('br-v')}).",
        f"<b>The image's own map</b> against another image's of the same predicted class, in kinds of nets: under ROAR {counted['ROAR']}; under KAR {counted['KAR']} ({show.link('br-own')}). The score can tell them apart: planted maps that are right image by image get {worth} points more than another image's ({show.link('br-p', 'table')}).",
        f"Masks give decisions away: nets that see nothing but another image's mask, of the same predicted class, repeat the net's errors in {repeated}; chance is {100 / images.n_classes:.0f} % ({show.link('br-e12', 'table')}).",
        f"The map of a planted label reaches {average(planted, quantity='fraction of the largest'):.2f} of the largest score; other random orders score {of_nothing} points, a single one is off by {size:.1f} ({show.link('br-p', 'table')}).",
        f"On the paper's claims, which are about CIFAR-10: {verdicts.in_short(run.notebook, run.rows)} ({show.link('br-retrain-claims', 'verdicts')})",
        f"Not run here: the paper's 80 adversarially trained nets on CIFAR-10; adversaries here: {', '.join(objectives)}. {images.label}, {counts}; ± are 95 % t-intervals over seeds.",
    ],
)

# %% [markdown]
# ## What differs from the paper, and what the paper left out
#
# Setting by setting. Where one is a parameter of this chapter, its values in the profiles stand below it. Figures 1 to 3 and 6 of the paper are in {doc}`boundary_tilting`.

# %%
fidelity.table("remove_and_retrain")


# %% [markdown]
# **Errata used on this page.** BR-E3 (radii), BR-E9 (one axis for two norms: {ref}`BR-N <br-n>`), BR-E10 (the second weak series: BR-C5), BR-E12 ({ref}`the mask leaks <br-e12>`).
#
# **The two scores together.** Their sum does not contain the random order: it is the area of DiffROAR (Shah et al. 2021), keeping the largest against keeping the smallest.
#
# ## Exercises
#
# ```{exercise} The same for every image
# :label: br-ex-fixed
# Why can one order for all images beat the maps it is the mean of, under ROAR? Name two reasons, and the figure of this page that speaks to each.
# ```
#
# ```{solution} br-ex-fixed
# :class: dropdown
# It leaves the retrained net nothing to work with: the same pixels are gone from every image, so no image shows what another has lost; masks that differ from image to image leave each pixel visible in some images. And it leaks nothing: a mask that is the same for all says nothing about any of them, while own masks spell
# the decision ({ref}`BR-E12 <br-e12>`). Another image's map differs from image to image and leaks the decision just as the own map does; {ref}`own − another's <br-own>` shows what is left.
# ```
#
# ```{exercise} Black instead of grey
# :label: br-ex-fill
# Run the chapter with `-p fill=black`. Digits have a black background: what does replacing a background pixel now do, and which of the two maps gains?
# ```
#
# ```{solution} br-ex-fill
# :class: dropdown
# Replacing background by black changes nothing, so a mask costs only the strokes it hits, and is invisible elsewhere: a retrained net can read less of it than the mask readers of {ref}`BR-E12 <br-e12>`, which see it whole. Only the retrainings are done again; the attributed nets are found in the store.
# ```
#
# ```{exercise} Ends
# :label: br-ex-ends
# Show that the accuracies at fractions 0 and 1 cancel in {eq}`br-mu`, whatever they are, when both curves share them.
# ```
#
# ```{solution} br-ex-ends
# :class: dropdown
# The trapezoidal rule is linear, and the difference of the two curves is zero at both ends. The paper's code fixes them at 0.7366 and 0.1; any other two numbers give the same μ.
# ```
#
# ```{exercise} How many pixels spell a decision?
# :label: br-ex-leak
# A position among 784 could name one of ten classes many times over. How much of a decision does the place of the single pixel of largest gradient tell a net? Guess, then lower `leak_share` to 1/784.
# ```
#
# ```{solution} br-ex-leak
# :class: dropdown
# `companion run remove_and_retrain -p leak_share=0.00128`: only these nets are trained, and the caption of {ref}`BR-E12 <br-e12>` gives what they read; compare it with the fraction that stands there now, and with the table. That a position *could* name the class does not mean that it does:
# the largest gradient falls on the same few pixels for many classes, and where it falls has to be learnt from the training images.
# ```
#
# ```{exercise} A lesson: predict the order
# :label: br-ex-lesson
# In groups, before scrolling down to {ref}`BR-F4 <br-f4>`: look at the masked images of the first picture and rank the five orders by how much accuracy a retrained net keeps. Then read the caption. Where were you wrong, and did you look at the pixels that are gone or at the pattern of the holes?
# ```
#
# ```{solution} br-ex-lesson
# :class: dropdown
# Most people rank by whether *they* can still read the digit. A retrained net also reads the holes. The explorer lets each group test its explanation at other fractions and radii; the playground below retrains a net for a map of your choice.
# ```
#
# ## Play with it
#
# Mask an image by any map, and ask the net that was retrained on images masked like it.

# %%
def play(
    image: int = i,
    order: str = OWN,
    training: str = STRONGEST["l2"],
    metric: str = "ROAR",
    gone: float = middle,
):
    model = "" if order in (RANDOM, VARIANCE) else training
    mask = replace(MASK[seeds[0], order, model, "ROAR"], fraction=gone, remove=REMOVE[metric])
    recipe = replace(base, mask=mask, seed=999)  # a net of its own: the curves stay what they are
    net, shown = store.get(recipe, device=device), store.images_of(recipe, device).x_test
    fig = playground.masked(net, images, shown, image)
    return plots.show(fig, alt=f"Image {image}, and masked by {order}, {gone:.0%} gone.", width="26rem")


orders = [OWN, GX, OTHER, MEAN, VARIANCE, RANDOM]
choices = {"order": orders, "training": PLAIN, "metric": list(METRIC.values()), "gone": shares}
playground.controls(play, live=run.profile is None, image=(0, len(images.y_test) - 1), **choices)

# %% [markdown]
# ## Rerun it
#
# ```sh
# companion run remove_and_retrain -p repeats=3                  # the paper's three retrainings: only the others are trained
# companion run remove_and_retrain -p fill=black                 # only the retrainings are done again
# companion run remove_and_retrain -p unit=entry -p fill=mean    # sub-pixels, as Hooker et al. and Shah et al.
# companion run remove_and_retrain --profile gpu                 # MNIST; -p dataset=fashion_mnist or cifar10: their radii and nets
# companion run remove_and_retrain --profile paper               # CIFAR-10: prints its estimate first
# papermill notebooks/remove_and_retrain.ipynb out.ipynb -f notebooks/profiles/quick/remove_and_retrain.yaml -p repeats 2
# ```

# %%
show.costs(run)

# %%
run.provenance_strip()
