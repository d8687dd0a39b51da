"""The addresses of the service, as its documentation has them."""

from __future__ import annotations

__all__ = [
    "CANCEL_PATH",
    "CREATE_PAGE",
    "CREATE_PATH",
    "GET_PATH",
    "QUOTAS_PATH",
    "SERVICE_URL",
]

SERVICE_URL = "https://tracker.my.com"
"""The service itself."""

CREATE_PATH = "/api/raw/v1/export/create.json"
GET_PATH = "/api/raw/v1/export/get.json"
CANCEL_PATH = "/api/raw/v1/export/cancel.json"
QUOTAS_PATH = "/api/open/user/v1/quotas/get.json"

CREATE_PAGE = "https://docs.tracker.my.com/en/api/export-api/raw/create"
"""The page of the documentation on the create call; its dictionaries are linked there."""
