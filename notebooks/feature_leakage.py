# %% [markdown]
# # Feature leakage
#
# *H. Shah, P. Jain and P. Netrapalli, “Do Input Gradients Highlight Discriminative Features?”* {cite:p}`shah2021` (SH).
#
# A gradient is read as an explanation: where it is large, the network looked. The paper calls this **assumption (A)** and tests it on data where it is *known* where the label can be
# read. Gradients of standard networks, it finds, also mark places that show nothing in this image, only in others: **features leak**. Those of adversarially trained networks do not.

# %% tags=["parameters", "hide-input"]
# Every name here can be changed: companion run feature_leakage -p NAME=VALUE
# fmt: off
dataset: str = "mnist_small"  # one of mnist_small, digits, mnist, fashion_mnist, folder:PATH: images of the signal blocks
block_classes: list[int] = [0, 1]  # in [0, inf): labels that a signal block can show
patch: str = "crossed"  # one of crossed, square, filled: what the null block shows
block_n_train: int = 0  # in [0, inf): training images of BlockMNIST, 0 for all
block_n_test: int = 0  # in [0, inf): test images, 0 for all
block_seeds: list[int] = [0, 1, 2]  # in [0, inf): one set of nets each
mlp_hidden: list[int] = [128, 128]  # in [1, inf), repeats allowed: hidden units of the MLP
cnn: str = "block_cnn"  # one of block_cnn, resnet: the CNN on BlockMNIST
cnn_blocks: list[int] = [1, 1]  # in [1, inf), repeats allowed: blocks of each stage of resnet; [2, 2, 2, 2] is the paper's ResNet-18
cnn_width: int = 8  # in [1, inf): filters of its first stage; the paper's 64
block_epochs: int = 6  # in [1, inf): passes over the training images
block_batch: int = 50  # in [1, inf): images in a training step
block_lr: float = 0.001  # in (0, inf): learning rate of Adam, falling to 0 along a cosine
block_norm: str = "l2"  # one of l2, linf: ball of adversarial training
block_eps: float = 2.0  # in (0, inf): its radius, pixels in [0, 1]; both nets learn the training images at 2
block_at_steps: int = 3  # in [1, inf): PGD steps in adversarial training
attack_steps: int = 12  # in [1, inf): PGD steps of the attacks that judge
attack_images: int = 60  # in [1, inf): test images attacked, at most
roar_dataset: str = "mnist_small"  # one of mnist_small, digits, mnist, fashion_mnist, cifar10, folder:PATH: images of DiffROAR
roar_n_train: int = 600  # in [0, inf): training images, 0 for all
roar_nets: list[str] = ["mlp", "compact_cnn"]  # one of mlp, compact_cnn, resnet, simple_cnn: nets whose gradients are judged
roar_seeds: list[int] = [0, 1, 2]  # in [0, inf): one judged net and one pair of retrained nets each
roar_kept: list[float] = [0.1, 0.3]  # in (0, 1): fractions k of the coordinates that are shown
roar_unit: str = "entry"  # one of entry, pixel: rank every channel of a pixel, as the code, or all of them together
roar_epochs: int = 6  # in [1, inf): passes over the training images, judged and retrained nets
roar_batch: int = 50  # in [1, inf): images in a training step
roar_lr: float = 0.005  # in (0, inf): learning rate of Adam, falling to 0 along a cosine
roar_norm: str = "l2"  # one of l2, linf: ball of adversarial training
roar_eps: float = 1.5  # in (0, inf): its radius
roar_at_steps: int = 3  # in [1, inf): its PGD steps
colour: bool = False  # whether DiffROAR also runs on colour_dataset
colour_dataset: str = "cifar10"  # one of cifar10, folder:PATH: second set of DiffROAR
colour_nets: list[str] = ["resnet"]  # one of mlp, resnet, simple_cnn: its nets
colour_eps: float = 0.5  # in (0, inf): radius of its adversarial training
colour_epochs: int = 15  # in [1, inf): its passes over the training images
leak_relevant: int = 10  # in [2, inf): blocks that can hold the signal
leak_noise: int = 10  # in [1, inf): blocks that never do
leak_block: int = 1  # in [1, inf): coordinates of a block
leak_eta: float = 0.1  # in [0, 1): noise level of the blocks without signal
leak_n: int = 2000  # in [2, inf): training points
leak_width: int = 1000  # in [1, inf): hidden units
leak_epochs: int = 40  # in [1, inf): passes over the training points
leak_lr: float = 0.1  # in (0, inf): learning rate of SGD, with momentum 0.9
leak_eps: float = 0.15  # in (0, 0.5): linf radius of adversarial training, coordinates in [0, 1], half of that in [-1, 1]
leak_at_steps: int = 3  # in [1, inf): its PGD steps
leak_seeds: list[int] = [1, 2, 3]  # in [0, inf): points and nets of their own for each
device: str = "auto"  # one of auto, cpu, cuda: where to compute
# fmt: on

# %%
from companion.publishing.running import chapter

run = chapter.begin(globals(), notebook="feature_leakage")

# %%
from dataclasses import replace

import pandas as pd
from IPython.display import display

from companion import checks, data, experiment, metrics, playground, plots, store
from companion.publishing.claims import ledger, verdicts
from companion.publishing.explorers import explorer
from companion.publishing.pages import badges, fidelity, show, sources
from companion.training import Mask, Recipe, part

device = experiment.choose_device(device)
how = {"device": device, "report": run.status}
BLOCKS = {"BlockMNIST": False, "BlockMNIST-Top": True}


def block_data(top: bool):
    of = {"of": dataset, "classes": tuple(block_classes), "patch": patch, "top": top}
    return part("block_mnist", **of, n_train=block_n_train or None, n_test=block_n_test or None)


# %%
blocks = {name: store.images(block_data(top), device) for name, top in BLOCKS.items()}
images = blocks["BlockMNIST"]
BASE, side = images.label.removeprefix("BlockMNIST (").removesuffix(")"), images.x_train.shape[3]
if images.size != 2 * side:
    raise ValueError(f"blocks of {images.size // 2} x {side} pixels; expected square ones")
