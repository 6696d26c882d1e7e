"""A model behind OpenAI's HTTP API as a `LanguageModel`: GPT-4 and all others that nobody can load here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from liju.errors import RemoteError, RequestError
from liju.prompt.chat import check_messages
from liju.prompt.connection import Connection, Usage
from liju.prompt.limits import RateLimit
from liju.prompt.model import Generation, Prompt, Score
from liju.prompt.wire import Choice, read_choices, read_echo, read_piece

__all__ = ["RemoteModel"]

_NO_SCORES = (
    "score needs /completions with echo and logprobs: liju serve, vLLM and llama-cpp-python have them, "
    "OpenAI's chat models do not; generate works"
)


class RemoteModel:
    """A model of a server that speaks OpenAI's `/completions` and `/chat/completions`.

    base_url: up to and with `/v1`. api: how a prompt that is a text is sent: "completions" writes on,
    "chat" answers it as a user's message. A prompt of messages is always sent to chat.
    api_key_env: the environment variable that holds the key; None sends none. The key is read when a request
    goes out and kept nowhere.

    A request is tried again up to `retries` times, after 408, 409, 425, 429 and 5xx, a broken connection, no
    answer within `timeout` seconds or half an answer; between tries it waits, at least as long as Retry-After
    says. A request whose answer was lost may be charged for twice.
    `concurrency` bounds how many are under way, `requests_per_minute` and `tokens_per_minute` how many go
    out. extra: fields for every request; None leaves one out that liju would send, say `{"seed": None}`.
    prices: of a million prompt tokens and a million written ones; `usage` counts both and their cost.

    Raises RequestError for an address that cannot be used, MissingExtra without httpx; every request may
    raise RemoteError.

    >>> RemoteModel("http://127.0.0.1:8000/v1", "first")
    RemoteModel('http://127.0.0.1:8000/v1', 'first')
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key_env: str | None = "OPENAI_API_KEY",
        *,
        api: Literal["completions", "chat"] = "completions",
        timeout: float = 60.0,
        retries: int = 5,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        concurrency: int = 4,
        prices: tuple[float, float] = (0.0, 0.0),
        extra: Mapping[str, Any] | None = None,
        **connection: Any,
    ):
        if api not in ("completions", "chat"):
            raise RequestError(f"api is {api!r}", hint="completions or chat")
        if concurrency < 1:
            raise RequestError("concurrency must be at least 1")
        self.name, self.api, self.concurrency = model, api, concurrency
        self.extra = dict(extra or {})
        self._connection = Connection(
            base_url,
            api_key_env,
            timeout,
            retries,
            connection.pop("limit", None) or RateLimit(requests_per_minute, tokens_per_minute),
            prices=prices,
            **connection,
        )
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="liju-remote")

    def __repr__(self) -> str:
        return f"RemoteModel({self._connection.base_url!r}, {self.name!r})"

    @property
    def usage(self) -> Usage:
        """What was asked of the server so far, and its price."""
        return self._connection.usage

    def close(self) -> None:
        """Let the connections and threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._connection.close()

    def __enter__(self) -> RemoteModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def models(self) -> list[str]:
        """The names of the models that the server has."""
        listed = self._connection.ask("/models").get("data")
        if not isinstance(listed, list):
            raise RemoteError(f"{self._connection.base_url}/models: no list of models")
        return [str(one.get("id")) for one in listed if isinstance(one, Mapping)]

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        seed: int = 0,
        n: int = 1,
        logprobs: bool = False,
    ) -> list[Generation]:
        """As `LanguageModel.generate` says. Whether a server keeps to `seed` is its own affair."""
        if isinstance(prompts, str):
            raise RequestError("prompts is one text", hint="give a list of them")
        options = _options(max_new_tokens, temperature, top_p, stop, seed) | ({"n": n} if n > 1 else {})

        def one(prompt: Prompt) -> list[Generation]:
            path, body = self._body(prompt, options)
            chat = path.startswith("/chat")
            if logprobs:
                body |= {"logprobs": True if chat else 1}
            answer = self._connection.ask(path, body, _about(prompt, max_new_tokens * n))
            choices = self._understood(path, lambda: read_choices(answer, chat=chat, wanted=n))
            return [_generation(choice, answer, n) for choice in choices]

        return [found for many in self._all(one, prompts) for found in many]

    def stream(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> Iterator[str]:
        """As `LanguageModel.stream` says. Raises RemoteError where the answer breaks off."""
        path, body = self._body(prompt, _options(max_new_tokens, temperature, top_p, stop, seed))
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        for event in self._connection.events(path, body, _about(prompt, max_new_tokens)):
            text = read_piece(event, chat=path.startswith("/chat"))
            if text:
                yield text

    def score(self, prompt: str, continuations: Sequence[str]) -> list[Score]:
        """As `LanguageModel.score` says, from the probabilities of an echoed prompt."""
        return self.score_batch([(prompt, continuations)])[0]

    def score_batch(self, requests: Sequence[tuple[str, Sequence[str]]]) -> list[list[Score]]:
        """As `LanguageModel.score_batch` says, `concurrency` at once."""
        flat: list[tuple[str, str]] = []
        for prompt, continuations in requests:
            if isinstance(continuations, str):
                raise RequestError("continuations is one text", hint="give a list of them")
            flat += [(prompt, continuation) for continuation in continuations]
        scores = iter(self._all(self._score, flat))
        return [[next(scores) for _ in continuations] for _, continuations in requests]

    def _score(self, pair: tuple[str, str]) -> Score:
        prompt, continuation = pair
        if not continuation:
            raise RequestError("the continuation '' has no token to score")
        # One token more than wanted: some servers must write, and what they write is left out.
        body = {"model": self.name, "prompt": prompt + continuation, "max_tokens": 1, "temperature": 0.0}
        body |= {"echo": True, "logprobs": 1}
        try:
            answer = self._connection.ask("/completions", body, _about(prompt + continuation, 1))
        except RemoteError as error:
            if error.status in (400, 404, 405, 422, 501):
                error.hint = _NO_SCORES
            raise
        return self._understood("/completions", lambda: read_echo(answer, prompt, continuation), _NO_SCORES)

    def _body(self, prompt: Prompt, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        body = {"model": self.name, **options, **self.extra}
        body = {field: value for field, value in body.items() if value is not None}
        if isinstance(prompt, str) and self.api == "completions":
            return "/completions", {**body, "prompt": prompt}
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        return "/chat/completions", {**body, "messages": check_messages(messages)}

    def _all(self, one: Any, items: Sequence[Any]) -> list[Any]:
        """`one` of each item, in order; after the first that fails no more are begun."""
        futures = [self._pool.submit(one, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def _understood(self, path: str, read: Any, hint: str = "") -> Any:
        """What an answer says. Raises RemoteError for one that is not in the API's shape."""
        try:
            return read()
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            what = f"{error}" if isinstance(error, ValueError) else "the answer is not in OpenAI's shape"
        raise RemoteError(f"{self._connection.base_url}{path}: {what}", hint, status=200)


def _options(
    max_new_tokens: int, temperature: float, top_p: float, stop: Sequence[str], seed: int
) -> dict[str, Any]:
    stops = [stop] if isinstance(stop, str) else list(stop)
    options: dict[str, Any] = {"max_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
    return options | ({"top_p": top_p} if top_p != 1 else {}) | ({"stop": stops} if stops else {})


def _about(prompt: Prompt, more: int) -> float:
    """About how many tokens a request will use: three bytes a token, and all that may be written."""
    text = prompt if isinstance(prompt, str) else "".join(message.get("content", "") for message in prompt)
    return len(text.encode("utf-8", "replace")) / 3 + more


def _generation(choice: Choice, answer: Mapping[str, Any], n: int) -> Generation:
    usage = answer.get("usage")
    counted = usage.get("completion_tokens") if isinstance(usage, Mapping) and n == 1 else None
    if choice.logprobs is not None and counted is None:
        counted = len(choice.logprobs)
    return Generation(choice.text, choice.finish, counted, choice.logprobs)
