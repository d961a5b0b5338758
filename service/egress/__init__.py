"""The one way out: every byte the product sends to anybody leaves through this room.

`Guard` decides where a request may lead, `Transport` moves it, `exchange` is what callers use. Absent on purpose:
redirects, proxies, cookies, decompression, HTTP/2 and retries (but for the one of a kept connection found dead): a
request leads where its caller said, once, and the answer arrives as it was sent.
"""

from service.egress.answer import HungUp, Over
from service.egress.dial import BlockedAddress
from service.egress.guard import Guard
from service.egress.transport import Stats, Transport, exchange

__all__ = ["BlockedAddress", "Guard", "HungUp", "Over", "Stats", "Transport", "exchange"]
