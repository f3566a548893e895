from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from clouds.aws import api, crosscloud_clouds, owned, quota
from clouds.aws.api import ApiError, Credentials, sign
from pytest_crosscloud import paths
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.redact import redact
from tests import bucket
from tests.twins.aws import Moto, moto
from tests.twins.front import Faults

(CLOUD,) = crosscloud_clouds()

VARIABLES = (
    "ACCESS_KEY_ID",
    "SECRET_ACCESS_KEY",
    "SESSION_TOKEN",
    "PROFILE",
    "REGION",
    "DEFAULT_REGION",
    "ENDPOINT_URL",
)


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No account; AWS' two files are in the directory that is given."""
    for name in VARIABLES:
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))  # no program of AWS' own
    api._exported.cache_clear()
    monkeypatch.setattr(api, "BACKOFF", (0.01, 0.01))
    monkeypatch.setattr(owned, "INTERVAL", 0.1)
    return tmp_path


def test_without_an_account_preflight_says_what_to_set() -> None:
    key, secret, others, region = CLOUD.preflight()
    assert key.startswith("AWS_ACCESS_KEY_ID is not set: ")
    assert secret.startswith("AWS_SECRET_ACCESS_KEY is not set: ")
    for accepted in (
        "AWS_PROFILE",
        "[default] of ~/.aws",
        "aws configure export-credentials",
        "the role of an instance or a pod",
    ):
        assert accepted in others
    assert region.startswith("AWS_REGION is not set: ")
    assert CLOUD.runs() == [], "crosscloud clean asks whoever has an account and whoever has none"


