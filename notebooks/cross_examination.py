# %% [markdown]
# # Cross-examination: every training method under every measure
#
# No paper asks this. The chapters before measure “robust” in three ways and “interpretable” in seven, each on nets of their own. **Do these measures measure the same thing?** Here one
# architecture is trained by every method of the five papers on one set of images, and every net is measured in every way.

# %% tags=["parameters", "hide-input"]
# Every name here can be changed: companion run cross_examination -p NAME=VALUE
# fmt: off
dataset: str = "mnist_small"  # one of mnist_small, digits, mnist, fashion_mnist, folder:PATH: the images
n_train: int = 800  # in [0, inf): training images used, 0 for all
n_test: int = 300  # in [0, inf): test images used, 0 for all
model: str = "compact_cnn"  # one of compact_cnn, digits_cnn, simple_cnn: digits_cnn for 8x8 images
seeds: list[int] = [0, 1, 2]  # in [0, inf): one net of every method each
epochs: int = 7  # in [1, inf): passes over the training images
batch_size: int = 50  # in [1, inf): images in a training step
lr: float = 0.05  # in (0, inf): first learning rate of SGD, falls to 0 on a cosine
weight_decay: float = 1e-5  # in [0, inf): of all nets but those of the method “weight decay”
strong_decay: float = 0.005  # in (0, inf): weight decay of that method
eps: float = 1.5  # in (0, inf): l2 radius of the second adversarial training, and of the l2 attacks, pixels in [0, 1]
eps_weak: float = 0.75  # in (0, inf): l2 radius of the first
eps_strong: float = 2.0  # in (0, inf): l2 radius of the third
step_l2: float = 1/3  # in (0, inf): l2 step in adversarial training, as a fraction of the radius
step_l2_strong: float = 0.48  # in (0, inf): the same for the third
at_steps: int = 5  # in [1, inf): PGD steps of the second and third
few_steps: int = 3  # in [1, inf): PGD steps of the first, and of linf adversarial training
train_linf: list[float] = [0.05, 0.1]  # in (0, 1]: linf radii of adversarial training; at 0.2 the quick nets stay at one class
eps_linf: float = 0.1  # in (0, 1]: radius of the linf attacks
bfloat16: bool = False  # gradients of the attack in adversarial training in bfloat16
lambda_d: float = 3.0  # in [0, inf): IR, weight of the cosine with the target map
lambda_m: float = 0.15  # in [0, inf): IR, weight of the gradient norm
reduction: str = "batch"  # one of batch, sample: IR, gradient norm over the batch (official code) or per sample (text)
phi: float = 1.0  # in [0, inf): IR, threshold of target maps, standard deviations
lambda_j: float = 0.32  # in [0, inf): JR, weight of the Jacobian penalty
lambdas: list[float] = [0.3, 3.0]  # in (0, inf): double backpropagation, weights
betas: list[float] = [0.5, 0.8]  # in [0, 1): noise modulation, fractions of the constant
lambda_a: float = 0.003  # in (0, inf): alignment penalty, weight
sigma: float = 0.15  # in (0, inf): noise of SmoothGrad, pixels in [0, 1]
samples: int = 12  # in [1, inf): noisy copies in SmoothGrad
n_attacked: int = 80  # in [10, inf): test images attacked and mapped
reference_steps: int = 12  # in [1, inf): steps of each attack of the reference protocol
reference_targets: int = 1  # in [0, inf): classes towards which its APGD attacks each image
reference_restarts: int = 0  # in [0, inf): random starts of its PGD on the margin
reference_queries: int = 0  # in [0, inf): queries of its black-box attack (Square)
ddn_steps: int = 20  # in [1, inf): steps of DDN
dimensions: int = 40  # in [1, inf): principal components that stand for the manifold of images
retrain: bool = False  # also ROAR and KAR, for which hundreds of nets are retrained
retrain_shares: list[float] = [0.4, 0.7, 0.9]  # in (0, 1): fractions of the pixels that are replaced there
permutations: int = 1000  # in [100, inf): deals of the ranks, for the limit of a family of correlations
checked_images: int = 40  # in [10, inf): test images on which the evaluation of four nets is checked
device: str = "auto"  # one of auto, cpu, cuda: where to compute
# fmt: on

# %%
from companion.publishing.running import chapter

run = chapter.begin(globals(), notebook="cross_examination")

# %%
import pandas as pd
import torch
from IPython.display import display

from companion import checks, data, experiment, metrics, playground, plots, store
from companion.publishing.claims import verdicts
from companion.publishing.explorers import scatter
from companion.publishing.pages import badges, fidelity, show, sources, tables
from companion.training import Recipe, Target, part

device = experiment.choose_device(device)
images = data.load(dataset, device=device, n_train=n_train or None, n_test=n_test or None)
counts = f"{len(images.x_train)} training, {len(images.x_test)} test images, {len(seeds)} seed(s)"
show.opening(run, f"{images.label}: {counts}", "the CPU" if device == "cpu" else device)