counts = f"{len(images.x_train)} training and {len(images.x_test)} test images, {len(block_seeds)} seed(s)"
show.opening(run, f"{images.label}: {counts}", "the CPU" if device == "cpu" else device)

# %% [markdown]
# ## The question in one picture
#
# ```{predict} sh-guess-null
# :value: {experiment: SH-B, quantity: lead_mass, data: BlockMNIST, model: MLP, training: standard}
# :range: [0, 100]
# :step: 1
# :unit: "%"
#
# Each image has two blocks of equal size: a digit, and a null block with the same patch in every image. How much of a standard MLP's gradient lies on the null block?
# ```

# %% tags=["remove-input"]
run.later("picture")
run.later("found")

# %% [markdown]
# ## The idea, equation by equation
#
# **Assumption (A).** For a net with logits $z$ that predicts the class $\hat y$, the paper takes the gradient of its logit, $\nabla_x z_{\hat y}(x)$. (A) says: coordinates where it is larger matter more for the prediction on $x$.
#
# **BlockMNIST.** Two blocks, one above the other, in random order: a *signal block* with a digit that decides the label and a *null block* with the same patch in every image. With $N(x)$ the
# pixels of the null block and a gradient $g$, the *mass on the null block*,
#
# $$
# m(x) = \frac{\sum_{j \in N(x)} |g_j(x)|}{\sum_j |g_j(x)|},
# $$ (df-mass)
#
# should be small if (A) holds. On **BlockMNIST-Top** the signal block is always the upper one.
#
# Three choices decide what such a number says, and this chapter shows the others beside its own:
#
# - *Which gradient.* What is added to all logits alike changes no decision and no probability, but it changes every logit's gradient. We judge the gradient of the **lead**, $g = \nabla_x (z_{\hat y} - z_{\text{next}})$, which it leaves alone.
# - *Which size.* $|g_j|$ counts many small entries; the **energy**, with $g_j^2$ in {eq}`df-mass`, counts the few large ones that an eye sees.
# - *Compared with what.* On -Top no image shows a digit below, so nothing can leak there, and still the mass is not 0. We read the **excess**: the mass on BlockMNIST minus that of the same training on -Top.

# %%
sources.of(
    data.block_mnist.block_mnist,
    data.block_mnist.null_block,
    metrics.lead_gradient,
    metrics.block_scores,
    metrics.mass_on,
)

# %% [markdown]
# **Feature leakage.** If the digit is on top in some images and below in others, a net needs detectors in both places. The paper's hypothesis: the gradient marks both, whichever holds the digit *now*.
# On a simplified BlockMNIST this is a theorem. A point has $d$ blocks. One of the first $d'=d/2$ blocks, drawn at random, carries the signal with the sign of the label; the last $d/2$ never do.
#
# ```{prf:theorem} Feature leakage (Shah et al. 2021, here for $x = y\,e_j$)
# :label: df-thm
# Let $y = \pm1$ and $x = y\,e_j \in \mathbb R^d$ with $j$ uniform in $1, \dots, d'$. Among all one-hidden-layer ReLU nets $f(x) = \sum_k a_k\,(\langle w_k, x\rangle + b_k)_+ + c$ with $\sum_k |a_k|\,\lVert(w_k, b_k)\rVert_2 = 1$, of any width, the largest margin $\min_x y f(x)$ is $1/\sqrt{d'+1}$.
# With $s = 1/\sqrt{d'+1}$ and $u = (1, \dots, 1, 0, \dots, 0)$, the net
#
# $$
# f(x) = \tfrac s2\bigl(1 + \langle u, x\rangle\bigr)_+ - \tfrac s2\bigl(1 - \langle u, x\rangle\bigr)_+
# $$
#
# has it. At every point each of its slopes (inwards, outwards, and the one that automatic differentiation returns) has the same absolute value on every relevant coordinate and is 0 on every other.
# ```
#
# ````{dropdown} Proof
# *The net.* At $x = e_j$ the first unit is $2s$ and the second 0, at $-e_j$ the reverse, so $y f(x) = s$; each unit's weights, $\pm su$ with bias $s$, have norm $s\sqrt{d'+1} = 1$. The second unit stands at its hinge at $e_j$, the first at $-e_j$. With one unit active the slope on every relevant coordinate is $s/2$: that holds away from the other points, and is what automatic differentiation returns, which takes the slope of a unit at its hinge for 0. Between the points both are active, and the slope is $s$.
#
# *No net does better.* The smallest of $2d'$ numbers is at most their mean. The classes are balanced, so $c$ drops out, and by the norm constraint the mean of $y f(x)$ is at most that of the best single unit,
#
# $$
# \max_{\lVert(w,b)\rVert = 1} \frac1{2d'} \sum_{j \le d'} h_b(w_j)
# $$
#
# with $h_b(v) = (b + v)_+ - (b - v)_+$.
#
# This $h_b$ is odd. For $b \ge 0$ it is $2v$ up to $v = b$ and $b + v$ beyond: concave and increasing on $v \ge 0$. Hence $h_b(\sqrt{\,\cdot\,})$ is concave too, and for given $\sum_j w_j^2$ equal entries $w_j = v$ are best. The value is then $v$ where $v \le b$ and $\tfrac12(v + b)$ where $v \ge b$.
# On $d'v^2 + b^2 = 1$ the first grows as $b$ falls to $v$, the second as $b$ rises to $v$; both end at $v = b = s$. For $b < 0$, $h_b(v) = (v - |b|)_+ \le v$ gives at most $\tfrac12\lVert w\rVert_1/d' \le 1/(2\sqrt{d'}) \le s$.
# ````
#
# The paper proves it for blocks of several coordinates and for noise up to a bound, in the limit of infinite width, where training drives the net to a max-margin classifier. So for the point $e_3$ the gradient marks
# coordinate 7 as much as 3: it says where the signal *can* be, not where it is.
#
# **DiffROAR.** Let $x^{\mathrm{top}}_k$ show only the fraction $k$ of the coordinates with the largest $|g_j|$, and $x^{\mathrm{bot}}_k$ only as many with the smallest; the others are replaced by the mean of the data. New nets are trained and tested on such images. The accuracy they reach is the predictive power $P$ of either end, and
#
# $$
# \mathrm{DiffROAR}(k) = P(x^{\mathrm{top}}_k) - P(x^{\mathrm{bot}}_k).
# $$ (df-diffroar)
#
# Above 0, larger gradients reveal more, as (A) says. Below 0, they reveal *less*. A random order has 0.

