# %% [markdown]
# # Exercises: cross-examination
#
# About an hour, six exercises and a prediction. At the end you will have measured ten training methods in several ways,
# asked which measures agree, and counted how often such an answer is wrong. The chapter is
# [Cross-examination](../book/notebooks/cross_examination.html); its nets are larger, and there are more of them.
#
# An answer stands in a cell that begins with `# exercise NAME`; keep that line. Write in place of `...`, run the cell,
# save the notebook, and let `companion workshop check` with the notebook's path say which answers are right.

# %% tags=["parameters"]
first_seed: int = 0  # of the two nets that each method trains
eps: float = 0.5  # l2 radius of the attack, pixels in [0, 1]
eps_linf: float = 0.1  # linf radius of the attack
agreement: float = 0.7  # in (0.55, 0.95): a rank correlation between two measures
share: float = 0.9  # in [0.6, 0.95]: of a measure's variance, between the kinds of methods

# %%
import math

import numpy as np
import pandas as pd

from companion import data, experiment, metrics
from companion.publishing.workshop.workbook import reveal
from companion.training import Recipe, part

images = data.load("digits", n_train=500, n_test=200)
KINDS = {"standard": "plain", "weight decay": "plain"}
KINDS |= dict.fromkeys(["AT l2 0.3", "AT l2 0.6", "AT linf 0.1"], "adversarial")
KINDS |= dict.fromkeys(["double backprop 0.1", "double backprop 1", "JR 0.05"], "gradient penalty")
KINDS |= dict.fromkeys(["noise mod. 0.5", "noise mod. 0.8"], "noise")


def every_method(seed):
    """Ten recipes of a small perceptron for 8x8 digits."""
    common = {"data": part("digits", n_train=500), "model": part("mlp", hidden=(64, 32))}
    common |= {"optimiser": part("SGD", lr=0.1, momentum=0.9), "epochs": 5, "batch_size": 25}
    common |= {"seed": seed}
    decayed = common | {"optimiser": part("SGD", lr=0.1, momentum=0.9, weight_decay=0.005)}
    jacobian = part("jacobian", lambda_j=0.05, penalty="half_squared", projections=1)
    made = [Recipe(**common), Recipe(**decayed)]
    for norm, radius in (("l2", 0.3), ("l2", 0.6), ("linf", 0.1)):
        made.append(Recipe(**common, inputs=part("adversarial", norm=norm, eps=radius, steps=3)))
    made += [Recipe(**common, loss=part("double_backprop", lambda_g=w)) for w in (0.1, 1.0)]
    made.append(Recipe(**common, loss=jacobian))
    made += [Recipe(**common, inputs=part("noise_modulation", beta=b)) for b in (0.5, 0.8)]
    return dict(zip(KINDS, made, strict=True))


nets = experiment.train(every_method, [first_seed, first_seed + 1])


def forced(norm, radius):
    ball = {"norm": norm, "eps": radius, "steps": 8, "count": 100, "seed": 0}
    found = experiment.measure(metrics.strong_accuracy, nets, images, **ball)
    return found.assign(quantity=f"robust accuracy, {norm}")


alpha = experiment.measure(metrics.alignment_values, nets, images, count=100)
frames = [
    experiment.measure(metrics.clean_accuracy, nets, images),
    *(forced(norm, radius) for norm, radius in (("l2", eps), ("linf", eps_linf))),
    experiment.measure(metrics.jacobian_per_margin, nets, images, count=100),
    alpha[alpha["quantity"].isin(["centred alpha", "alpha_plus"])],
    experiment.measure(metrics.signs_of_own_image, nets, images, count=200),
]
table = experiment.table_of(pd.concat(frames, ignore_index=True))
table = table.drop(columns="‖J‖/margin, raw")
L2, ALPHA = "robust accuracy, l2", "centred alpha"
experiment.methods(table).round(2)

# %% [markdown] tags=["exercise"]
# ## methods: the unit is the method
#
# *10 minutes.* `table` has a row for each net, named by its `model` and its `seed`. Two nets of one method are not two
# methods. Write `over_methods(table, a, b)`: Spearman's correlation of the measures `a` and `b` over *methods*, as the
# chapter defines it: average the seeds, rank the methods (ties get their mean rank), and take Pearson's correlation of the
# ranks. Do not call `companion.experiment`. A few lines of pandas.