# %% [markdown]
# ## The question in one picture
#
# ```{predict} xe-guess-vii
# :rule: {association: {where: {experiment: XE-M}, x: {quantity: "robust accuracy, l2"}, y: {quantity: "VII, own − another"}, direction: rising}}
#
# Nets of many trainings are ranked by robustness, and by how well the signs of their gradients fit their own image rather than another. Do the two go together?
#
# - yes, they rise together
# - no, one falls as the other rises
# - no relation that this run can tell
# ```

# %% tags=["remove-input"]
run.later("picture")
run.later("found")

# %% [markdown]
# ## What is asked
#
# The unit is the **training method**. Nets of one method repeat it with other seeds, so they are averaged, and $n$ methods are $n$ points. Of two measures $a$ and $b$ the question is how alike they rank
# the methods: Spearman's correlation, with Fisher's interval and the error of Bonett and Wright,
#
# $$
# \tanh\!\Big(\operatorname{artanh} r \pm 1.96 \sqrt{\tfrac{1 + r^2/2}{n - 3}}\Big).
# $$ (xe-interval)
#
# Two measures may agree because both follow a third, such as robustness. With the ranks of $c$ held fixed the correlation is
#
# $$
# r_{ab \cdot c} = \frac{r_{ab} - r_{ac}\, r_{bc}}{\sqrt{(1 - r_{ac}^2)(1 - r_{bc}^2)}} .
# $$ (xe-partial)
#
# Many pairs are looked at, and some would be large by chance. The **limit** of a family of correlations is what the largest of them all exceeds in one case of twenty when the ranks of every measure are dealt anew
# over the methods (Westfall and Young's maximum). So the chance that any pair above it is a false find is at most 5 %, for all pairs together, if methods are independent. They are not: three radii
# of one training lie nearer to each other than to the rest. A second limit draws unrelated measures as a normal effect of the method's kind plus one of its own, with the share of variance between
# kinds that this run's ranks have. Of the two limits the larger counts.

# %%
sources.of(experiment.rank_correlations, experiment.family_limit, experiment.family_share)

# %% [markdown]
# **What this cannot do.** Methods are chosen, not drawn, and the interval {eq}`xe-interval` is computed as if they were independent: {ref}`below <xe-measures>` stands how often such an interval holds the true value. The strength of a method is one of its choices, and the methods are not
# matched in accuracy. A large correlation over methods says nothing about two images of one net.
#
# ## The nets
#
# Everything they share; those of {doc}`the first chapter <interpretation_regularization>` are found in the store and not trained again.

# %%
optimiser = {"lr": lr, "momentum": 0.9, "nesterov": True}
common = {
    "data": part(dataset, n_train=n_train or None),
    "model": part(model),
    "optimiser": part("SGD", **optimiser, weight_decay=weight_decay),
    "epochs": epochs,
    "batch_size": batch_size,
}
SMG = part("smoothgrad", sigma=sigma, samples=samples, clamp=True, include_clean=True)


def with_loss(seed: int, name: str, **weights) -> Recipe:
    return Recipe(**common, seed=seed, loss=part(name, **weights))


def jacobian(seed: int, weight: float) -> Recipe:
    return with_loss(seed, "jacobian", lambda_j=weight, penalty="half_squared", projections=1)


def on_inputs(seed: int, name: str, **settings) -> Recipe:
    return Recipe(**common, seed=seed, inputs=part(name, **settings))


def at_l2(seed: int, radius: float, steps: int = at_steps, step: float = step_l2) -> Recipe:
    ball = {"norm": "l2", "eps": radius, "steps": steps, "step_size": step * radius}
    return on_inputs(seed, "adversarial", **ball, protocol="ir_paper", bfloat16=bfloat16)


def at_linf(seed: int, radius: float) -> Recipe:
    ball = {"norm": "linf", "eps": radius, "steps": few_steps}
    return on_inputs(seed, "adversarial", **ball, bfloat16=bfloat16)


# %% [markdown]
# Interpretation regularization (IR) with its teacher, the adversarially trained net of the same seed; with that teacher's maps shuffled; and without a target, which leaves the gradient's norm.

# %%
def interpretation(seed: int, target: Target, weight: float) -> Recipe:
    loss = part("interpretation", lambda_d=weight, lambda_m=lambda_m, reduction=reduction)
    return Recipe(**common, seed=seed, loss=loss, target=target)


def taught(seed: int) -> dict[str, Recipe]:
    own = {"source": at_l2(seed, eps), "map": SMG, "phi": phi, "seed": seed}
    return {
        "IR": interpretation(seed, Target(**own), lambda_d),
        "IR, shuffled": interpretation(seed, Target(**own, permute=1.0), lambda_d),
        "IR, no target": interpretation(seed, Target(None, part("image"), phi=phi), 0.0),
    }


# %%
def attacked(seed: int) -> dict[str, Recipe]:
    l2 = {
        eps_weak: at_l2(seed, eps_weak, few_steps),
        eps: at_l2(seed, eps),
        eps_strong: at_l2(seed, eps_strong, step=step_l2_strong),
    }
    linf = {f"AT linf {radius:g}": at_linf(seed, radius) for radius in train_linf}
    return {f"AT l2 {radius:g}": recipe for radius, recipe in l2.items()} | linf


