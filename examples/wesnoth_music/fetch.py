"""Fetch the orchestral music of The Battle for Wesnoth: a free data set of produced music, out of one Debian package.

    python examples/wesnoth_music/fetch.py --out music/wesnoth

needs nothing but Python and 153 MB of download. The package comes from `apt-get download` where that can get this very
version, otherwise from Debian's web server; either way its SHA256 is checked. The 34 pieces give 2.05 hours. Nothing is
installed. A folder that has all of them is left as it is, so an interrupted run is continued by the same command.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import io
import lzma
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

PACKAGE = "wesnoth-1.16-music"
VERSION = "1:1.16.9-1"
URL = "https://deb.debian.org/debian/pool/main/w/wesnoth-1.16/wesnoth-1.16-music_1.16.9-1_all.deb"
SHA256 = "f9bc3cde92b4ab30db5d7b85f89b4bcc3d788dd92602956d0347250850bf59bb"
MUSIC = "./usr/share/games/wesnoth/1.16/data/core/music/"
COPYRIGHT = f"./usr/share/doc/{PACKAGE}/copyright"

# By composer, as the project's own list of files, copyrights.csv, has them. All of these are under the GPL, version 2 or
# later. Left out: five jingles and a silence (below 30 s), and return_to_wesnoth.ogg, the only piece under another
# licence (CC BY-SA 4.0): under one licence, what may be done with the whole is easier to say.
PIECES = {
    "Aleksi Aubry-Carlson": "battle frantic-old main_menu transience underground",
    "Doug Kaufman": "battle-epic elvish-theme heroes_rite siege_of_laurelmor the_city_falls weight_of_revenge",
    "Gianmarco Leone": "the_dangerous_symphony the_deep_path",
    "Jeremy Nicoll": "nunc_dimittis vengeful",
    "Joseph G. Toscano": "loyalists revelation",
    "Mattias Westlund": "breaking_the_chains journeys_end legends_of_the_north northern_mountains silvan_sanctuary"
    " the_king_is_dead traveling_minstrels",
    "Ryan Reilly": "knalgan_theme love_theme suspense",
    "Stephen Rozanc": "frantic northerners",
    "Timothy Pinkham": "knolls wanderer",
    "Tyler Johnson": "casualties_of_war into_the_shadows sad",
}
COMPOSERS = {f"{piece}.ogg": composer for composer, pieces in PIECES.items() for piece in pieces.split()}

LICENCE = """Music of The Battle for Wesnoth (https://www.wesnoth.org), from the Debian package {package} {version}.

Every piece listed here is free: you can redistribute and modify it under the terms of the GNU General Public License as
published by the Free Software Foundation, version 2 or (at your option) any later version:
https://www.gnu.org/licenses/old-licenses/gpl-2.0.html

{table}

The composers and the licence of each file are stated in copyrights.csv of https://github.com/wesnoth/wesnoth.
The copyright file of the Debian package, unchanged:

{copyright}"""


class FetchError(Exception):
    """Why the music cannot be had, in one line."""


def download(folder: Path) -> Path:
    """The package in `folder`: by apt, which knows the nearest mirror, or else by its address."""
    if shutil.which("apt-get"):
        # Fails harmlessly in other releases of Debian and in Ubuntu, which do not have this version.
        command = ["apt-get", "download", "-q", f"{PACKAGE}={VERSION}"]
        subprocess.run(command, cwd=folder, capture_output=True, check=False)
        found = list(folder.glob("*.deb"))
        if found:
            return found[0]
    target = folder / f"{PACKAGE}.deb"
    try:
        with urllib.request.urlopen(URL, timeout=60) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
    except (OSError, http.client.HTTPException) as error:
        raise FetchError(f"cannot download {URL}: {error}; a package you have is read by --deb FILE") from error
    return target


def check(package: Path) -> None:
    """Refuse anything but the very package that this script was written for."""
    with package.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        size = package.stat().st_size
        raise FetchError(f"{package.name} ({size:,} bytes) is cut off or another version: SHA256 {found}, expected {SHA256}")


def data_member(package: Path) -> bytes:
    """The compressed tar file with the contents: a .deb is an `ar` archive, whose members have headers of 60 bytes."""
    with package.open("rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise FetchError(f"{package.name} is not a Debian package")
        while len(header := file.read(60)) == 60:
            name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
            if name == "data.tar.xz":
                return file.read(size)
            file.seek(size + size % 2, io.SEEK_CUR)  # members begin at even offsets
    # Python reads .xz; the .zst of some other distributions would need a package (or Python 3.14).
    raise FetchError(f"{package.name} has no data.tar.xz")


def write(target: Path, content: bytes) -> None:
    """A file is there whole or not at all."""
    partial = target.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(target)


def unpack(package: Path, out: Path) -> None:
    """Copy the pieces, then the licence: a folder that has LICENCE.txt is complete."""
    missing, copyright_text = set(COMPOSERS), ""
    with tarfile.open(fileobj=io.BytesIO(data_member(package)), mode="r:xz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            name = member.name.removeprefix(MUSIC)
            if file is not None and member.name == COPYRIGHT:
                copyright_text = file.read().decode("utf-8")
            elif file is not None and name in missing:
                write(out / name, file.read())
                missing.remove(name)
    if missing or not copyright_text:
        raise FetchError(f"{package.name} lacks {', '.join(sorted(missing)) or COPYRIGHT}")
    table = "\n".join(f"    {name:28}{composer}" for name, composer in sorted(COMPOSERS.items()))
    text = LICENCE.format(package=PACKAGE, version=VERSION, table=table, copyright=copyright_text)
    write(out / "LICENCE.txt", text.encode("utf-8"))


def seconds(path: Path) -> float:
    """Length of an Ogg Vorbis file: how many samples its last page counts, by the rate in its first."""
    content = path.read_bytes()
    last_page = content.rfind(b"OggS")
    return int.from_bytes(content[last_page + 6 : last_page + 14], "little") / int.from_bytes(content[40:44], "little")


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetch the orchestral music of The Battle for Wesnoth (GPL 2+).")
    parser.add_argument("--out", type=Path, required=True, help="folder for the Ogg files and LICENCE.txt")
    parser.add_argument("--deb", type=Path, help=f"the package {PACKAGE} {VERSION}, if you have it: nothing is downloaded")
    options = parser.parse_args()
    wanted = [options.out / name for name in (*COMPOSERS, "LICENCE.txt")]
    try:
        if not all(path.is_file() for path in wanted):
            options.out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory() as folder:
                if options.deb is None:
                    print(f"fetching {PACKAGE} {VERSION}, 153 MB", flush=True)
                package = options.deb or download(Path(folder))
                check(package)
                unpack(package, options.out)
        hours = sum(seconds(path) for path in wanted[:-1]) / 3600
    except (FetchError, OSError, tarfile.TarError, lzma.LZMAError) as error:
        print(f"fetch.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fetch.py: interrupted; the same command starts again", file=sys.stderr)
        return 130
    print(f"{options.out}: {len(COMPOSERS)} pieces, {hours:.2f} hours; who made them and the licence: LICENCE.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
