"""What a `suite.yaml` may say."""

from typing import Any

FILE: dict[str, Any] = {"type": "string", "minLength": 1}
SPLIT: dict[str, Any] = {
    "anyOf": [FILE, {"type": "array", "items": FILE, "minItems": 1, "maxItems": 64}]
}
SUITE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "license", "tasks"],
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$", "maxLength": 64},
        "description": {"type": "string", "maxLength": 400},
        "license": {"type": "string", "minLength": 1, "maxLength": 64},
        "num_fewshot": {"type": "integer", "minimum": 0, "maximum": 64},
        "tasks": {
            "type": "array",
            "minItems": 1,
            "maxItems": 16,
            "items": {
                "anyOf": [
                    FILE,
                    {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["task"],
                        "properties": {
                            "task": FILE,
                            "data": {
                                "type": "object",
                                "minProperties": 1,
                                "additionalProperties": SPLIT,
                            },
                        },
                    },
                ]
            },
        },
    },
}