# %% tags=["stub"]
# exercise methods
def over_methods(table, a, b):
    """Spearman's correlation over methods of two columns of the table."""
    ...

# %% tags=["solution"]
# exercise methods
def over_methods(table, a, b):
    means = table[[a, b]].groupby(level="model").mean()
    ranks = means.rank()
    return float(np.corrcoef(ranks[a], ranks[b])[0, 1])

# %% tags=["wrong"]
# exercise methods
def over_methods(table, a, b):  # every net counts
    ranks = table[[a, b]].rank()
    return float(np.corrcoef(ranks[a], ranks[b])[0, 1])

# %% tags=["wrong"]
# exercise methods
def over_methods(table, a, b):  # without ranks
    means = table[[a, b]].groupby(level="model").mean()
    return float(np.corrcoef(means[a], means[b])[0, 1])

# %% tags=["wrong"]
# exercise methods
def over_methods(table, a, b):  # ranks first, then the mean
    means = table[[a, b]].rank().groupby(level="model").mean()
    return float(np.corrcoef(means[a], means[b])[0, 1])

# %% tags=["wrong"]
# exercise methods
def over_methods(table, a, b):  # ties in the order in which they stand
    ranks = table[[a, b]].groupby(level="model").mean().rank(method="first")
    return float(np.corrcoef(ranks[a], ranks[b])[0, 1])

# %% tags=["check"]
# check methods
def planted(rng, ties):
    effect = rng.standard_normal((8, 1, 2)).repeat(4, 1)
    values = np.exp(effect + 0.8 * rng.standard_normal((8, 4, 2))).reshape(32, 2)
    if ties:
        values = np.floor(effect.reshape(32, 2))
    index = pd.MultiIndex.from_product([list("hgfedcba"), range(4)], names=["model", "seed"])
    return pd.DataFrame(values, index, ["p", "q"])


rng = np.random.default_rng(first_seed)
for ties in (False,) * 6 + (True,) * 3:
    made = planted(rng, ties)
    expected = experiment.rank_correlations(made)["value"].item()
    value = float(over_methods(made, "p", "q"))
    nets_only = made.rank().corr()["p"]["q"]
    told = "that counts every net: eight methods of four seeds are 8 points, not 32"
    assert ties or abs(value - nets_only) > 1e-9, told
    plain = made.groupby(level="model").mean().corr()["p"]["q"]
    told = "that is Pearson's correlation of the values: a rank correlation sees their order alone"
    assert ties or abs(value - plain) > 1e-9, told
    told = "two methods with equal values share the mean of their ranks"
    if not ties:
        told = "in which order: average the seeds, then rank the methods"
    assert abs(value - expected) < 1e-6, told
measured = experiment.pair(experiment.rank_correlations(table), L2, ALPHA)["value"]
told = "it is right on made-up tables, not on `table`"
assert abs(float(over_methods(table, L2, ALPHA)) - measured) < 1e-6, told

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** `table.corr(method="spearman")`, the shortest thing to type, counts every net: twenty points in
# place of ten. With many seeds the correlation then looks far more exact than it is.
#
# **Ask next.** Compare both on this table: which measures differ most? (Those in which the seeds of a method differ.) What
# would you do if a method had one seed and the others ten?

# %% [markdown]
# ## Predict
#
# Seven measures make 21 pairs. Suppose that no two of them had anything to do with each other, and the ten methods were
# ranked by each at random. The *largest* of the 21 correlations (in size) would exceed some limit in one case of twenty.
# Which limit? Write a number between 0 and 1.

# %% tags=["stub"]
# predict limit
limit = ...

# %% tags=["solution"]
# predict limit
limit = 0.63  # for example, what holds for one pair

# %%
def by_chance():
    pairs = experiment.rank_correlations(table)
    largest = experiment.family_limit(table, [""])
    above = pairs[pairs["value"].abs() > largest]
    print(f"the largest of {len(pairs)} by chance: {largest:.2f}; pairs of this table above it:")
    return above.round(2)


reveal(limit, by_chance)

