"""What a file is, by its first bytes: its name may say something else.

Photographs reach a folder under any name: one PNG of ILSVRC 2012 and ten of the Oxford pets are
called .jpg, a failed download leaves an HTML page there.
Source:  the signatures that each format's specification puts at its start.
"""

import re

_READ = {
    "JPEG": rb"\xff\xd8",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "WebP": rb"RIFF....WEBP",
    "BMP": rb"BM",
}
_REFUSED = {
    "a TIFF picture": rb"II[*+]\0|MM\0[*+]",
    "an AVIF picture": rb"....ftypavi[fs]",
    "a HEIC picture": rb"....ftyp(hei|hev|mif1|msf1)",
    "a video": rb"....ftyp",
    "a JPEG 2000 picture": rb"\0\0\0\x0cjP|\xff\x4f\xff\x51",
    "a JPEG XL picture": rb"\0\0\0\x0cJXL|\xff\x0a",
    "a Photoshop picture": rb"8BPS",
    "an icon": rb"\0\0\x01\0",
    "an OLE file (perhaps FlashPix)": rb"\xd0\xcf\x11\xe0",
    "an EPS drawing": rb"%!PS|\xc5\xd0\xd3\xc6",
    "a PDF document": rb"%PDF",
    "an archive": rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf",
    "a Git LFS pointer (run 'git lfs pull' for the picture)": rb"version https://git-lfs",
    "an SVG drawing": rb"\s*(<\?xml.*)?<svg",
    "an HTML page (perhaps a failed download)": rb"\s*(<!doctype html|<html|<head|<body)",
    "a run of zero bytes": rb"\0{32}",
}
# Text is known in any case of its letters, a signature only as it stands.
_SIGNATURES = [(kind, re.compile(start, re.DOTALL)) for kind, start in _READ.items()]
_OTHERS = [(kind, re.compile(start, re.DOTALL | re.IGNORECASE)) for kind, start in _REFUSED.items()]
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "WebP": (".webp",),
    "BMP": (".bmp",),
}


def kind_of(data: bytes) -> str:
    """Return JPEG, PNG, GIF, WebP or BMP, which are read, or say in words what else it is."""
    for kind, start in _SIGNATURES:
        if start.match(data):
            return kind
    text = data[:1024].removeprefix(b"\xef\xbb\xbf")
    for kind, start in _OTHERS:
        if start.match(text):
            return kind
    return f"no known picture (it starts with {data[:8]!r})"


def misnamed(name: str, data: bytes) -> str:
    """Return the kind of a readable picture whose name's suffix says another, "" of any other."""
    kind = kind_of(data)
    suffixes = _SUFFIXES.get(kind)
    return "" if suffixes is None or name.lower().endswith(suffixes) else kind
