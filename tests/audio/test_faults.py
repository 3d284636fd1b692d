"""Every cell of the table in docs/data.md that says what happens to which fault in which format."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest

from mp3net.audio.damage import Damage
from mp3net.audio.decoding import Decoder, UnusableAudioError, probe
from tests.audio.faults import ENCODERS, SECONDS, damaged, encoded, halved, with_length

DATA = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
FAULTS = ("no length", "length too short", "joined", "form changes", "damaged", "half")


def documented() -> dict[tuple[str, str], str]:
    """(format, fault) -> what the table says."""
    table = DATA.split("## What a damaged file gives")[1].split("\n\n|")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in ("|" + table).splitlines()]
    return {(row[0], fault): cell for row in rows[2:] for fault, cell in zip(FAULTS, row[1:], strict=True)}


CELLS = documented()
TRIED = [(name, fault) for (name, fault), cell in CELLS.items() if cell != "-"]


def faulty(name: str, fault: str) -> tuple[bytes, float]:
    """A file, and the seconds of music that it holds or once held."""
    data = encoded(name)
    if fault in ("no length", "length too short"):
        if name.startswith("MP3"):
            return encoded("MP3 without a count"), SECONDS
        return with_length(name, data, None if fault == "no length" else 0.25), SECONDS
    if fault == "joined":
        return data + encoded(name, seed=4), 2 * SECONDS
    if fault == "form changes":
        return encoded(name, channels=1) + data + encoded(name, half_rate=True), 3 * SECONDS
    return (damaged if fault == "damaged" else halved)(data), SECONDS


def decode(path: Path) -> tuple[Damage, set[tuple[int, int]]]:
    decoder, forms = Decoder(path), set()
    for rate, block in decoder.blocks():
        forms.add((rate, block.shape[1]))
    return decoder.damage, forms


def test_the_table_is_whole():
    assert {name for name, _ in CELLS} == set(ENCODERS)
    assert set(CELLS.values()) <= {"whole", "told", "breaks off", "noise", "refused", "-"}


@pytest.mark.parametrize(("name", "fault"), TRIED)
def test_a_cell_of_the_table(tmp_path, name, fault):
    data, seconds = faulty(name, fault)
    path = tmp_path / "no name"
    path.write_bytes(data)
    cell = CELLS[name, fault]
    if cell == "refused":
        with pytest.raises(UnusableAudioError, match="never finished"):
            probe(path)
        return
    damage, forms = decode(path)
    said = str(damage)
    if cell in ("whole", "noise"):
        assert damage.decoded_s == pytest.approx(seconds, abs=0.15 if fault != "form changes" else 0.3)
        assert said == ""
    else:
        # Whatever a page or a packet holds is lost with it: up to a second.
        kept_s = seconds * (0.5 if fault == "half" else 0.9)
        assert kept_s - 1.3 < damage.decoded_s < kept_s + 0.25
        assert said
    if cell == "told":
        assert damage.decoded_s + damage.missing_s == pytest.approx(seconds, abs=0.3)
        where = {"half": "ends .* early", "damaged": "damaged at 0:0[1234]"}[fault]
        assert re.fullmatch(rf"\d\.\d s of \d\.\d s are missing: .*{where}.*", said), said
    if cell == "breaks off":
        assert re.fullmatch(r"the file breaks off at 0:0[234] .*", said), said
    if fault == "form changes":
        assert {channels for _, channels in forms} == {1, 2}
    assert probe(path).duration_s < 4 * seconds


@pytest.mark.parametrize("name", ENCODERS)
def test_a_file_that_is_cut_in_its_header_is_refused_or_told(tmp_path, name):
    """Also if zeros follow, as a download leaves them that reserves its space first. Nothing else is raised, and no walk
    over the file goes on for ever."""
    path = tmp_path / "x"
    for length in range(1, 400, 3):
        for rest in (b"", bytes(9000)):
            path.write_bytes(encoded(name)[:length] + rest)
            for look in (probe, decode):
                with suppress(UnusableAudioError):
                    look(path)


@pytest.mark.parametrize("length", [60, 100, 400])
def test_a_header_without_its_music_is_corrupt_not_empty(tmp_path, length):
    data = encoded("FLAC")
    (tmp_path / "x").write_bytes(data[:length] + bytes(len(data) - length))
    with pytest.raises(UnusableAudioError, match="corrupt: nothing in it can be decoded"):
        decode(tmp_path / "x")


def test_whole_files_say_nothing(tmp_path):
    for name in ENCODERS:
        (tmp_path / "x").write_bytes(encoded(name))
        damage, forms = decode(tmp_path / "x")
        assert str(damage) == "", name
        assert damage.decoded_s == pytest.approx(SECONDS, abs=0.15), name
        assert len(forms) == 1
        assert probe(tmp_path / "x").duration_s == pytest.approx(SECONDS, rel=0.05), name
