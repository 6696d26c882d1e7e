"""EleutherAI's lm-eval drives a model of ours: all of its tasks, and yours in a YAML file.

    python -m liju.prompt.lm_eval run --model liju --model_args path=runs/first \\
        --tasks mine --include_path tasks

is lm-eval's own command with one model more. Or from Python:

    from liju.prompt.lm_eval import LijuLM
    lm_eval.simple_evaluate(LijuLM("runs/first"), tasks=["mine"], task_manager=...)

lm-eval is imported at first use and comes with the extra `lm-eval`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import torch

from liju.errors import MissingExtra, RequestError
from liju.finetune import Loaded
from liju.prompt.local import LocalModel
from liju.prompt.reading import read_rows, read_tails

__all__ = ["HarnessAnswers", "adapter", "main", "windows"]


class Request(Protocol):
    """What lm-eval asks: its `Instance`, of which the arguments are used."""

    @property
    def args(self) -> tuple[Any, ...]: ...


def windows(tokens: Sequence[int], first: int, longest: int) -> Iterator[tuple[list[int], list[int]]]:
    """A long text as (tokens before, tokens to score): each is scored once, after as many as fit.

    `first` stands before the text, `longest` is what the model reads together, the token to score left out.
    The last window is a full one: it repeats tokens of the one before it and scores the rest.

    >>> [(before, scored) for before, scored in windows([0, 1, 2, 3, 4, 5], first=9, longest=4)]
    [([9], [0, 1, 2, 3]), ([1, 2, 3], [4, 5])]
    """
    if not tokens:
        return
    yield [first], list(tokens[:longest])
    done = min(longest, len(tokens))
    while done < len(tokens):
        end = min(done + longest, len(tokens))
        start = max(0, end - longest - 1)
        yield list(tokens[start:done]), list(tokens[done:end])
        done = end


class HarnessAnswers:
    """lm-eval's three questions, answered by a `LocalModel`. Needs no lm-eval.

    A context that does not fit is shortened from the left, as lm-eval does; `shortened` counts them. Raises
    BundleError where there is no model, RequestError where it does not write.
    """

    def __init__(
        self, path: str | Path | Loaded | LocalModel, device: str = "auto", batch_size: int | str = 32
    ):
        batch = 32 if isinstance(batch_size, str) and not batch_size.isdigit() else int(batch_size)
        self.model = path if isinstance(path, LocalModel) else LocalModel(path, device=device, batch=batch)
        tokenizer = self.model.tokenizer
        # What a text begins with; a vocabulary without such a token has one that ends a text.
        start = self.model.start or ([] if tokenizer.eos is None else [tokenizer.eos])
        if not start:
            raise RequestError(f"{self.model.name}: nothing can stand before the first token")
        self.start = start
        self.shortened = 0

    def loglikelihood(self, requests: Sequence[Request], **_: Any) -> list[tuple[float, bool]]:
        """Of (context, continuation): the continuation's log-likelihood in nats, and whether it is the answer
        of temperature 0."""
        found: list[tuple[float, bool]] = []
        pairs = [tuple(request.args) for request in requests]
        # The choices of a question come one after the other: their context is read once.
        for context, group in groupby(pairs, key=lambda pair: pair[0]):
            found += self._choices(context, [pair[1] for pair in group])
        return found

    def _choices(self, context: str, continuations: list[str]) -> list[tuple[float, bool]]:
        model = self.model
        if model.encdec:
            return [(score.logprob, score.greedy) for score in model.score(context, continuations)]
        rows = []
        for text in continuations:
            ids, ends = model.tokenizer.encode_with_ends(context + text)
            cut = sum(end <= len(context) for end in ends)
            if cut == len(ids):
                raise RequestError(f"the continuation {text!r} has no token to score")
            before, after = [*self.start, *ids[:cut]], ids[cut:]
            room = model.limit + 1 - len(after)  # the last token is scored and not read
            if room < 1:
                raise RequestError(
                    f"a continuation of {len(after)} tokens; the model takes {model.limit}",
                    hint="use a model of greater max_length",
                )
            self.shortened += len(before) > room
            rows.append((before[-room:], after))
        if len({tuple(before) for before, _ in rows}) == 1:
            told = read_tails(model.model, rows[0][0], [after for _, after in rows], None, model.batch)
        else:  # a token holds characters of both sides, or the choices are of different length
            told = [read_tails(model.model, before, [after], None, 1)[0] for before, after in rows]
        return [
            (
                sum(score.logprob or 0.0 for score in scores),
                all((score.logprob or 0.0) >= score.top[0][1] for score in scores if score.top),
            )
            for scores in told
        ]

    def loglikelihood_rolling(self, requests: Sequence[Request], **_: Any) -> list[float]:
        """Of (text,): its log-likelihood in nats, however long it is, the end of the text not counted."""
        if self.model.encdec:
            raise RequestError(f"{self.model.name}: an encoder-decoder has no likelihood of a text alone")
        found = []
        for request in requests:
            ids = self.model.tokenizer.encode(request.args[0])
            parts = list(windows(ids, self.start[-1], self.model.limit))
            rows = read_rows(self.model.model, [[*before, *scored] for before, scored in parts])
            found.append(
                sum(
                    score.logprob or 0.0
                    for row, (before, _) in zip(rows, parts, strict=True)
                    for score in row[len(before) :]
                )
            )
        return found

    def generate_until(self, requests: Sequence[Request], **_: Any) -> list[str]:
        """Of (context, options): what the model writes, up to `until`, at most `max_gen_toks` tokens."""
        found = []
        for request in requests:
            context, options = request.args
            until = options.get("until") or []
            new = int(options.get("max_gen_toks", options.get("max_new_tokens", 256)))
            warm = bool(options.get("do_sample", False)) or float(options.get("temperature") or 0) > 0
            prompt: Any = context
            if not self.model.encdec:
                ids = [*self.start, *self.model.tokenizer.encode(context)]
                room = max(1, self.model.limit - new)
                self.shortened += len(ids) > room
                prompt = ids[-room:]
            (written,) = self.model.generate(
                [prompt],
                max_new_tokens=new,
                temperature=float(options.get("temperature") or 1.0) if warm else 0.0,
                top_p=float(options.get("top_p", 1.0)),
                stop=[until] if isinstance(until, str) else list(until),
            )
            found.append(written.text)
        return found

    @property
    def tokenizer_name(self) -> str:
        """What lm-eval keeps its caches apart by."""
        return self.model.name

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A conversation as the bundle's template writes it."""
        if self.model.template is None:
            raise RequestError(
                f"{self.model.name} has no chat template", hint="leave --apply_chat_template out"
            )
        return self.model.template.render(chat_history, answer=add_generation_prompt)


