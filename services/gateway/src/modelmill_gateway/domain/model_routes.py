"""The rows of the route table for models and the names that stand for them."""

from modelmill_gateway.domain import access
from modelmill_gateway.domain.model_names import ModelNames, Reach
from modelmill_gateway.domain.route import route

IN_PATH = ModelNames(path="model")
OF_ALIAS = ModelNames(path="name")
LISTED = ModelNames(reach=Reach.LISTS)
ALIAS = ModelNames(
    ("version_id", "variants.version_id", "shadow.version_id", "fallback"), path="name"
)

MODEL_ROUTES = (
    route("GET", "/v1/models", "list_models", access.MODELS_READ, "List models.", LISTED),
    route(
        "GET",
        "/v1/models/{model}",
        "get_model",
        access.MODELS_READ,
        "Get a model.",
        IN_PATH,
    ),
    route(
        "DELETE",
        "/v1/models/{model}",
        "delete_model",
        access.MODELS_WRITE,
        "Delete an alias, or retire a version.",
        IN_PATH,
    ),
    route(
        "GET",
        "/v1/aliases",
        "list_aliases",
        access.MODELS_READ,
        "List aliases.",
        LISTED,
    ),
    route("PUT", "/v1/aliases/{name}", "move_alias", access.MODELS_WRITE, "Set an alias.", ALIAS),
    route(
        "DELETE",
        "/v1/aliases/{name}",
        "delete_alias",
        access.MODELS_WRITE,
        "Delete an alias.",
        OF_ALIAS,
    ),
)
