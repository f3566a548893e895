"""AWS' APIs, with requests that are signed here: no environment has both boto3 and kubernetes, which want different
python-dateutils.

Signature Version 4 as in the IAM User Guide, "Create a signed AWS API request"; where the endpoints are and which
credentials count is said in the environment, as to any program of AWS.
"""

from __future__ import annotations

import configparser
import functools
import hashlib
import hmac
import http.client
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.redact import add_secret, redact

#: Versions of the query APIs.
VERSIONS = {"ec2": "2016-11-15", "iam": "2010-05-08", "sts": "2011-06-15"}

#: Seconds for one answer, and before each further attempt at a request that was throttled or met an error of AWS' own.
TIMEOUT = 20.0
BACKOFF = (0.5, 1.0, 2.0, 4.0)

#: Seconds for AWS' own program to say credentials.
_EXPORT = 30.0

#: Seconds for which what it said is used; credentials are over after an hour or more, and it gives new ones before.
_KEPT = 60.0

_AGAIN = {"RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestThrottled"}

#: What AWS says of credentials that are none.
_REFUSED = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


class ApiError(CrosscloudError):
    """AWS answered with an error."""

    def __init__(self, action: str, code: str, message: str) -> None:
        refused = code in _REFUSED
        said = f"AWS refuses the credentials: {code}: {message}" if refused else f"AWS, {action}: {code}: {message}"
        remedy = (
            "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE; they may be over"
        )
        super().__init__(redact(said), remedy=remedy if refused else "")
        self.code = code


@dataclass(frozen=True)
class Credentials:
    """An access key."""

    key_id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


def credentials() -> Credentials | None:
    """Those of the environment, else those of the profile that it names or of ``[default]``, else what AWS' own program
    finds: the role of an instance or of a pod. None if there are none.

    :raises CrosscloudError: the profile that is named is not there, or AWS' own program fails.
    """
    key_id, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    found: Credentials | None
    if key_id and secret:
        found = Credentials(key_id, secret, os.environ.get("AWS_SESSION_TOKEN", ""))
    elif profile := os.environ.get("AWS_PROFILE"):
        found = _of_profile(profile)
    elif key_id or secret:  # half of a key is a mistake
        return None
    else:
        found = _key(_profile("default")) or _exported("", int(time.monotonic() / _KEPT))
    if found is None:
        return None
    for value in (found.secret, found.token):
        add_secret(value)
    return found


def region() -> str:
    """The region that the environment or its profile says; empty if neither does."""
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named or _profile(os.environ.get("AWS_PROFILE") or "default").get("region", "")