# %%
sources.of(experiment.pred_power, experiment.diff_roar)

# %% [markdown]
# ## The nets on BlockMNIST
#
# An MLP and a CNN, each trained on images as they are and on attacked ones (AT), on either set. The MLP takes the two blocks in a row, as it would two channels.

# %%
RESNET = {"blocks": tuple(cnn_blocks), "width": cnn_width}
MLP = part("mlp", in_channels=2, size=side, hidden=tuple(mlp_hidden))
SHAPES = {"MLP": MLP, "CNN": part(cnn, **(RESNET if cnn == "resnet" else {}))}
attack = part("adversarial", norm=block_norm, eps=block_eps, steps=block_at_steps)
TRAININGS = {"standard": None, "AT": attack}
common = {"optimiser": part("Adam", lr=block_lr), "epochs": block_epochs, "batch_size": block_batch}


def block_nets(seed: int) -> dict[tuple, Recipe]:
    places = [(name, net, training) for name in BLOCKS for net in SHAPES for training in TRAININGS]
    made = {}
    for name, net, training in places:
        of = {"data": block_data(BLOCKS[name]), "model": SHAPES[net], "inputs": TRAININGS[training]}
        made[name, net, training] = Recipe(**of, **common, seed=seed)
    return made


nets = experiment.train(block_nets, block_seeds, announce=run.announce, **how)

# %%
PLACE = ["data", "model", "training"]


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    frame[PLACE] = frame["model"].tolist()
    return frame.assign(net=frame["model"] + ", " + frame["training"])


def net_of(*place: str):
    return store.get(nets[place, block_seeds[0]], device=device)


# %%
scores = labelled(experiment.measure(metrics.block_scores, nets, patch=patch, **how))
clean = labelled(experiment.measure(metrics.clean_accuracy, nets, **how))
untrained = {((d, net, "untrained"), s): of for ((d, net, t), s), of in nets.items() if t == "standard"}
fresh = experiment.measure_untrained(metrics.block_scores, untrained, patch=patch, device=device)
scores = pd.concat([scores, labelled(fresh)])
run.record_frame("SH-B", scores, PLACE, dataset=BASE)
run.record_frame("SH-B", clean, PLACE, dataset=BASE)
run.record("data", "test images", len(images.x_test), dataset=images.label)
excess = experiment.excess(scores, "data", *BLOCKS)
named = excess.assign(quantity=excess["quantity"] + "_excess")
run.record_frame("SH-B", named, ["model", "training"], dataset=BASE)
share = scores.groupby(["quantity", *PLACE])["value"].mean()

# %% tags=["hide-input"]
above = data.block_mnist.signal_mask(images.x_test, patch=patch)[:, 0, 0, 0]
picked = [int(((images.y_test == k) & (above == up)).nonzero()[0]) for k in (0, 1) for up in (True, False)]


def gradients(net: str, training: str) -> list:
    return list(metrics.lead_gradient(net_of("BlockMNIST", net, training), images.x_test[picked]))


def on_null(net: str, training: str, on: str = "BlockMNIST") -> str:
    mass, energy = (share[of, on, net, training] for of in ("lead_mass", "lead_energy"))
    return f"{mass:.0f} % ({energy:.0f} %)"


rows = [("image", list(images.x_test[picked]))]
rows += [(f"{net}, {t}", gradients(net, t)) for net in SHAPES for t in TRAININGS]
by_image = [("", [pictures[i] for _, pictures in rows]) for i in range(2)]
shown = {"columns": [name for name, _ in rows], "pixels": "first column", "cell": 1.3}
plots.save(plots.gallery(by_image, **shown), run.folder / "question")


def by_training(said) -> str:
    told = "{} {} after standard, {} after adversarial training"
    return "; ".join(told.format(net, said(net, "standard"), said(net, "AT")) for net in SHAPES)


masses = by_training(on_null)
caption = f"<b>The digit decides the label, the square is the same in every image.</b> Gradients of the predicted class's lead over the next (red: it rises with the pixel, blue: it falls; each map ± its largest value; seed {block_seeds[0]}, the first image of each kind). On the square's block lies this much of |g| (of g²), mean over {len(block_seeds)} seed(s): {masses}."
figure = plots.gallery(rows, pixels="first row", cell=1.05)
alt = "Images of two blocks, and below each the gradients of four nets."
run.fill("picture", plots.show(figure, alt=alt, finding=caption))

# %% [markdown]
# ## Experiments
#
# (sh-b)=
# ### SH-B: where the gradient lies on BlockMNIST
#
# ```{predict} sh-guess-least
# :where: {experiment: SH-B, quantity: lead_mass, data: BlockMNIST, model: MLP}
# :smallest: [{training: untrained}, {training: standard}, {training: AT}]
# :unit: "%"
#
# In which MLP does the smallest part of the gradient lie on the null block?
#
# - the untrained net
# - the standard net
# - the adversarially trained net
# - no clear difference
# ```
#
# Each kind of net is judged by {eq}`df-mass` on test images, beside the same training on -Top and the net before training.

# %% tags=["hide-input"]
KINDS = {"untrained": "#8FA3B3", "standard": plots.COLOURS["standard"], "AT": plots.COLOURS["adversarial"]}
colours = {f"{net}, {kind}": colour for net in SHAPES for kind, colour in KINDS.items()}
SIZES = {"lead_mass": "|g|", "lead_energy": "g²"}
as_nets = scores.drop(columns="model").rename(columns={"net": "model"})


