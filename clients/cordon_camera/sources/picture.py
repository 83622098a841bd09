"""A picture on its way to the server, and what every source of pictures does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from cordon_camera import jpeg as jpeg_bytes

if TYPE_CHECKING:
    from av import VideoFrame


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: JPEG bytes that pass untouched, or a decoded frame that is encoded when sent.

    Exactly one of `jpeg` and `planes` is set. `captured_at` is this machine's clock when the
    picture came out of the source. `name` is the file's name where the source is a folder.
    """

    captured_at: datetime
    jpeg: bytes | None = field(default=None, repr=False)
    planes: VideoFrame | None = field(default=None, repr=False)
    name: str = ""

    def __post_init__(self) -> None:
        assert (self.jpeg is None) != (self.planes is None)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height; zeros for a JPEG that does not tell."""
        if self.planes is not None:
            return self.planes.width, self.planes.height
        assert self.jpeg is not None
        return jpeg_bytes.size(self.jpeg) or (0, 0)


class Source(Protocol):
    """A source of pictures.

    `frames` runs in a thread of its own and raises SourceError when the source fails; it ends
    when the source does. `close` may be called from any thread: `frames` ends soon after, at the
    latest after its read timeout.
    """

    def frames(self) -> Iterator[Picture]: ...

    def close(self) -> None: ...


def jpeg_picture(data: bytes, *, name: str = "") -> Picture:
    """A picture that is JPEG already, taken now; what is wrong with damage, the server says."""
    return Picture(datetime.now(UTC), jpeg=jpeg_bytes.with_huffman_tables(data), name=name)


def decoded_picture(frame: VideoFrame, *, name: str = "") -> Picture:
    """A picture that was decoded just now."""
    return Picture(datetime.now(UTC), planes=frame, name=name)


def taken_now(picture: Picture) -> Picture:
    """The same picture, captured at this moment: a recording that plays as if it were live."""
    return replace(picture, captured_at=datetime.now(UTC))
