"""Reading logs of the OpenCL Intercept Layer: recorded ones, and the variants its controls make of them.

The recorded ones are of a model of two layers on a device that records commands and runs none: its times are 0.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovpass.errors import LogError, OvpassError
from ovpass.verification.intercept_log import InterceptLog, read_intercept_log
from ovpass.verification.kernel_calls import KernelCalls

Read = Callable[..., InterceptLog]

LOGS = Path(__file__).parent / "intercept_logs"
TIMED_200, TIMED_64, CALLED_200 = (
    LOGS / f"{name}.txt" for name in ("device_timing_200_tokens", "device_timing_64_tokens", "call_logging_200_tokens")
)
QUANTIZE = "dynamic_quantize_gpu_opt_17725997250550040010_0_0__sa"
HEADER = "Function Name,  Calls,     Time (ns), Time (%),  Average (ns),      Min (ns),      Max (ns)"
DEVICE = "Device Performance Timing Results for Intel(R) Arc(TM) A770 Graphics (512CUs, 2400MHz):"
HOST = "Host Performance Timing Results:"


def row(kernel: KernelCalls, percent: str = "1.00%") -> str:
    """A row as CLIntercept::writeReport sets it."""
    average, low, high = (f"{time:13}" for time in (kernel.average_ns, kernel.minimum_ns, kernel.maximum_ns))
    return f"{kernel.name:>32}, {kernel.calls:6}, {kernel.total_ns:13}, {percent:>8}, {average}, {low}, {high}"


def timed(name: str, calls: int = 2, low: int = 10, high: int = 30) -> KernelCalls:
    total = low * (calls - 1) + high
    return KernelCalls(name, calls, total, total // calls, low, high)


def report(*rows: KernelCalls, heading: str = DEVICE) -> str:
    return "\n".join([heading, "", "Total Time (ns): 1", "", HEADER, *map(row, rows), ""])


def enqueue(name: str, prefix: str = "", rest: str = ": queue = 0x1, kernel = 0x2, global_work_size = < 8 >") -> str:
    return f">>>> {prefix}clEnqueueNDRangeKernel( {name} ){rest}\n<<<< {prefix}clEnqueueNDRangeKernel -> CL_SUCCESS\n"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def of(text: str, encoding: str = "utf-8") -> InterceptLog:
        path = tmp_path / "log.txt"
        path.write_bytes(text.encode(encoding))
        return read_intercept_log(path)

    return of


@pytest.mark.parametrize(
    ("path", "calls"), [(TIMED_200, 2), (CALLED_200, 2), (TIMED_64, 0)], ids=lambda v: str(v)[-30:]
)
def test_recorded_logs(path: Path, calls: int) -> None:
    log = read_intercept_log(path)
    assert log.dynamic_quantize_calls == calls
    assert [one.name for one in log.dynamic_quantize] == ([QUANTIZE] if calls else [])


def test_both_records_of_a_run_name_the_same_calls() -> None:
    timing, calls = (read_intercept_log(path).kernels for path in (TIMED_200, CALLED_200))
    assert [(one.name, one.calls) for one in timing] == [(one.name, one.calls) for one in calls]
    assert {one.total_ns for one in timing} == {0}
    assert {one.total_ns for one in calls} == {None}


def test_transfers_are_no_kernels() -> None:
    assert not [one for one in read_intercept_log(TIMED_200).kernels if "Enqueue" in one.name]


def test_kernels_are_sorted_by_name() -> None:
    names = [one.name for one in read_intercept_log(CALLED_200).kernels]
    assert names == sorted(names)


def test_times_of_a_row(read: Read) -> None:
    kernel = timed("gemm_kernel", calls=3)
    assert read(report(kernel)).kernels == (kernel,)


def test_a_created_kernel_was_not_called(read: Read) -> None:
    log = read(f">>>> clCreateKernel: program = 0x1, kernel_name = {QUANTIZE}\n{enqueue('ref_matmul')}")
    assert log.kernels == (KernelCalls("ref_matmul", 1),)
    assert log.dynamic_quantize_calls == 0


def test_kv_cache_compression_is_no_activation(read: Read) -> None:
    log = read(enqueue("dynamic_quantize_gpu_kv_cache_123_0_0__sa") + enqueue(QUANTIZE))
    assert [one.name for one in log.dynamic_quantize] == [QUANTIZE]
    assert len(log.kernels) == 2


@pytest.mark.parametrize("prefix", ["", "Time: 1234 ", "TID = 77 ", "Time: 1 TID = 77 TNum = 0 "])
@pytest.mark.parametrize(
    "rest", [": queue = 0x1", ": too long", "; EnqueueCounter: 7", ": queue = 0x1; EnqueueCounter: 7", ""]
)
def test_call_lines(read: Read, prefix: str, rest: str) -> None:
    assert read(enqueue(QUANTIZE, prefix, rest)).kernels == (KernelCalls(QUANTIZE, 1),)


def test_calls_amid_other_output(read: Read) -> None:
    text = f"100%|### loading   >>>> clFinish\n  12 it/s{enqueue('one')}Traceback (most recent call last):\n"
    text += f"    {enqueue('two')}"
    assert [one.name for one in read(text).kernels] == ["one", "two"]


@pytest.mark.parametrize(
    "suffix",
    [
        " SIMD16",
        " SIMD16 REG128 SLM=1152 GWS[ 16 x 128 x 2 ] LWS[ 16 x 8 x 1 ]",
        " SIMD32 REG256 SPILL=64 TPM=128 SLM=0 GWO[ 0 x 0 ] GWS[ 3847 x 2161 ] LWS[ NULL ]",
        " SIMD16 [ 1 x 2 x 3 ]",
    ],
)
def test_dispatch_is_no_part_of_the_name(read: Read, suffix: str) -> None:
    assert read(report(timed(QUANTIZE + suffix))).kernels == (timed(QUANTIZE),)


def test_rows_of_one_kernel_are_added_up(read: Read) -> None:
    rows = [
        KernelCalls("gemm SIMD16 GWS[ 1 x 2 ]", 1, 100, 100, 100, 100),
        KernelCalls("gemm SIMD16 GWS[ 3 x 4 ]", 2, 51, 25, 20, 31),
    ]
    assert read(report(*rows)).kernels == (KernelCalls("gemm", 3, 151, 50, 20, 100),)


def test_several_devices(read: Read) -> None:
    log = read(report(timed("gemm"), timed(QUANTIZE)) + "\n" + report(timed(QUANTIZE)))
    assert log.dynamic_quantize_calls == 4


def test_host_times_are_not_the_device_s(read: Read) -> None:
    host = report(timed("clFinish"), timed(f"clEnqueueNDRangeKernel( {QUANTIZE} )"), timed(QUANTIZE), heading=HOST)
    assert read(host + "\n" + report(timed("gemm"))).kernels == (timed("gemm"),)


def test_a_header_without_its_heading(read: Read) -> None:
    assert read(f"{HEADER}\n{row(timed(QUANTIZE))}").dynamic_quantize_calls == 2


def test_other_columns(read: Read) -> None:
    log = read(f"{DEVICE}\nFunction Name, Calls, Max (ns), Time (ns)\ngemm, 4, 9, 30\n")
    assert log.kernels == (KernelCalls("gemm", 4, total_ns=30, maximum_ns=9),)


@pytest.mark.parametrize("percent", ["-nan%", "nan%", "-nan(ind)%", "inf%", "100.00%"])
def test_percentages_do_not_matter(read: Read, percent: str) -> None:
    assert read(f"{DEVICE}\n{HEADER}\n{row(timed('gemm'), percent)}").kernels == (timed("gemm"),)


def test_demangled_names_have_commas_and_parentheses(read: Read) -> None:
    name = "void gemm<float, 4>(float*, int ( & )[4])"
    assert read(report(timed(name))).kernels == (timed(name),)
    assert read(enqueue(name)).kernels == (KernelCalls(name, 1),)


def test_names_that_were_cut_short(read: Read) -> None:
    mapping = f"Kernel name mapping:\n\nShort Name, Long Name\n       k_0, {QUANTIZE}\n       k_1, gemm<int, 2>\n\n"
    table = report(timed("k_0 SIMD16 GWS[ 8 ]"), timed("k_1"), timed("k_10"))
    assert [one.name for one in read(mapping + table).kernels] == [QUANTIZE, "gemm<int, 2>", "k_10"]


def test_names_that_a_call_log_cut_short(read: Read) -> None:
    log = read(f"Added kernel name mapping: {QUANTIZE} to k_0\n{enqueue('k_0')}")
    assert log.kernels == (KernelCalls(QUANTIZE, 1),)


def test_the_report_counts_where_calls_are_logged_too(read: Read) -> None:
    log = read(enqueue(QUANTIZE) * 3 + enqueue("unfinished") + report(timed(QUANTIZE)))
    assert log.kernels == (timed(QUANTIZE), KernelCalls("unfinished", 1))


def test_lines_within_a_table_that_are_no_rows(read: Read) -> None:
    text = report(timed("gemm"))
    assert read(text + "\nstep 1, loss 0.5, a, b, c, d, e\n,,,,,,\n, 1, 2, 3%, 4, 5, 6\ngemm, 1, 2\n").kernels == (
        timed("gemm"),
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_encodings_and_line_ends(read: Read, encoding: str, ending: str) -> None:
    assert read(report(timed(QUANTIZE)).replace("\n", ending), encoding).kernels == (timed(QUANTIZE),)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\xff\xfe\xfd"[1:] + b"\x00\n" + CALLED_200.read_bytes())
    assert read_intercept_log(path).dynamic_quantize_calls == 2


NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,40}", fullmatch=True).filter(
    lambda name: not name.startswith(("clenqueue", "k_"))
)
KERNELS = st.builds(timed, NAMES, st.integers(1, 9999), st.integers(0, 10**6), st.integers(10**6, 10**12))


@given(st.lists(KERNELS, min_size=1, max_size=8, unique_by=lambda one: one.name), st.integers(0, 3))
def test_what_the_layer_prints_is_read_back(kernels: list[KernelCalls], logged: int) -> None:
    """Calls of the same kernels in the log, and the order of rows, change nothing."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.txt"
        path.write_text("".join(enqueue(one.name) for one in kernels[:logged]) + report(*kernels), encoding="utf-8")
        log = read_intercept_log(path)
    assert log.kernels == tuple(sorted(kernels, key=lambda one: one.name))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("  \n\n", "is empty"),
        ("<net name='model'/>\n<<<<<<< HEAD\n", "not a log of the OpenCL Intercept Layer"),
        ("CLIntercept (64-bit) is loading...\nTotal Enqueues: 0\n", "names no kernel"),
        (">>>> clGetPlatformIDs\n<<<< clGetPlatformIDs -> CL_SUCCESS\n", "names no kernel"),
        (report(timed("clFinish"), heading=HOST), "names no kernel"),
        (report(timed("clEnqueueMemcpyINTEL( HtoD )")), "names no kernel"),
    ],
)
def test_files_without_kernels(read: Read, tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(LogError, match=reason) as caught:
        read(text)
    assert str(tmp_path / "log.txt") in str(caught.value)
    assert "cliloader -d" in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    for path, reason in [(tmp_path / "none.txt", "no such file"), (tmp_path, "is a folder"), (link, "cannot be read")]:
        with pytest.raises(LogError, match=reason) as caught:
            read_intercept_log(path)
        assert isinstance(caught.value, OvpassError)
        assert str(path) in str(caught.value)
        assert "cliloader -d" in str(caught.value)
