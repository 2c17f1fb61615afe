"""The entry point of the command line: what must be so before anything else is imported."""

import signal


def main() -> None:
    """Run the command line; until it is imported, Ctrl-C ends the process without a traceback."""
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ovpass.cli.main import main as run  # noqa: PLC0415 - an interruption ends the import quietly

    signal.signal(signal.SIGINT, interrupt)
    run()