def every_method(seed: int) -> dict[str, Recipe]:
    decayed = common | {"optimiser": part("SGD", **optimiser, weight_decay=strong_decay)}
    aligned = {"lambda_a": lambda_a, "term": "outlook", "centred": True}
    plain = {"Standard": Recipe(**common, seed=seed), "weight decay": Recipe(**decayed, seed=seed)}
    double = {w: with_loss(seed, "double_backprop", lambda_g=w) for w in lambdas}
    noise = {f"noise mod. {b:g}": on_inputs(seed, "noise_modulation", beta=b) for b in betas}
    jr = {"JR": jacobian(seed, lambda_j)}
    jr |= {f"double backprop {w:g}": recipe for w, recipe in double.items()}
    penalty = {"alignment penalty": with_loss(seed, "alignment_penalty", **aligned)}
    return plain | attacked(seed) | jr | taught(seed) | noise | penalty


# %%
how = {"device": device, "report": run.status}
nets = experiment.train(every_method, seeds, announce=run.announce, **how)
METHODS = list(every_method(seeds[0]))
JUDGE = max(seeds) + 1  # the robust net that maps are compared with has a seed of its own


def judge(seed: int) -> dict[str, Recipe]:
    return {"judge": at_l2(seed, eps, few_steps)}


robust_net = experiment.train(judge, [JUDGE], announce=run.announce, **how)["judge", JUDGE]

# %% [markdown]
# ## The measures
#
# Six of robustness and size, nine of maps and attacks, three of retraining where it is asked for. A net's map is the gradient of the true class's logit minus the mean of all logits (the centred gradient), since
# {ref}`a function common to all logits <et-gauge>` changes no decision; where a paper takes another gradient the table says so.
#
# | measure | what it is | chapter |
# |---|---|---|
# | clean accuracy | per cent of the test images | all |
# | robust accuracy, l2 and linf | per cent under the reference attack | {doc}`IR <interpretation_regularization>` |
# | distance by DDN | median distance to the nearest attacked image found | {doc}`ET <alignment_bounds>` |
# | ‖J‖/margin, raw and centred | norm of the Jacobian over the true class's lead, median | {ref}`IR-F4 <ir-f4>` |
# | α, centred | length of the image along the map of the predicted class, median, black origin ({ref}`another origin may turn it round <et-origin>`) | {ref}`ET <et-gauge>` |
# | α† | the same, of the gradient of the lead over the nearest other class | {ref}`ET <et-dagger>` |
# | VII, own − another | how much more the signs of the log odds' gradient agree with the own image, or are opposite to it, than with images of other classes | {ref}`NM <nm-idea-others>` |
# | signs, own − another | the same without the absolute value, of the map: opposite signs count against the image | ours |
# | cosine with a robust net | of the map, with that of an adversarially trained net outside the comparison, of another seed | IR |
# | \|g\| and pixel variance | rank correlation of the map's magnitude with the variance of the pixels, which looks at no image | ours |
# | SmoothGrad like plain | cosine of the SmoothGrad map with the gradient, both of the true class's logit | IR |
# | distance of attacked images | from the plane of the first principal components; an attack that erases the digit ends near it | {doc}`BR <boundary_tilting>` |
# | share of the attack off the manifold | length of the perturbation's part that is orthogonal to that plane, over its whole length | ours |
# | ROAR, KAR (with `retrain=true`) | points of accuracy that retrained nets lose without the map's first pixels, and keep with them alone, against a random order; their sum is the area under DiffROAR's curve | {doc}`BR <remove_and_retrain>` |
# | ROAR, own − another (the same) | ROAR less that of another image's map of the same predicted class | {ref}`BR <br-idea-orders>` |

# %%
sources.of(metrics.map_measures, metrics.signs_of_own_image, metrics.jacobian_per_margin)

# %%
few = images.subset(n_test=min(n_attacked, len(images.x_test)))
budget = {"steps": reference_steps, "restarts": reference_restarts}
budget |= {"targets": reference_targets, "queries": reference_queries}
maps = {"robust_net": robust_net, "sigma": sigma, "samples": samples, "eps": eps}
maps |= {"steps": reference_steps, "dimensions": dimensions, "seed": 0}
NAMES = {"clean_accuracy": "clean accuracy", "distance": "distance by DDN"}
NAMES |= {"centred alpha": "α, centred", "alpha_plus": "α†", "vii": "VII, own − another"}
OWN_MINUS_ANOTHER = {"quantity": "vii", "against": "own − another class", "gradient": "log odds"}


def forced(nets: dict, norm: str, radius: float) -> pd.DataFrame:
    ball = {"norm": norm, "eps": radius, "robust": [True] * len(few.y_test), "seed": 0}
    found = experiment.measure(metrics.reference_accuracy, nets, few, **ball, **budget, **how)
    return found.assign(quantity=f"robust accuracy, {norm}")


# %%
of_images = part(dataset, n_train=n_train or None, n_test=n_test or None)
adam = {"optimiser": part("Adam", lr=0.003), "schedule": "constant", "epochs": 7, "batch_size": 100}
small = Recipe(data=of_images, model=part("mlp", hidden=(64, 64)), **adam)
asked = {"fractions": retrain_shares, "announce": run.announce, **how}


