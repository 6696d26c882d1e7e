"""What OpenAI's endpoints answer, read by their tests."""

from __future__ import annotations

__all__ = ["error_of"]


def error_of(response, status: int) -> dict[str, str]:
    """The error of a response, in OpenAI's shape."""
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ["error"] and list(body["error"]) == ["message", "type", "param", "code"]
    assert body["error"]["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    return body["error"]