# %% [markdown] tags=["exercise"]
# ## partial: and if both follow a third?
#
# *8 minutes.* Two measures may agree because both follow robustness. Write `partial(ab, ac, bc)`, the correlation of $a$ and
# $b$ with the ranks of $c$ held fixed, from the three rank correlations. Look the formula up, or derive it: what is left of
# the ranks of $a$ and of $b$ after the straight line on those of $c$ is taken away?

# %% tags=["stub"]
# exercise partial
def partial(ab, ac, bc):
    """The correlation of a and b with c held fixed."""
    ...

# %% tags=["solution"]
# exercise partial
def partial(ab, ac, bc):
    return (ab - ac * bc) / math.sqrt((1 - ac**2) * (1 - bc**2))

# %% tags=["wrong"]
# exercise partial
def partial(ab, ac, bc):
    return ab - ac * bc

# %% tags=["wrong"]
# exercise partial
def partial(ab, ac, bc):
    return (ab - ac * bc) / ((1 - ac**2) * (1 - bc**2))

# %% tags=["wrong"]
# exercise partial
def partial(ab, ac, bc):
    return ab - max(ac, bc)

# %% tags=["check"]
# check partial
told = "with a third measure that has nothing to do with either, nothing changes"
assert abs(partial(0.6, 0.0, 0.0) - 0.6) < 1e-9, told
told = "where both follow the third and nothing else links them, ab is ac times bc, and 0 is left"
assert abs(partial(0.4, 0.8, 0.5)) < 1e-9, told
pairs = experiment.rank_correlations(table)
names = list(table)
for c in names[1:4]:
    for row in experiment.rank_correlations(table, given=c).to_dict("records"):
        between = [(row["x"], row["y"]), (row["x"], c), (row["y"], c)]
        given = [experiment.pair(pairs, *of)["value"] for of in between]
        told = "what is left of a and of b is shorter than before: divide by both lengths"
        assert abs(partial(*given) - row["value"]) < 1e-6, told

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** The denominator is left out, which makes every partial correlation look small, as if the third
# measure explained it.
#
# **Ask next.** Take `centred alpha` and `alpha_plus`, and hold the l2 accuracy fixed. A small number comes out: is the agreement
# *shown* to be explained? (No: with ten methods even large partial correlations are missed, `experiment.half_power`.)

# %% [markdown] tags=["exercise"]
# ## needed: more seeds, or more methods?
#
# *8 minutes.* Two measures **agree**, in the chapter's words, where the whole 95 % interval of their rank correlation is
# above 0.5. The next cell has the interval. Somebody finds the correlation `agreement` and wants to know how many methods it
# takes until the interval says “agree”, if the correlation stays as it is. Every method has two seeds.
#
# Answer: `methods_needed`, the smallest number of methods.

# %%
def interval(r, methods):
    """Fisher's 95 % interval of a rank correlation, with the error of Bonett and Wright."""
    width = 1.96 * np.sqrt((1 + r**2 / 2) / (methods - 3))
    return np.tanh(np.arctanh(r) - width), np.tanh(np.arctanh(r) + width)


low, high = interval(agreement, len(KINDS))
print(f"{agreement:+.2f} over {len(KINDS)} methods: from {low:+.2f} to {high:+.2f}")

# %% tags=["stub"]
# exercise needed
methods_needed = ...

# %% tags=["solution"]
# exercise needed
methods_needed = 4
while interval(agreement, methods_needed)[0] <= 0.5:
    methods_needed += 1

# %% tags=["wrong"]
# exercise needed
nets_needed = 4
while interval(agreement, nets_needed)[0] <= 0.5:
    nets_needed += 1
methods_needed = math.ceil(nets_needed / 2)  # as if each seed were a method

# %% tags=["wrong"]
# exercise needed
methods_needed = len(KINDS)  # with more seeds instead

# %% tags=["wrong"]
# exercise needed
methods_needed = 4
while interval(agreement, methods_needed)[0] <= 0:  # related, not agreeing
    methods_needed += 1

