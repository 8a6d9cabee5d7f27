"""How bad requests are sent and their answers read; see `tests.serve.http_cases`."""

from tests.serve.live import Answer, head

PREDICT = "POST /api/predict HTTP/1.1"
IMAGE, CLOSE = "Content-Type: image/jpeg", "Connection: close"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=edge"}
JSON = {"Content-Type": "application/json"}


def told(answer: Answer) -> tuple[int, str]:
    """Return status and code of a refusal, and check its form."""
    assert set(answer.json["error"]) == {"code", "message", "hint"}
    assert answer.headers["content-type"] == "application/json"
    return answer.status, answer.code


def alone(answers: list[Answer]) -> tuple[int, str]:
    """Return what the only answer told."""
    (answer,) = answers
    return told(answer)


def upload(data: bytes, *headers: str) -> bytes:
    """Return a picture's request as bytes, which closes the connection."""
    return head(PREDICT, IMAGE, CLOSE, f"Content-Length: {len(data)}", *headers) + data