def panels(on: str) -> dict:
    of = experiment.where(as_nets, data=on)
    return {f"{name}: % on the null block": experiment.where(of, quantity=q) for q, name in SIZES.items()}


def over_top(net: str, training: str) -> str:
    of = experiment.where(scores, model=net, training=training).assign(model=lambda f: f["data"])
    found = [experiment.difference(experiment.where(of, quantity=q), *BLOCKS) for q in SIZES]
    return f"{found[0]} (g²: {found[1]})"


excesses = by_training(over_top)
before = ", ".join(f"{net} {on_null(net, 'untrained')}" for net in SHAPES)
figures = plots.dots_each(panels("BlockMNIST"), list(colours), colours.get, panels("BlockMNIST-Top"))
finding = f"<b>SH-B</b>: mean, 95 % t-interval, {len(block_seeds)} seed(s), {len(images.x_test)} test images, gradient of the lead. Grey crosses: -Top. Excess over -Top, points of |g|: {excesses}. Before training the null block has, of |g| (of g²): {before}."
plots.show_all(figures, alt="Fraction of the gradient on the null block,", finding=finding)

# %% [markdown]
# (sh-b-readings)=
# **Does the answer depend on the reading?** How much less lies on the null block after adversarial training, read in eight ways for each net. The paper's gradient is the logit's.

# %%
READINGS = {
    **{"lead_mass": "|g| of the lead", "lead_energy": "g² of the lead"},
    **{"logit_mass": "|g| of the logit", "logit_energy": "g² of the logit"},
}
WAYS = {"mass": experiment.where(scores, data="BlockMNIST"), "excess": excess}


def fall(net: str, quantity: str, way: str):
    of = experiment.where(WAYS[way], model=net, quantity=quantity)
    return experiment.difference(of.assign(model=of["training"]), "standard", "AT")


falls = {
    f"{net}, {READINGS[q]}": {way: fall(net, q, way) for way in WAYS} for net in SHAPES for q in READINGS
}
table = pd.DataFrame([{"read": read} | {way: str(d) for way, d in of.items()} for read, of in falls.items()])
caption = f"<b>SH-B, standard − AT</b>, points on the null block of BlockMNIST, mean ± 95 % t-interval, {len(block_seeds)} seed(s). Mass: as it is; excess: over the same training's -Top."
show.listed(table, ["read", "mass", "excess"], caption=caption)

# %%
budget = {"norm": block_norm, "eps": block_eps, "steps": attack_steps, "count": attack_images}
seeded = {"seed": lambda recipe: recipe.seed}
robust = labelled(experiment.measure(metrics.strong_accuracy, nets, **budget, **seeded, **how))
run.record_frame("SH-B", robust, [*PLACE, "attack", "protocol"], dataset=BASE)
BALL = f"{block_norm} {block_eps:g}"
titles = {"clean_accuracy": "accuracy, %", "robust_accuracy": f"{BALL}, %"}
table = pd.concat([clean, robust])
table = table.assign(what=table["quantity"].map(titles), kind=table["data"] + ", " + table["net"])
caption = f"<b>SH-B in numbers</b>, mean ± sd over {len(block_seeds)} seed(s). {BALL}: strong protocol, PGD-{attack_steps}, {min(attack_images, len(images.x_test))} images."
show.measured(table, rows="kind", columns="what", caption=caption, best=False)


# %%
def checked(name: str, defended: Recipe, plain: Recipe, norm: str, eps: float):
    test = store.images(defended.data, device)
    x, y = test.x_test[:attack_images], test.y_test[:attack_images]
    about = {"baseline": store.get(plain, device=device), "recipe": defended}
    ball = {"norm": norm, "eps": eps, "steps": attack_steps}
    report = checks.fast(store.get(defended, device=device), x, y, **ball, **about)
    untrained = ["R9", "R12", "R22"] if run.profile == "smoke" else []
    return run.check(name, report, expected=["R10", "R11", *untrained])


PAIR = ("AT", "standard")
of_blocks = {net: [nets[("BlockMNIST", net, t), block_seeds[0]] for t in PAIR] for net in SHAPES}
reports = [
    checked(f"BlockMNIST, {net}, adversarial", *of, block_norm, block_eps) for net, of in of_blocks.items()
]
badges.table(reports, caption=f"<b>Evaluation checks</b> at {BALL}, seed {block_seeds[0]}.")

# %% [markdown]
# Rows R10 and R11 look at radii up to the whole box. They may fail here without stopping the chapter: with two classes a net can answer everything that is no digit with one of them, and from so far outside PGD finds no way to the other.
#
# **What -Top controls.** There the lower block is the same in every image and tells nothing of the label. A net can use it all the same: weights on its bright pixels act as one more bias, and then the gradient shows the patch. So a mass on -Top is the level of a net in which nothing leaks.
# A residual net (`cnn=resnet`, the paper's) has one set of filters for all places and averages over places at the end: what it learnt above applies below as well, and the excess says too little.
#
# (sh-leak)=
# ### SH-leak: what lies on the null block (the measure is ours)
#
# If the mass is *leakage*, it has a shape: that of features which other images show there. With $\mu_c$ the mean digit of class $c$ and $\mu_{\neg c}$ that of the others,
#
# $$
# \text{leak}(x) = \cos\bigl(g(x)|_{N(x)},\; \mu_{\hat y} - \mu_{\neg\hat y}\bigr).
# $$ (df-leak)
#
# Noise gives about 0. The measure looks for the template of a digit: it fits nets whose first layer sees whole blocks, and misses a leak made of strokes.