def measured(nets: dict) -> pd.DataFrame:
    count, every = ({"count": len(of.y_test), **how} for of in (few, images))
    alpha = experiment.measure(metrics.alignment_values, nets, few, **count)
    vii = experiment.measure(metrics.own_image, nets, images, **every)
    frames = [
        experiment.measure(metrics.clean_accuracy, nets, images, **how),
        *(forced(nets, norm, radius) for norm, radius in (("l2", eps), ("linf", eps_linf))),
        experiment.measure(metrics.nearest_distance, nets, few, attack="DDN", steps=ddn_steps, **count),
        experiment.measure(metrics.jacobian_per_margin, nets, few, **count),
        *(alpha[alpha["quantity"].isin(NAMES)], experiment.where(vii, **OWN_MINUS_ANOTHER)),
        experiment.measure(metrics.signs_of_own_image, nets, images, **every),
        experiment.measure(metrics.map_measures, nets, few, **maps, **count),
        *([experiment.map_scores(small, nets, **asked)] if retrain else []),
    ]
    return pd.concat(frames, ignore_index=True).replace({"quantity": NAMES})


# %%
def tabled(found: pd.DataFrame) -> pd.DataFrame:
    """Rows keep the name that a claim was written with; the page shows what was measured."""
    shown = {"attacks off the manifold": "distance of attacked images"}
    return experiment.table_of(found).rename(columns=shown)


# %%
found = measured(nets)
run.record("data", "test images", len(images.y_test), dataset=images.label)
run.record_frame("XE-M", found, dataset=images.label)
table = tabled(found)
MEASURES, (L2, LINF) = list(table), ("robust accuracy, l2", "robust accuracy, linf")
ALPHA, VII, COSINE = "α, centred", "VII, own − another", "cosine with a robust net"
SIGNS, DDN = "signs, own − another", "distance by DDN"
VARIANCE, NORM = "|g| and pixel variance", "‖J‖/margin, centred"
PLANE, SHARE = "distance of attacked images", "share of the attack off the manifold"

# %%
plane = metrics.principal_projection(few.x_test, images.x_train, dimensions=dimensions)
clean_distance = (few.x_test - plane).flatten(1).norm(dim=1).mean().item()
run.record("XE-clean", "distance of clean images", clean_distance, dataset=images.label)
means, noise = experiment.methods(table), experiment.resolutions(table)
taken = {name: experiment.gradient_evaluations(nets[name, seeds[0]]) for name in METHODS}
cost = {name: value / taken["Standard"] for name, value in taken.items()}
for name, value in taken.items():
    run.record("XE-cost", "gradients taken", value, model=name)

# %%
FAMILY = {"AT": "adversarial", "JR": "jacobian", "double backprop": "double backprop"}
FAMILY |= {"IR": "interpretation", "noise mod.": "noise modulation", "weight decay": "weight penalty"}
FAMILY |= {"alignment penalty": "noise by pixel"}


def kind(name: str) -> str:
    return next((start for start in FAMILY if name.startswith(start)), "Standard")


KINDS = {name: kind(name).replace("weight decay", "Standard") for name in METHODS}


def colour(name: str) -> str:
    return plots.COLOURS[FAMILY.get(kind(name), "standard")]


def net_maps(name: str, seed: int, count: int) -> list[torch.Tensor]:
    at = plots.one_of_each(images.y_test, count)
    net = store.get(nets[name, seed], device=device)
    return list(metrics.centred_gradient(net, images.x_test[at], images.y_test[at]))


# %% tags=["hide-input"]
picked = plots.one_of_each(images.y_test, 5)
SHOWN = ["Standard", f"AT l2 {eps:g}", "JR", "IR", f"noise mod. {betas[0]:g}", "alignment penalty"]
rows = [("image", list(images.x_test[picked])), *((n, net_maps(n, seeds[0], 5)) for n in SHOWN)]
pairs = experiment.rank_correlations(table)
places, held_by_plane = experiment.measure_map(pairs)
of_maps = dict.fromkeys(MEASURES[6:], plots.COLOURS["interpretation"])
tint = dict.fromkeys(MEASURES, plots.COLOURS["standard"]) | of_maps
plots.save(plots.gallery(rows, pixels="first row"), run.folder / "question")
figures = [
    plots.gallery(rows, pixels="first row", cell=0.75),
    plots.named_points(places.set_axis(["", " "], axis=1), tint.get, size=(4.3, 4.1)),
]
figures[1].axes[0].set(xticks=[], yticks=[], xlabel="first axis of the scaling", ylabel="second")
told = f"<b>Pictures</b>: test images of {images.label}, one of each of the first classes, none chosen by hand, and the maps of nets of six of the {len(METHODS)} methods (seed {seeds[0]}); each map ± its largest value. <b>Points</b>: the {len(MEASURES)} measures, near each other where they rank the methods alike, or in reverse; orange: of maps and attacks, grey: of robustness and size. The plane holds {held_by_plane:.0%} of the squared distances."
alt = f"Maps of six kinds of nets, and a map of the {len(MEASURES)} measures: picture"
run.fill("picture", plots.show_all(figures, alt=alt, finding=told))

