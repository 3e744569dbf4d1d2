"""The simulated shop: who calls whom, how long it takes, what goes wrong.

What it is: a table of operations and one function that plays a customer's visit.
The result is a tree of finished spans with times relative to the visit's start, so
a visit of 700 ms need not take 700 ms to tell.

Rules kept: no I/O and no clock; every choice comes from the `Random` that is passed
in, so a seed repeats a demo. A caller's CLIENT span encloses the callee's SERVER
span; a parent ends after its children; a failure shows in every span up to the
request that hit it.

What it does not know: the SDK, trace ids, where the spans go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from random import Random

__all__ = ["SERVICES", "VISITS", "Call", "Kind", "Operation", "visit"]

_MS = 1_000_000

Value = str | int | float | bool


class Kind(Enum):
    """The span kinds that the shop uses; the values are OpenTelemetry's names."""

    SERVER = "SERVER"
    CLIENT = "CLIENT"


@dataclass(frozen=True, slots=True)
class Operation:
    """What one service does when asked, and whom it asks in turn.

    ``busy_ms`` is its own work without the calls; ``fails`` and ``slow`` are chances
    in [0, 1]; a slow one takes half a second to a second longer.
    """

    service: str
    name: str
    busy_ms: tuple[float, float]
    attributes: Mapping[str, Value] = field(default_factory=dict)
    calls: tuple[Operation, ...] = ()
    fails: float = 0.0
    failure: str = ""
    slow: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """One finished span of a visit; times are nanoseconds since the visit began."""

    service: str
    name: str
    kind: Kind
    start_ns: int
    end_ns: int
    failure: str
    attributes: Mapping[str, Value]
    children: tuple[Call, ...]

    def walk(self) -> Iterator[Call]:
        """This span and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


def _sql(service: str, statement: str, *, slow: float = 0.0) -> Operation:
    words = statement.split()
    attributes: dict[str, Value] = {
        "db.system.name": "postgresql",
        "db.operation.name": words[0],
        "db.query.text": statement,
    }
    return Operation(service, f"{words[0]} {service}", (1, 9), attributes, slow=slow)


def _http(method: str, route: str) -> dict[str, Value]:
    return {"http.request.method": method, "http.route": route, "url.scheme": "https"}


def _rpc(service: str, method: str) -> dict[str, Value]:
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}


_LIST_ITEMS = _sql("catalog-db", "SELECT id, name, price FROM items WHERE shelf = $1")
_STOCK = _sql("stock-db", "SELECT amount FROM stock WHERE item = $1", slow=0.02)
_RESERVE = _sql("stock-db", "UPDATE stock SET amount = amount - 1 WHERE item = $1")
_SESSION = Operation(
    "session-cache", "GET session", (0.2, 1.5), {"db.system.name": "redis"}
)

_INVENTORY = Operation(
    "inventory", "shop.Inventory/Check", (1, 4), _rpc("Inventory", "Check"), (_STOCK,)
)
_RECOMMEND = Operation(
    "recommendation",
    "shop.Recommendation/List",
    (4, 40),
    {**_rpc("Recommendation", "List"), "model.version": "2026-10"},
    slow=0.01,
)
_CATALOG = Operation(
    "catalog",
    "shop.Catalog/List",
    (2, 12),
    _rpc("Catalog", "List"),
    (_LIST_ITEMS, _INVENTORY),
)
_CART = Operation("cart", "shop.Cart/Get", (1, 5), _rpc("Cart", "Get"), (_SESSION,))
_ADD = Operation(
    "cart", "shop.Cart/Add", (1, 6), _rpc("Cart", "Add"), (_SESSION, _INVENTORY)
)
_PAYMENT = Operation(
    "payment",
    "shop.Payment/Charge",
    (20, 140),
    {**_rpc("Payment", "Charge"), "payment.method": "card"},
    fails=0.12,
    failure="card declined by the bank",
    slow=0.04,
)
_SHIPPING = Operation(
    "shipping",
    "shop.Shipping/Book",
    (8, 40),
    _rpc("Shipping", "Book"),
    (replace(_INVENTORY, name="shop.Inventory/Reserve", calls=(_RESERVE,)),),
    fails=0.03,
    failure="no carrier for this address",
)
_EMAIL = Operation(
    "email",
    "POST /send",
    (3, 30),
    {**_http("POST", "/send"), "messaging.template": "order-confirmation"},
    fails=0.01,
    failure="mailbox unavailable",
)
_CHECKOUT = Operation(
    "checkout",
    "shop.Checkout/Place",
    (3, 15),
    _rpc("Checkout", "Place"),
    (_CART, _PAYMENT, _SHIPPING, _EMAIL),
)

VISITS: tuple[tuple[int, Operation], ...] = (
    (
        45,
        Operation(
            "frontend", "GET /", (2, 20), _http("GET", "/"), (_CATALOG, _RECOMMEND)
        ),
    ),
    (
        25,
        Operation(
            "frontend",
            "GET /item/{id}",
            (2, 10),
            _http("GET", "/item/{id}"),
            (_CATALOG, _INVENTORY),
        ),
    ),
    (
        18,
        Operation(
            "frontend", "POST /cart", (2, 8), _http("POST", "/cart"), (_ADD, _CART)
        ),
    ),
    (
        12,
        Operation(
            "frontend",
            "POST /checkout",
            (3, 15),
            _http("POST", "/checkout"),
            (_CHECKOUT,),
        ),
    ),
)
"""What customers do, each with its weight."""


def _services(operation: Operation) -> Iterator[str]:
    yield operation.service
    for call in operation.calls:
        yield from _services(call)


SERVICES: tuple[str, ...] = tuple(
    sorted({name for _, operation in VISITS for name in _services(operation)})
)


def visit(rng: Random) -> Call:
    """One customer's request, played to its end: the root span and all below it."""
    weights = [weight for weight, _ in VISITS]
    operations = [operation for _, operation in VISITS]
    operation = rng.choices(operations, weights)[0]
    return _serve(operation, 0, rng=rng, customer=rng.randrange(10_000))


