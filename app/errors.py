"""Owns the error tree; does not know HTTP numbers, which one table at the edge gives to each class.

VitServeError
├── RequestError               the caller sent something that cannot be answered
│   ├── EmptyBody              no bytes at all
│   ├── MalformedRequest       not the JSON, base64 or multipart form it claims to be
│   ├── NotAnImage             bytes of no format that we read
│   ├── CorruptImage           the right format, but broken or cut short
│   ├── TooManyPixels          refused by its header, before decoding
│   ├── BodyTooLarge           more bytes than the limit
│   ├── BodyTimeout            the body did not arrive in time
│   ├── TooManyImages          more images in one request than the limit
│   ├── UnsupportedEncoding    a body compressed in a way that we do not undo
│   ├── UnknownParameter       a query parameter that we do not know
│   ├── InvalidParameter       a parameter's value that is none of those that may be
│   ├── InvalidTopK            top_k outside 1 … number of classes
│   ├── UnknownModel           another model, or another version of it, than the one that is served
│   └── InvalidTimeout         a request timeout that is no positive number
├── NotSupported               the model or engine that is served, or this service, cannot do this
├── Unavailable                nothing is wrong with the request; try again
│   ├── Overloaded             no room, or the wait would be too long; carries retry_after_s
│   ├── NotReady               the model is still warming up
│   ├── EngineFailed           the device has failed or is stuck; a restart is near
│   └── Draining               the service is going down
├── ClientGone                 the caller left before the answer
├── DeadlineExceeded           accepted, but not answered within its timeout
├── InferenceFailed            the device or the network failed on this job
└── SetupError                 the service cannot start as configured
    ├── UnknownVariant         no architecture of that name
    ├── PackageError           a model package that is missing, corrupt, mismatched or unsafe
    │   └── NotOurNetwork      whole, as far as one can tell, but of an architecture that our network is not
    ├── HubError               a model that cannot be had from the hub
    ├── DeviceError            a device, engine or precision that this machine has not
    ├── ExportFailed           a network that OpenVINO cannot run, or not as torch does
    │   └── ExportInterrupted  the attempt was cut short: nothing is known about the network
    ├── QuantizationFailed     an int8 graph that cannot be made, or does not hold
    └── DatasetError           training data that cannot be used
"""

from typing import ClassVar


class VitServeError(Exception):
    """Base of everything raised on purpose. `code` is stable and meant for programs; str() is a sentence for people.

    `stage`: where on its way a request meets it: head, body, admission, decode, queue (any wait) or inference.
    """

    code: ClassVar[str] = "internal_error"
    stage: ClassVar[str] = "unknown"


class RequestError(VitServeError):
    """The caller's input is at fault; sending it again will fail again."""

    code = "bad_request"
    stage = "body"


class EmptyBody(RequestError):
    """There were no bytes where an image was expected."""

    code = "empty_body"


class MalformedRequest(RequestError):
    """The envelope around the image (JSON, base64, multipart) could not be read."""

    code = "malformed_request"


class NotAnImage(RequestError):
    """The bytes are of no image format that is read here."""

    code = "not_an_image"
    stage = "decode"


class CorruptImage(RequestError):
    """The bytes begin like an image but cannot be decoded to the end."""

    code = "corrupt_image"
    stage = "decode"


class TooManyPixels(RequestError):
    """The header announces more pixels than the limit; nothing was decoded."""

    code = "too_many_pixels"
    stage = "decode"


class BodyTooLarge(RequestError):
    """The body is over the byte limit; it was not read whole."""

    code = "body_too_large"


class BodyTimeout(RequestError):
    """The body did not arrive whole within the request's timeout."""

    code = "body_timeout"


class TooManyImages(RequestError):
    """One request holds more images than the limit."""

    code = "too_many_images"


class UnsupportedEncoding(RequestError):
    """The body's Content-Encoding is none that is undone here."""

    code = "unsupported_encoding"


class UnknownParameter(RequestError):
    """The query has a parameter that means nothing here, or is too long to be looked at."""

    code = "unknown_parameter"
    stage = "head"


class InvalidParameter(RequestError):
    """A parameter's value, in the query or the body, is none of those that may be; the message names them."""

    code = "invalid_parameter"
    stage = "head"


class InvalidTopK(RequestError):
    """`top_k` is not a whole number from 1 to the number of classes, or over the limit."""

    code = "invalid_top_k"
    stage = "head"


class InvalidTimeout(RequestError):
    """The request's own timeout is not a positive number of milliseconds."""

    code = "invalid_timeout"
    stage = "head"


class UnknownModel(RequestError):
    """A path names another model, or another version of it, than the one that is served."""

    code = "unknown_model"
    stage = "head"


class NotSupported(VitServeError):
    """The model that is served, or the engine that it runs in, or this service, cannot do what was asked for."""

    code = "not_supported"
    stage = "head"


class Unavailable(VitServeError):
    """The service cannot take the request now; the same request may succeed later."""

    code = "unavailable"
    stage = "admission"


class Overloaded(Unavailable):
    """No room for another job, or its wait would outlast its welcome.

    `retry_after_s`: seconds after which room is expected, from the measured rate.
    """

    code = "overloaded"

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotReady(Unavailable):
    """The model is not warmed up yet."""

    code = "not_ready"


class EngineFailed(Unavailable):
    """The device has failed or is stuck, so that nothing is answered until a restart."""

    code = "failed"


class Draining(Unavailable):
    """The service is shutting down and takes no new work."""

    code = "draining"


class ClientGone(VitServeError):
    """The caller closed the connection; its work was cancelled and nobody reads the answer."""

    code = "client_gone"
    stage = "body"


class DeadlineExceeded(VitServeError):
    """The job was accepted but its deadline passed before the answer was there."""

    code = "deadline_exceeded"
    stage = "queue"


class InferenceFailed(VitServeError):
    """The forward pass failed; the cause is chained."""

    code = "inference_failed"
    stage = "inference"


class SetupError(VitServeError):
    """The service, or a command, cannot start as configured."""

    code = "setup_error"


class UnknownVariant(SetupError):
    """No architecture has that name."""

    code = "unknown_variant"


class PackageError(SetupError):
    """A model package is missing, corrupt, mismatched or unsafe; the message names file, key and shapes."""

    code = "invalid_package"

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class NotOurNetwork(PackageError):
    """A checkpoint of an architecture that our network cannot be; its own library may run it."""

    code = "not_our_network"


class HubError(SetupError):
    """A model on the hub is not there, not ours to read, or not in reach; the message says which."""

    code = "hub_error"

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class DeviceError(SetupError):
    """The device or precision asked for is not available on this machine."""

    code = "device_unavailable"


class ExportFailed(SetupError):
    """OpenVINO cannot run this network, or what it computes is not what torch does."""

    code = "export_failed"


class ExportInterrupted(ExportFailed):
    """Making a graph was cut short, by a signal, a lack of memory or of a place to write; it may go well next time."""

    code = "export_interrupted"


class QuantizationFailed(SetupError):
    """No int8 graph could be made of a network, or none that is as good; the message has the figures."""

    code = "quantization_failed"


class DatasetError(SetupError):
    """The training data cannot be read or is not organised as expected."""

    code = "invalid_dataset"


def printable(message: str) -> str:
    """Of names that are a file's own, what a terminal or a log would take for more than text is an escape."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in message)
