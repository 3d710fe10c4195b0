"""Raw iterations as the coordinator gives them: Parquet, for which pyarrow is needed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from profiler.errors import FleetmarkError

if TYPE_CHECKING:  # NumPy; not on the way to --help
    from profiler.samples import Iterations


class NoPyarrow(FleetmarkError):  # noqa: N818 - reads as what it says
    """Parquet cannot be read here."""


def require_pyarrow() -> None:
    """Raises:
    NoPyarrow: it is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401 - whether it can be
    except ImportError as error:
        raise NoPyarrow(
            "pyarrow is not installed; pip install 'fleetmark[coordinator]' brings it"
        ) from error


def read_iterations(content: bytes) -> Iterations:
    """Iterations from a Parquet file of them.

    Raises:
        NoPyarrow: pyarrow is not installed.
        FleetmarkError: it is no such file.
    """
    require_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    from profiler.samples import Iterations

    try:
        table = pq.read_table(io.BytesIO(content))
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        return Iterations.from_columns(columns)
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        raise FleetmarkError(f"no raw iterations are in what was sent: {error}") from error