def _serve(operation: Operation, start_ns: int, *, rng: Random, customer: int) -> Call:
    """The SERVER span of an operation and the calls that it makes, one by one."""
    busy_ns = _ns(rng.uniform(*operation.busy_ms))
    if rng.random() < operation.slow:
        busy_ns += _ns(rng.uniform(500, 1_000))
    failure = operation.failure if rng.random() < operation.fails else ""
    slices = len(operation.calls) + 1
    now_ns = start_ns + busy_ns // slices
    children = []
    for called in operation.calls:
        child = _ask(operation.service, called, now_ns, rng=rng, customer=customer)
        children.append(child)
        now_ns = child.end_ns + busy_ns // slices
        if child.failure:
            failure = f"{called.service}: {child.failure}"
            break
    attributes = {**operation.attributes, "app.customer": f"customer-{customer:04d}"}
    if "http.request.method" in attributes:
        attributes["http.response.status_code"] = 500 if failure else 200
    return Call(
        service=operation.service,
        name=operation.name,
        kind=Kind.SERVER,
        start_ns=start_ns,
        end_ns=now_ns,
        failure=failure,
        attributes=attributes,
        children=tuple(children),
    )


def _ask(
    caller: str, called: Operation, start_ns: int, *, rng: Random, customer: int
) -> Call:
    """The CLIENT span of ``caller`` around the SERVER span of ``called``."""
    there_ns = _ns(rng.uniform(0.1, 1.5))
    back_ns = _ns(rng.uniform(0.1, 1.5))
    served = _serve(called, start_ns + there_ns, rng=rng, customer=customer)
    return Call(
        service=caller,
        name=called.name,
        kind=Kind.CLIENT,
        start_ns=start_ns,
        end_ns=served.end_ns + back_ns,
        failure=served.failure,
        attributes={**called.attributes, "server.address": called.service},
        children=(served,),
    )


def _ns(ms: float) -> int:
    return int(ms * _MS)
