"""Owns what custom resources must look like, as far as the manifests use them; does not hold their whole schemas.

Written after their makers' definitions: prometheus-operator v1, KEDA v1alpha1, Gateway API v1, KServe v1alpha1 and
v1beta1. A field that is not here is an error, so that a misspelt one is found; what comes into use is added.
"""

from typing import Any, Final

Schema = dict[str, Any]
TEXT: Final[Schema] = {"type": "string", "minLength": 1}
WHOLE: Final[Schema] = {"type": "integer", "minimum": 0}
LABELS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION: Final[Schema] = {"type": "string", "pattern": r"^([0-9]+(ms|s|m|h|d))+$"}
QUANTITY: Final[Schema] = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?m?$"}
ANYTHING: Final[Schema] = {"type": "object"}  # of the core: Deployment's and autoscaler's schema has seen it


def some(of: Schema) -> Schema:
    """A list of one or more."""
    return {"type": "array", "items": of, "minItems": 1}


def fields(required: str = "", /, **properties: Schema) -> Schema:
    """An object with these fields and no others; `required`: names, by spaces."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def resource(group: str, version: str, kind: str, spec: Schema) -> tuple[tuple[str, str], Schema]:
    """(group, kind) and the schema of a whole document."""
    named = fields("name", name=TEXT, namespace=TEXT, labels=LABELS, annotations=LABELS)
    api, of = {"const": f"{group}/{version}"}, {"const": kind}
    return (group, kind), fields("apiVersion kind metadata spec", apiVersion=api, kind=of, metadata=named, spec=spec)


POD_MONITOR: Final = fields(
    "selector podMetricsEndpoints",
    jobLabel=TEXT,
    podTargetLabels=some(TEXT),
    selector=fields("matchLabels", matchLabels=LABELS),
    podMetricsEndpoints=some(fields("port", port=TEXT, path=TEXT, interval=DURATION, scrapeTimeout=DURATION)),
)
_RULE: Final = {
    "alert": TEXT,
    "record": TEXT,
    "expr": TEXT,
    "for": DURATION,
    "keep_firing_for": DURATION,
    "labels": LABELS,
    "annotations": LABELS,
}
PROMETHEUS_RULE: Final = fields(
    "groups",
    groups=some(fields("name rules", name=TEXT, interval=DURATION, labels=LABELS, rules=some(fields("expr", **_RULE)))),
)
SCALED_OBJECT: Final = fields(
    "scaleTargetRef triggers minReplicaCount maxReplicaCount pollingInterval fallback advanced",
    scaleTargetRef=fields("name", name=TEXT, apiVersion=TEXT, kind=TEXT),
    minReplicaCount=WHOLE,
    maxReplicaCount=WHOLE,
    pollingInterval=WHOLE,
    fallback=fields("failureThreshold replicas", failureThreshold=WHOLE, replicas=WHOLE),
    advanced=fields(
        "horizontalPodAutoscalerConfig", horizontalPodAutoscalerConfig=fields("behavior", behavior=ANYTHING)
    ),
    triggers=some(
        fields(
            "type metadata",
            type={"const": "prometheus"},
            name=TEXT,
            metricType={"enum": ["AverageValue", "Value"]},
            metadata=fields(  # strings, all of them
                "serverAddress query threshold",
                serverAddress=TEXT,
                query=TEXT,
                threshold=QUANTITY,
                activationThreshold=QUANTITY,
                ignoreNullValues={"enum": ["true", "false"]},
            ),
        )
    ),
)
_PATH: Final = fields("type value", type={"enum": ["PathPrefix", "Exact"]}, value={"type": "string", "pattern": "^/"})
HTTP_ROUTE: Final = fields(
    "parentRefs rules hostnames",
    parentRefs=some(fields("name", name=TEXT, namespace=TEXT, sectionName=TEXT)),
    hostnames=some(TEXT),
    rules=some(
        fields(
            "backendRefs matches",
            matches=some(fields("path", path=_PATH)),
            timeouts=fields(request=DURATION, backendRequest=DURATION),
            backendRefs=some(fields("name port", name=TEXT, port={"type": "integer", "minimum": 1, "maximum": 65535})),
        )
    ),
)
SERVING_RUNTIME: Final = fields(
    "supportedModelFormats containers volumes",
    supportedModelFormats=some(fields("name", name=TEXT, version=TEXT, autoSelect={"type": "boolean"})),
    containers=some(ANYTHING),  # the test of KServe's parts puts it into a Deployment
    volumes=some(ANYTHING),
)
_EXTERNAL: Final = fields(
    "metric target",
    metric=fields("backend serverAddress query", backend={"const": "prometheus"}, serverAddress=TEXT, query=TEXT),
    target=fields("type value", type={"const": "Value"}, value=QUANTITY),
)
INFERENCE_SERVICE: Final = fields(
    "predictor",
    predictor=fields(
        "model minReplicas maxReplicas",
        minReplicas=WHOLE,
        maxReplicas=WHOLE,
        terminationGracePeriodSeconds=WHOLE,
        model=fields("modelFormat storageUri", modelFormat=fields("name", name=TEXT), runtime=TEXT, storageUri=TEXT),
        autoScaling=fields(
            "metrics", metrics=some(fields("type external", type={"const": "External"}, external=_EXTERNAL))
        ),
    ),
)

SCHEMAS: Final = dict(
    [
        resource("monitoring.coreos.com", "v1", "PodMonitor", POD_MONITOR),
        resource("monitoring.coreos.com", "v1", "PrometheusRule", PROMETHEUS_RULE),
        resource("keda.sh", "v1alpha1", "ScaledObject", SCALED_OBJECT),
        resource("gateway.networking.k8s.io", "v1", "HTTPRoute", HTTP_ROUTE),
        resource("serving.kserve.io", "v1alpha1", "ServingRuntime", SERVING_RUNTIME),
        resource("serving.kserve.io", "v1beta1", "InferenceService", INFERENCE_SERVICE),
    ]
)