def test_a_profile_will_do(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (environment / "config").write_text("[profile ci]\nregion = eu-west-1\n")
    (environment / "credentials").write_text("[ci]\naws_access_key_id = AKID\naws_secret_access_key = of-the-profile\n")
    monkeypatch.setenv("AWS_PROFILE", "ci")
    assert api.credentials() == Credentials("AKID", "of-the-profile")
    assert api.region() == "eu-west-1"
    assert redact("it says of-the-profile") == "it says [redacted]"


def test_a_profile_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    (line,) = CLOUD.preflight()
    assert "AWS_PROFILE=nobody: there is no such profile" in line


def program(directory: Path, text: str) -> None:
    """AWS' own program, for a test."""
    (directory / "bin").mkdir()
    (directory / "bin" / "aws").write_text(f"#!/bin/sh\n{text}\n")
    (directory / "bin" / "aws").chmod(0o755)


ROLE = '{"Version": 1, "AccessKeyId": "ASIA", "SecretAccessKey": "of-the-role", "SessionToken": "its-token"}'


def test_the_default_profile_will_do(environment: Path) -> None:
    (environment / "config").write_text("[default]\nregion = eu-west-1\n")
    (environment / "credentials").write_text("[default]\naws_access_key_id = A\naws_secret_access_key = of-default\n")
    assert api.credentials() == Credentials("A", "of-default")
    assert api.region() == "eu-west-1"
    assert CLOUD.unset() == []


def test_a_role_will_do_where_awss_own_program_is(environment: Path) -> None:
    program(environment, f"""[ "$*" = "configure export-credentials --format process" ] && echo '{ROLE}'""")
    assert api.credentials() == Credentials("ASIA", "of-the-role", "its-token")
    assert CLOUD.unset() == []
    assert redact("it says of-the-role and its-token") == "it says [redacted] and [redacted]"


def test_half_a_key_is_not_made_up_for(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(environment, f"echo '{ROLE}'")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    assert api.credentials() is None
    assert [credential.name for credential in CLOUD.unset()] == ["AWS_SECRET_ACCESS_KEY"]


def test_awss_own_program_that_finds_nothing_is_no_error(environment: Path) -> None:
    program(environment, "exit 253")
    assert api.credentials() is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("exec /bin/sleep 30", "AWS_PROFILE=ci: no answer within 0 s"),
        ("echo the sso session is over >&2; exit 255", "AWS_PROFILE=ci: the sso session is over"),
        ("echo '{}'", "AWS_PROFILE=ci: what the AWS CLI answers is no access key"),
    ],
)
def test_awss_own_program_that_fails_for_a_profile_is_named(
    environment: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    program(environment, text)
    (environment / "config").write_text("[profile ci]\nsso_session = s\n")
    monkeypatch.setenv("AWS_PROFILE", "ci")
    if "sleep" in text:
        monkeypatch.setattr(api, "_EXPORT", 0.2)
    (line,) = CLOUD.preflight()
    assert problem in line
    assert "aws sso login --profile ci" in line


def test_nothing_that_is_there_can_be_given_a_tag() -> None:
    """The policy's other conditions ask for one."""
    readme = (paths.data("terraform", "aws") / "README.md").read_text()
    policy = json.loads(readme.split("```json")[1].split("```")[0])
    allowed = {statement["Sid"]: statement for statement in policy["Statement"]}
    taggers = [sid for sid, statement in allowed.items() if "ec2:CreateTags" in statement["Action"]]
    assert taggers == ["TagWhatIsMade"]
    makers = {action.removeprefix("ec2:") for action in allowed["Make"]["Action"]}
    created = set(allowed["TagWhatIsMade"]["Condition"]["StringEquals"]["ec2:CreateAction"])
    assert created == makers - {"AssociateAddress", "DisassociateAddress"}


def test_a_signature_is_as_aws_documents_it() -> None:
    """The same request as in AWS' test suite for Signature Version 4, ``post-x-www-form-urlencoded``."""
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    moment = 1440938160.0  # 20150830T123600Z
    signed = sign(
        credentials, "us-east-1", "service", "https://example.amazonaws.com/", headers, b"Param1=value1", moment
    )
    assert signed["x-amz-date"] == "20150830T123600Z"
    assert signed["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
    )


def test_who_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in bucket.environment("http://127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    (line,) = CLOUD.preflight()
    assert line.startswith("AWS cannot be reached at http://127.0.0.1:1/: ")
    assert bucket.SECRET not in line


# -- on moto ------------------------------------------------------------------------------------------------


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def account(tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> Iterator[Moto]:
    with moto(tmp_path, faults=faults) as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.mark.slow
def test_an_account_is_asked_who_it_is(account: Moto, faults: Faults) -> None:
    assert CLOUD.preflight() == []
    faults.always["GetCallerIdentity"] = (403, "InvalidClientTokenId")
    (line,) = CLOUD.preflight()
    assert line.startswith("AWS refuses the credentials: InvalidClientTokenId")
    assert "check AWS_ACCESS_KEY_ID" in line


@pytest.mark.slow
def test_errors_of_aws_own_and_throttling_are_tried_again(account: Moto, faults: Faults) -> None:
    faults.next["DescribeVpcs"] = [(500, "InternalError"), (503, "RequestLimitExceeded")]
    assert len(account.api().query("ec2", "DescribeVpcs").findall("vpcSet/item")) == 1
    faults.always["DescribeVpcs"] = (400, "Throttling")
    with pytest.raises(ApiError, match="Throttling") as error:
        account.api().query("ec2", "DescribeVpcs")
    assert error.value.code == "Throttling"
    assert faults.seen.count("DescribeVpcs") == 6


@pytest.mark.slow
def test_a_quota_that_is_full_is_said_with_numbers(account: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CLOUD.capacity(4) == []
    (line,) = CLOUD.capacity(5)
    assert line == "VPCs in eu-central-1: 5 needed, 4 left of the quota of 5 (L-F678F1CE)"
    monkeypatch.setattr(quota, "_limit", lambda api, service, code: 3 if code == "L-1216C47A" else None)
    assert quota.lacking(account.api(), 1, 1, "t3.medium") == [
        "vCPUs in eu-central-1 (2 t3.medium): 4 needed, 3 left of the quota of 3 (L-1216C47A)"
    ]


@pytest.mark.slow
def test_what_stays_is_named(account: Moto, monkeypatch: pytest.MonkeyPatch, faults: Faults) -> None:
    made = account.api().query("ec2", "CreateVpc", CidrBlock="10.0.0.0/24").findtext("vpc/vpcId") or ""
    tag = {"ResourceId.1": made, "Tag.1.Key": "crosscloud-run", "Tag.1.Value": "0123abcd"}
    account.api().query("ec2", "CreateTags", **tag)
    assert CLOUD.owned("0123abcd") == [f"VPC {made}"]
    assert CLOUD.runs() == ["0123abcd"]
    monkeypatch.setattr(owned, "DEADLINE", 0.5)
    faults.always["DeleteVpc"] = (400, "DependencyViolation")
    with pytest.raises(CrosscloudError, match=f"VPC {made}: .*DependencyViolation"):
        CLOUD.sweep("0123abcd")
    faults.always.clear()
    CLOUD.sweep("0123abcd")
    assert CLOUD.owned("0123abcd") == CLOUD.runs() == []
