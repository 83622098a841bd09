"""PDFs from the templates beside this file, tagged for screen readers, and QR codes.

Typst and segno are looked for when they are needed: the rest of the command line does without.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from cordon_client.errors import ClientError

STANDARD: Literal["ua-1"] = "ua-1"
"""PDF/UA: headings, tables and pictures are tagged, every picture has its words."""


def pdf(template: str, words: Mapping[str, Any]) -> bytes:
    """A document of `templates/NAME.typ`, whose `data` are the words; raises `ClientError`."""
    try:
        import typst
    except ImportError as error:
        raise _missing() from error
    source = resources.files("cordon_admin").joinpath("templates", f"{template}.typ")
    return typst.compile(
        source.read_bytes(),
        sys_inputs={"data": json.dumps(words)},
        font_paths=typst.Fonts(include_system_fonts=False, font_paths=[_typeface()]),
        pdf_standards=STANDARD,
    )


def _typeface() -> Path:
    """Its folder; raises `ClientError`. The package is not imported: it has nothing to say."""
    found = find_spec("font_source_sans_pro")
    if found is None or found.origin is None:
        raise _missing()
    return Path(found.origin).with_name("files")


def qr(text: str) -> str:
    """A QR code as SVG, readable with an eighth of it dirty; raises `ClientError`."""
    try:
        import segno
    except ImportError as error:
        raise _missing() from error
    drawn = io.BytesIO()
    segno.make(text, error="m", micro=False).save(drawn, kind="svg", border=2, xmldecl=False)
    return drawn.getvalue().decode()


def _missing() -> ClientError:
    return ClientError(
        "Signs, leaflets and reports as PDF need more than is installed here.",
        why="The extra `admin` brings what typesets them.",
        hint="pip install 'cordon[admin]'",
    )
