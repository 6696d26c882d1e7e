"""OpenAI's API over a model of vectors.

GET  /v1/models      the one model
POST /v1/embeddings  a vector of length 1 for each text

Texts wait in the same queue as those of /predict, and each has the vector it would have alone (law 5).
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from liju.errors import LijuError
from liju.serve.asked import Problem
from liju.serve.batcher import Batcher
from liju.serve.openai_asked import EmbeddingsAsked, read_embeddings
from liju.serve.openai_told import check_model, model_list, refused, response

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from liju.finetune import Answer, Embedding, Loaded

__all__ = ["Embeddings"]


class Embeddings:
    """The endpoints of one model, or `of` gives None for one whose task is another."""

    def __init__(
        self,
        loaded: Loaded,
        task: Embedding,
        batcher: Batcher,
        read_body: Callable[[Request], Awaitable[bytes]],
        max_characters: int,
        max_texts: int,
    ):
        self.loaded, self.task, self.batcher, self.read_body = loaded, task, batcher, read_body
        self.max_characters, self.max_texts = max_characters, max_texts
        self.name: str = loaded.describe()["name"]

    @classmethod
    def of(cls, loaded: Any, *rest: Any) -> Embeddings | None:
        """The endpoints of a loaded model of vectors; None for any other."""
        from liju.finetune import Embedding, Loaded

        if not isinstance(loaded, Loaded) or not isinstance(loaded._task, Embedding):
            return None
        return cls(loaded, loaded._task, *rest)

    def routes(self) -> list[Route]:
        """What Starlette routes."""
        from starlette.routing import Route

        return [
            Route("/v1/models", self.models),
            Route("/v1/embeddings", self.embeddings, methods=["POST"]),
        ]

    async def models(self, request: Request) -> Response:
        return response(model_list(self.name))

    async def embeddings(self, request: Request) -> Response:
        try:
            asked = read_embeddings(await self.read_body(request))
            self._check(asked)
            found = await self.batcher.ask(asked.texts, call=self.answer)
        except LijuError as error:
            return refused(error)
        told = _base64 if asked.encoding_format == "base64" else list
        data = [
            {
                "object": "embedding",
                "index": at,
                "embedding": told(answer["vector"]),
                **({"shortened": True} if answer.get("shortened") else {}),
            }
            for at, (answer, _) in enumerate(found)
        ]
        read = sum(tokens for _, tokens in found)
        usage = {"prompt_tokens": read, "total_tokens": read}
        return response({"object": "list", "data": data, "model": self.name, "usage": usage})

    def answer(self, texts: Sequence[str]) -> list[tuple[Answer, int]]:
        """What the batcher calls on the model's thread: the answer to each text, and the tokens it has."""
        answers = self.loaded.predict(list(texts))
        read = self.task.tokens(self.loaded.tokenizer, texts)
        return list(zip(answers, read, strict=True))

    def _check(self, asked: EmbeddingsAsked) -> None:
        """Raise Problem for what cannot be answered."""
        check_model(asked.model, self.name)
        size = self.loaded.model.config.d_model
        if asked.dimensions not in (None, size):
            raise Problem(400, f"its vectors have {size} dimensions", "leave it out", "dimensions")
        if len(asked.texts) > self.max_texts:
            message = f"{len(asked.texts)} texts; at most {self.max_texts} in one request"
            raise Problem(413, message, "send several requests", "input")
        characters = sum(map(len, asked.texts))
        if characters > self.max_characters:
            hint = f"at most {self.max_characters} in one request ([serve] max_characters)"
            raise Problem(413, f"{characters} characters are too many", hint, "input")


def _base64(vector: Sequence[float]) -> str:
    """The numbers as OpenAI's clients read them: float32, the lowest byte first.

    >>> _base64([1.0, -2.0])
    'AACAPwAAAMA='
    """
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()
