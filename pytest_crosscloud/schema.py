"""What may stand in cross-cloud.yml and cncfci.yml. Imported late: pydantic takes longer to load than the plugin may.

Keys of the original Cross-cloud CI's files are all accepted, so that a file written for it loads; those marked
``unused`` mean nothing here (docs/configuration.md says what to do instead).
"""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from .declared import DNS_LABEL, SUB_TITLE_LENGTH
from .marked_yaml import Document, Fault
from .suggest import among

Unused = Any

Arch = Annotated[str, StringConstraints(pattern=f"^{DNS_LABEL.pattern}$")]
Archs = Annotated[list[Arch], Field(min_length=1)]
#: ``s3://bucket`` or ``s3://bucket/prefix``, and nothing that could hold a secret.
BUCKET = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^?#@]*)?$"

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
SubTitle = Annotated[str, StringConstraints(max_length=SUB_TITLE_LENGTH)]


def _empty(value: Any) -> Any:
    """A section whose entries are all commented out is null in YAML, and means an empty one."""
    return {} if value is None else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


class CloudSection(_Section):
    """``clouds.<id>`` of cross-cloud.yml."""

    active: bool | None = None
    display_name: str | None = None
    order: int | None = None
    arch: Archs | None = None
    workers: Annotated[int, Field(ge=0)] | None = None
    max_clusters: Annotated[int, Field(ge=1)] | None = None
    timeout: Seconds | None = None
    variables: Annotated[dict[str, Any], BeforeValidator(_empty)] = {}


class CiSystemSection(_Section):
    ci_system_type: Unused = None
    ci_project_url: Unused = None
    ci_project_name: Unused = None
    arch: Unused = None
    images: Unused = None


class _ProjectKeys(_Section):
    """What both files may say of a project."""

    logo_url: str | None = None
    display_name: str | None = None
    sub_title: SubTitle | None = None
    project_url: str | None = None
    stable_ref: str | None = None
    head_ref: str | None = None
    arch: Archs | None = None


class ProjectSection(_ProjectKeys):
    """``projects.<id>`` of cross-cloud.yml."""

    active: bool | None = None
    order: int | None = None
    repository_url: str | None = None
    configuration_repo: str | None = None
    timeout: Seconds | None = None
    cncf_relation: str | None = None
    gitlab_name: Unused = None
    stable_chart: Unused = None
    head_chart: Unused = None
    app_layer: Unused = None
    deploy: Unused = None
    container_image_url: Unused = None


class PipelineSection(_Section):
    timeout: Unused = None
    status_jobs: Unused = None


class TimeoutsSection(_Section):
    """Seconds a stage may take; a cloud's and a project's own ``timeout`` say it for their provision and deploy."""

    build: Seconds | None = None
    provision: Seconds | None = None
    deploy: Seconds | None = None
    e2e: Seconds | None = None


class RetriesSection(_Section):
    """How often a stage is tried whose failure is of class infrastructure; ``attempts: 1`` is once."""

    attempts: Annotated[int, Field(ge=1)] | None = None
    backoff: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


Clouds = Annotated[dict[str, Annotated[CloudSection, BeforeValidator(_empty)]], BeforeValidator(_empty)]
Projects = Annotated[dict[str, Annotated[ProjectSection, BeforeValidator(_empty)]], BeforeValidator(_empty)]


class CrossCloudFile(_Section):
    """cross-cloud.yml."""

    clouds: Clouds = {}
    projects: Projects = {}
    cncf_relations: Annotated[list[str], BeforeValidator(lambda value: value or [])] = []
    kubernetes: Annotated[dict[str, str], BeforeValidator(_empty)] = {}
    timeouts: Annotated[TimeoutsSection, BeforeValidator(_empty)] = TimeoutsSection()
    retries: Annotated[RetriesSection, BeforeValidator(_empty)] = RetriesSection()
    leases: str | None = None
    state: Annotated[str, StringConstraints(pattern=BUCKET)] | None = None
    gitlab_pipeline: Annotated[dict[str, PipelineSection | None], BeforeValidator(_empty)] = {}


class CncfciProject(_ProjectKeys):
    ci_system: list[CiSystemSection] | None = None


class CncfciFile(_Section):
    """A project's cncfci.yml."""

    project: Annotated[CncfciProject, BeforeValidator(_empty)] = CncfciProject()


def read(document: Document, schema: type[CrossCloudFile] | type[CncfciFile]) -> tuple[Any, list[Fault]]:
    """Validate a file; return it (None if it is wrong) and everything that is wrong with it."""
    value = None
    faults = set(document.duplicates)
    for data in document.readings():
        try:
            value = schema.model_validate(data)
        except ValidationError as error:
            faults |= {_fault(document, schema, detail) for detail in error.errors()}
    return None if faults else value, sorted(faults)


#: What a value is meant to be, by pydantic's type of error; others keep pydantic's words.
_WORDS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text; put it in quotes",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "finite_number": "must be a finite number",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must be a name such as amd64 or arm64",
    "too_short": "must have at least {min_length} entry",
}


def _fault(document: Document, schema: type[BaseModel], detail: Any) -> Fault:
    path = [part for part in detail["loc"] if part != "[key]"]
    if detail["type"] == "extra_forbidden":
        name = str(path[-1])
        return document.fault(path, f"unknown key{among(name, _known_keys(schema, path[:-1]))}", key=True)
    template = _WORDS.get(detail["type"])
    if detail.get("ctx", {}).get("pattern") == BUCKET:
        template = "must be s3://BUCKET/PREFIX"
    message = template.format(**detail.get("ctx", {})) if template else detail["msg"]
    given = f", not {detail['input']!r}" if isinstance(detail["input"], str | int | float | bool) else ""
    return document.fault(path, message + given, key=detail["loc"][-1:] == ("[key]",))


def _known_keys(schema: Any, path: list[str | int]) -> list[str]:
    """The keys of the section at ``path``."""
    for part in path:
        inner = schema.model_fields[part].annotation if hasattr(schema, "model_fields") else get_args(schema)[-1]
        while get_origin(inner) in (Annotated, Union, UnionType):
            inner = get_args(inner)[0]
        schema = inner
    return list(schema.model_fields)
