"""Owns the error tree; does not decide which error an answer is, or what is tried again.

VitError                       everything that this library raises for an image or a server
├── UnreadableImage            the file cannot be read, or what was given is no image; nothing was sent
├── TransportError             no answer: no connection, or one that broke; tried again
└── ApiError                   the service says why there is no answer
    ├── BadRequest             what was asked for cannot be had, such as a top_k of 0
    │   └── BadImage           this image cannot be classified: corrupt, too large, no image at all
    ├── Unavailable            not now; tried again
    │   ├── Overloaded         more work than it can do in time; retry_after says when to come back
    │   └── NotReady           warming up, going down, or about to be restarted
    ├── DeadlineExceeded       the time was over; tried again while the caller has some left. Where this library
    │                          noticed it first there was no answer, and `status` is None
    ├── ServerFailed           it failed on this image
    └── UnexpectedAnswer       not in the form of vit-serve's: is it another server, or a proxy's page?
"""


class VitError(Exception):
    """Base of all. str() is a sentence for people.

    `code`: stable, for programs; the server's own where there is one. `status`: HTTP's, of the answer. `request_id`:
    what the server's log has it under. `retry_after`: seconds that the server asks to wait.
    """

    code = "client_error"

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.status, self.request_id, self.retry_after = status, request_id, retry_after


class UnreadableImage(VitError):
    """The image could not be read here."""

    code = "unreadable_image"


class TransportError(VitError):
    """There was no answer; the cause, httpx's error, is chained."""

    code = "no_answer"


class ApiError(VitError):
    """The service did not do it."""


class BadRequest(ApiError):
    """Asking again in the same way will fail again."""


class BadImage(BadRequest):
    """Sending this image again will fail again."""


class Unavailable(ApiError):
    """Nothing is wrong with the request; try later."""


class Overloaded(Unavailable):
    """No room, or the wait would be too long."""


class NotReady(Unavailable):
    """The server is not serving now."""


class DeadlineExceeded(ApiError):
    """Not answered in time, whoever noticed it."""

    code = "deadline_exceeded"


class ServerFailed(ApiError):
    """An error of the server's own."""


class UnexpectedAnswer(ApiError):
    """An answer that is none of vit-serve's."""

    code = "unexpected_answer"