# %% tags=["hide-input"]
direction = metrics.class_directions(images, patch=patch)[-1].view(1, side, side)
leaks = [
    (f"{net}, {t}", [metrics.mean_null_map(net_of(d, net, t), blocks[d], patch=patch) for d in BLOCKS])
    for net in SHAPES
    for t in TRAININGS
]
figure = plots.gallery([("class direction", [direction, direction]), *leaks], columns=list(BLOCKS), cell=1.2)
cosine = experiment.where(scores, quantity="leak_cosine").groupby(PLACE)["value"].mean()
told = "; ".join(
    f"{net} {cosine['BlockMNIST', net, 'standard']:.2f} on BlockMNIST, {cosine['BlockMNIST-Top', net, 'standard']:.2f} on -Top"
    for net in SHAPES
)
finding = f"<b>SH-leak</b>: mean gradient of the lead on the lower block where it is the null block, images predicted as “{images.classes[-1]}”, seed {block_seeds[0]}. First row: μ<sub>c</sub> − μ<sub>¬c</sub>. Mean cosine, standard nets: {told}."
plots.show(figure, alt="Class direction, mean gradients of four nets.", finding=finding, width="26rem")

# %% [markdown]
# (sh-d)=
# ### SH-D: DiffROAR
#
# ```{predict} sh-guess-droar
# :where: {experiment: SH-D, quantity: diff_roar, model: {first: 1}, kept: {first: 1}}
# :largest: [{training: standard, radius: "*"}, {training: AT, radius: "*"}, {training: random, radius: "*"}]
# :unit: points
#
# Images keep only their largest gradient entries, or only their smallest. DiffROAR is how much better nets learn from the first. For which gradients is it largest?
#
# - the gradients of a standard net
# - the gradients of an adversarially trained net
# - a random order
# - no clear winner
# ```
#
# The judged nets are standard and adversarially trained; everything that is retrained is a standard net of the same architecture. Each seed has its own judged net and its own pair of retrained nets, so the spread is over both.

# %%
ROAR = [("grey", net) for net in roar_nets] + [("colour", net) for net in colour_nets if colour]
KINDS_OF = {"mlp": {"hidden": tuple(mlp_hidden)}, "resnet": RESNET}
KINDS_OF["compact_cnn"] = {"channels": (8, 16), "hidden": 50}


def judged(of: str, net: str, training: str, seed: int) -> Recipe:
    grey = of == "grey"
    ball = {"norm": roar_norm, "eps": roar_eps if grey else colour_eps, "steps": roar_at_steps}
    return Recipe(
        data=part(roar_dataset if grey else colour_dataset, n_train=roar_n_train or None),
        model=part(net, **KINDS_OF.get(net, {})),
        inputs=part("adversarial", **ball) if training == "AT" else None,
        optimiser=part("Adam", lr=roar_lr),
        epochs=roar_epochs if grey else colour_epochs,
        **{"batch_size": roar_batch, "seed": seed},
    )


# %% [markdown]
# The order of the coordinates comes from the judged net's gradient (of the predicted class's logit, as in the paper), or from a coin.
#
# **The mask carries information, too.** Which pixels are shown can give the net's decision away with nothing of the image left (for ROAR and KAR this is {doc}`erratum BR-E12 <../book/errata>`). So the same nets are trained once more on the masks alone, at every $k$. This control is ours.

# %%
def order(of: str, net: str, training: str, seed: int) -> Mask:
    if training == "random":
        return Mask(0.5, unit=roar_unit, fill="mean", seed=2 * seed)
    how = {"map": part("loss_gradient", of="logit"), "unit": roar_unit, "fill": "mean"}
    return Mask(0.5, source=judged(of, net, training, seed), **how, seed=seed)


def orders(of: str, net: str) -> list[str]:
    first = net == next(n for kind, n in ROAR if kind == of)  # a coin asks nothing of the judged net
    return ["standard", "AT", *(["random"] if first else [])]


PLACES = [(of, net, t, seed) for of, net in ROAR for t in orders(of, net) for seed in roar_seeds]
FROM_NET = [place for place in PLACES if place[2] != "random"]


# %%
def plain(place: tuple) -> Recipe:
    return judged(*place[:2], "standard", place[3])


asked = [(place, order(*place)) for place in PLACES]
asked += [(place, replace(mask, shows="mask")) for place, mask in asked if place in FROM_NET]
asked.sort(key=lambda of: PLACES.index(of[0]))  # one order after the other: it is kept while both are cut
wanted = [judged(*place) for place in FROM_NET]
for place, mask in asked:
    wanted += experiment.unmaskings(plain(place), mask, kept=roar_kept, seeds=[place[3]])
run.announce(store.estimate(wanted, device=device))
store.train_all(wanted, device=device, report=run.status)


# %%
def power_of(place: tuple, mask: Mask) -> pd.DataFrame:
    label = store.images(plain(place).data, device).label
    names = {"dataset": label, "model": place[1], "training": place[2], "seed": place[3]}
    ball = f"{roar_norm} {roar_eps:g}" if place[2] == "AT" else "none"
    found = experiment.powers(plain(place), mask, kept=roar_kept, device=device)
    return found.assign(**names, radius=ball, shows=mask.shows)


everything = pd.concat([power_of(*of) for of in asked], ignore_index=True)
power, alone = (experiment.where(everything, shows=shows) for shows in ("image", "mask"))
LABELS = ["dataset", "model", "training", "kept"]
gaps = experiment.where(everything, end="difference")
diff = experiment.where(gaps, shows="image").assign(quantity="diff_roar")
run.record_frame("SH-D", diff, [*LABELS, "radius"])
run.record_frame("SH-D", alone.assign(quantity="mask_accuracy"), [*LABELS, "end"])

# %% tags=["hide-input"]
COLOURS = {"standard": plots.COLOURS["standard"], "AT": plots.COLOURS["adversarial"], "random": "#8FA3B3"}


def drawn(label: str, net: str):
    fig, axes = plots.subplots(1, 1, size=(3.8, 2.9))
    axes[0, 0].axhline(0, color="#888888", linewidth=1)
    for (t, shows), of in experiment.where(gaps, dataset=label, model=net).groupby(["training", "shows"]):
        name, style = (t, "-") if shows == "image" else (f"{t}, mask alone", "--")
        plots.curve(axes[0, 0], of, "kept", colour=COLOURS[t], label=name, style=style)
    axes[0, 0].set(xlabel="fraction k shown", ylabel="DiffROAR, points", title=f"{label}, {net}")
    axes[0, 0].legend(fontsize=8)
    return fig


