"""The simulated outside world: every gateway, and a subscriber, over real HTTP, with no account and no internet.

Jobs are queued, run and end within seconds and are called back about. Words inside a prompt (`wishes.WORDS`, shown with
all addresses at the root of the sandbox) and `SandboxSettings` make it fail, fall silent, repeat itself, or lie:
[fail] [fail:CODE] [expire] [stuck] [slow] [word:STRANGE] [lose] [lose:STATUS] [repeat] [repeat:N] [reorder] [delay:S]
[garble] [429] [429:N] [reject] [reject:CODE] [500] [500:placed] [timeout] [answer:S] [forget] [flat] [nested].

It never imports `service.providers`: written by itself from the gateways' documents, it cannot share a mistake with the
adapters that it tests. Absent: price, rate of model access, isolation of one account's jobs from another's. Whoever can
reach it can make it send requests to any address, so it belongs on a developer's machine and nowhere else.
"""

from service.sandbox.app import BASE_URLS, Sandbox, alone, create_sandbox, serve
from service.sandbox.settings import SandboxSettings
from service.sandbox.stats import digest

__all__ = ["BASE_URLS", "Sandbox", "SandboxSettings", "alone", "create_sandbox", "digest", "serve"]
