"""Which pictures to ask high for: plain confidence against the gain expected, and that a byte."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from overtone.models import Rule, Temperature
from overtone.models.deferral import features, logistic
from overtone.training.certificate import take
from overtone.training.modes import right
from overtone.training.predict import Predictions

Floats = NDArray[np.float64]
Scores = dict[str, Floats]

# Weight decay of the logistic models; keeps them finite where low is never wrong.
RIDGE = 1e-3
# Values of the budget at which two rules are compared.
BUDGETS = 101
PLAIN = "confidence"


def fit_logistic(x: Floats, y: NDArray[np.bool_]) -> tuple[float, ...]:
    """Coefficients float64[F] of P(y) = logistic(x @ w), the first (constant) one not decayed."""
    decay = np.full(x.shape[1], RIDGE)
    decay[0] = 0.0

    def loss(w: Floats) -> tuple[float, Floats]:
        z = x @ w
        value = np.mean(np.logaddexp(0, z) - y * z) + 0.5 * decay @ w**2
        return float(value), x.T @ (logistic(z) - y) / len(y) + decay * w

    found = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    return tuple(float(w) for w in found)


def fit_rule(p: Predictions, temperature: Temperature, price: float = 0.0) -> Rule:
    """The two models of a rate-aware rule; its price is to be chosen on other pictures."""
    x = features(softmax(p.low / temperature.low, axis=1))
    low_right, high_right = right(p)
    return Rule(both=fit_logistic(x, high_right), low=fit_logistic(x, low_right), price=price)


def folds(n: int, count: int = 5, seed: int = 0) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """(fit, held) masks bool[n]: every picture is held once."""
    number = np.random.default_rng(seed).permutation(n) % count
    for i in range(count):
        yield number != i, number == i


def scores(rule: Rule, p: Predictions, temperature: Temperature) -> Scores:
    """By rule, how much high is wanted for every picture, float64[n]; only the order matters."""
    probabilities = softmax(p.low / temperature.low, axis=1)
    doubt = 1 - probabilities.max(axis=1)
    return {
        PLAIN: doubt,
        "confidence, a byte": doubt / p.high_bytes,
        "gain": rule.gain(probabilities),
        "gain, a byte": rule.worth(probabilities, p.high_bytes),
    }


def cross_fitted(p: Predictions, temperature: Temperature) -> Scores:
    """As `scores`, each picture's by a rule fitted on others."""
    parts = [
        (held, scores(fit_rule(take(p, fit), temperature), take(p, held), temperature))
        for fit, held in folds(len(p.targets))
    ]
    found: Scores = {name: np.empty(len(p.targets)) for name in parts[0][1]}
    for held, part in parts:
        for name, values in part.items():
            found[name][held] = values
    return found


def frontier(wanted: Floats, p: Predictions) -> tuple[Floats, Floats]:
    """(bytes a picture, top-1 of the cascade), float64[n + 1] each, as 0 to n pictures are asked high for."""
    order = np.argsort(-wanted, kind="stable")
    low_right, high_right = right(p)
    gained = (high_right.astype(int) - low_right)[order]
    n = len(order)
    top1 = (low_right.sum() + np.append(0, np.cumsum(gained))) / n
    spent = (p.low_bytes.sum() + np.append(0, np.cumsum(p.high_bytes[order]))) / n
    return spent, top1


def advantage(wanted: Floats, p: Predictions, plain: Floats) -> float:
    """Top-1 gained over another order at the same bytes, a mean over budgets from low only to always both."""
    spent, top1 = frontier(wanted, p)
    budgets = np.linspace(spent[0], spent[-1], BUDGETS)
    return float(np.mean(np.interp(budgets, spent, top1) - np.interp(budgets, *frontier(plain, p))))


@dataclass(frozen=True)
class Against:
    """A rule's advantage in top-1 over plain confidence, with its 95 % bootstrap interval, and its curve."""

    advantage: float
    lower: float
    upper: float
    bytes: tuple[float, ...]
    top1: tuple[float, ...]

    @property
    def holds(self) -> bool:
        """Whether it is beyond noise."""
        return self.lower > 0


def compare(wanted: Scores, p: Predictions, resamples: int = 500, seed: int = 0) -> dict[str, Against]:
    """Every rule against plain confidence on the same pictures."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in wanted}
    for _ in range(resamples):
        chosen = rng.integers(len(p.targets), size=len(p.targets))
        sample = take(p, chosen)
        for name, values in wanted.items():
            drawn[name].append(advantage(values[chosen], sample, wanted[PLAIN][chosen]))
    return {name: _against(values, p, wanted[PLAIN], drawn[name]) for name, values in wanted.items()}


def _against(wanted: Floats, p: Predictions, plain: Floats, drawn: list[float]) -> Against:
    lower, upper = np.quantile(drawn, (0.025, 0.975))
    spent, top1 = frontier(wanted, p)
    budgets = np.linspace(spent[0], spent[-1], BUDGETS)
    curve = np.interp(budgets, spent, top1)
    return Against(
        advantage(wanted, p, plain),
        float(lower),
        float(upper),
        tuple(budgets.tolist()),
        tuple(curve.tolist()),
    )


def draw(found: dict[str, dict[str, Against]], path: Path) -> None:
    """Top-1 against bytes, a panel per data set and a line per rule, as a PNG."""
    figure = Figure(figsize=(6.0 * len(found), 4.2), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for panel, (data, rules) in zip(panels, found.items(), strict=True):
        for name, line in rules.items():
            label = name if name == PLAIN else f"{name} ({100 * line.advantage:+.2f} points)"
            panel.plot(line.bytes, [100 * t for t in line.top1], label=label)
        panel.set(title=data, xlabel="payload bytes a picture", ylabel="top-1 of the cascade, %")
        panel.grid(alpha=0.3)
        panel.legend(title="high is asked for by")
    figure.savefig(path, dpi=120)


def as_json(found: dict[str, dict[str, Against]]) -> dict[str, Any]:
    """Plain values for JSON."""
    return {data: {name: asdict(line) for name, line in rules.items()} for data, rules in found.items()}
