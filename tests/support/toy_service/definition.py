from pydantic import Field

from unrip.domain.values import Value
from unrip.frame.action import Action
from unrip.frame.definition import Reads, Service
from unrip.frame.settings import Section
from unrip.messages.columns import columns
from unrip.messages.topics import DAY_MS, MARKET_PRICE, Topic


class PriceCount(Value):
    counter: str
    prices: int


class ToyState(Value):
    prices: int


class ToyVitals(Value, tag="price_counter", tag_field="kind"):
    hushed: bool


class ToySettings(Section):
    """When the counter speaks."""

    #: After so many prices.
    every: int = Field(default=2, ge=1)


PRICE_COUNT = Topic(
    name="ops.price_count",
    payload=PriceCount,
    key=lambda p: p.counter,
    retention_ms=DAY_MS,
    table="price_count",
    columns=columns(prices="numeric"),
)

SERVICE = Service(
    name="price-counter",
    does="counts prices",
    port=8199,
    wiring="support.toy_service.wiring",
    settings={"toy": ToySettings},
    reads=(Reads(topic=MARKET_PRICE, tail=1),),
    writes=(PRICE_COUNT,),
    actions=(
        Action(name="hush", summary="Say nothing any more.", brake=True, log_event="hushed"),
        Action(name="speak", summary="Say it again."),
    ),
    state=ToyState,
    vitals=ToyVitals,
    logs={"hushed": "an operator wants to hear no more counts"},
)