of_nets = gaps[gaps["training"] != "random"]
cases = of_nets.groupby(LABELS, sort=False)
intervals = [
    plots.interval(list(of["value"])) for _, of in experiment.where(of_nets, shows="image").groupby(LABELS)
]
beyond = [experiment.difference(of.assign(model=of["shows"]), "image", "mask") for _, of in cases]
counted = f"above 0 in {sum(mean > half for mean, half in intervals)} of {len(cases)} cases (net, training, k), and above that of the mask alone in {sum(d.sign > 0 for d in beyond)}"
printed = pd.DataFrame(ledger.printed(run.notebook))
printed = experiment.where(printed, quantity="diff_roar", dataset="CIFAR-10")
printed["training"] = [f"AT, {r}" if isinstance(r, str) else "standard" for r in printed["radius"]]
shades = dict(zip(printed["training"].unique(), ("#333333", "#D55E00", "#E69F00", "#CC79A7"), strict=False))
curves = {"the paper: CIFAR-10, ResNet-50": dict(list(printed.groupby("training")))}
paper = plots.panels(curves, "kept", shades, size=(3.8, 2.9))
figures = [drawn(*of) for of in diff[["dataset", "model"]].drop_duplicates().to_numpy()]
finding = f"<b>SH-D</b>, {len(roar_seeds)} seed(s), bands: 95 % t-intervals; dashed: nets that see the mask alone. DiffROAR is {counted}. Last: read off the paper's figure."
plots.show_all([*figures, paper], alt="DiffROAR against the fraction of coordinates shown,", finding=finding)

# %%
ENDS = {"difference": "top − bottom", "top": "top", "bottom": "bottom"}
told = pd.concat([experiment.where(of_nets, shows="image"), alone])
told = told.assign(
    judged=told["model"] + ", " + told["training"] + ", k = " + told["kept"].map("{:g}".format),
    sees=told["shows"] + ": " + told["end"].map(ENDS),
)
caption = f"<b>SH-D, image and mask alone</b>: points of difference, and per cent of the labels that nets get right which see the mask and nothing else, mean ± sd over {len(roar_seeds)} seed(s)."
show.measured(told, rows="judged", columns="sees", caption=caption, best=False)

# %% [markdown]
# What the mask tells by itself is no evidence for (A). And where both its ends reveal as much as the judged net knows, DiffROAR is near 0 whatever the image shows: then a 0 is no evidence against (A).
#
# (sh-viewer)=
# **What the retrained nets see.** Choose a judged net, an image and k: the image, the gradient, the coordinates with the largest and the smallest |gradient|, and the mask alone.

# %%
JUDGED = [("grey", net, t, roar_seeds[0]) for net in roar_nets for t in ("standard", "AT")]
test = store.images(plain(JUDGED[0]).data, device)
SHOWN = dict(zip(("first", "second", "third"), plots.one_of_each(test.y_test, 3), strict=False))


def seen(place: tuple, k: float) -> dict:
    views = experiment.unmasked_views(plain(place), order(*place), kept=k, device=device)
    maps = metrics.predicted_gradient(store.get(judged(*place), device=device), test.x_test, test.y_test)
    of = experiment.where(power, model=place[1], training=place[2], seed=place[3], kept=k)
    told = dict(zip(of["end"], of["value"], strict=True))
    numbers = {f"accuracy, {end}": f"{told[end]:.0f} %" for end in ("top", "bottom")}
    made = {}
    for name, i in SHOWN.items():
        gradient = plots.png(maps[i], limit=plots.scale(maps[i]))
        pictures = {"image": plots.png(test.x_test[i]), "gradient": gradient}
        pictures |= {n: plots.png(v[i]) for n, v in views.items()}
        made[f"{place[1]}, {place[2]}", name, k] = pictures, numbers
    return made


# %%
made = {key: frame for place in JUDGED for k in roar_kept for key, frame in seen(place, k).items()}
nets_of = list(dict.fromkeys(name for name, _, _ in made))
controls = {"judged net": nets_of, "image": list(SHOWN), "fraction k": roar_kept}
told = f"Seed {roar_seeds[0]}; accuracies of the nets retrained on such images. Grey: the mean of the data."
explorer.frames(controls, made, caption=told)

# %%
roar_nets_judged = {(f"{net}, {t}", seed): judged(of, net, t, seed) for of, net, t, seed in FROM_NET}
free = experiment.measure(metrics.clean_accuracy, roar_nets_judged, **how).assign(attack="clean")
ball = {"norm": roar_norm, "eps": roar_eps, "steps": attack_steps, "count": attack_images}
forced = experiment.measure(metrics.strong_accuracy, roar_nets_judged, **ball, **seeded, **how)
run.record_frame("SH-D", free, ["model"])
run.record_frame("SH-D", forced, ["model", "attack", "protocol"])
caption = f"<b>The judged nets</b>, strong protocol, PGD-{attack_steps}, per cent, mean ± sd over {len(roar_seeds)} seed(s)."
show.measured(pd.concat([free, forced]), caption=caption, best=False)

# %%
of_roar = {net: [judged("grey", net, t, roar_seeds[0]) for t in PAIR] for net in roar_nets}
reports = [checked(f"DiffROAR, {net}", *of, roar_norm, roar_eps) for net, of in of_roar.items()]
badges.table(reports, caption=f"<b>Evaluation checks</b> at {roar_norm} {roar_eps:g}.")

# %% [markdown]
# (sh-s)=
# ### SH-S: leakage on the simplified BlockMNIST
#
# {prf:ref}`df-thm` in numbers: first the leaking net itself, from its closed form in double precision, then nets trained by SGD on points with noise: a linear net, a standard MLP, and the same MLP trained against linf attacks. Gradients are of the lead.

# %%
identities = pd.DataFrame(metrics.leaking_identities(leak_relevant, leak_noise))
for row in identities.itertuples():
    run.record("SH-S", row.identity, row.value)
show.listed(
    identities, ["identity", "value"], caption="<b>SH-S, the closed form</b>, float64: all should be 0."
)


