"""An HTTP service in memory that answers JSON questions from a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from unrip.net.http import HttpClient

Answer = Callable[[Any], Any]


def client_of(answer: Answer, *, status: int = 200) -> HttpClient:
    """A client whose every question is answered by `answer(request body or query)`; a text answer is sent as it is."""

    def handle(request: httpx.Request) -> httpx.Response:
        question = json.loads(request.content) if request.content else request
        said = answer(question)
        content = said if isinstance(said, str) else json.dumps(said)
        return httpx.Response(status, headers={"content-type": "application/json"}, content=content.encode())

    return HttpClient(name="test", count=lambda *_: None, transport=httpx.MockTransport(handle))
