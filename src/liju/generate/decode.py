"""Writing: prompts of any lengths together, each answered as it would be alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from liju.errors import RequestError
from liju.generate.beam import beam_search
from liju.generate.sampling import Sampling
from liju.generate.session import Ids, Session
from liju.model import Transformer

__all__ = ["generate", "stream"]


def generate(
    model: Transformer,
    prompts: Sequence[Ids] | None = None,
    *,
    sources: Sequence[Ids] | None = None,
    eos: int | Collection[int] | None,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int | Sequence[int] = 0,
    beam: int = 1,
    length_penalty: float = 0.6,
    start: int | None = None,
    stopped: Callable[[Sequence[int]], bool] | None = None,
) -> list[list[int]]:
    """The new tokens after each prompt, up to an end token (left out) or `max_new_tokens`.

    sources: what the encoder of an encoder-decoder reads, one a prompt. start: a token put before each
    prompt; an encoder-decoder starts from it alone when there are no prompts (None: 0, the padding, as T5
    does). temperature 0 takes the best token each time; `beam` above 1 searches for the best whole answer,
    scored log p / ((5 + length) / 6) ** length_penalty. seed: of row i is seed + i, or the i-th of a list; a
    row's draws depend on nothing else. stopped: whether an answer so far need not go on (a stop string is
    in it); beam search does not ask.
    Raises RequestError for what the model cannot answer.

    >>> from liju.model import TransformerConfig
    >>> model = Transformer(TransformerConfig.default("decoder", vocab_size=11, d_model=8, num_heads=2))
    >>> together = generate(model, [[1, 5, 6], [1]], eos=None, max_new_tokens=4)
    >>> alone = generate(model, [[1]], eos=None, max_new_tokens=4)
    >>> [len(answer) for answer in together], together[1] == alone[0]
    ([4, 4], True)
    """
    prompts = _begin(model, prompts, sources, start)
    if not prompts:
        return []
    ends = _ends(eos)
    if beam > 1:
        if temperature:
            raise RequestError("beam search draws nothing", hint="leave temperature at 0, or beam at 1")
        with _evaluating(model):
            found = beam_search(
                Session(model, prompts, sources),
                eos=ends,
                max_new_tokens=max_new_tokens,
                beam=beam,
                alpha=length_penalty,
            )
        return [list(hypotheses[0].tokens) for hypotheses in found]
    answers: list[list[int]] = [[] for _ in prompts]
    sampling = Sampling(temperature, top_k, top_p)
    done = None if stopped is None else lambda row: stopped(answers[row])
    for row, token in _write(model, prompts, sources, ends, max_new_tokens, sampling, seed, done):
        answers[row].append(token)
    return answers


def stream(
    model: Transformer,
    prompt: Ids | None = None,
    *,
    source: Ids | None = None,
    eos: int | Collection[int] | None,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    start: int | None = None,
) -> Iterator[int]:
    """The tokens of one answer, each as soon as it is written. The rest is as in `generate`.

    >>> from liju.model import TransformerConfig
    >>> model = Transformer(TransformerConfig.default("decoder", vocab_size=11, d_model=8, num_heads=2))
    >>> tokens = stream(model, [1, 5], eos=None, max_new_tokens=3)
    >>> [next(tokens), *tokens] == generate(model, [[1, 5]], eos=None, max_new_tokens=3)[0]
    True
    """
    sources = None if source is None else [source]
    prompts = _begin(model, None if prompt is None else [prompt], sources, start)
    sampling = Sampling(temperature, top_k, top_p)
    for _, token in _write(model, prompts, sources, _ends(eos), max_new_tokens, sampling, seed):
        yield token


def _write(
    model: Transformer,
    prompts: list[list[int]],
    sources: Sequence[Ids] | None,
    ends: frozenset[int],
    max_new_tokens: int,
    sampling: Sampling,
    seed: int | Sequence[int],
    done: Callable[[int], bool] | None = None,
) -> Iterator[tuple[int, int]]:
    """(row, token) in the order of writing. A row that has ended, or is done, leaves the batch."""
    seeds = [seed + i for i in range(len(prompts))] if isinstance(seed, int) else list(seed)
    if len(seeds) != len(prompts):
        raise RequestError(f"{len(prompts)} prompts but {len(seeds)} seeds")
    generators = [np.random.default_rng(number) for number in seeds]
    with _evaluating(model):
        session = Session(model, prompts, sources)
    alive = list(range(len(prompts)))
    for written in range(1, max_new_tokens + 1):
        tokens = sampling.choose(session.logits, [generators[row] for row in alive])
        kept = [i for i, token in enumerate(tokens) if token not in ends]
        yield from [(alive[i], tokens[i]) for i in kept]
        kept = [i for i in kept if not session.full(i) and not (done is not None and done(alive[i]))]
        if not kept or written == max_new_tokens:
            return
        if len(kept) < len(alive):
            session.select(kept)
            alive = [alive[i] for i in kept]
        with _evaluating(model):
            session.step([tokens[i] for i in kept])


def _begin(
    model: Transformer, prompts: Sequence[Ids] | None, sources: Sequence[Ids] | None, start: int | None
) -> list[list[int]]:
    """The tokens that each row starts from."""
    if model.config.family == "encdec" and start is None:
        start = 0
    if prompts is None:
        prompts = [[] for _ in sources or ()]
    return [[*([] if start is None else [start]), *prompt] for prompt in prompts]


def _ends(eos: int | Collection[int] | None) -> frozenset[int]:
    if eos is None:
        return frozenset()
    return frozenset([eos] if isinstance(eos, int) else eos)


class _evaluating:
    """No dropout while writing; the model is as it was afterwards."""

    def __init__(self, model: Transformer):
        self.model = model

    def __enter__(self) -> None:
        self.was_training = self.model.training
        self.model.eval()

    def __exit__(self, *_: object) -> None:
        self.model.train(self.was_training)
