"""The web application: the service's URLs and responses. Source: all pages of its API."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from threading import RLock
from typing import Any

import flask
from werkzeug.exceptions import HTTPException

from mytracker_nb.sandbox.calls import Call
from mytracker_nb.sandbox.clock import Clock
from mytracker_nb.sandbox.config import Config
from mytracker_nb.sandbox.exports import Export, Exports, QueueFull
from mytracker_nb.sandbox.query import BadRequest, parse_query
from mytracker_nb.sandbox.quotas import Quotas
from mytracker_nb.sandbox.signature import is_signed

__all__ = ["application"]

_RAW = "/api/raw/v1/export"
_QUOTAS = "/api/open/user/v1/quotas/get.json"
_STORAGE = "/storage/download/raw/"
_MESSAGES = {200: "Ok", 403: "Access denied"}
_NO_PERMISSION = "Export permissions required to export raw data from an account"


def _envelope(status: int, data: Any) -> flask.Response:
    message = _MESSAGES.get(status) or HTTPStatus(status).phrase
    answer = flask.jsonify({"code": status, "message": message, "data": data})
    answer.status_code = status
    return answer


def _error(status: int, detail: str, info: dict[str, Any] | None = None) -> flask.Response:
    return _envelope(status, {"error": {"detail": detail, **({"info": info} if info else {})}})


class _Stop(Exception):
    """Ends the handling of a request with a response."""

    def __init__(self, answer: flask.Response) -> None:
        super().__init__()
        self.answer = answer


class _Gate:
    """Checks signatures and quotas."""

    def __init__(self, config: Config, clock: Clock, secret_key: str) -> None:
        self._config = config
        self._clock = clock
        self._secret_key = secret_key
        self._quotas = Quotas(config.limits)
        self._user = str(config.api_user_id)

    def is_signed(self, call: Call) -> bool:
        return is_signed(
            call.headers.get("Authorization"),
            method=call.method,
            url=call.url,
            body=call.body,
            api_user_id=self._config.api_user_id,
            secret_key=self._secret_key,
        )

    def enter(self, call: Call) -> None:
        """Count a request of the API; reject it if a quota is exceeded or it is not signed."""
        now = self._clock()
        subjects = [("RequestsByIp", call.address)]
        signed = self.is_signed(call)
        if signed:
            subjects.append(("RequestsByUser", self._user))
        else:
            subjects.append(("Unauthorized", call.address))
        for kind, subject in subjects:
            self._quotas.count(kind, subject, now)
        if signed:
            subjects.append(("ErrorsByUser", self._user))
        quotas = self._quotas.facts(subjects, now)
        if any(quota["exceeded"] for quota in quotas):
            raise _Stop(_envelope(429, {"error": {"info": {"quotas": quotas}}}))
        if not signed:
            raise _Stop(_envelope(403, None))

    def count_error(self) -> None:
        self._quotas.count("ErrorsByUser", self._user, self._clock())

    def quotas(self, call: Call) -> list[dict[str, Any]]:
        kinds = [("RequestsByIp", call.address), ("RequestsByUser", self._user)]
        return self._quotas.facts([*kinds, ("ErrorsByUser", self._user)], self._clock())


def application(
    config: Config, clock: Clock, exports: Exports, secret_key: str, storage: Callable[[], str]
) -> flask.Flask:
    """The service as a WSGI application.

    Parameters
    ----------
    config : Config
        The settings.
    clock : Clock
        The time.
    exports : Exports
        The exports of the account.
    secret_key : str
        The account's secret key.
    storage : callable
        Returns the URL of the host with the files.
    """
    app = flask.Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    gate = _Gate(config, clock, secret_key)
    # one request at a time changes the state; files are written outside of the lock
    lock = RLock()

    def call() -> Call:
        return Call.of(flask.request.environ)

    def requested_export() -> Export:
        text = call().parameter("idRawExport")
        if not text:
            raise BadRequest("Argument 'idRawExport' is expected but not set")
        if not (text.isascii() and text.isdecimal()):
            raise BadRequest("Argument 'idRawExport' is invalid")
        export = exports.get(int(text))
        if export is None:
            raise _Stop(_error(404, "Raw export request not found"))
        return export

    @app.before_request
    def enter() -> None:
        if call().path.startswith("/api/"):
            with lock:
                gate.enter(call())

    @app.after_request
    def leave(answer: flask.Response) -> flask.Response:
        wrong = answer.status_code >= 400 and answer.status_code not in (403, 429)
        if wrong and call().path.startswith("/api/"):
            with lock:
                gate.count_error()
        answer.headers["X-MyTracker-Sandbox"] = "1"
        # the server adds its own
        answer.headers.remove("Date")
        return answer

    @app.errorhandler(_Stop)
    def stopped(stop: _Stop) -> flask.Response:
        return stop.answer

    @app.errorhandler(BadRequest)
    def refused(refusal: BadRequest) -> flask.Response:
        info = None
        if isinstance(refusal, QueueFull):
            info = {"exports": [{"idRawExport": str(number)} for number in refusal.exports]}
        return _error(400, str(refusal), info)

    @app.errorhandler(HTTPException)
    def no_such_page(error: HTTPException) -> flask.Response:
        return _envelope(error.code or 500, None)

    # the documentation has POST alone; public scripts create by GET
    @app.route(f"{_RAW}/create.json", methods=["GET", "POST"])
    def create() -> flask.Response:
        if not config.permission:
            raise BadRequest(_NO_PERMISSION)
        with lock:
            query = parse_query(
                call().parameters, clock(), unknown_selectors=config.unknown_selectors
            )
            export = exports.create(query)
        return _envelope(200, {"idRawExport": str(export.id)})

    @app.get(f"{_RAW}/get.json")
    def get() -> flask.Response:
        return _envelope(200, requested_export().answer(clock(), storage() + _STORAGE))

    @app.get(f"{_RAW}/cancel.json")
    def cancel() -> flask.Response:
        export = requested_export()
        with lock:
            now = clock()
            if not export.is_cancellable(now):
                completed = not export.canceled and not export.is_in_progress(now)
                why = " (it's completed)" if completed else ""
                raise BadRequest(f"This RawExport can not be cancel{why}")
            exports.cancel(export)
        return _envelope(200, {"idRawExport": str(export.id), "info": "Canceled"})

    @app.get(_QUOTAS)
    def quotas() -> flask.Response:
        return _envelope(200, {"quotas": gate.quotas(call())})

    @app.get(f"{_STORAGE}<name>")
    def download(name: str) -> flask.Response:
        strict = config.signed_downloads or call().parameter("auth") == "1"
        if strict and not gate.is_signed(call()):
            raise _Stop(_envelope(403, None))
        number = name.partition(".")[0]
        export = exports.get(int(number)) if number.isascii() and number.isdecimal() else None
        if export is None or not export.has_file(name, clock()):
            raise _Stop(_envelope(404, None))
        if clock() > export.expires:
            raise _Stop(_envelope(config.expired_status, None))
        answer = flask.send_file(
            export.file(name),
            mimetype="application/gzip",
            conditional=True,
            # the name identifies the content, also after a restarted sandbox writes the file again
            etag=name.removesuffix(".csv.gz").replace(".", "-"),
            max_age=0,
            last_modified=int(export.created),
        )
        answer.accept_ranges = "bytes"  # older versions of Werkzeug send it with parts only
        return answer

    return app