# %%
def leaking(seed: int) -> dict[str, Recipe]:
    of = {"relevant": leak_relevant, "noise_blocks": leak_noise, "block": leak_block, "eta": leak_eta}
    points = part("one_hot_blocks", **of, n_train=leak_n, split_seed=seed)
    mlp = part("one_hidden", width=leak_width, init="torch")
    attack = part("adversarial", norm="linf", eps=leak_eps, steps=leak_at_steps)
    sgd = {"optimiser": part("SGD", lr=leak_lr, momentum=0.9), "schedule": "constant"}
    made = {"linear": (part("linear"), None), "MLP": (mlp, None), "MLP, adversarial": (mlp, attack)}
    how = {"data": points, "batch_size": 100, "epochs": leak_epochs, "seed": seed}
    return {n: Recipe(model=net, inputs=inputs, **sgd, **how) for n, (net, inputs) in made.items()}


LEAKING = list(leaking(leak_seeds[0]))

# %%
leak_nets = experiment.train(leaking, leak_seeds, announce=run.announce, **how)
found = experiment.measure(metrics.leak_scores, leak_nets, relevant=leak_relevant, block=leak_block, **how)
right = experiment.measure(metrics.clean_accuracy, leak_nets, **how)
leak = pd.concat([found, right])
trained = {"linear": ("linear", "standard"), "MLP": ("MLP", "standard"), "MLP, adversarial": ("MLP", "AT")}
for of in (found, right):
    named = of.assign(
        net=of["model"].map(lambda n: trained[n][0]), training=of["model"].map(lambda n: trained[n][1])
    )
    run.record_frame("SH-S", named, ["net", "training"])
first = store.images(leaking(leak_seeds[0])["MLP"].data, device)
x, y = first.x_test[:20], first.y_test[:20]
maps = {"the points": metrics.by_block(2 * x - 1, leak_block)}
for name in LEAKING:
    of = store.get(leak_nets[name, leak_seeds[0]], device=device)
    maps[name] = metrics.by_block(metrics.lead_gradient(of, x), leak_block)
own = data.toys.signal_of(x, y, block=leak_block).flatten(1)[:, ::leak_block]

# %%
mean = leak.groupby(["quantity", "model"], sort=False)["value"].mean()
told = "; ".join(
    f"{n} {mean['own_over_other', n]:.2f} and {mean['noise_over_relevant', n]:.2f}" for n in LEAKING
)
finding = f"<b>SH-S</b>, seed {leak_seeds[0]}, {len(x)} test points, each row divided by its largest value; the dot marks the signal; blocks {leak_relevant + 1} and up never hold it. Gradient on the own block over the other relevant ones, and on a noise block over a relevant one, mean over {len(leak_seeds)} seed(s): {told}."
halves = [dict(list(maps.items())[i : i + 2]) for i in (0, 2)]
plots.show_all(
    [plots.toy_heat(half, own, lowest=0.0) for half in halves],
    alt="Maps of points and of three nets' gradients, block by block,",
    finding=finding,
)

# %%
caption = f"<b>SH-S in numbers</b>, mean ± sd over {len(leak_seeds)} seed(s); {leak_width:,} hidden units, η = {leak_eta:g}. Top1: the own block has the largest gradient; bottom1: the smallest of the {leak_relevant} relevant ones; per cent of the points. Own: gradient there over that of the other relevant blocks; noise: of a noise block over a relevant one. Margin: of the points without noise, over the theorem's largest."
SHORT = {"top1": "top1, %", "bottom1": "bottom1, %", "own_over_other": "own"}
SHORT |= {"noise_over_relevant": "noise", "clean_accuracy": "right, %", "margin_share": "margin"}
table = leak.assign(quantity=leak["quantity"].map(SHORT)).rename(columns={"model": "net"})
show.measured(table, rows="quantity", columns="net", caption=caption, best=False, digits=2)

# %% [markdown]
# (sh-claims)=
# ## Verdicts on the paper's claims
#
# The rules are data, `book/claims/sh.yaml`; where one was revised after a run, its note says when and why. Claims about CIFAR-10 and its like are not decided by MNIST. {doc}`../book/decisions` says how an answer is reached and how often it is wrong.

# %%
told = f"{images.label}, {len(block_seeds)} seed(s); DiffROAR {len(roar_seeds)} seed(s). Masses and accuracies in per cent, differences in points."
display(*verdicts.table(run.notebook, run.rows, told))

# %% tags=["hide-input"]
missing = [] if colour else ["CIFAR-10"]
shape_of = "; ".join(
    f"{net} {cosine['BlockMNIST', net, 'standard']:.2f}, on -Top {cosine['BlockMNIST-Top', net, 'standard']:.2f}, after adversarial training {cosine['BlockMNIST', net, 'AT']:.2f}"
    for net in SHAPES
)
every = {f"{read}, {way}": d for read, of in falls.items() for way, d in of.items()}
others = "; ".join(f"{read} ({d})" for read, d in every.items() if d.mean <= 0)
in_all = f"The answer depends on the reading: no less in {others}" if others else "All readings agree"
size = {p: of.groupby("shows")["value"].mean() for p, of in cases if p[3] == min(roar_kept)}
ends = ", ".join(f"{net} {t} {of['image']:+.0f} ({of['mask']:+.0f})" for (_, net, t, _), of in size.items())
show.found(
    run,
    [
        f"Less of the gradient lies on BlockMNIST's null block after adversarial training in {sum(d.mean > 0 for d in every.values())} of {len(every)} readings, with or without the level of -Top. {in_all} ({show.link('sh-b-readings', 'table')}).",
        f"Excess of the gradient on the null block over the same training's -Top, where nothing can leak, points of |g|: {excesses} ({show.link('sh-b')}).",
        f"What lies there points along the difference of the classes, cosine: {shape_of} ({show.link('sh-leak')}).",
        f"DiffROAR is {counted}. At k = {min(roar_kept):g}, points, and in brackets what the mask alone gives: {ends} ({show.link('sh-d')}).",
        f"The theorem's net leaks exactly. A trained MLP marks its own block {mean['own_over_other', 'MLP']:.2f} times as much as the other relevant ones; it is the smallest of the {leak_relevant} at {mean['bottom1', 'MLP']:.0f} % of the points (linear net: {mean['bottom1', 'linear']:.0f} %). Adversarially trained: {mean['own_over_other', 'MLP, adversarial']:.1f} times ({show.link('sh-s')}).",
        f"{verdicts.in_short(run.notebook, run.rows)} ({show.link('sh-claims', 'verdicts')})",
        f"Not run here: {', '.join([*missing, 'ImageNet-10', 'SVHN'])}. {images.label}, {counts}; the paper's CNN is ResNet-18. ± are 95 % t-intervals over seeds.",
    ],
)