# %% [markdown]
# (xe-matrix)=
# ## Methods × measures
#
# ```{predict} xe-guess-robust
# :where: {experiment: XE-M, quantity: "robust accuracy, linf"}
# :largest: [{model: {is: "AT linf *", last: 1}}, {model: IR}, {model: JR}, {model: {is: "noise mod. *", first: 1}}, {model: alignment penalty}]
# :unit: "%"
#
# Which training leaves most images right under a linf attack?
#
# - training on linf attacks
# - imitating the gradients of a robust net
# - small gradients
# - noise modulation
# - gradients aligned with the image
# - no clear winner
# ```

# %%
shades = (means - means.min()) / (means.max() - means.min())
shades["cost"] = pd.Series(cost) / max(cost.values())
texts = means.assign(cost=pd.Series(cost)).apply(tables.shortened)
faint = ((means - means.loc["Standard"]).abs() <= noise).assign(cost=False)
halves = [[*MEASURES[:7], "cost"], MEASURES[7:]]
figures = [plots.heat(shades[of], texts[of], faint=faint[of]) for of in halves]
by_chance = 0.05 * means.iloc[1:].size
told = (
    f"Means over {len(seeds)} seed(s), {images.label}; the darker, the larger in its column. "
    "Grey without colour: not to be told from the standard nets, one cell at a time (95 %, spread "
    f"between seeds pooled over methods; of {means.iloc[1:].size} cells about {by_chance:.0f} would "
    f"be coloured by chance). Robust accuracy: l2 {eps:g}, linf {eps_linf:g}, {len(few.y_test)} "
    f"images. Clean images lie {clean_distance:.3g} from the plane. "
    f"Cost: {show.link('xe-choose', 'gradients taken')}, in trainings of a standard net."
)
alt = f"A row for each of {len(METHODS)} methods, a column for each of {len(MEASURES)} measures"
plots.show_all(figures, alt=alt, finding=told)


# %% [markdown]
# (xe-measures)=
# ## Which measures agree?
#
# ```{predict} xe-guess-alpha
# :rule: {association: {where: {experiment: XE-M}, x: {quantity: "robust accuracy, l2"}, y: {quantity: "α†"}, direction: rising}}
# :range: [-1, 1]
# :step: 0.05
#
# α† measures how well the gradient of the lead is aligned with the image. Over all methods, what is its rank correlation with robust accuracy (1: the same order, −1: the reverse, 0: unrelated)?
# ```

# %%
def larger_limit(of: pd.DataFrame, givens: list[str]) -> tuple[float, str]:
    found = experiment.family_limits(of, givens, KINDS, permutations=permutations)
    for name, value in found.items():
        run.record("XE-R", f"limit, {name}", value, of=len(givens))
    return max(found.values()), ", ".join(f"{value:.2f} for {name}" for name, value in found.items())


limit, both = larger_limit(table, [""])
share = experiment.family_share(table, KINDS)
covered = experiment.interval_coverage(list(KINDS.values()), share)
run.record("XE-R", "share between kinds", share)
run.record("XE-R", "coverage of the interval", covered)
above = pairs[pairs["value"].abs() > limit]
numbered = {name: f"{name}  {i}" for i, name in enumerate(MEASURES, 1)}


def correlations(pairs: pd.DataFrame, limit: float):
    square = experiment.square(pairs)
    below = torch.ones(square.shape).tril(-1).bool().numpy()
    square = square.where(below)
    text = square.map(lambda value: f"{100 * value:.0f}")
    labels = {"index": numbered, "columns": lambda name: numbered[name].split()[-1]}
    drawn = [frame.rename(**labels) for frame in (square, text, square.abs() <= limit)]
    return plots.heat(drawn[0], drawn[1], faint=drawn[2], signed=True, cell=(0.29, 0.25))


told = (
    f"Spearman's correlation over {len(METHODS)} methods, in hundredths; red: alike, blue: in reverse. "
    f"Coloured: the {len(above)} of {len(pairs)} pairs above the larger limit of the family ({both}). "
    f"About {share:.0%} of a ranking's variance lies between the {len(set(KINDS.values()))} kinds of methods; "
    f"of two unrelated measures a 95 % interval then holds 0 in {covered:.0%} of simulated cases, since "
    f"it is computed as if methods were independent. {images.label}."
)
alt = f"Rank correlations of all pairs of measures, {len(above)} of {len(pairs)} above the limit."
plots.show(correlations(pairs, limit), alt=alt, finding=told, width="36rem")


# %%
def said(x: str, y: str, of: pd.DataFrame = pairs) -> str:
    chosen = experiment.pair(of, x, y)
    return f"{chosen['value']:+.2f} ({chosen['low']:+.2f} to {chosen['high']:+.2f})"


def verb(x: str, y: str) -> str:
    return experiment.verb(*experiment.pair(pairs, x, y)[["low", "high"]])


for pair in pairs.to_dict("records"):
    of = {"x": pair["x"], "y": pair["y"], "dataset": images.label}
    for quantity in ("value", "low", "high"):
        run.record("XE-R", f"spearman, {quantity}", pair[quantity], n=len(METHODS), **of)

# %% [markdown]
# Every pair with its interval stands in {ref}`the explorer <xe-explore>`.
#
# (xe-families)=
# Two measures **agree** where the whole 95 % interval is above 0.5, **are related** where it is above 0, and **go in reverse** where it is below 0. Methods of one kind are not independent, so beside it stands what
# remains when any one kind is left out. The l2 accuracy and the median distance are two points of one distribution of distances: their agreement is close to an identity.

