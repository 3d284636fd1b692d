"""One recording on disk: an Arrow stream file whose rows hold a few seconds each.

Samples are 16-bit, scaled to their row's own peak, so quiet passages keep their resolution. All rows but the last have the
same length, and so do their messages in the file: the position of a row follows from three numbers in the index, and a
reader over a network requests exactly the rows of its crop.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from mp3net.errors import Mp3netError

ROW_SAMPLES = 1 << 16
SCHEMA = pa.schema(
    [
        pa.field("piece", pa.string()),
        pa.field("start_sample", pa.int64()),
        pa.field("num_samples", pa.int64()),
        pa.field("channels", pa.int32()),
        pa.field("sample_rate_hz", pa.int32()),
        pa.field("scale", pa.float32()),
        pa.field("audio", pa.list_(pa.int16())),  # interleaved; times `scale` gives the samples in [-1, 1]
    ]
)


def row_samples(batch: pa.RecordBatch) -> np.ndarray:
    """The audio of one row as float32 (S, C)."""
    scale = np.float32(batch.column("scale")[0].as_py())
    values = batch.column("audio").values.to_numpy(zero_copy_only=True)
    samples: np.ndarray = np.multiply(values, scale, dtype=np.float32)
    return samples.reshape(-1, batch.column("channels")[0].as_py())


class Piece:
    """One recording on the local disk, memory-mapped."""

    def __init__(self, path: Path) -> None:
        try:
            table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise Mp3netError(f"{path}: cannot be read as an Arrow stream: {error}; prepare the dataset again") from None
        self.channels = table.column("channels")[0].as_py()
        self.rows = [chunk.flatten().to_numpy(zero_copy_only=True).reshape(-1, self.channels)
                     for chunk in table.column("audio").chunks]  # fmt: skip
        self.scales = np.asarray(table.column("scale"), np.float32)
        self.num_samples = sum(map(len, self.rows))

    def read(self, start: int, count: int) -> np.ndarray:
        """Samples [start, start + count) as float32 (C, count)."""
        out = np.empty((count, self.channels), np.float32)
        row, offset = divmod(start, ROW_SAMPLES)
        filled = 0
        while filled < count:
            part = self.rows[row][offset : offset + count - filled]
            np.multiply(part, self.scales[row], out=out[filled : filled + len(part)])
            filled, row, offset = filled + len(part), row + 1, 0
        return np.ascontiguousarray(out.T)
