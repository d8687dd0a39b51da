"""`Config`: the settings of a sandbox, with the service's documented values as defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["DOCUMENTED_QUOTAS", "Config"]

# Requests per interval. Source: page ``quotas``, which documents only some of the names.
DOCUMENTED_QUOTAS = {
    "RequestsByIpPerSecond": 100,
    "RequestsByIpPerMinute": 1000,
    "RequestsByUserPerSecond": 10,
    "RequestsByUserPerMinute": 100,
    "RequestsByUserPerHour": 1000,
    "ErrorsByUserPerMinute": 60,
    "UnauthorizedRequestsPerSecond": 10,
}


@dataclass(frozen=True)
class Config:
    """The settings of a sandbox.

    Attributes
    ----------
    port : int
        The port to listen on at 127.0.0.1; 0 for any free port.
    api_user_id : int
        The API User ID of its only account.
    secret_key : str
        The account's secret key; ``""`` generates one.
    permission : bool
        Whether the account may export raw data.
    seed : int
        The seed from which the events are generated.
    scale : float
        The number of devices installed each day, relative to the usual number.
    lateness : float
        The share of rows that appear late in the system (hours, a day or two, or months after the
        event), relative to the usual share; with 0.0 all appear within minutes.
    unknown_selectors : bool
        Whether a column that is not in the dictionary is accepted, with made-up values.
    seconds : float
        Seconds from creating an export to its end.
    cancellable_until : float
        The progress (0.0 to 1.0) from which an export can no longer be cancelled.
    queue : int
        How many exports may be in progress at the same time.
    files : int
        How many files an export has, if it has enough rows.
    rows_per_file : int
        The most rows of a file; with more rows, an export has more than `files` files.
    max_rows : int
        An export with more rows fails with ``Too many lines in export``.
    max_cells : int
        An export with more cells (rows times selectors) fails with ``Too much export data``.
    link_seconds : float
        Seconds from an export's end until its links expire.
    expired_status : int
        The HTTP status of an expired link, 404 or 410.
    signed_downloads : bool
        Whether files need a signed request (with ``?auth=1`` they always do).
    storage_host : str
        The host name in links to files; ``localhost`` makes it differ from that of the API.
    quotas : mapping of str to int
        Limits that differ from `DOCUMENTED_QUOTAS`; 0 turns a quota off.
    without_quotas : bool
        Whether to turn all quotas off.
    keep : str
        A directory in which exports, key and port are saved for the next start; ``""`` saves
        nothing.
    now : callable, optional
        Returns the time in Unix seconds; the system's clock by default.
    """

    port: int = 0
    api_user_id: int = 77658
    secret_key: str = field(default="", repr=False)
    permission: bool = True
    seed: int = 1
    scale: float = 1.0
    lateness: float = 1.0
    unknown_selectors: bool = False
    seconds: float = 3.0
    cancellable_until: float = 0.9
    queue: int = 4
    files: int = 2
    rows_per_file: int = 250_000
    max_rows: int = 3_000_000
    max_cells: int = 200_000_000
    link_seconds: float = 86_400.0
    expired_status: int = 404
    signed_downloads: bool = True
    storage_host: str = "127.0.0.1"
    quotas: Mapping[str, int] = field(default_factory=dict)
    without_quotas: bool = False
    keep: str = ""
    now: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.quotas) - set(DOCUMENTED_QUOTAS)):
            names = ", ".join(DOCUMENTED_QUOTAS)
            raise ValueError(f"unknown quotas {', '.join(unknown)}; expected some of {names}")

    @property
    def limits(self) -> dict[str, int]:
        """The limit of each quota that is not turned off."""
        if self.without_quotas:
            return {}
        return {
            name: limit for name, limit in {**DOCUMENTED_QUOTAS, **self.quotas}.items() if limit
        }