@cache
def adapter() -> type[HarnessAnswers]:
    """The class that lm-eval takes, known to it as the model "liju". Raises MissingExtra without lm-eval."""
    try:
        import lm_eval.models  # noqa: F401  # pyright: ignore[reportMissingImports] - its own come first
        from lm_eval.api.model import LM  # pyright: ignore[reportMissingImports]
        from lm_eval.api.registry import model_registry  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingExtra("lm-eval", extra="lm-eval") from None

    class LijuLM(HarnessAnswers, LM):  # type: ignore[misc]
        """A run directory or a model folder of liju's, for lm-eval."""

        def __init__(
            self,
            path: str | Path | Loaded | LocalModel,
            device: str | None = None,
            batch_size: int | str = 32,
            **_: Any,
        ):
            LM.__init__(self)
            if device is None or (device.startswith("cuda") and not torch.cuda.is_available()):
                device = "auto"  # lm-eval's default is a GPU, there or not
            HarnessAnswers.__init__(self, path, device, batch_size)

    if "liju" not in model_registry:
        model_registry.register("liju", target=LijuLM)
    return LijuLM


def __getattr__(name: str) -> Any:
    if name == "LijuLM":
        return adapter()
    raise AttributeError(f"module 'liju.prompt.lm_eval' has no attribute {name!r}")


def main(words: Sequence[str] | None = None) -> None:
    """lm-eval's command with the model "liju". Raises MissingExtra without lm-eval."""
    adapter()
    from lm_eval.__main__ import cli_evaluate  # pyright: ignore[reportMissingImports]

    if words is not None:
        sys.argv = ["lm_eval", *words]
    cli_evaluate()


if __name__ == "__main__":
    main()