# %% [markdown]
# ## What differs from the paper, and what it left out
#
# Setting by setting. Where one is a parameter of this chapter, its values in the profiles stand below it. The same for all chapters: {doc}`../book/fidelity`.

# %%
fidelity.table("feature_leakage")


# %% [markdown]
# Beyond that, SVHN and ImageNet-10 are not run (`roar_dataset=folder:PATH` runs them), and PredPower is the accuracy of one retrained net a seed, not the best of several.
#
# ## Exercises
#
# ```{exercise} Where does the margin go?
# :label: df-ex-margin
# In {prf:ref}`df-thm` leave out the biases ($b_k = 0$). What is the largest margin now, which net has it, and what is its gradient?
# ```
#
# ```{solution} df-ex-margin
# :class: dropdown
# With $b = 0$ the best single unit is $h_0(v) = v$ on $v \ge 0$, so the mean is at most $\lVert w\rVert_1/(2d') \le 1/(2\sqrt{d'})$, reached by $w = \pm u/\sqrt{d'}$ with $a = \pm\tfrac12$. Then $f(x) = \langle u, x\rangle/(2\sqrt{d'})$: a linear function, whose gradient is again the same on every relevant coordinate.
# The biases raise the margin by a factor up to 2, they do not change what leaks.
# ```
#
# ```{exercise} A net that does not leak
# :label: df-ex-memorise
# Give each of the $2d'$ points of the theorem a unit of its own, $w = \pm e_j$, $b = 0$. What are margin, gradient and robustness against linf attacks, compared with the leaking net?
# ```
#
# ```{solution} df-ex-memorise
# :class: dropdown
# With $b = 0$ the sum $\frac1{2d'}\sum_j [(x_j)_+ - (-x_j)_+]$ is linear once more, and leaks. To mark its own coordinate alone a unit must be silent *around* the other points: take $b = -\tfrac12$. A unit's weights then have norm $\sqrt5/2$ and the margin is $1/(2\sqrt5\,d')$, smaller than $1/\sqrt{d'+1}$ by a
# factor of order $\sqrt{d'}$. But the gradient is that of one coordinate, and no linf attack below $\tfrac12$ changes a decision, where the leaking net errs at $1/d'$.
# ```
#
# ```{exercise} Take the null block away
# :label: df-ex-null
# Is the mass on the null block caused by the patch that is drawn there? Run with `-p patch=filled` and `-p patch=square`. Which number tells?
# ```
#
# ```{solution} df-ex-null
# :class: dropdown
# The excess over -Top, not the mass: a net also uses the patch as a bias, on -Top as well. If the excess hardly changes with the patch, it is not the patch that leaks. Only the block nets are trained again.
# ```
#
# ```{exercise} One net, two maps
# :label: df-ex-gauge
# Add the same function $h(x)$ to both logits of a net. What happens to its decisions, its probabilities, the gradient of $z_{\hat y}$ and that of the lead? Choose $h$ so that the logit's gradient lies wholly on the null block of -Top.
# ```
#
# ```{solution} df-ex-gauge
# :class: dropdown
# Decisions, probabilities and the lead stay; $\nabla z_{\hat y}$ becomes $\nabla z_{\hat y} + \nabla h$. With $h(x) = c\,\langle v, x\rangle$, $v$ one on the lower block and 0 above, the fraction of $|g|$ on the null block tends to 1 as $c$ grows. Training does not choose $h$, so a map of one logit shows in part what nothing has decided.
# ```
#
# ```{exercise} DiffROAR without the net's answer
# :label: df-ex-true
# The order of DiffROAR is cut from the *predicted* class's gradient. Why would the true class's gradient be worse, and what would a fair order be?
# ```
#
# ```{solution} df-ex-true
# :class: dropdown
# The mask would then carry the label itself, on test images too, and nets that see the mask alone would score 100 % for a linear judged net. A fair order must not depend on the class: for instance the norm of the whole Jacobian, `saliency.class_gradients(net, x)[1].norm(dim=1)`.
# ```
#
# ## Play with it
#
# Pick an image of two blocks, a net and a radius.

# %%
def play(image: int = 0, net: str = "CNN", training: str = "standard", radius: float = block_eps):
    fig = playground.panel(net_of("BlockMNIST", net, training), images, image, norm=block_norm, eps=radius)
    alt = f"{net}, {training}: image {image}, its gradient, the attack, the attacked image."
    return plots.show(fig, alt=alt)


choices = {"net": list(SHAPES), "training": list(TRAININGS), "radius": (0.0, 2 * block_eps, 0.01)}
playground.controls(play, live=run.profile is None, image=(0, len(images.y_test) - 1), **choices)

# %% [markdown]
# ## Rerun it
#
# ```sh
# companion run feature_leakage -p patch=filled -p block_classes=3,8       # another BlockMNIST: only its nets are trained
# companion run feature_leakage -p roar_unit=pixel -p roar_kept=0.05,0.5   # DiffROAR at other fractions
# companion run feature_leakage --profile recorded                         # full MNIST, 2,000 test images; gpu: CIFAR-10 too
# papermill notebooks/feature_leakage.ipynb out.ipynb -f notebooks/profiles/quick/feature_leakage.yaml -p leak_eta 0.3
# ```

# %%
show.costs(run)

# %%
run.provenance_strip()
