from support.toy_service.definition import ToySettings
from support.toy_service.logic import PriceCounter
from unrip.frame.wiring import Context, Wiring


def wire(context: Context) -> Wiring:
    return Wiring(logic=PriceCounter(every=context.settings.section(ToySettings).every))
