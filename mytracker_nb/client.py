"""`Client`: makes exports and finds them again."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import requests

from mytracker_nb import credentials as sources
from mytracker_nb.api import Api
from mytracker_nb.credentials import Credentials
from mytracker_nb.errors import InvalidRequest
from mytracker_nb.exports import Export
from mytracker_nb.request import ExportRequest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Client", "default_client", "export"]


class Client:
    """An account at the service.

    Parameters
    ----------
    api_user_id : int, optional
        The *API User ID* of the account's profile.
    secret_key : str, optional
        The *Secret key* beside it.
    base_url : str, optional
        The service's address. What is None comes from a login in this notebook, the environment
        (``MYTRACKER_API_USER_ID``, ``MYTRACKER_SECRET_KEY``, ``MYTRACKER_BASE_URL``) or the
        system's keyring.
    session : requests.Session, optional
        For proxies, certificates and adapters of one's own.

    Raises
    ------
    CredentialsMissing
        If no place has the keys.
    """

    def __init__(
        self,
        api_user_id: int | None = None,
        secret_key: str | None = None,
        base_url: str | None = None,
        session: requests.Session | None = None,
    ) -> None:
        self._open(sources.find(api_user_id, secret_key, base_url), session)

    @classmethod
    def of(cls, credentials: Credentials) -> Client:
        """A client for credentials that are at hand."""
        client = cls.__new__(cls)
        client._open(credentials, None)
        return client

    def _open(self, credentials: Credentials, session: requests.Session | None) -> None:
        self.credentials = credentials
        self.api = Api(credentials, session)

    def create(self, request: ExportRequest) -> Export:
        """Make a new export.

        Parameters
        ----------
        request : ExportRequest
            What to export.

        Returns
        -------
        Export
            As it was made; it has not been looked at since.

        Raises
        ------
        InvalidRequest
            If the request has errors; nothing was sent.
        QueueFull
            If the account has as many exports in progress as the service allows.
        CreateUnconfirmed
            If the answer was lost; nothing is sent again.
        ApiError, ConnectionFailed
            If the service refused, or was not reached.
        """
        problems = request.check(datetime.now(timezone.utc))
        if any(problem.severity == "error" for problem in problems):
            raise InvalidRequest(problems)
        id_raw_export = self.api.create(request.wire())
        return Export(
            self.api,
            id_raw_export,
            request,
            created_at=datetime.now(timezone.utc),
            make=self.create,
        )

    def attach(self, id_raw_export: int) -> Export:
        """Find an export that was made earlier, here or elsewhere.

        Parameters
        ----------
        id_raw_export : int
            The service's id of it.

        Returns
        -------
        Export
            As the service now says it stands.

        Raises
        ------
        NotFound
            If the service knows no such export for this account.
        """
        return Export(self.api, int(id_raw_export), make=self.create).refresh()

    def export(self, request: ExportRequest, *, fresh: bool = False) -> Export:
        """Make an export, or adopt an earlier one where that is right."""
        return self.create(request)

    def quotas(self) -> pd.DataFrame:
        """How much of the service's quotas is used.

        Returns
        -------
        pandas.DataFrame
            A row a quota, as the service lists them: ``name``, ``count``, ``limit``,
            ``resetTime`` (Unix seconds), ``resetInSecond``, ``exceeded``.
        """
        import pandas as pd

        return pd.DataFrame(self.api.quotas())

    def __repr__(self) -> str:
        return f"<Client of account {self.credentials.api_user_id} at {self.credentials.base_url}>"


_default: Client | None = None


def default_client() -> Client:
    """The client for the credentials that are in use now.

    Raises
    ------
    CredentialsMissing
        If no place has any.
    """
    global _default
    found = sources.find()
    if _default is None or _default.credentials != found:
        _default = Client.of(found)
    return _default


def export(*, fresh: bool = False, **parameters: Any) -> Export:
    """Make an export with the account in use, or adopt an earlier one where that is right.

    Parameters
    ----------
    fresh : bool
        Whether to make a new one in any case.
    **parameters
        Those of `ExportRequest`.

    Returns
    -------
    Export
        Running or finished.

    Raises
    ------
    InvalidRequest
        If the request has errors; nothing was sent.
    MyTrackerError
        As `Client.create`.
    """
    return default_client().export(ExportRequest(**parameters), fresh=fresh)
