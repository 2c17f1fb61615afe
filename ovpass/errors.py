"""Exceptions. Every message names the file, layer or setting, the problem and the fix."""


class OvpassError(Exception):
    """Base class of all ovpass errors. The command line prints the message and exits with 2."""


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


class TextError(OvpassError):
    """A text or tokenizer that cannot be read, or that is too short for what is asked."""


class ExtraError(OvpassError):
    """A package of one of the extras that is not installed."""


class LogError(OvpassError):
    """A log that cannot be read, or that records nothing to look at."""


class CheckFailedError(OvpassError):
    """A check the user asked for failed. The command line exits with 1."""
