"""Read arrays by name from files of NumPy: plain data, or one error that says in a line what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.npyio import NpzFile

from ovpass.support.structured_text import MalformedError

_NO_ARRAYS = "it is not a whole .npz of plain arrays, as numpy.savez writes it"


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz by name; none is unpickled.

    Raises:
        MalformedError: if the file cannot be read, or is no .npz of plain arrays.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, NpzFile):
            with loaded:
                return {name: np.asarray(loaded[name]) for name in loaded}
    except OSError as error:
        raise MalformedError(error.strerror or _NO_ARRAYS) from error
    except Exception as error:  # zipfile, its decompressors and NumPy's parser fail in ways of their own
        raise MalformedError(_NO_ARRAYS) from error  # NumPy's words would have users unpickle the file
    raise MalformedError(_NO_ARRAYS)