# %%
THREE = ((ALPHA, VII), (ALPHA, COSINE), (VII, COSINE))
SIGNED = ((ALPHA, SIGNS), (ALPHA, COSINE), (SIGNS, COSINE))
ROBUST = ((L2, LINF), (L2, DDN), (LINF, DDN))
WITH_L2 = tuple((L2, of) for of in (ALPHA, VII, SIGNS, COSINE))
OTHERS = ((L2, PLANE), (L2, SHARE), (VARIANCE, COSINE), (L2, "clean accuracy"))
KEY = dict.fromkeys((*ROBUST, *THREE, *SIGNED, *WITH_L2, *OTHERS))
kept = {family: [n for n in METHODS if not n.startswith(family)] for family in FAMILY}
without = {family: experiment.rank_correlations(table.loc[names]) for family, names in kept.items()}
ranges = {pair: {family: float(said(*pair, of).split()[0]) for family, of in without.items()} for pair in KEY}


def ends(pair: tuple[str, str]) -> list[str]:
    value = ranges[pair]
    of = min(value, key=value.get), max(value, key=value.get)
    return [f"{value[family]:+.2f}, without {family}" for family in of]


caption = f"Spearman's correlation over methods, {images.label}; lowest and highest without one kind."
rows = [[" – ".join(pair), verb(*pair), said(*pair), *ends(pair)] for pair in KEY]
tables.cards(["pair", "they", "all methods", "lowest", "highest"], rows, caption=caption)

# %% [markdown]
# (xe-beyond)=
# ## Do they say anything beyond robustness, pixel variance, or norm over margin?
#
# The same correlations with one measure held fixed {eq}`xe-partial`. What stays coloured is agreement that the one held fixed does not explain. What is not coloured is **not shown** to be explained: so few
# methods miss even large partial correlations, and the caption says how large.

# %%
BEYOND = [L2, NORM, *MEASURES[6:]]
HELD = {"nothing held fixed": ""} | {f"given {of}": of for of in (L2, VARIANCE, NORM)}
beyond = table[BEYOND]
family, both = larger_limit(beyond, list(HELD.values()))
power = experiment.half_power(len(METHODS), family)
run.record("XE-R", "partial correlation found in half of the cases", power)
partial = {title: experiment.rank_correlations(beyond, given=held) for title, held in HELD.items()}
n_family = sum(map(len, partial.values()))
left = {title: of[of["value"].abs() > family] for title, of in partial.items()}
for title, of in left.items():
    run.record("XE-R", "pairs above the limit", len(of), held=title, of=len(partial[title]))

# %%
figures = [correlations(of, family) for of in partial.values()]
for figure, title in zip(figures, HELD, strict=True):
    figure.axes[0].set_title(title, fontsize=9)
counted = "; ".join(f"{title} {len(of)} of {len(partial[title])}" for title, of in left.items())
missed = f"with {len(METHODS)} methods a true partial correlation of {power:.2f} passes in half of the cases"
told = f"As above, one limit for all {n_family} pairs of the four pictures ({both}): {counted}. "
told += f"What is not coloured is not shown to be explained: {missed}, of smaller ones fewer."
plots.show_all(figures, alt=f"Partial rank correlations: {counted}.", finding=told)

# %% [markdown]
# (xe-else)=
# ## What else differs?
#
# Clean accuracy, the size of the margin, and what a training costs. A measure that follows clean accuracy may tell poorly trained nets from well trained ones and nothing else.

# %%
flat = table.reset_index()
panels = {of: flat.assign(value=flat[of]) for of in (L2, LINF, COSINE, ALPHA)}
fig = plots.points(panels, "clean accuracy", "value", {name: colour(name) for name in METHODS})
with_clean = ", ".join(f"{of} {said('clean accuracy', of)}" for of in panels)
told = f"A dot is a net; colours as in {show.link('xe-choose', 'the table below')}. "
told += f"Spearman over methods with clean accuracy: {with_clean}."
plots.show(fig, alt="Two robust accuracies, a cosine, an alignment by clean accuracy.", finding=told)

# %% [markdown]
# (xe-choose)=
# ## If you want this, train like that
#
# The method with the best mean, and the cheapest that cannot be told from it (95 %, one comparison at a time). Cost: gradients taken for each training image, a teacher's included, over those of a standard training.

# %%
LESS = [*MEASURES[4:6], PLANE, SHARE]
BETTER = dict.fromkeys(MEASURES, 1) | dict.fromkeys(LESS, -1)
best = experiment.choices(table, BETTER, cost)


def dot(name: str) -> str:
    return f'<span style="color:{colour(name)}">●</span> {name}'


def choice(row: dict, name: str, value: str, cost: str) -> str:
    return f"{dot(row[name])}, {tables.short(row[value])} <small>cost {row[cost]:.3g}</small>"


