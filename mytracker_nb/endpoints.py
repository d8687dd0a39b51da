"""The addresses of the service, as its documentation has them, and which are on this machine."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = [
    "CANCEL_PATH",
    "CREATE_PAGE",
    "CREATE_PATH",
    "GET_PATH",
    "QUOTAS_PATH",
    "SERVICE_URL",
    "is_local",
]

SERVICE_URL = "https://tracker.my.com"
"""The service itself."""

CREATE_PATH = "/api/raw/v1/export/create.json"
GET_PATH = "/api/raw/v1/export/get.json"
CANCEL_PATH = "/api/raw/v1/export/cancel.json"
QUOTAS_PATH = "/api/open/user/v1/quotas/get.json"

CREATE_PAGE = "https://docs.tracker.my.com/en/api/export-api/raw/create"
"""The page of the documentation on the create call; its dictionaries are linked there."""


def is_local(url: str) -> bool:
    """Whether `url` is on this machine, so that requests to it do not leave the machine."""
    try:
        return urlsplit(url.strip()).hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:  # brackets without an IPv6 address
        return False
