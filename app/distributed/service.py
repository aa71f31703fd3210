"""Owns the Ray Serve application: our HTTP interface in each replica, over its own Classifier; does not scale or route.

serve run app.distributed.service:build model=hf-hub:owner/name
serve deploy deploy/ray/config.yaml
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from pydantic import ValidationError
from ray import serve

from app.api.app import create_app
from app.bootstrap import fitted, open_classifier
from app.classifier import Classifier
from app.engine.allowance import allowed_memory_bytes
from app.engine.client import Status
from app.errors import EngineFailed, SetupError
from app.settings import Settings
from app.telemetry.logs import configure
from app.telemetry.metrics import Metrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_CPUS: Final = 2


class Front:
    """Our application as ASGI with a lifespan: the model is loaded and warm before the first request comes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app: Any = None
        self.classifier: Classifier | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, or the whole life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            telemetry = Metrics()
            async with open_classifier(self._settings, telemetry) as classifier:
                await classifier.ready()
                self._app, self.classifier = create_app(self._settings, classifier, telemetry), classifier
                await asyncio.to_thread(self._app.openapi)
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            if self.classifier is not None:
                raise
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})


@serve.ingress(None)
class Replica:
    """What Ray Serve starts as many of as there is load for."""

    def __init__(self, options: dict[str, Any]) -> None:
        settings = fitted(Settings(**options), allowed_memory_bytes())
        configure(settings.log_level, settings.log_format)
        self._front = Front(settings)

    def __serve_build_asgi_app__(self) -> Front:
        """Ray Serve asks for it once, in the replica."""
        return self._front

    async def check_health(self) -> None:
        """Ray Serve starts another replica in place of one where this raises, again and again: EngineFailed."""
        classifier = self._front.classifier
        if classifier is not None and classifier.status is Status.FAILED:
            raise EngineFailed("the engine has failed or is stuck")


def build(args: dict[str, Any]) -> serve.Application:
    """What `import_path` names: `args` are settings by name. Raises SetupError, naming the one that is wrong."""
    try:
        given = Settings(**args)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SetupError(f"args: {first['loc'][0]} is {first['input']!r}: {first['msg']}") from error
    if unknown := args.keys() - Settings.model_fields.keys():
        raise SetupError(f"args: there is no setting {sorted(unknown)[0]!r}")
    options = {name: args[name] for name in args}
    threads = given.threads or _CPUS
    deployment = serve.deployment(Replica).options(
        name="vit-serve",
        ray_actor_options={"num_cpus": threads, "num_gpus": 1 if given.device.startswith("cuda") else 0},
    )
    return deployment.bind(options | {"threads": threads})