PARTS = ("best", "value", "cost"), ("cheapest", "its value", "its cost")
wanted = best.to_dict("records")
cells = [[row["want"], *(choice(row, *of) for of in PARTS)] for row in wanted]
caption = "More is better, but for the norms over margin and the two measures of the attack. Costs are "
caption += f"those of this run's steps: {few_steps} in AT l2 {eps_weak:g} and in AT linf, {at_steps} in the "
caption += f"others and in IR's teacher. {images.label}, means over {len(seeds)} seed(s)."
tables.cards(["if you want", "train with", "cheapest as good"], cells, caption=caption)


# %% [markdown]
# (xe-explore)=
# ## Choose two measures
#
# Every net is a point; point at one, or choose it, and see its maps.

# %%
def strip(name: str, seed: int) -> bytes:
    scaled = [of / plots.scale(of) for of in net_maps(name, seed, 5)]
    return plots.png(torch.cat(scaled, 2), limit=1.0)


def sentence(x: str, y: str) -> str:
    told, given = f"Spearman over {len(METHODS)} methods: {said(x, y)}.", partial[f"given {L2}"]
    if {x, y} <= {*given["x"], *given["y"]}:
        told += f" With {L2} held fixed: {said(x, y, given)}."
    return told


dots = [
    scatter.Net(f"{name}, seed {seed}", colour(name), list(values), strip(name, seed))
    for (name, seed), values in table.iterrows()
]
says = {(x, y): sentence(x, y) for x, y in zip(pairs["x"], pairs["y"], strict=True)}
told = f"{len(dots)} nets of {len(METHODS)} methods, {images.label}; maps of one image of each of the "
told += "first classes, each ± its largest value."
scatter.explorer(dots, MEASURES, says, start=(L2, COSINE), caption=told)


# %% [markdown]
# ## Can the numbers be believed?
#
# Each of these nets passed through the evaluation checks of {doc}`the first chapter <interpretation_regularization>`; a failed one would have stopped this one.

