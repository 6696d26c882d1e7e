"""liju predict: answers to texts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from liju.cli.story import say_next
from liju.cli.strict_json import dumps
from liju.errors import RequestError

__all__ = ["predict"]

Answers = Callable[[Sequence[str]], list[dict[str, Any]]]


def predict(
    run: str,
    /,
    *texts: str,
    pair: str = "",
    json: bool = False,
    model: str = "",
    api: Literal["chat", "completions"] = "chat",
    beam: int | None = None,
    max_new_tokens: int | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    stop: list[str] | None = None,
) -> None:
    """Answer texts with a trained model: a label, a translation, an answer to a question, a text written on.

    Without texts it reads standard input, a text a line. The address of a server that speaks OpenAI's API
    asks a model there; the key is read from OPENAI_API_KEY.

    examples:
      liju predict runs/first "房间很干净，服务也好"
      cat reviews.txt | liju predict runs/first --json
      liju predict runs/writer "Once upon a time" --temperature 0.8
      liju predict runs/answers "Who wrote it?" --pair "Ada wrote it in 1843."
      liju predict https://api.openai.com/v1 "Why is the sky blue?" --model gpt-4o

    Parameters
    ----------
    run
        A run directory, a model folder, or the address of a server.
    texts
        What to answer.
    pair
        The second text of each: the context of a question, or what a pair is judged with. @FILE reads a file.
    json
        One JSON object a line.
    model
        Of a server: which of its models (the only one, when it has one).
    api
        Of a server: a text is a user's message (chat), or is written on (completions).
    beam
        Beam width of translation.
    max_new_tokens
        Longest answer.
    temperature
        Generation: 0 takes the likeliest word each time.
    seed
        Generation: the source of chance.
    stop
        Generation: a text before which an answer ends; may be given several times.
    """
    given: dict[str, Any] = {"beam": beam, "max_new_tokens": max_new_tokens, "temperature": temperature}
    given |= {"seed": seed, "stop": stop}
    options = {name: value for name, value in given.items() if value is not None}
    remote = run.startswith(("http://", "https://"))
    with ExitStack() as stack:
        if remote:
            if pair:
                raise RequestError("--pair: a server of this API has none", hint="put both into one text")
            answers = _remote(run, model, api, options, stack)
        else:
            answers = _local(run, model, _second(pair), options)
        lines = list(texts) or [line.rstrip("\n") for line in sys.stdin if line.strip()]
        for start in range(0, len(lines), 64):
            group = lines[start : start + 64]
            for text, answer in zip(group, answers(group), strict=True):
                _print(text, answer, json)
    if not json and texts and not remote and sys.stdout.isatty():
        say_next(f"liju serve {run}")


def _print(text: str, answer: dict[str, Any], json: bool) -> None:
    if json:
        print(dumps({"input": text, **answer}))
    elif "label" in answer:
        print(f"{answer['label']}\t{answer['score']:.3f}\t{text}")
    elif "begin" in answer:
        print(f"{answer['text'] or '(no answer)'}\t{answer['score']:.3f}\t{text}")
    else:
        print(answer["text"])


def _second(pair: str) -> str:
    """The second text, or that of the file that it names."""
    if not pair.startswith("@"):
        return pair
    try:
        return Path(pair[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", "") or "not UTF-8"
        raise RequestError(
            f"--pair: {pair[1:]}: {what}", hint="a text, or @ and the name of a file"
        ) from None


def _local(run: str, model: str, pair: str, options: dict[str, Any]) -> Answers:
    from liju.finetune import load
    from liju.finetune.loaded import options_of

    if model:
        raise RequestError("--model is for the address of a server", hint=f"{run} is one model")
    loaded = load(run)
    options_of(loaded.task, options)
    return lambda group: loaded.predict(group, pairs=[pair] * len(group) if pair else None, **options)


def _remote(
    address: str,
    model: str,
    api: Literal["chat", "completions"],
    options: dict[str, Any],
    stack: ExitStack,
) -> Answers:
    from liju.prompt import RemoteModel

    if "beam" in options:
        raise RequestError("--beam: a server of this API has no beam", hint="leave it out")
    name = model
    if not name:
        with RemoteModel(address, "") as server:
            names = server.models()
        if len(names) != 1:
            raise RequestError(f"{address} has {len(names)} models", hint=f"--model {' or '.join(names[:9])}")
        name = names[0]
    server = stack.enter_context(RemoteModel(address, name, api=api))
    return lambda group: [
        {"text": found.text, "finish": found.finish} for found in server.generate(group, **options)
    ]
