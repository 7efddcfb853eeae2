"""Write scores along time, labelled clips and strips of frames."""

from collections.abc import Sequence
from pathlib import Path

from swin_dense.engine.json_stream import JsonStream
from swin_dense.video.drawing import span
from swin_dense.video.result import VideoResult
from swin_dense.wording import counted


class VideoResults:
    """Writes a labelled clip or a strip of each video, and `predictions.json`.

    Args:
        paths: Output path of each video: a labelled clip if it ends in
            `.mp4`, otherwise a strip with a frame of each window.
        out: Folder for the JSON file.
        topk: Number of classes in the JSON file.
    """

    def __init__(self, paths: Sequence[Path], out: Path, topk: int) -> None:
        self.paths = list(paths)
        self.out = out
        self.topk = topk
        self.windows = 0
        self.entries = JsonStream(out / 'predictions.json')

    def add(self, index: int, result: VideoResult) -> None:
        """Write the clip or strip of a video, and its scores.

        Args:
            index: Index of the video in `paths`.
            result: Scores of the video.

        Raises:
            VideoError: If a frame cannot be decoded.
        """
        result.save(self.paths[index])
        self.windows += len(result.windows)
        self.entries.add([result.to_dict(self.topk)])
        self.entries.publish()

    def close(self) -> None:
        """Close the JSON file."""
        self.entries.close()

    def summary(self) -> str:
        """Return a sentence with the number of videos and the folder."""
        return (
            f'{counted(self.entries.count, "video")}, '
            f'{counted(self.windows, "window")}, clips and scores: {self.out}'
        )


def time_table(result: VideoResult, topk: int) -> str:
    """Return a table with a line per window and a line for the video.

    Args:
        result: Scores of the video.
        topk: Number of classes per line.
    """
    rows = [
        (span(window), window.top(result.classes, topk))
        for window in result.windows
    ]
    rows.append(('all', result.top(topk)))
    width = max(len(when) for when, _ in rows)
    lines = [f'{result.path}: {result.num_frames} frames']
    for when, top in rows:
        scores = ', '.join(
            f'{entry["name"]} {entry["score"]:.3f}' for entry in top
        )
        lines.append(f'  {when:>{width}}  {scores}')
    return '\n'.join(lines)
