"""What the studio's server gives, and what it does not."""

from __future__ import annotations

import io

import pytest
import soundfile
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mp3net.generation import MP3net, SongSettings
from mp3net.studio.made import Endless
from mp3net.studio.routes import MOST_STREAMS, Routes
from mp3net.studio.shelf import Shelf


@pytest.fixture
def site(run, songs, tmp_path):
    report = tmp_path / "a <report>"
    report.mkdir()
    (report / "report.html").write_text("<h1>good</h1>")
    (report / "secret.txt").write_text("secret")
    routes = Routes(Shelf([run, report]), songs)
    with TestClient(Starlette(routes=routes.all())) as client:
        yield client, songs, routes


def test_songs_can_be_had_in_parts_and_under_their_names(site):
    client, songs, _ = site
    song = MP3net.from_pretrained().generate(1, 1.0)
    key = songs.add("seed 1", song)
    whole = client.get(f"/studio/songs/{key}.wav")
    assert whole.headers["content-type"] == "audio/wav"
    assert 'filename="seed-1.wav"' in whole.headers["content-disposition"]
    part = client.get(f"/studio/songs/{key}.wav", headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, whole.content[1000:2000])
    assert len(soundfile.read(io.BytesIO(client.get(f"/studio/songs/{key}.flac").content))[0]) == song.audio.shape[1]
    assert client.get(f"/studio/songs/{key}.png").content.startswith(b"\x89PNG")


def test_samples_and_reports_of_what_was_named(site):
    client, _, _ = site
    sample = client.get("/studio/samples/tiny%20run/16/2.wav")
    assert soundfile.info(io.BytesIO(sample.content)).samplerate == 8000
    assert client.get("/studio/samples/tiny%20run/16/2.png").content.startswith(b"\x89PNG")
    report = client.get("/studio/reports/a%20%3Creport%3E")
    assert report.text == "<h1>good</h1>"
    assert "default-src 'none'" in report.headers["content-security-policy"]


@pytest.mark.parametrize(
    "place",
    [
        "songs/unknown.wav", "songs/..%2F..%2Fetc%2Fpasswd.wav", "endless/unknown.wav", "samples/other/16/1.wav",
        "samples/tiny%20run/16/9.wav", "samples/tiny%20run/17/1.wav", "samples/tiny%20run/16/1.json",
        "samples/tiny%20run/..%2F..%2F16/1.wav", "samples/..%2Ftiny%20run/16/1.wav", "samples/tiny%20run/-1/1.wav",
        "reports/a%20%3Creport%3E/secret.txt", "reports/a%20%3Creport%3E/../secret.txt", "reports/tiny%20run",
        "reports/%2Fetc%2Fpasswd", "reports/", "..%2Frun.json",
    ],
)  # fmt: skip
def test_nothing_else_is_given(site, place):
    assert site[0].get(f"/studio/{place}").status_code == 404


def test_streams_are_few_and_are_given_back(site):
    client, songs, routes = site

    class Short(Endless):
        def chunks(self):
            yield b"RIFF"
            yield b"more"

    endless = Short(MP3net.from_pretrained(), SongSettings(seed=1))
    key = songs.add_endless(endless)
    for _ in range(3 * MOST_STREAMS):
        assert client.get(f"/studio/endless/{key}.wav").content == b"RIFFmore"
    playing = [routes._released(endless) for _ in range(MOST_STREAMS)]
    for stream in playing:
        assert routes._streams.acquire(blocking=False)
        next(stream)
    refused = client.get(f"/studio/endless/{key}.wav")
    assert (refused.status_code, refused.text) == (503, "2 streams play already; stop one of them first")
    playing.pop().close()
    assert client.get(f"/studio/endless/{key}.wav").status_code == 200
