"""What the studio's page fetches beside Gradio's own: sounds, pictures and reports, by keys and numbers, never by paths."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from threading import BoundedSemaphore

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from mp3net.audio.reading import read
from mp3net.errors import Mp3netError
from mp3net.evaluation.report import HTML_FILE
from mp3net.figures import png_bytes, waveform_and_spectrogram
from mp3net.studio.made import Endless, Songs
from mp3net.studio.shelf import Shelf
from mp3net.studio.watching import sample

MEDIA = {"wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg", "mp3": "audio/mpeg", "png": "image/png"}
# Streams that play at the same time.
MOST_STREAMS = 2
# A report is a page that somebody wrote: it may show its own pictures and sounds, and nothing else.
REPORT_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


class Routes:
    """Answers; whatever is not there is "not found", whatever its name."""

    def __init__(self, shelf: Shelf, songs: Songs) -> None:
        self.shelf, self.songs = shelf, songs
        self._streams = BoundedSemaphore(MOST_STREAMS)

    def all(self) -> list[Route]:
        return [
            Route("/studio/songs/{key}.{ending}", self.song),
            Route("/studio/endless/{key}.wav", self.endless),
            Route("/studio/samples/{run:path}/{tracks:int}/{seed:int}.{ending}", self.sample),
            Route("/studio/reports/{report:path}", self.report),
        ]

    def song(self, request: Request) -> Response:
        found = self.songs.file(request.path_params["key"], request.path_params["ending"])
        if found is None:
            return _missing("this song is no longer kept; make it again")
        path, name = found
        media, headers = MEDIA[request.path_params["ending"]], {"Cache-Control": "private, max-age=3600"}
        return FileResponse(path, media_type=media, filename=name, content_disposition_type="inline", headers=headers)

    def endless(self, request: Request) -> Response:
        endless = self.songs.endless(request.path_params["key"])
        if endless is None:
            return _missing("no such stream; start it again")
        if not self._streams.acquire(blocking=False):
            return PlainTextResponse(f"{MOST_STREAMS} streams play already; stop one of them first", 503)
        chunks = self._released(endless)
        first = next(chunks)  # begun now, it ends and is released even if nobody ever takes what follows
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(chain([first], chunks), media_type="audio/wav", headers=headers)

    def _released(self, endless: Endless) -> Iterator[bytes]:
        try:
            yield from endless.chunks()
        finally:
            self._streams.release()

    def sample(self, request: Request) -> Response:
        path = self._run(request)
        if path is None:
            return _missing("no such sample")
        if request.path_params["ending"] == "wav":
            return FileResponse(path, media_type="audio/wav")
        if request.path_params["ending"] != "png":
            return _missing("no such sample")
        try:
            sound, rate = read(path)
        except Mp3netError:
            return _missing("a damaged sample")
        picture = png_bytes(waveform_and_spectrogram(sound, rate))
        return Response(picture, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    def _run(self, request: Request) -> Path | None:
        name = request.path_params["run"]
        if name not in self.shelf.runs:
            return None
        path = sample(self.shelf.path(name), request.path_params["tracks"], request.path_params["seed"])
        return path if path.is_file() else None

    def report(self, request: Request) -> Response:
        name = request.path_params["report"]
        if name not in self.shelf.reports:
            return _missing("no such report")
        page = self.shelf.path(name) / HTML_FILE
        if not page.is_file():
            return _missing("the report is no longer there")
        return FileResponse(page, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})


def _missing(why: str) -> Response:
    return PlainTextResponse(why, 404)
