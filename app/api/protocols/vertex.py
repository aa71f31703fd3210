"""Owns the two paths that Vertex AI asks of a container, wherever it wants them; does not read instances."""

from fastapi import APIRouter

from app.api.protocols.instances import predict
from app.api.routes.health import readyz
from app.settings import Settings


def router(settings: Settings) -> APIRouter:
    """Health and prediction at the settings' paths. Vertex adds `deployedModelId` to the answer by itself."""
    made = APIRouter(include_in_schema=False)
    made.add_api_route(settings.vertex_health_route, readyz, methods=["GET"])
    made.add_api_route(settings.vertex_predict_route, predict, methods=["POST"])
    return made
