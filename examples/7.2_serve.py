"""A served model: requests over HTTP, answered as in Python, and mistakes answered in JSON."""

import json
import urllib.error
import urllib.request

from liju.config import Serve
from liju.serve import Server


class Echo:
    """Whatever has these three can be served; `liju.load(run)` does."""

    task = "generation"

    def describe(self) -> dict:
        return {"name": "echo"}

    def predict(self, texts: list[str], *, times: int = 1) -> list[dict]:
        return [{"text": " ".join([text] * times)} for text in texts]


with Server(Echo(), Serve(port=0, max_characters=40)) as server:

    def ask(path: str, body: object = None) -> None:
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        try:
            with urllib.request.urlopen(server.url + path, data) as answer:
                print(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            print(error.code, error.read().decode())

    ask("/predict", {"text": "例句"})
    ask("/predict", {"texts": ["one", "two"], "options": {"times": 2}})
    ask("/v1/model")
    ask("/predict", {"txet": "a misspelt field"})
    ask("/predict", {"text": "x" * 41})
    ask("/nowhere")