# %%
def checked(name: str):
    net, plain = (store.get(nets[of, seeds[0]], device=device) for of in (name, "Standard"))
    ball = {"norm": "l2", "eps": eps, "steps": 20, "grid_points": checked_images // 2}
    about = {"baseline": None if name == "Standard" else plain, "recipe": nets[name, seeds[0]]}
    report = checks.fast(net, images.x_test, images.y_test, **ball, **about, limit=checked_images)
    untrained = ["R9", "R11", "R12", "R22"] if run.profile == "smoke" else []
    return run.check(name, report, expected=untrained)


caption = f"<b>Evaluation checks</b>, l2 {eps:g}, seed {seeds[0]}, {checked_images} test images. "
caption += "Open a cell for what each says."
badges.table([checked(n) for n in SHOWN if n not in ("JR", "IR")], caption=caption)

# %% [markdown]
# (xe-claims)=
# ## Verdicts on our claims
#
# Statements and rules were written down before any of these nets was measured, and are about MNIST; they are data, `book/claims/xe.yaml`. A claim's correlation is that of each seed, averaged, and may differ from that of the means above. {doc}`../book/decisions` says how an answer is reached.

# %%
told = f"{images.label}, {len(seeds)} seed(s), {len(METHODS)} methods. Brackets: two one-sided 95 % "
told += f"limits, so together a 90 % interval. {verdicts.without_a_seed(run.notebook, run.rows)}"
display(*verdicts.table(run.notebook, run.rows, told))


# %% tags=["hide-input"]
def moved(pair: tuple[str, str]) -> float:
    return max(ranges[pair].values()) - min(ranges[pair].values())


def paired(of: tuple[tuple[str, str], ...]) -> str:
    return "; ".join(f"{x} and {y} {verb(x, y)} ({said(x, y).split()[0]})" for x, y in of)


most = max(THREE, key=moved)
given = partial[f"given {L2}"]
others = given[[{x, y} != {VII, SIGNS} for x, y in zip(given["x"], given["y"], strict=True)]]
top = others.loc[others["value"].abs().idxmax()]
nearer = int((means[PLANE] < clean_distance).sum())
figure, table_link = show.link("xe-measures"), show.link("xe-families", "table")
aligned, robust = means[ALPHA].idxmax(), means[L2].idxmax()
row = {of["want"]: of for of in wanted}
not_run = "Not run here: ROAR, KAR and DiffROAR, which retrain hundreds of nets, and those on BlockMNIST."
if retrain:
    not_run = f"<b>Retraining.</b> ROAR with {L2} {said(L2, 'ROAR')}, with {VARIANCE} {said(VARIANCE, 'ROAR')}; what is left of it when the score of another image's map is taken away, with {L2} {said(L2, 'ROAR, own − another')} ({figure}). Not run here: the measures on BlockMNIST."
cheaper = f"the cheapest that cannot be told from it is {row[L2]['cheapest']}, at {row[L2]['its cost']:.3g}"
if row[L2]["cheapest"] == row[L2]["best"]:
    cheaper = "every cheaper method can be told from it"
show.found(
    run,
    [
        f"<b>Do they measure the same thing?</b> Two measures agree where the whole interval of their rank correlation is above 0.5, and are related where it is above 0. Robustness: {experiment.counted_verbs(pairs, ROBUST)}; that of {L2} with {DDN} is close to an identity. Readability: {experiment.counted_verbs(pairs, THREE)}; with signs in place of VII, {experiment.counted_verbs(pairs, SIGNED)} ({table_link}).",
        f"<b>What VII's absolute value does.</b> VII with {ALPHA} {said(VII, ALPHA)}, with {COSINE} {said(VII, COSINE)}; the signs of the centred gradient, where opposite signs count against the image, {said(SIGNS, ALPHA)} and {said(SIGNS, COSINE)} ({figure}). VII with these signs: {said(VII, SIGNS)}.",
        f"<b>Robustness and readability.</b> Over methods {paired(WITH_L2)} ({table_link}).",
        f"<b>Attacks and the manifold.</b> The {L2}, and the {SHARE} {verb(L2, SHARE)}: {said(L2, SHARE)}. Attacked images end nearer to the plane than clean ones with {nearer} of {len(METHODS)} methods; where they do, their distance says how much of the digit an attack erases, not where it points ({show.link('xe-matrix')}).",
        f"<b>Beyond them.</b> Of the pairs of measures, {counted} are above the larger limit of their family. The others are not shown to be explained: {missed}. The largest given {L2}, but for the two versions of VII: {top['x']} with {top['y']} {said(top['x'], top['y'], given)} ({show.link('xe-beyond', 'figures')}).",
        f"<b>One kind of methods less.</b> Among the three of readability it moves {' with '.join(most)} most: {' to '.join(ends(most))} ({table_link}).",
        f"<b>The most aligned and the most robust.</b> The largest {ALPHA}, {tables.short(means[ALPHA][aligned])}, has {aligned}, with a robust accuracy l2 of {means[L2][aligned]:.0f} %; the most robust, {robust}, has {tables.short(means[ALPHA][robust])} and {means[L2][robust]:.0f} % ({show.link('xe-matrix')}).",
        f"<b>What to train, at the steps of this run.</b> For l2 robustness {row[L2]['best']} at {row[L2]['cost']:.3g} times the cost of standard training; {cheaper} ({show.link('xe-choose', 'table')}).",
        f"{verdicts.in_short(run.notebook, run.rows)} ({show.link('xe-claims', 'verdicts')})",
        f"{not_run} {images.label}, {counts}; brackets are 95 % intervals over methods, as if these were independent (of two unrelated measures they hold 0 in {covered:.0%} of simulated cases, see {figure}).",
    ],
)

# %% [markdown]
# ## What differs from the papers
#
# Setting by setting, with the values in the profiles. The same for all chapters: {doc}`../book/fidelity`.

# %% tags=["hide-output"]
fidelity.table("cross_examination")

# %% [markdown]
# ## Exercises
#
# ```{exercise} Two copies
# :label: xe-ex-copies
# A measure is added twice, the second time as its logarithm. What is their correlation, and what happens to every partial correlation given one of them?
# ```
#
# ```{solution} xe-ex-copies
# :class: dropdown
# Ranks do not change, so it is 1. Given one, the other has no residual: {eq}`xe-partial` is 0/0. This is why raw and centred norm over margin must not both be held fixed.
# ```
#
# ```{exercise} Ten more seeds
# :label: xe-ex-seeds
# Why do thirteen seeds in place of three hardly narrow the interval {eq}`xe-interval`? What would?
# ```
#
# ```{solution} xe-ex-seeds
# :class: dropdown
# They make the means of the methods more exact, but there are as many methods as before, and $n$ is theirs. Other methods, not other strengths of the same, would.
# ```
#
# ## Play with it
#
# Add a net of your own to the plot. It is trained on the first seed when it is asked for, in seconds, and kept.

# %%
OWN = {
    "noise modulation, β": lambda seed, s: on_inputs(seed, "noise_modulation", beta=s),
    "AT l2, radius": lambda seed, s: at_l2(seed, s, few_steps),
    "double backprop, λ": lambda seed, s: with_loss(seed, "double_backprop", lambda_g=s),
    "Jacobian penalty, λ": jacobian,
}


def play(training: str = list(OWN)[0], strength: float = betas[0], x: str = L2, y: str = COSINE):
    own = experiment.train(lambda seed: {"yours": OWN[training](seed, strength)}, seeds[:1], **how)
    whole = pd.concat([table, tabled(measured(own))]).reset_index()
    shade = dict.fromkeys(METHODS, "#bbbbbb") | {"yours": "#D55E00"}
    panel = {f"{training} {strength:g}, in orange": whole}
    fig = plots.points(panel, x, y, shade, columns=1, size=(5, 3.6))
    return plots.show(fig, alt=f"All nets, and one of yours: {y} against {x}.", width="34rem")


choices = {"training": list(OWN), "strength": (0.0, 3.0, 0.05), "x": MEASURES, "y": MEASURES}
playground.controls(play, live=run.profile is None, **choices)

# %% [markdown]
# ## Rerun it
#
# ```sh
# companion run cross_examination -p lambdas=0.1,1,10 -p betas=0,0.3,0.5,0.8   # more strengths: more methods, and a higher cost
# companion run cross_examination -p seeds=0,1,2,3,4
# companion run cross_examination --profile recorded                           # MNIST, the nets of the first chapter's recorded run
# papermill notebooks/cross_examination.ipynb out.ipynb -f notebooks/profiles/quick/cross_examination.yaml -p eps_linf 0.2
# ```

# %%
show.costs(run)

# %%
run.provenance_strip()
