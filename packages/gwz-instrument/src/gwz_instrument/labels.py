"""Which strings may become label values: declared ones, and admitted ones up to a budget; the rest is `_other`."""

from collections.abc import Callable, Iterable
from typing import Final

from .locks import renewed
from .metrics import Collectors
from .semconv import Metric, health, http, inference

OTHER: Final = "_other"
_admitting: Final = renewed()
MAX_LENGTH: Final = 200  # characters; what is longer is no name
MAX_EXCEPTION_TYPES: Final = 100
MAX_ENDPOINTS: Final = 200


class Bounded:
    """The values that one label may take. Thread-safe; never raises for a value, whatever it is.

    A value is admitted by being declared, or by `admit` while the budget lasts. Whoever calls `admit` vouches
    for the value: a router that matched it, an upstream that answered it, a constant in the application's code.
    """

    def __init__(
        self, collectors: Collectors, entry: Metric, label: str, *, budget: int, declared: Iterable[str] = ()
    ) -> None:
        self._admitted = {value: value for value in declared}
        self._budget = budget + len(self._admitted)
        self._refused = collectors.child(health.REFUSED, entry.name, label)

    def admit(self, value: object) -> str:
        """The label value for a vouched-for `value`: itself while the budget lasts, afterwards `_other`."""
        return self._take(value) or self._refuse()

    def peek(self, value: object) -> str:
        """As `admit`, for a look that is no use of its own: it counts no refusal."""
        return self._take(value) or OTHER

    def of(self, value: object) -> str:
        """The label value for a `value` that nobody vouches for: itself if it was admitted before, else `_other`."""
        known = self.known(value)
        return self._refuse() if known is None else known

    def _take(self, value: object) -> str | None:
        known = self.known(value)
        if known is None and isinstance(value, str) and 0 < len(value) <= MAX_LENGTH and _is_text(value):
            with _admitting():
                if len(self._admitted) < self._budget:
                    return self._admitted.setdefault(value, value)
        return known

    def known(self, value: object) -> str | None:
        """The label value for `value` if it was admitted before."""
        return self._admitted.get(value) if isinstance(value, str) else None

    def _refuse(self) -> str:
        self._refused.inc()
        return OTHER


def _is_text(value: str) -> bool:
    """Whether `value` can be exposed: half a character, as JSON may bring it, would make every scrape fail."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class HttpLabels:
    """The bounds of the HTTP metrics' labels. Refusals count under the requests: one per request, not one per metric."""

    no_request: Final = "_none"
    """The endpoint of what happens outside of any request."""

    def __init__(self, collectors: Collectors, *, max_paths: int) -> None:
        self._paths = Bounded(
            collectors, http.REQUESTS, "path", budget=max_paths, declared=(http.UNMATCHED, http.UNROUTED)
        )
        self._exceptions = Bounded(collectors, http.EXCEPTIONS, "exception_type", budget=MAX_EXCEPTION_TYPES)
        self._other_statuses = collectors.child(health.REFUSED, http.REQUESTS.name, "status_code")
        self._other_methods = collectors.child(health.REFUSED, http.REQUESTS.name, "method")

    def method(self, method: str) -> str:
        """The method if it is one of the known ones, else `_OTHER`."""
        if method in _METHODS:
            return method
        self._other_methods.inc()
        return http.OTHER_METHOD

    def status(self, status: int) -> str:
        """A status that HTTP knows, else `_other`."""
        if 100 <= status <= 599:
            return str(status)
        self._other_statuses.inc()
        return OTHER

    def path_under_way(self, template: str) -> str:
        """As `path`, for a request that will be counted when it ends."""
        return self._paths.peek(template)

    def path(self, template: str) -> str:
        """A template of the application's routes, while the budget lasts."""
        return self._paths.admit(template)

    def exception(self, error: BaseException) -> str:
        """The class name of an exception; classes made at run time use the budget up."""
        return self._exceptions.admit(type(error).__name__)


class CallLabels:
    """The bounds of the labels of model calls. The settings' names are a start, not all there may be."""

    def __init__(
        self,
        collectors: Collectors,
        *,
        models: Iterable[str],
        providers: Iterable[str],
        max_models: int,
        max_providers: int,
    ) -> None:
        # The settings have made sure that the declared names fit into the budgets.
        models, providers = frozenset(models), frozenset(providers)
        self._models = Bounded(
            collectors, inference.REQUESTS, "model", budget=max_models - len(models), declared=models
        )
        self._providers = Bounded(
            collectors, inference.REQUESTS, "provider", budget=max_providers - len(providers), declared=providers
        )
        self._endpoints = Bounded(collectors, inference.BACKEND_TTFB, "endpoint", budget=MAX_ENDPOINTS)

    def model(self, name: object, *, answered: bool) -> str:
        """A model that the settings declare, or that an upstream has answered with success, now or before."""
        return self._models.admit(name) if answered else self._models.of(name)

    def model_under_way(self, name: object) -> str:
        """As `model`, for a look at a call that will be counted when it ends."""
        return self._models.known(name) or OTHER

    def endpoint(self, name: object) -> str:
        """An endpoint that the application's own code names, while the budget lasts."""
        return self._endpoints.admit(name)

    def provider(self, name: object, is_constant: Callable[[], bool]) -> str:
        """A provider that the settings declare, or that the application's own code names; no success proves one."""
        known = self._providers.known(name)
        if known is not None:
            return known
        return self._providers.admit(name) if is_constant() else self._providers.of(name)


_METHODS = frozenset(http.METHODS)
