import httpx

from frequency import Encoded


async def test_low_is_answered(http: httpx.AsyncClient, encoded: Encoded) -> None:
    reply = await http.post("/v1/images", params={"operating_point": "always", "top": 3}, content=encoded.low)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body["stage"] == "low"
    assert body["confident"] is True
    assert len(body["top"]) == 3
    assert body["label"] == body["top"][0]["label"] == f"class {body['index']}"
    assert body["model"] == "tiny"
    assert set(body["timings"]) == {"queue_ms", "compute_ms"}


async def test_low_then_high(http: httpx.AsyncClient, encoded: Encoded) -> None:
    never = {"operating_point": "never"}
    asked = await http.post("/v1/images", params=never, content=encoded.low)
    assert asked.status_code == 202, asked.text
    body = asked.json()
    assert body["high_bytes"] == len(encoded.high)
    assert body["expires_s"] == 30
    assert set(body["low"]) == {"label", "index", "confidence"}
    assert asked.headers["location"] == f"/v1/images/{body['token']}/high"
    reply = await http.post(asked.headers["location"], params=never, content=encoded.high)
    assert reply.status_code == 200, reply.text
    assert reply.json()["stage"] == "high"
    again = await http.post(asked.headers["location"], params=never, content=encoded.high)
    assert again.status_code == 410
