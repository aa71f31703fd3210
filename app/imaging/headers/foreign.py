"""Owns the names of what is sent but not read here; does not know the formats that are."""

from typing import Final

from app.imaging.headers.fields import Bytes

_AT_THE_START: Final = {
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"II\xbc\x01": "JPEG XR",
    b"%PDF-": "PDF",
    b"%!PS": "PostScript",
    b"8BPS": "PSD",
    b"\0\0\1\0": "ICO",
    b"\0\0\2\0": "CUR",
    b"icns": "ICNS",
    b"DDS ": "DDS",
    b"qoif": "QOI",
    b"gimp xcf": "XCF",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"SIMPLE  =": "FITS",
    b"AT&TFORM": "DjVu",
    b"BPG\xfb": "BPG",
    b"FUJIFILMCCD-RAW": "Fujifilm RAW",
    b"IIU\0": "Panasonic RAW",
    b"IIRO": "Olympus RAW",
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\x1aE\xdf\xa3": "WebM or Matroska video",
    b"\0\0\1\xba": "MPEG video",
    b"\0\0\1\xb3": "MPEG video",
    b"FLV\1": "Flash video",
    b"OggS": "an Ogg file",
    b"ID3": "MP3 audio",
    b"data:": "a data URL as text",
    b"/9j/": "base64 text",
    b"iVBORw0KGgo": "base64 text",
} | {b"P%d%c" % (kind, space): "PNM" for kind in range(1, 8) for space in b"\n \r\t"}
_AS_TEXT: Final = {b"<svg": "SVG", b"<!doctype html": "HTML", b"<html": "HTML", b"<?xml": "XML or SVG"}
_RIFF: Final = {b"AVI ": "AVI video", b"WAVE": "WAV audio"}


def name(data: Bytes) -> str | None:
    """What the bytes are by their magic number, if it is a known one."""
    head = bytes(data[:256])
    if head[4:8] == b"ftyp":
        return "Canon RAW" if head[8:12] == b"crx " else "MP4 or QuickTime video"
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[128:132] == b"DICM":
        return "DICOM"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((kind for start, kind in _AT_THE_START.items() if head.startswith(start)), None) or next(
        (kind for start, kind in _AS_TEXT.items() if text.startswith(start)), None
    )
