"""Read the one file of a multipart request, bounded in everything that it may be."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from services.errors import Invalid
from web.problems import HTTP_DETAILS, BadRequest

MULTIPART = "multipart/form-data"
ENVELOPE = 64 * 1024  # bytes that multipart and the form's other fields add around the file, at most
PARTS_MAX = 4


def read_upload(max_bytes: int) -> tuple[str, bytes]:
    """Name and content of the part named ``file``. Raises BadRequest (400, 413, 415) or Invalid."""
    if request.mimetype != MULTIPART:
        raise BadRequest(415, f"The body must be {MULTIPART} with the file in its part named file.")
    request.max_form_memory_size = ENVELOPE
    request.max_form_parts = PARTS_MAX
    try:
        sent = request.files.getlist("file")
        others = [name for name in request.files if name != "file"]
    except RequestEntityTooLarge:
        raise BadRequest(413, HTTP_DETAILS[413]) from None
    if len(sent) != 1 or others:
        raise Invalid.at("/file", "one file, in the part named file")
    content = sent[0].stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise BadRequest(413, HTTP_DETAILS[413])
    return sent[0].filename or "", content
