"""A real server on a real port."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from echo import Reviews

from liju.config import Serve
from liju.errors import RequestError
from liju.serve import Server

HERE = Path(__file__).parent


def test_concurrent_requests_are_answered_each_its_own_and_in_batches():
    model = Reviews(seconds=0.01)
    with Server(model, Serve(port=0)) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/health").json()["status"] == "ok"
        texts = ["好" * (at % 5) + str(at) for at in range(60)]
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda text: client.post("/predict", json={"text": text}).json(), texts))
    assert answers == [{"results": [Reviews.answer(text)]} for text in texts]
    assert len(model.calls) < 40 and max(model.calls) > 1


def test_a_huge_body_gets_its_answer():
    with Server(Reviews(), Serve(port=0, max_characters=100)) as server:
        response = httpx.post(f"{server.url}/predict", content=b" " * 30_000_000)
        assert response.status_code == 413 and response.json()["error"]["message"]
        assert httpx.post(f"{server.url}/predict", json={"text": "a"}).status_code == 200


def test_a_body_that_does_not_come_is_408():
    with Server(Reviews(), Serve(port=0), body_seconds=0.1) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n{")
            assert connection.recv(4096).startswith(b"HTTP/1.1 408")


def test_a_client_that_hangs_up_does_no_harm():
    with Server(Reviews(), Serve(port=0)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n{")
        assert httpx.post(f"{server.url}/predict", json={"text": "a"}).status_code == 200


def test_a_port_in_use_and_a_host_that_is_none():
    with Server(Reviews(), Serve(port=0)) as server:
        with pytest.raises(RequestError, match=f"port {server.port} of 127.0.0.1 is in use") as error:
            Server(Reviews(), Serve(port=server.port))
        assert "serve.port=0" in error.value.hint
    # It is free again at once.
    Server(Reviews(), Serve(port=server.port)).socket.close()
    with pytest.raises(RequestError, match="host"):
        Server(Reviews(), Serve(host="no.such.host.invalid"))
    with pytest.raises(RequestError, match="cannot listen on 192"):
        Server(Reviews(), Serve(host="192.0.2.1", port=0))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_where_answers_and_stops_after_the_last_answer(number):
    program = "from echo import Reviews; from liju.config import Serve; from liju.serve import serve; "
    program += "serve(Reviews(seconds=0.4), Serve(port=0))"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])},
    )
    assert process.stderr is not None
    try:
        said = ""
        while "stop it" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        url = re.search(r"at (http://127\.0\.0\.1:\d+)", said)[1]  # type: ignore[index]
        assert f'curl {url}/predict -d \'{{"text": "..."}}\'' in said
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(httpx.post, f"{url}/predict", json={"text": "好"})
            time.sleep(0.2)
            process.send_signal(number)
            assert answer.result().json() == {"results": [Reviews.answer("好")]}
        rest = process.communicate(timeout=10)[1]
        assert process.returncode == 0 and rest.strip() == "stopped"
    finally:
        process.kill()
        process.wait()
