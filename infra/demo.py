"""The whole service on this machine, and one order sent through it to watch. Called by `./infra/run`.

It speaks to the service as any caller and any subscriber would, over HTTP alone.
"""

import argparse
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from child import LOG, ROOT, Service, Trouble

ORDER_WITHIN_S = 60
"""The sandbox takes a few seconds."""
ASK_EVERY_S = 0.1
ENDINGS = ("succeeded", "failed", "cancelled", "expired", "lost")
PAID = "A real provider is configured, so no demo order is sent: it would be paid for."

ORDER = {
    "model": "seedance-1-0-pro-250528",
    "prompt": "A paper boat sets out on a rainy street, seen from above",
    "duration": 5,
    "metadata": {"demo": "yes"},
}


def demo(service: Service) -> bool:
    """One order, from its acceptance to a notice whose signature the receiver has verified."""
    if not service.answers("/sandbox/receiver/demo"):
        print(PAID)
        return False
    receiver = subscribe(service)
    began = time.monotonic()
    task = service.ask("POST", "/v1/tasks", ORDER)
    print(f"One demo order, {task['id']}:\n")
    for line, fine in happenings(service, task["id"], receiver):
        print(f"  {time.monotonic() - began:5.1f} s  {line}", flush=True)
        if fine is not None:
            return fine
    print(f"  Nothing more within {ORDER_WITHIN_S} s. What it waits for: GET /v1/tasks/{task['id']}/explain")
    return False


def subscribe(service: Service) -> str:
    """The path of a receiver that knows its secret. The secret is shown once, so it is kept: many runs need no more than
    one subscription, and a notice that a killed run still owes finds its receiver in the next."""
    kept = service.keys.with_name("demo.json")
    demo = json.loads(kept.read_text()) if kept.exists() else None
    if demo is None or not service.answers(f"/v1/subscriptions/{demo['id']}"):
        receiver = f"/sandbox/receiver/demo-{secrets.token_hex(3)}"
        wanted = {
            "channel": "webhook",
            "target": service.url + receiver,
            "filter": {"metadata": ORDER["metadata"]},
            "label": "demo",
        }
        made = service.ask("POST", "/v1/subscriptions", wanted)
        demo = {"id": made["id"], "receiver": receiver, "secret": made["secret"], "at": service.url}
    elif demo["at"] != service.url:
        service.ask("PATCH", f"/v1/subscriptions/{demo['id']}", {"target": service.url + demo["receiver"]})
        demo["at"] = service.url
    fresh = kept.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(demo))
    fresh.replace(kept)  # whole or not at all, whenever we are killed
    service.ask("PUT", demo["receiver"], {"secret": demo["secret"]})
    return str(demo["receiver"])


def happenings(service: Service, task_id: str, receiver: str) -> Iterator[tuple[str, bool | None]]:
    """What becomes of the task and of its notices, each thing once. The last one says whether all went well."""
    seen: set[str] = set()
    ending = None
    give_up = time.monotonic() + ORDER_WITHIN_S
    while time.monotonic() < give_up:
        notices = notices_of(service.ask("GET", receiver), task_id)
        for state in ("created", *states_of(service.ask("GET", f"/v1/tasks/{task_id}/timeline"))):
            if state not in seen:
                seen.add(state)
                ending = state if state in ENDINGS else ending
                yield state, None
        for kind, verified in notices.items():
            if kind not in seen:
                seen.add(kind)
                last = ending is not None and kind == f"task.{ending}"
                word = "its signature verified" if verified else "its signature WRONG"
                yield f"notice {kind} delivered, {word}", (verified and ending == "succeeded") if last else None
        time.sleep(ASK_EVERY_S)


def states_of(timeline: Any) -> list[str]:
    return [entry["state"] for entry in timeline["data"] if entry["type"] == "transition"]


def notices_of(inbox: Any, task_id: str) -> dict[str, bool]:
    """By type; verified only if each of its arrivals was."""
    found: dict[str, bool] = {}
    for notice in inbox["notices"]:
        match notice:
            case {"verified": verified, "body": {"type": str(kind), "data": {"task": {"id": id}}}} if id == task_id:
                found[kind] = found.get(kind, True) and verified is True
    return found


def greet(service: Service, key: str) -> None:
    print(f"\nCallsheet runs at {service.url}")
    if service.answers("/", "text/html"):
        print(f"  dashboard  {service.url}/")
    print(f"  API key    {key}")
    print(f"  log        {LOG.relative_to(ROOT)}")
    print("\nTry it:\n")
    print(f"""  curl {service.url}/v1/tasks -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\""")
    print("""    -d '{"model": "seedance-1-0-pro-250528", "prompt": "A lighthouse at dusk"}'\n""", flush=True)


def run(host: str, options: argparse.Namespace) -> int:
    service = Service(host, options.port)
    try:
        greet(service, service.wait_ready())
        fine = options.no_demo or demo(service)
        if options.demo_only:
            return 0 if fine else 1
        print("\nCtrl-C ends it. Its log from here on:\n", flush=True)
        service.follow()
    finally:
        service.stop()
    return 0


def _port(text: str) -> int:
    if text.isdigit() and 1 <= int(text) <= 65_535:
        return int(text)
    raise argparse.ArgumentTypeError("has to be a number from 1 to 65535")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./infra/run", description="Runs the whole service on this machine, on SQLite under var/."
    )
    parser.add_argument(
        "--port", type=_port, default=int(os.environ.get("PORT") or 8000), help="where to listen (default: PORT, or 8000)"
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--no-demo", action="store_true", help="run it, and send no demo order")
    only.add_argument(
        "--demo-only", action="store_true", help="send the demo order and end; 0 only if its notice arrived, verified"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return run(os.environ.get("HOST") or "127.0.0.1", options)
    except KeyboardInterrupt:
        print("\nEnded.")
        return 130 if options.demo_only else 0
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
