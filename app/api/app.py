"""Owns the assembly of the HTTP application, in reading order; does not hold logic."""

from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from app import __version__
from app.api.admission import BodyMemory
from app.api.errors import handle_http, handle_known
from app.api.gauges import watch_service
from app.api.middleware import BodyLimit, Tracking
from app.api.observers import Observers
from app.api.protocols.registry import open_routers
from app.api.routes import classify, embeddings, explain, health, live, metrics, model, page
from app.api.shortcut import Shortcut
from app.api.state import State
from app.classifier import Classifier
from app.engine.client import Status
from app.errors import VitServeError
from app.settings import Settings
from app.telemetry.access import AccessLog
from app.telemetry.live import Live
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Tracer


def create_app(settings: Settings, classifier: Classifier, telemetry: Metrics, tracer: Tracer | None = None) -> FastAPI:
    """The ASGI application over a classifier that is open already, and stays the caller's to close."""
    state = State(
        *(settings, classifier, telemetry, BodyMemory(settings.max_bodies_bytes)),
        *(AccessLog(settings.access_log), ThreadPoolExecutor(2, "unpack")),
    )
    app = FastAPI(
        title="vit-serve",
        version=__version__,
        description="Classifies images with a Vision Transformer.",
        docs_url=None,  # FastAPI's load scripts from elsewhere; ours are routes/page.py's
        redoc_url=None,
        redirect_slashes=False,  # a redirect would make clients send their image twice
    )
    app.state.service = state
    watch_service(state)
    app.state.live = Live(telemetry.registry)

    # Outermost last, as Starlette adds them.
    for busiest in classify.router.routes:
        assert isinstance(busiest, APIRoute)
        app.add_middleware(Shortcut, route=busiest)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=[
                *("Server-Timing", "X-Request-ID", "Retry-After", "traceresponse"),
                "Inference-Header-Content-Length",
            ],
        )
    observers = Observers(telemetry, state.access, tracer)
    app.add_middleware(Tracking, observers=observers, draining=lambda: classifier.status is Status.DRAINING)

    app.add_exception_handler(VitServeError, handle_known)
    app.add_exception_handler(HTTPException, handle_http)

    modules = (classify, embeddings, explain, health, model, *([] if settings.admin_port else [metrics]))
    ours = [module.router for module in modules]
    # Theirs before the page: KServe asks for / as well.
    for router in (*ours, *open_routers(settings), live.router, page.router):
        app.include_router(router)
    return app


def create_admin_app(main: FastAPI) -> FastAPI:
    """Probes and metrics of that application, for a port of their own."""
    state: State = main.state.service
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.state.service = state
    observers = Observers(state.metrics)
    app.add_middleware(Tracking, observers=observers, draining=lambda: state.classifier.status is Status.DRAINING)
    app.add_exception_handler(HTTPException, handle_http)
    for module in (health, metrics):
        app.include_router(module.router)
    return app
