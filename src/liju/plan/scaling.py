r"""The loss that a decoder of N parameters reaches on D tokens, after other people's fits, with their doubt.

$L(N, D) = E + A / N^\alpha + B / D^\beta$ in nats a token (Hoffmann et al. 2022, "Chinchilla", equation 2).
A fit belongs to its text, its vocabulary (about 32,000 tokens) and its range (44 million to 16 billion
parameters, 5 to 500 billion tokens): elsewhere it is a guess, and three fits say how far such guesses part.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FITS", "TOKENS_PER_PARAMETER", "Fit", "compute_optimal", "expected_loss", "optimal_tokens"]

LEAST = 44e6  # parameters of the smallest model in Hoffmann's runs; below it the fits say nothing
# Hoffmann et al. 2022, approaches 1 and 2 (their table 3): both sizes grow alike.
TOKENS_PER_PARAMETER = 20.0


@dataclass(frozen=True)
class Fit:
    """One parametric fit."""

    name: str
    E: float
    A: float
    B: float
    alpha: float
    beta: float
    source: str

    def loss(self, parameters: float, tokens: float) -> float:
        """Nats a token.

        >>> round(FITS["hoffmann-2022"].loss(70e9, 1.4e12), 3)  # Chinchilla
        1.937
        """
        return self.E + self.A / parameters**self.alpha + self.B / tokens**self.beta

    def optimal_tokens(self, parameters: float) -> float:
        r"""The tokens for which `parameters` are the best use of the FLOPs: where both terms gain alike,
        $\alpha A / N^\alpha = \beta B / D^\beta$."""
        return (self.beta * self.B / (self.alpha * self.A) * parameters**self.alpha) ** (1 / self.beta)

    def optimal(self, flops: float) -> tuple[float, float]:
        r"""Parameters and tokens of least loss at $6 N D$ = `flops` (Hoffmann et al., equation 4)."""
        ratio = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        parameters = ratio * (flops / 6) ** (self.beta / (self.alpha + self.beta))
        return parameters, flops / 6 / parameters


FITS = {
    fit.name: fit
    for fit in (
        Fit(
            "hoffmann-2022", 1.69, 406.4, 410.7, 0.34, 0.28,
            "Hoffmann et al. 2022, arXiv:2203.15556, approach 3 as printed",
        ),
        Fit(
            "besiroglu-2024", 1.8172, 482.01, 2085.43, 0.3478, 0.3658,
            "Besiroglu et al. 2024, arXiv:2404.10102: the same runs, read from the figure and fitted again",
        ),
        Fit(
            "muennighoff-2023", 1.86914, 520.825, 1487.716, 0.3526596, 0.3526596,
            "Muennighoff et al. 2023, arXiv:2305.16264, appendix B: C4, one pass",
        ),
    )
}  # fmt: skip


def expected_loss(parameters: float, tokens: float) -> dict[str, float]:
    """Nats a token after each fit. Of a decoder that predicts every next token.

    >>> {name: round(loss, 2) for name, loss in expected_loss(175e9, 300e9).items()}
    {'hoffmann-2022': 2.0, 'besiroglu-2024': 2.01, 'muennighoff-2023': 2.06}
    """
    return {name: fit.loss(parameters, tokens) for name, fit in FITS.items()}


def optimal_tokens(parameters: float) -> dict[str, float]:
    """Tokens for which a model of this size is the best use of the FLOPs: 20 a parameter, and after each fit.

    >>> f"{optimal_tokens(70e9)['20 a parameter']:.1e}"
    '1.4e+12'
    """
    found = {"20 a parameter": TOKENS_PER_PARAMETER * parameters}
    return found | {name: fit.optimal_tokens(parameters) for name, fit in FITS.items()}


def compute_optimal(flops: float) -> dict[str, tuple[float, float]]:
    """Parameters and tokens for a budget of FLOPs: 20 tokens a parameter, and after each fit.

    >>> N, D = compute_optimal(5.76e23)["20 a parameter"]
    >>> f"{N:.3g} {D:.3g}"  # Chinchilla: 70 billion, 1.4 trillion
    '6.93e+10 1.39e+12'
    """
    parameters = (flops / 6 / TOKENS_PER_PARAMETER) ** 0.5
    found = {"20 a parameter": (parameters, TOKENS_PER_PARAMETER * parameters)}
    return found | {name: fit.optimal(flops) for name, fit in FITS.items()}
