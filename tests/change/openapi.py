"""Holds the document of the admin API against the standard, and real answers against the document."""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        told = json.load(file)
    document = told["document"]
    validate(document)
    for one in told["answers"]:
        operation = document["paths"][one["path"]][one["method"]]
        answers = operation["responses"]
        answer = answers.get(str(one["status"]), answers.get("default"))
        if "content" not in answer:
            assert one["body"] is None, one
            continue
        schema = dict(answer["content"]["application/json"]["schema"])
        schema["components"] = document["components"]
        for error in Draft202012Validator(schema).iter_errors(one["body"]):
            where = "/".join(str(part) for part in error.absolute_path)
            sys.exit(f"{one['method']} {one['path']} {one['status']}: {where}: {error.message}")
    # The validator itself must be able to find fault.
    for name in ("StatusView", "CertificatesView", "ConnectionsPage"):
        empty = {"components": document["components"], "$ref": f"#/components/schemas/{name}"}
        assert list(Draft202012Validator(empty).iter_errors({})), name
    broken = {"components": document["components"], "$ref": "#/components/schemas/VersionView"}
    assert list(Draft202012Validator(broken).iter_errors({"id": "one"}))
    print(len(told["answers"]))


main()
