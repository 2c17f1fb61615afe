"""What ovpass raises: every message names the file, layer or setting, what was wrong, and the way out."""


class OvpassError(Exception):
    """Anything ovpass refuses to do. The command line prints the message and exits with 2."""


class ModelError(OvpassError):
    """A model file or folder that cannot be read, or that is not what a command needs."""


class SettingsError(OvpassError):
    """A setting, rule or pattern that is invalid or that the lowering or target cannot carry out."""


class PlanError(OvpassError):
    """A plan that does not fit the model it is applied to."""


class PassError(OvpassError):
    """A pass that could not do its work; the pass is named, the cause is chained."""


class OutputError(OvpassError):
    """Output that could not be written; nothing is left behind and no input is harmed."""


class VerifyError(OvpassError):
    """A device, real or simulated, that cannot be asked: missing, crashed, or refusing the model."""


class NoDeviceError(VerifyError):
    """No device of the kind that was asked for."""


class DriverError(OvpassError):
    """A driver for simulated GPUs that cannot be had, and why."""


class TextError(OvpassError):
    """A text or tokenizer that cannot be read, or that is too short for what is asked."""


class ExtraError(OvpassError):
    """A package of one of the extras that is not installed."""


class LogError(OvpassError):
    """A log that cannot be read, or that records nothing to look at."""


class CheckFailedError(OvpassError):
    """A check the user asked for failed. The command line exits with 1."""


class RenamedWarning(FutureWarning):
    """A name that still works, and has a better one."""
