"""Run the command line as `ovpass` and as `python -m ovpass`."""

# The import of `signal` itself takes milliseconds, in which Ctrl-C is a traceback.
import _signal as signal  # type: ignore[import-not-found]

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Whenever the command line handles no signals, Ctrl-C ends the process as SIGTERM does.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from ovpass.cli.main import main

if __name__ == "__main__":
    main()
