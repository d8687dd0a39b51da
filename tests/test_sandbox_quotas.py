from __future__ import annotations

import pytest
import requests
from raw_client import QUOTAS, RAW, create, get, send

# half a minute past a full hour
NOW = 1_795_003_230.0


@pytest.fixture
def strict(start_sandbox):
    """A sandbox with the documented quotas and a frozen clock."""
    return start_sandbox(without_quotas=False, now=lambda: NOW)


def over(answer: requests.Response) -> dict[str, dict]:
    """The quotas that are exceeded, by name."""
    assert answer.status_code == 429
    content = answer.json()
    assert (content["code"], content["message"]) == (429, "Too Many Requests")
    quotas = content["data"]["error"]["info"]["quotas"]
    return {quota["name"]: quota for quota in quotas if quota["exceeded"]}


def test_ten_requests_a_second(strict):
    for _ in range(10):
        assert get(strict, 1).status_code == 404
    assert over(get(strict, 1)) == {
        "RequestsByUserPerSecond": {
            "name": "RequestsByUserPerSecond",
            "count": 11,
            "limit": 10,
            "resetTime": int(NOW) + 1,
            "resetInSecond": 1,
            "exceeded": True,
        }
    }
    strict.clock.advance(1)
    assert get(strict, 1).status_code == 404


def test_a_hundred_a_minute_and_a_thousand_an_hour(start_sandbox):
    limits = {"RequestsByUserPerMinute": 3, "RequestsByUserPerHour": 5}
    sandbox = start_sandbox(without_quotas=False, quotas=limits, now=lambda: NOW)
    for _ in range(3):
        assert get(sandbox, 1).status_code == 404
    minute = over(get(sandbox, 1))["RequestsByUserPerMinute"]
    assert minute["resetInSecond"] == 30
    sandbox.clock.advance(minute["resetInSecond"] - 0.001)
    assert "RequestsByUserPerMinute" in over(get(sandbox, 1))
    sandbox.clock.advance(0.001)
    hour = over(get(sandbox, 1))
    assert list(hour) == ["RequestsByUserPerHour"]
    assert hour["RequestsByUserPerHour"]["resetInSecond"] == 3540
    sandbox.clock.advance(3540)
    assert get(sandbox, 1).status_code == 404


def test_too_many_errors_block_right_requests_too(start_sandbox):
    sandbox = start_sandbox(
        without_quotas=False, quotas={"ErrorsByUserPerMinute": 2}, now=lambda: NOW
    )
    assert create(sandbox).status_code == 200
    for _ in range(3):
        assert create(sandbox, event="none").status_code == 400
    assert list(over(create(sandbox))) == ["ErrorsByUserPerMinute"]
    sandbox.clock.advance(30)
    assert create(sandbox).status_code == 200


def test_requests_without_a_signature(strict):
    url = f"{strict.base_url}{RAW}/get.json"
    answers = [requests.get(url, timeout=20) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [403] * 10 + [429]
    assert list(over(answers[-1])) == ["UnauthorizedRequestsPerSecond"]
    assert get(strict, 1).status_code == 404


def test_requests_of_an_address(start_sandbox):
    sandbox = start_sandbox(
        without_quotas=False, quotas={"RequestsByIpPerSecond": 1}, now=lambda: NOW
    )
    assert get(sandbox, 1).status_code == 404
    assert list(over(get(sandbox, 1))) == ["RequestsByIpPerSecond"]


def test_the_quotas_can_be_requested(strict):
    get(strict, 1)
    answer = send(strict, "GET", QUOTAS).json()
    quotas = {quota["name"]: quota for quota in answer["data"]["quotas"]}
    assert quotas["RequestsByUserPerMinute"] == {
        "name": "RequestsByUserPerMinute",
        "count": 2,
        "limit": 100,
        "resetTime": int(NOW) + 30,
        "resetInSecond": 30,
        "exceeded": False,
    }
    assert quotas["ErrorsByUserPerMinute"]["count"] == 1


def test_quotas_can_be_off(start_sandbox):
    sandbox = start_sandbox(now=lambda: NOW)
    assert {get(sandbox, 1).status_code for _ in range(15)} == {404}
    one_off = start_sandbox(
        without_quotas=False, quotas={"RequestsByUserPerSecond": 0}, now=lambda: NOW
    )
    assert {get(one_off, 1).status_code for _ in range(15)} == {404}


def test_an_unknown_quota_is_an_error(start_sandbox):
    with pytest.raises(ValueError, match="RequestsByUserPerMinute"):
        start_sandbox(quotas={"PerMinute": 5})