def _of_profile(name: str) -> Credentials:
    values = _profile(name)
    if found := _key(values):
        return found
    if not values:
        raise CrosscloudError(
            f"AWS_PROFILE={name}: there is no such profile",
            remedy="aws configure --profile makes it, or unset AWS_PROFILE",
        )
    if found := _exported(name, int(time.monotonic() / _KEPT)):
        return found
    raise CrosscloudError(
        f"AWS_PROFILE={name} has no access key of its own",
        remedy="install the AWS CLI, which can get one for it, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )


def _key(values: Mapping[str, str]) -> Credentials | None:
    """The access key of a profile."""
    if not {"aws_access_key_id", "aws_secret_access_key"} <= values.keys():
        return None
    return Credentials(
        values["aws_access_key_id"], values["aws_secret_access_key"], values.get("aws_session_token", "")
    )


@functools.lru_cache(maxsize=1)
def _exported(name: str, moment: int) -> Credentials | None:
    """What AWS' own program has for a profile, or for whoever asks if that is empty: it knows single sign-on, roles,
    and programs of one's own. None: it is not installed, or finds nothing for whoever asks.

    ``moment``: the same value, the same answer.
    """
    if shutil.which("aws") is None:
        return None
    argv = ["aws", "configure", "export-credentials", "--format", "process", *(["--profile", name] if name else [])]
    what, remedy = (
        (f"AWS_PROFILE={name}", f"aws sso login --profile {name}")
        if name
        else ("aws configure export-credentials", "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret")
    )
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=_EXPORT, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise CrosscloudError(f"{what}: no answer within {_EXPORT:.0f} s", remedy=remedy) from error
    if done.returncode != 0:
        if not name:
            return None
        raise CrosscloudError(f"{what}: {redact(done.stderr.strip())}", remedy=remedy)
    try:
        said = json.loads(done.stdout)
        return Credentials(said["AccessKeyId"], said["SecretAccessKey"], said.get("SessionToken", ""))
    except (ValueError, KeyError) as error:  # its answer is a secret
        raise CrosscloudError(f"{what}: what the AWS CLI answers is no access key", remedy=remedy) from error


def _profile(name: str) -> dict[str, str]:
    """What AWS' two files say of a profile."""
    values: dict[str, str] = {}
    for variable, file, section in (
        ("AWS_CONFIG_FILE", "config", name if name == "default" else f"profile {name}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", name),
    ):
        parser = configparser.RawConfigParser()
        parser.read(os.environ.get(variable) or Path.home() / ".aws" / file)
        if name and parser.has_section(section):
            values |= dict(parser.items(section))
    return values


@dataclass(frozen=True)
class Api:
    """AWS in one region."""

    region: str
    credentials: Credentials

    def query(self, service: str, action: str, **parameters: str) -> ElementTree.Element:
        """One action of a query API; its answer without namespaces.

        :raises ApiError: AWS answered with an error.
        :raises CrosscloudError: it cannot be reached.
        """
        values = {"Action": action, "Version": VERSIONS[service], **parameters}
        body = "&".join(f"{quote(key, safe='-_.~')}={quote(value, safe='-_.~')}" for key, value in values.items())
        answer = self._send(service, action, body, {"content-type": "application/x-www-form-urlencoded; charset=utf-8"})
        return _plain(answer)

    def pages(self, service: str, action: str, **parameters: str) -> Iterator[ElementTree.Element]:
        """The answers to an action that gives a page at a time."""
        token = "nextToken" if service == "ec2" else "Marker"
        while True:
            page = self.query(service, action, **parameters)
            yield page
            following = page.findtext(f".//{token}") or ""
            if not following:
                return
            parameters[token[:1].upper() + token[1:]] = following

    def json(self, service: str, target: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """One action of an API that speaks JSON; ``target`` is its version and the action: ``ServiceQuotasV….Get…``."""
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
        answer: dict[str, Any] = json.loads(self._send(service, target.partition(".")[2], json.dumps(values), headers))
        return answer

    def _send(self, service: str, action: str, body: str, headers: Mapping[str, str]) -> bytes:
        url, scope = self._endpoint(service)
        for pause in (*BACKOFF, None):
            # Signed anew each time: a signature is good for five minutes.
            signed = sign(self.credentials, scope, service, url, headers, body.encode(), time.time())
            request = urllib.request.Request(url, body.encode(), signed, method="POST")  # noqa: S310
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                    read: bytes = answer.read()
                    return read
            except urllib.error.HTTPError as error:
                failure: CrosscloudError = _error(action, error)
                again = error.code >= 500 or failure.code in _AGAIN  # type: ignore[attr-defined]
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                remedy = "check the network and the proxy, AWS_REGION, and AWS_ENDPOINT_URL if it is set"
                failure = CrosscloudError(f"AWS cannot be reached at {url}: {reason}", remedy=remedy)
                again = True
            if not again or pause is None:
                raise failure
            time.sleep(pause)
        raise AssertionError  # the last pause is None

    def _endpoint(self, service: str) -> tuple[str, str]:
        """Address of a service, and the region that its signatures name."""
        variable = f"AWS_ENDPOINT_URL_{'SERVICE_QUOTAS' if service == 'servicequotas' else service.upper()}"
        own = os.environ.get(variable) or os.environ.get("AWS_ENDPOINT_URL")
        domain = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        if service == "iam":  # one for all regions
            china, main = self.region.startswith("cn-"), "us-gov-west-1" if "-gov-" in self.region else "us-east-1"
            host, scope = f"iam.{'cn-north-1.' if china else ''}{domain}", "cn-north-1" if china else main
        else:
            host, scope = f"{service}.{self.region}.{domain}", self.region
        return (own.rstrip("/") if own else f"https://{host}") + "/", scope


def sign(
    credentials: Credentials,
    region: str,
    service: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
) -> dict[str, str]:
    """The headers of a POST, with its signature."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    token = {"x-amz-security-token": credentials.token} if credentials.token else {}
    parts = urlsplit(url)
    every = {"host": parts.netloc, "x-amz-date": moment, **headers, **token}
    names = ";".join(sorted(every))
    canonical = "\n".join(
        [
            "POST",
            quote(parts.path or "/"),
            "",
            *(f"{name}:{every[name]}" for name in sorted(every)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={credentials.key_id}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    return {**every, "authorization": authorization}


def _plain(answer: bytes) -> ElementTree.Element:
    root = ElementTree.fromstring(answer)  # noqa: S314  from AWS, over TLS
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _error(action: str, error: urllib.error.HTTPError) -> ApiError:
    """What the answer says: XML of the query APIs, JSON of the others, or a proxy's own words."""
    with error:
        body = error.read()
    try:
        if body.lstrip().startswith(b"{"):
            said = json.loads(body)
            code = str(said.get("__type", "")).rpartition("#")[2]
            return ApiError(action, code or str(error.code), str(said.get("message") or said.get("Message") or ""))
        found = _plain(body).find(".//Error")
        if found is not None:
            return ApiError(action, found.findtext("Code") or str(error.code), found.findtext("Message") or "")
    except (ElementTree.ParseError, ValueError):
        pass
    return ApiError(action, str(error.code), error.reason)
