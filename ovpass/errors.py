"""Exceptions. Every message names the file, layer or setting, the problem and the fix."""


class OvpassError(Exception):
    """Base class of all ovpass errors. The command line prints the message and exits with 2.

    Messages are printed in one line, apart from those of a class with `has_lines`.
    """

    has_lines = False


class ModelError(OvpassError):
    """A model file or folder is unreadable, or is not what a command needs."""


class SettingsError(OvpassError):
    """A setting, rule or pattern is invalid, or the lowering or target does not support it."""


class PlanError(OvpassError):
    """A plan does not fit the model."""


class PassError(OvpassError):
    """A pass failed. The message names the pass; the cause is chained."""


class OutputError(OvpassError):
    """An output could not be written. Nothing is left behind, and inputs are unchanged."""


class VerifyError(OvpassError):
    """Verification failed on a device, real or simulated: it is missing, crashed, or rejects the model."""


class NoDeviceError(VerifyError):
    """There is no device of the requested kind. The message can end with how to install a simulated one."""

    has_lines = True


class DriverError(OvpassError):
    """The driver for simulated GPUs cannot be installed."""


class KernelError(OvpassError):
    """A kernel of our own cannot be built or loaded."""


class TextError(OvpassError):
    """A text or tokenizer is unreadable, or a text is too short."""


class ExtraError(OvpassError):
    """A package of an extra is not installed."""


class LogError(OvpassError):
    """A log is unreadable, or records no kernels."""


class ExecutorError(OvpassError):
    """Workers are missing, lost, or not like each other. Measurements are kept."""


class CheckFailedError(OvpassError):
    """A requested check failed. The command line exits with 1."""


class RenamedWarning(FutureWarning):
    """A name still works but has a new spelling."""
