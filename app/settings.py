"""Owns every option once: name, default, unit, environment variable, when to change it; does not act on any."""

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_PREFIX: Final = "VIT_"
# What Vertex AI tells a container → what it sets, unless somebody has set that.
_VERTEX: Final = {
    "AIP_HTTP_PORT": "port",
    "AIP_HEALTH_ROUTE": "vertex_health_route",
    "AIP_PREDICT_ROUTE": "vertex_predict_route",
}
_ROUTE: Final = r"^/[A-Za-z0-9/._:~-]*$"  # no braces, which would be a template


def _check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if origin not in ("*", "null") and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#\s]+", origin):
            raise ValueError(f"{origin!r} can match no origin, which is scheme://host or scheme://host:port")
    return origins


class Settings(BaseSettings):
    """The options of the service. Each is also an environment variable: `VIT_` and the name in capitals.

    Units stand in the names. A value that does not fit raises pydantic's ValidationError, which names the option.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore")

    model: Annotated[
        str,
        Field(
            description="What to serve: `embedded`, a model package's directory, a checkpoint, "
            "`hf-hub:owner/name[@revision]` (fetched when the hub has a newer commit), `timm:<name>` (what timm has of "
            "that name), `random:<variant>` (random weights, for load tests) or `noop` (no forward pass, to measure "
            "all the rest)."
        ),
    ] = "embedded"
    device: Annotated[
        str,
        Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="`auto` takes the first GPU if there is one."),
    ] = "auto"
    engine: Annotated[
        Literal["auto", "openvino", "torch"],
        Field(
            description="`auto`: torch on a GPU; on a CPU OpenVINO and torch are measured at the first start, and the "
            "faster one is taken."
        ),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16", "int8"],
        Field(
            description="`auto` takes what is fastest and answers as float32 does: bfloat16 where the device computes "
            "in it, int8 where the package carries it."
        ),
    ] = "auto"
    cache_dir: Annotated[
        str,
        Field(
            description="Where graphs made for OpenVINO are kept between starts; empty: `vit-serve` in "
            "XDG_CACHE_HOME, by itself ~/.cache. If it cannot be written each start takes some seconds more."
        ),
    ] = ""
    threads: Annotated[
        int,
        Field(ge=0, le=1024, description="CPU cores to compute on; 0: all that this process may use."),
    ] = 0
    max_batch_size: Annotated[
        int,
        Field(ge=0, le=1024, description="Images in one forward pass at most; 0: 8 on a CPU, 64 on a GPU."),
    ] = 0

    host: Annotated[str, Field(description="Address to listen on; 0.0.0.0 in a container.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on.")] = 8000
    admin_port: Annotated[
        int,
        Field(
            ge=0,
            le=65535,
            description="A second port with nothing but /livez, /readyz and /metrics, which strangers cannot keep "
            "busy; 0: none. The first port then has no /metrics.",
        ),
    ] = 0
    grpc_port: Annotated[
        int,
        Field(
            ge=0,
            le=65535,
            description="A further port with the Open Inference Protocol by gRPC, unencrypted, for clients that are "
            "trusted; 0: none. It needs the extra `grpc`.",
        ),
    ] = 0
    max_connections: Annotated[
        int,
        Field(
            ge=0,
            le=65536,
            description="Open connections at most; for one more the longest idle is closed. 0, or more than fit: as "
            "many as the limit on file descriptors leaves room for.",
        ),
    ] = 0
    keep_alive_s: Annotated[
        float,
        Field(
            gt=0,
            description="An idle connection is closed after this; must be longer than a load balancer in front keeps "
            "its own: 60 s as a rule, 90 on Heroku, 240 on Azure, 600 on Google Cloud.",
        ),
    ] = 75.0
    cors_origins: Annotated[
        tuple[str, ...],
        Field(description='Web origins that may call from a browser, as JSON: `["https://a.example"]`; `["*"]`: any.'),
        AfterValidator(_check_origins),
    ] = ()
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least important log line that is shown.")
    ] = "info"
    log_format: Annotated[
        Literal["console", "json"], Field(description="Log lines for people, or for programs: a JSON object each.")
    ] = "console"
    access_log: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of requests that get a log line; 1: all. Of failed ones the first ten of each second do "
            "in any case.",
        ),
    ] = 0.0
    tracing: Annotated[
        Literal["off", "otlp"],
        Field(
            description="`otlp` sends traces to a collector, over HTTP, as the OTEL_* variables say; needs the extra "
            "`otel`."
        ),
    ] = "off"

    protocols: Annotated[
        tuple[Literal["oip", "kserve", "huggingface", "torchserve", "sagemaker", "vertex"], ...],
        Field(
            description="Contracts of other servers that are kept too, as JSON; `[]`: none. `sagemaker` and `vertex` "
            "make sense in those clouds only; the latter reads AIP_HTTP_PORT, AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE."
        ),
    ] = ("oip", "kserve", "huggingface", "torchserve")
    model_aliases: Annotated[
        tuple[str, ...],
        Field(
            description='More names under which those contracts find the model, as JSON: `["resnet-18"]`, for clients '
            "that ask for another server's."
        ),
    ] = ()
    vertex_health_route: Annotated[
        str, Field(pattern=_ROUTE, description="Where Vertex AI asks whether the service is ready.")
    ] = "/vertex/health"
    vertex_predict_route: Annotated[str, Field(pattern=_ROUTE, description="Where Vertex AI sends instances.")] = (
        "/vertex/predict"
    )

    insights: Annotated[
        bool,
        Field(
            description="Whether /v1/embeddings and /v1/explain answer. From the first such request on each takes "
            "memory: the weights once more, and what is computed with them."
        ),
    ] = True
    slots: Annotated[
        int,
        Field(
            ge=1,
            le=65536,
            description="Images between admission and answer at most; each costs the bytes of one network input.",
        ),
    ] = 256
    max_wait_ms: Annotated[
        float,
        Field(
            gt=0,
            description="A request that would wait longer than this for its turn is refused at once with 503, unless "
            "fewer images than two batches a lane, or than one request may hold, are inside. Raise it where clients "
            "prefer late answers to none.",
        ),
    ] = 500.0
    request_timeout_ms: Annotated[
        float,
        Field(gt=0, description="Deadline of a request that names none in `X-Request-Timeout-Ms`; also its ceiling."),
    ] = 30_000.0
    decode_threads: Annotated[
        int, Field(ge=0, le=1024, description="Threads that decode images; 0: one per CPU core.")
    ] = 0
    max_top_k: Annotated[
        int, Field(ge=1, le=100_000, description="Most classes that a request may ask for in `top_k`.")
    ] = 100
    max_body_bytes: Annotated[
        int, Field(ge=1024, description="Largest request body; larger ones get 413 before they are read whole.")
    ] = 16 * 2**20
    max_bodies_bytes: Annotated[
        int,
        Field(ge=1024, description="Memory of all request bodies at once; what arrives above it gets 503."),
    ] = 256 * 2**20
    min_body_bytes_per_s: Annotated[
        int,
        Field(ge=0, description="A body that arrives more slowly gets 408, after its first ten seconds; 0: never."),
    ] = 1024
    max_pixels: Annotated[
        int, Field(ge=1, le=1_000_000_000, description="Most pixels in one image, by its header.")
    ] = 120_000_000
    max_pixels_per_request: Annotated[
        int, Field(ge=1, description="Most pixels in all images of one request together.")
    ] = 240_000_000
    max_decode_bytes: Annotated[
        int,
        Field(
            ge=2**20,
            description="Memory that large pictures may take at once while they are decoded; one that alone needs more "
            "gets 422. Ordinary ones take at most half as much besides.",
        ),
    ] = 512 * 2**20
    decode: Annotated[
        Literal["scaled", "exact"],
        Field(
            description="`scaled` lets libjpeg shrink a large JPEG while it decodes, to no less than twice the size "
            "that it is resized to: a telephone's photograph takes half the time, its pixels move by 0.5 of 255 on "
            "average; what is shrunk by less than half is resized to within 1 of 255, unless the network has several "
            "convolutions. `exact` decodes whole what has up to 16 megapixels and resizes it as Pillow does."
        ),
    ] = "scaled"
    color: Annotated[
        Literal["srgb", "convert"],
        Field(
            description="`srgb` takes pixels as they are, as the models' own pipelines do; `convert` applies colour "
            "profiles first."
        ),
    ] = "srgb"
    max_images_per_request: Annotated[int, Field(ge=1, le=4096, description="Most images in one request.")] = 32
    stall_timeout_s: Annotated[
        float,
        Field(gt=0, description="A batch on the device for longer makes /livez fail, so that we are restarted."),
    ] = 60.0
    warm_up_timeout_s: Annotated[float, Field(gt=0, description="A warm-up that takes longer makes /livez fail.")] = (
        300.0
    )
    failed_grace_s: Annotated[
        float,
        Field(ge=0, description="A service whose device has failed for this long ends with exit code 1."),
    ] = 30.0
    drain_delay_s: Annotated[
        float,
        Field(
            ge=0,
            description="Seconds between SIGTERM and closing the port, answering 503 on /readyz meanwhile; "
            "longer than the load balancer's probe interval.",
        ),
    ] = 0.0
    drain_timeout_s: Annotated[
        float,
        Field(
            gt=0,
            description="Seconds between closing the port and the end of the process; what is in flight is then told.",
        ),
    ] = 20.0

    @model_validator(mode="before")
    @classmethod
    def _told_by_vertex(cls, given: dict[str, Any]) -> dict[str, Any]:
        asked = given.get("protocols")
        if not (isinstance(asked, list | tuple) and "vertex" in asked):
            return given
        told = {name: os.environ[variable] for variable, name in _VERTEX.items() if os.environ.get(variable)}
        return told | given

    @property
    def cache_directory(self) -> Path:
        """The directory meant by `cache_dir`."""
        if self.cache_dir:
            return Path(os.path.expanduser(self.cache_dir))
        home = os.path.expanduser("~")  # unchanged where this user has no home: then nothing can be kept
        cache = os.environ.get("XDG_CACHE_HOME") or (os.path.join(home, ".cache") if home != "~" else os.devnull)
        return Path(cache) / "vit-serve"


def misspelt_variables() -> dict[str, str]:
    """Variables of the environment that look like ours and are none, such as VIT_MODELL → what was meant.

    Only near misses: Kubernetes makes variables from the names of services, which may begin as ours do.
    """
    known = [_PREFIX + name.upper() for name in Settings.model_fields]
    strange = [name for name in os.environ if name.upper().startswith(_PREFIX) and name.upper() not in known]
    return {name: meant[0] for name in strange if (meant := get_close_matches(name.upper(), known, 1, 0.85))}
