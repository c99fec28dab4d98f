"""`/api/v1/artifacts`: bytes come and go as streams; at no time is a whole file in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from litestar import Controller, HttpMethod, Response, delete, get, post, put, route
from litestar.datastructures import ResponseHeader
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream

from mediafleet.domain.artifact import ArtifactRef, Location
from mediafleet.domain.errors import InvalidRequest
from mediafleet.doors.http.content import (
    Span,
    UnsatisfiableRange,
    content_disposition,
    entity_tag,
    matches,
    parse_range,
    range_applies,
)
from mediafleet.doors.http.context import AnyRequest, InjectedFleet, check_artifact_id, principal_of
from mediafleet.doors.http.problems import PROBLEM_TYPE, Problem, make_problem, respond
from mediafleet.scheduler.facade import OpenUpload, UploadAnnouncement, WrittenUpload

if TYPE_CHECKING:
    from mediafleet.scheduler.facade import OpenArtifact

OCTETS = "application/octet-stream"
UPLOAD_HEADERS = (
    ResponseHeader(name="Upload-Offset", description="First byte that is missing.", documentation_only=True),
    ResponseHeader(name="Upload-Length", description="Bytes of the whole upload.", documentation_only=True),
)
PART_ANSWERS = {
    200: ResponseSpec(ArtifactRef, generate_examples=False, description="All bytes are there."),
    202: ResponseSpec(OpenUpload, generate_examples=False, description="The next part may come."),
    409: ResponseSpec(
        Problem,
        generate_examples=False,
        description="Not what goes on there; HEAD tells where.",
        media_type=PROBLEM_TYPE,
    ),
}


class ArtifactsController(Controller):
    """Artifacts over REST."""

    path = "/api/v1/artifacts"
    tags = ("artifacts",)

    @post()
    async def announce(
        self, request: AnyRequest, fleet: InjectedFleet, data: JSONBody[UploadAnnouncement]
    ) -> OpenUpload:
        """Open an upload; its bytes follow with PUT."""
        if data.sha256 and not entity_tag(data.sha256):
            raise InvalidRequest(
                f"sha256 is {data.sha256[:80]!r}; it must be 64 lower-case hexadecimal digits, or absent."
            )
        artifact = await fleet.announce_upload(data, principal=principal_of(request))
        return OpenUpload(artifact.ref.id, 0, data.size, direct=fleet.takes_direct_uploads)

    # No limit for bodies here: what was announced is the limit, and the fleet holds the sender to it.
    @put("/{artifact_id:str}", request_max_body_size=None, responses=PART_ANSWERS)
    async def receive(
        self, request: AnyRequest, fleet: InjectedFleet, artifact_id: FromPath[str], offset: FromQuery[int] = 0
    ) -> Response[ArtifactRef | OpenUpload] | Response[bytes]:
        """Take the next bytes of an upload; what came stays if they break off."""
        check_artifact_id(artifact_id)
        if offset < 0:
            raise InvalidRequest(f"offset is {offset}; it must be 0 or more.")
        length = _content_length(request)
        # A body in chunks tells its length at its end. That it is wrong must be known before it fills the disk.
        if length is None:
            return respond(make_problem("length-required", 411, "Send a Content-Length with the bytes of an upload."))
        body = read_body(request)
        received = await fleet.receive_upload(artifact_id, offset=offset, length=length, chunks=body)
        if isinstance(received, OpenUpload):
            return Response(received, status_code=202, headers=upload_headers(received))
        return Response(received, status_code=200)

    @get("/{artifact_id:str}", media_type=OCTETS)
    async def send(self, request: AnyRequest, fleet: InjectedFleet, artifact_id: FromPath[str]) -> Response[Any]:
        """Send the bytes, or one range of them."""
        artifact = await fleet.open_artifact(check_artifact_id(artifact_id))
        return answer_download(request, artifact)

    # Not with `head`: that one knows no answer whose length is told without its bytes.
    @route("/{artifact_id:str}", http_method=HttpMethod.HEAD, media_type=OCTETS, response_headers=UPLOAD_HEADERS)
    async def tell(self, request: AnyRequest, fleet: InjectedFleet, artifact_id: FromPath[str]) -> Response[Any]:
        """Tell length and tag, or where an upload that is not complete goes on."""
        if upload := await fleet.find_upload(check_artifact_id(artifact_id)):
            return Response(b"", status_code=200, headers=upload_headers(upload), media_type=OCTETS)
        return answer_download(request, await fleet.open_artifact(artifact_id))

    @get("/{artifact_id:str}/location")
    async def locate(self, fleet: InjectedFleet, artifact_id: FromPath[str]) -> Response[Location]:
        """Say where the bytes may be read, or those of an open upload be written, for a while."""
        found = await fleet.locate_artifact(check_artifact_id(artifact_id))
        # The address is a credential, and soon it is none any more.
        return Response(found, headers={"Cache-Control": "no-store"})

    @post("/{artifact_id:str}/complete", status_code=200)
    async def complete(
        self, fleet: InjectedFleet, artifact_id: FromPath[str], data: JSONBody[WrittenUpload]
    ) -> ArtifactRef:
        """Note that all bytes of an upload were written to its address."""
        if not entity_tag(data.sha256):
            raise InvalidRequest(f"sha256 is {data.sha256[:80]!r}; it must be 64 lower-case hexadecimal digits.")
        return await fleet.complete_upload(check_artifact_id(artifact_id), sha256=data.sha256)

    @delete("/{artifact_id:str}")
    async def discard(self, fleet: InjectedFleet, artifact_id: FromPath[str]) -> None:
        """Give up an upload that no job uses."""
        await fleet.discard_upload(check_artifact_id(artifact_id))


async def read_body(request: AnyRequest) -> AsyncGenerator[bytes]:
    """Yield the body as it comes; it simply ends early if the client goes away."""
    more = True
    while more:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            return
        if chunk := message.get("body", b""):
            yield chunk
        more = message.get("more_body", False)


def upload_headers(upload: OpenUpload) -> dict[str, str]:
    """Return the header fields that say where an upload goes on."""
    return {
        "Upload-Offset": str(upload.offset),
        "Upload-Length": str(upload.size),
        # What it says holds for this moment only.
        "Cache-Control": "no-store",
    }


def answer_download(request: AnyRequest, artifact: OpenArtifact) -> Response[Any]:
    """Return the answer to a GET or HEAD: whole, a range, `304` or `416`."""
    tag = entity_tag(artifact.ref.sha256)
    headers = _download_headers(artifact, tag)
    if matches(request.headers.get("if-none-match", ""), tag):
        return Response(b"", status_code=304, headers=headers, media_type=OCTETS)
    try:
        span = _chosen_span(request, artifact.size, tag)
    except UnsatisfiableRange:
        sentence = f"The range lies outside the artifact, which has {artifact.size} bytes."
        problem = make_problem("range-not-satisfiable", 416, sentence)
        return respond(problem, {"Content-Range": f"bytes */{artifact.size}"})
    if span:
        headers["Content-Range"] = span.content_range(artifact.size)
    whole_or_part = span or Span(0, artifact.size)
    # By hand: a stream has no length that the framework could see, and HEAD has to tell it without any bytes.
    headers["Content-Length"] = str(whole_or_part.length)
    status = 206 if span else 200
    if request.method == HttpMethod.HEAD:
        return Response(b"", status_code=status, headers=headers, media_type=OCTETS)
    chunks = artifact.read(whole_or_part.start, whole_or_part.length)
    return Stream(_closing(chunks), status_code=status, headers=headers, media_type=OCTETS)


def _download_headers(artifact: OpenArtifact, tag: str) -> dict[str, str]:
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": content_disposition(artifact.ref.name),
        "X-Content-Type-Options": "nosniff",
        # An artifact may be a stranger's HTML or SVG: opened in a browser, it must not act as a page of ours.
        "Content-Security-Policy": "default-src 'none'; sandbox",
        # Asked for anew each time, which the tag makes cheap: the artifact may be gone, or the token changed.
        "Cache-Control": "private, no-cache",
    }
    return headers | ({"ETag": tag} if tag else {})


def _chosen_span(request: AnyRequest, size: int, tag: str) -> Span | None:
    asked = request.headers.get("range", "")
    if not asked or not range_applies(request.headers.get("if-range", ""), tag):
        return None
    return parse_range(asked, size)


async def _closing(chunks: Any) -> AsyncGenerator[bytes]:
    """Pass the pieces on and close their source however this ends: a client that goes leaves no file open."""
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        if close := getattr(chunks, "aclose", None):
            await close()


def _content_length(request: AnyRequest) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None
