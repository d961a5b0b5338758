"""`python -m service.sandbox --port 9000`: the sandbox alone, for any client of any of the gateways."""

import argparse

from service.sandbox import SandboxSettings, serve
from service.sandbox.settings import RATES


def main() -> None:
    defaults = SandboxSettings()
    parser = argparse.ArgumentParser(prog="python -m service.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--queue", type=float, default=defaults.queue_s, metavar="S", help="seconds a job is queued")
    parser.add_argument("--run", type=float, default=defaults.run_s, metavar="S", help="seconds a job runs")
    parser.add_argument("--seed", type=int, help="of all chance")
    parser.add_argument("--limits", action="store_true", help="enforce Ark's limits on questions")
    parser.add_argument("--calls", action="append", default=[], metavar="PROVIDER", help="passes callback_url on as well")
    parser.add_argument("--rate", action="append", default=[], metavar="NAME=SHARE", help=f"one of {', '.join(RATES)}")
    args = parser.parse_args()
    try:
        settings = SandboxSettings(
            queue_s=args.queue,
            run_s=args.run,
            seed=args.seed,
            limits=args.limits,
            callbacks=defaults.callbacks | set(args.calls),
            rates={name: float(share) for name, _, share in (rate.partition("=") for rate in args.rate)},
            print=True,
        )
    except ValueError as error:
        parser.error(str(error))
    serve(args.host, args.port, settings)


if __name__ == "__main__":
    main()
