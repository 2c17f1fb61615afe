"""Read the kernels that a GPU ran from a log of Intel's OpenCL Intercept Layer.

It reads two kinds of record, from one file or from one file each:

- the device timing report (control DevicePerformanceTiming), a table with one row per kernel;
- call logging (control CallLogging), with one line per call; kernels are named where they are enqueued.

Formats: `CLIntercept::writeReport` and `callLoggingEnter` in Src/intercept.cpp of
https://github.com/intel/opencl-intercept-layer. docs/intercept-log.md says how to record a log.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import TextIOWrapper
from pathlib import Path

from ovpass.errors import LogError
from ovpass.verification.kernel_calls import KernelCalls, added_up, in_order

_DYNAMIC_QUANTIZE = "dynamic_quantize"
# The plugin compresses its KV cache with a kernel of the same family, dynamic_quantize_gpu_kv_cache.cl.
_KV_CACHE = "kv_cache"
_HOW = "Record one with 'cliloader -d COMMAND 2> FILE' (docs/intercept-log.md)"

_MARKS = ("CLIntercept", "Performance Timing Results", "Total Enqueues:", ">>>> cl", "<<<< cl")
_HOST_REPORT = "Host Performance Timing Results"
_DEVICE_REPORT = "Device Performance Timing Results"
_NAME_MAPPING = "Kernel name mapping:"
_NAME_COLUMN, _CALLS_COLUMN = "Function Name", "Calls"
_TIMES = ("Time", "Average", "Min", "Max")
# Between the arrows and the function stand the elapsed time and the thread, where those controls are on.
_ENQUEUE = re.compile(
    r">>>> [^(]*?\bclEnqueue(?:NDRangeKernel|NDCountKernelINTEL|Task)\( (?P<kernel>.+?) \)(?=[:;]|\s*$)"
)
# Commands that are no kernels share the device's table: clEnqueueMemcpyINTEL( HtoD ).
_COMMAND = re.compile(r"i?clEnqueue[A-Z]")
_WORK_SIZE = re.compile(r"(?:GWS\[|global_work_size = <) (?P<sizes>\d+(?: x \d+)*) [\]>]")
# What cliloader -dv adds to the name: SIMD16 REG128 SLM=1152 GWS[ 16 x 128 x 2 ] LWS[ NULL ].
_DISPATCH = re.compile(r"(?:\s+(?:[A-Z]+\d+|[A-Z]+=\d+|[A-Z]*\[[^\]]*\]))+$")
# Control LongKernelNameCutoff replaces long names by k_0, k_1, ... and prints what they stand for.
_SHORT_NAME = re.compile(r"k_\d+")
_MAPPING_ROW = re.compile(r"\s*(?P<short>k_\d+), (?P<long>.+?)\s*$")
_MAPPING_ADDED = re.compile(r"Added kernel name mapping: (?P<long>.+) to (?P<short>k_\d+)\s*$")
# Not all files passed here are text; no line of a log comes near this many characters.
_LONGEST_LINE = 1 << 16


@dataclass(frozen=True)
class InterceptLog:
    """The kernels of a log, one entry per name, sorted by name; `by_work_size` has one per name and work size."""

    kernels: tuple[KernelCalls, ...]
    by_work_size: tuple[KernelCalls, ...] = ()

    @property
    def dynamic_quantize(self) -> tuple[KernelCalls, ...]:
        """The kernels that quantize activations of MatMuls, without those that compress a KV cache."""
        return tuple(filter(_quantizes, self.kernels))

    @property
    def dynamic_quantize_by_work_size(self) -> tuple[KernelCalls, ...]:
        """The same with an entry for each work size."""
        return tuple(filter(_quantizes, self.by_work_size))

    @property
    def dynamic_quantize_calls(self) -> int:
        """The number of calls that quantize an activation."""
        return sum(one.calls for one in self.dynamic_quantize)


def _quantizes(kernel: KernelCalls) -> bool:
    return _DYNAMIC_QUANTIZE in kernel.name and _KV_CACHE not in kernel.name


def read_intercept_log(path: Path) -> InterceptLog:
    """Read the kernels from a log of the OpenCL Intercept Layer. Lines of other programs are skipped.

    Rows of one kernel (several devices, runs, or work sizes) are summed under its bare name. For a kernel in both the
    timing report and the call log, the report counts. The call log counts enqueues, including failed ones.

    Raises:
        LogError: if the file is missing, unreadable, empty, no such log, or names no kernel.
    """
    reader = _read(path)
    if not reader.filled:
        raise LogError(f"{path}: is empty. {_HOW}")
    if not reader.recognised:
        raise LogError(f"{path}: is not a log of the OpenCL Intercept Layer. {_HOW}")
    dispatches = reader.dispatches()
    if not dispatches:
        raise LogError(
            f"{path}: names no kernel: device timing and call logging were off, "
            f"the process was killed before its report, or the model did not run on a GPU. {_HOW}"
        )
    return InterceptLog(in_order(added_up(replace(one, work_size=()) for one in dispatches)), dispatches)


def _read(path: Path) -> _Reader:
    reader = _Reader()
    try:
        for line in _lines(path):
            reader.take(line)
    except FileNotFoundError as error:
        raise LogError(f"{path}: no such file. {_HOW}") from error
    except IsADirectoryError as error:
        raise LogError(
            f"{path}: is a folder; name the clintercept_report.txt or clintercept_log.txt in it. {_HOW}"
        ) from error
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}. {_HOW}") from error
    return reader


class _Reader:
    """Goes through a log line by line: a call log of a language model does not fit into memory."""

    def __init__(self) -> None:
        self.filled = False
        self.recognised = False
        self._timed: list[KernelCalls] = []
        self._enqueued: Counter[tuple[str, tuple[int, ...]]] = Counter()
        self._long_names: dict[str, str] = {}
        self._columns: tuple[str, ...] = ()
        self._on_host = False
        self._in_mapping = False

    def take(self, line: str) -> None:
        """Take in the next line."""
        self.filled = self.filled or not line.isspace()
        self.recognised = self.recognised or any(mark in line for mark in _MARKS)
        if enqueue := _ENQUEUE.search(line):
            self.recognised = True
            self._enqueued[enqueue["kernel"], _work_size(line)] += 1
        elif not self._take_heading(line):
            self._take_row(line)

    def dispatches(self) -> tuple[KernelCalls, ...]:
        """Everything taken in, by kernel and work size."""
        timed = [replace(row, name=self._full_name(row.name)) for row in self._timed]
        names = {row.name for row in timed}
        called = (
            KernelCalls(self._full_name(name), calls, work_size=size) for (name, size), calls in self._enqueued.items()
        )
        return in_order(added_up([*timed, *(one for one in called if one.name not in names)]))

    def _take_heading(self, line: str) -> bool:
        heading = True
        if _HOST_REPORT in line or _DEVICE_REPORT in line:
            self._on_host, self._in_mapping, self._columns = _HOST_REPORT in line, False, ()
        elif _NAME_MAPPING in line:
            self._in_mapping, self._columns = True, ()
        elif _NAME_COLUMN in line and (columns := _columns(line)):
            # A table cut out of a report has its header alone: taken as the device's.
            self.recognised, self._in_mapping, self._columns = True, False, columns
        else:
            heading = False
        return heading

    def _take_row(self, line: str) -> None:
        if mapping := _MAPPING_ROW.match(line) if self._in_mapping else _MAPPING_ADDED.search(line):
            self._long_names[mapping["short"]] = mapping["long"]
        elif self._columns and not self._on_host and (row := _row(line, self._columns)):
            self._timed.append(row)

    def _full_name(self, name: str) -> str:
        name = _DISPATCH.sub("", name)
        short = _SHORT_NAME.match(name)
        if short and short[0] in self._long_names:
            return self._long_names[short[0]] + name[short.end() :]
        return name


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file in UTF-8, or in the UTF-16 that PowerShell redirects into; bad bytes are replaced."""
    with path.open("rb") as file:
        wide = file.peek(2)[:2] in (BOM_UTF16_LE, BOM_UTF16_BE)
        with TextIOWrapper(file, encoding="utf-16" if wide else "utf-8-sig", errors="replace") as text:
            while line := text.readline(_LONGEST_LINE):
                yield line


def _columns(line: str) -> tuple[str, ...]:
    """The columns that a header names; () for any other line."""
    names = tuple(name.strip() for name in line.split(","))
    return names if names[0] == _NAME_COLUMN and _CALLS_COLUMN in names else ()


def _row(line: str, columns: tuple[str, ...]) -> KernelCalls | None:
    """A kernel's row of a table; None for other commands and for lines that are no rows."""
    # From the right: a demangled name has commas of its own.
    name, *values = (field.strip() for field in line.rsplit(",", len(columns) - 1))
    if not name or _COMMAND.match(name) or len(values) != len(columns) - 1:
        return None
    fields = dict(zip(columns[1:], values, strict=True))
    calls = _whole(fields[_CALLS_COLUMN])
    if calls is None or any(_whole(value) is None for column, value in fields.items() if column.endswith("(ns)")):
        return None
    total, average, minimum, maximum = (_whole(fields.get(f"{column} (ns)", "")) for column in _TIMES)
    return KernelCalls(name, calls, total, average, minimum, maximum, _work_size(name))


def _work_size(text: str) -> tuple[int, ...]:
    found = _WORK_SIZE.search(text)
    return tuple(int(size) for size in found["sizes"].split(" x ")) if found else ()


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