# %% tags=["check"]
# check needed
told = "not even above 0 yet"
assert interval(agreement, max(int(methods_needed), 4))[0] > 0 or methods_needed < 4, told
expected = next(n for n in range(4, 100_000) if interval(agreement, n)[0] > 0.5)
told = "seeds make a method's mean more exact; they are no further methods, and n counts methods"
assert methods_needed not in (math.ceil(expected / 2), expected // 2), told
reached = interval(agreement, max(methods_needed, 4))[0]
told = f"with {methods_needed} methods it begins at {reached:.3f}; it has to begin above 0.5"
assert reached > 0.5, told
assert methods_needed <= expected, f"with {methods_needed - 1} methods it begins above 0.5 as well"

# %% [markdown] tags=["instructor"]
# 51 methods with the defaults. **What usually goes wrong.** Seeds are
# counted as methods, and the answer is halved.
#
# **Ask next.** What do ten more seeds gain? (Less noise in each method's mean, so the correlation itself may become larger;
# not a narrower interval.) What if the 51 methods are 51 radii of adversarial training? (See the next exercise.)

# %% [markdown] tags=["exercise"]
# ## finds: how often is it wrong?
#
# *15 minutes.* The interval is made for methods that were drawn one by one. Ours come in kinds: three radii of one training lie
# together in every measure. Count what that does. Write `false_finds(kinds, share, draws)`: in which fraction of `draws` does
# the interval of *two unrelated measures* leave out 0? `kinds` is a list with the kind of each method.
#
# A measure of method $i$ is $\sqrt{s}\,u_{k(i)} + \sqrt{1 - s}\,v_i$, with $s$ the `share`, a normal $u$ for each kind and a
# normal $v$ for each method, both drawn anew for each measure. Rank, correlate, take `interval`. About ten lines.

# %% tags=["stub"]
# exercise finds
def false_finds(kinds, share, draws):
    """The fraction of draws in which the interval of two unrelated measures does not hold 0."""
    ...

# %% tags=["solution"]
# exercise finds
def false_finds(kinds, share, draws):
    rng = np.random.default_rng(1)
    names, place = np.unique(kinds, return_inverse=True)
    found = 0
    for _ in range(draws):
        u, v = rng.standard_normal((2, len(names))), rng.standard_normal((2, len(kinds)))
        values = np.sqrt(share) * u[:, place] + np.sqrt(1 - share) * v
        ranks = values.argsort(1).argsort(1)
        low, high = interval(np.clip(np.corrcoef(ranks)[0, 1], -0.999, 0.999), len(kinds))
        found += bool(low > 0 or high < 0)
    return found / draws

# %% tags=["wrong"]
# exercise finds
def false_finds(kinds, share, draws):  # kinds play no part
    rng, found = np.random.default_rng(1), 0
    for _ in range(draws):
        ranks = rng.standard_normal((2, len(kinds))).argsort(1).argsort(1)
        low, high = interval(np.clip(np.corrcoef(ranks)[0, 1], -0.999, 0.999), len(kinds))
        found += bool(low > 0 or high < 0)
    return found / draws

# %% tags=["wrong"]
# exercise finds
def false_finds(kinds, share, draws):  # how often the interval is right
    return experiment.interval_coverage(kinds, share, draws=draws)

# %% tags=["wrong"]
# exercise finds
def false_finds(kinds, share, draws):  # one effect of the kind for both: they are related
    rng = np.random.default_rng(1)
    names, place = np.unique(kinds, return_inverse=True)
    found = 0
    for _ in range(draws):
        u, v = rng.standard_normal(len(names)), rng.standard_normal((2, len(kinds)))
        ranks = (np.sqrt(share) * u[place] + np.sqrt(1 - share) * v).argsort(1).argsort(1)
        low, high = interval(np.clip(np.corrcoef(ranks)[0, 1], -0.999, 0.999), len(kinds))
        found += bool(low > 0 or high < 0)
    return found / draws

# %% tags=["wrong"]
# exercise finds
def false_finds(kinds, share, draws):  # one side only
    return (1 - experiment.interval_coverage(kinds, share, draws=draws)) / 2

# %% tags=["check"]
# check finds
kinds = list(KINDS.values())
alone, together = (false_finds(kinds, of, 2000) for of in (0.0, share))
assert 0 <= alone <= 1 and 0 <= together <= 1, "a fraction of the draws, in [0, 1]"
told = f"at share 0 a 95 % interval leaves out 0 in about 5 % of cases, yours in {alone:.1%}"
assert abs(alone - (1 - experiment.interval_coverage(kinds, 0.0))) < 0.025, told
told = f"at share {share:g} it is still {together:.1%}: has each kind an effect of its own?"
expected = 1 - experiment.interval_coverage(kinds, share)
assert together > alone + 0.3 * (expected - alone), told
told = f"{together:.1%} is not it: are the two measures drawn apart, and do both ends count?"
assert abs(together - expected) < 0.03, told

# %% [markdown] tags=["instructor"]
# Several times the 5 % that were promised. **What usually goes wrong.** One effect of the kind for both measures: then
# they *are* related, and the finds are true. In a group, let one half plant a relation and the other half look for it.
#
# **Ask next.** To how many independent methods do these ten amount? (Look for the $n$ with which independent methods have an
# interval as wide as the right one.) What would you train next, a fourth radius or a new kind?

# %% [markdown] tags=["exercise"]
# ## copied: a new measure that is an old one
#
# *6 minutes.* Somebody proposes a new measure of robustness. Write `copied(values)`: given a measure of ten methods, a
# `pandas.Series`, it returns another Series that has the rank correlation 1 with it, and Pearson's correlation of less
# than 0.8, so that it *looks* like something new. One to three lines.

# %% tags=["stub"]
# exercise copied
def copied(values):
    """A measure that ranks the methods as `values` does and does not look like it."""
    ...

# %% tags=["solution"]
# exercise copied
def copied(values):
    ranks = values.rank()
    return np.exp(5 * ranks)

# %% tags=["wrong"]
# exercise copied
def copied(values):
    return 100 - 3 * values  # another unit, in reverse

# %% tags=["wrong"]
# exercise copied
def copied(values):
    return (values - values.mean()) ** 2  # up and down

# %% tags=["wrong"]
# exercise copied
def copied(values):
    return values + values.std() * np.random.default_rng(0).standard_normal(len(values))

# %% tags=["wrong"]
# exercise copied
def copied(values):
    return np.log(values - values.min() + 10 * values.std())  # hardly bent

# %% tags=["check"]
# check copied
means = experiment.methods(table)
for name in (L2, ALPHA):
    new = pd.Series(copied(means[name]), means.index)
    assert np.isfinite(new).all(), "the new measure has values that are no numbers"
    alike = means[name].rank().corr(new.rank())
    told = f"its rank correlation with {name} is {alike:.3f}: which functions keep every order?"
    assert alike > 1 - 1e-9, told
    straight = means[name].corr(new)
    told = f"Pearson's correlation with {name} is {straight:.2f}: bend it more"
    assert straight < 0.8, told

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** A change of unit: Pearson's correlation does not see it either. A logarithm bends too little where
# the values lie near each other.
#
# **Ask next.** If a paper reports that its measure “correlates with robustness (r = 0.75)”, what have you learned about ranks?
# Why are measures in the chapter compared by ranks? Does a copy made of each *net* stay one after the seeds are averaged?

# %% [markdown] tags=["exercise"]
# ## held: hold a copy fixed
#
# *4 minutes.* A table has a measure and its copy. The original is held fixed. What is the partial correlation of the copy with
# any third measure?
#
# * a: 0, since the original explains all of it
# * b: what it was, since the copy does not look like the original
# * c: 1 or −1
# * d: none, 0/0: of the copy nothing is left
#
# Answer: `left`, one of "a", "b", "c", "d". `experiment.rank_correlations(table, given=...)` computes it.

# %% tags=["stub"]
# exercise held
left = ...

# %% tags=["solution"]
# exercise held
left = "d"

# %% tags=["wrong"]
# exercise held
left = "a"

# %% tags=["wrong"]
# exercise held
left = "b"

# %% tags=["wrong"]
# exercise held
left = "c"

# %% tags=["check"]
# check held
assert left in ("a", "b", "c", "d"), 'answer with one of "a", "b", "c", "d"'
values = experiment.rank_correlations(table.assign(copy=table[L2]), given=L2)
value = experiment.pair(values, "copy", ALPHA)["value"]
told = "what is left of the copy's ranks after their line on the original's? Try the formula"
assert left == ("d" if math.isnan(value) else "a"), told

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** “a”: the numerator is 0, and so is the denominator. In floating point the quotient may be any number,
# so a program that does not look for this case may report a large partial correlation of nothing.
#
# **Ask next.** Which two measures of the chapter must therefore not both be held fixed? (Raw and centred norm over margin, which
# nearly are copies.)
