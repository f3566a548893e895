"""A provisioned cluster: asks its API server, and waits until the nodes are Ready."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from ..errors import DeadlineExceeded, StageError
from ..model import Cluster, ErrorClass
from ..redact import add_kubeconfig
from ..stage import StageContext

#: Printed by a node's bootstrap (terraform/modules/kubeadm) when it gives up.
FAILED_MARK = "FAILED while"

#: Seconds for an API server to answer whether it is still there.
_ANSWER = 10.0

#: Seconds between two looks at the nodes, and at their consoles.
INTERVAL, CONSOLE_INTERVAL = 0.1, 2.0

#: Files that a KUBECONFIG names, and the keys under which it can hold them itself.
_CLUSTER_FILES = {"certificate-authority": "certificate-authority-data"}
_USER_FILES = {"client-certificate": "client-certificate-data", "client-key": "client-key-data"}

#: What of a KUBECONFIG's user needs nothing but the file.
_EMBEDDED = {"client-certificate-data", "client-key-data", "token"}


class Api:
    """GET requests to the API server of a KUBECONFIG, over one connection that is opened again when it breaks.

    The kubernetes package takes half a second to import, a tenth of a local cluster's whole start: it is asked only
    for credentials that are not in the file (exec plugins, providers).
    """

    def __init__(self, kubeconfig: Path) -> None:
        add_kubeconfig(kubeconfig)
        config = yaml.safe_load(kubeconfig.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        self.server = cluster["server"]
        self._tls, self._headers = _embedded(cluster, user) or _resolved(kubeconfig)
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, timeout: float) -> Any:
        """The JSON at ``path``; ``timeout`` in seconds.

        :raises OSError: no answer.
        :raises http.client.HTTPException: not an answer of 200.
        """
        if self._connection is None:
            url = urlsplit(self.server)
            assert url.hostname
            self._connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=timeout, context=self._tls)
        try:
            self._connection.request("GET", path, headers=self._headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"GET {path}: {response.status} {response.reason}")
        return json.loads(body)

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


def wait_ready(
    kubeconfig: Path, nodes: int, stage: StageContext, consoles: Callable[[], Mapping[str, str]] = dict
) -> list[dict[str, Any]]:
    """Wait until the cluster takes pods, and return its nodes.

    That is when ``nodes`` nodes (0: as many as there are) are Ready and the controllers have made the default service
    account, without which no pod is let in.

    ``consoles`` gives the nodes' console output by node, to tell at once when a node gave up, and why.

    :raises DeadlineExceeded: they are not in time; the message has the end of the consoles.
    :raises StageError: a node gave up.
    """
    api = Api(kubeconfig)
    said = ""
    next_look = time.monotonic() + CONSOLE_INTERVAL
    try:
        while True:
            found, missing = _look(api, nodes, min(5.0, stage.remaining()))
            if not missing:
                return found
            if missing != said:
                stage.progress(f"waiting for {missing}")
                said = missing
            if time.monotonic() > next_look:
                _check_consoles(consoles())
                next_look = time.monotonic() + CONSOLE_INTERVAL
            time.sleep(INTERVAL)
    except DeadlineExceeded as error:
        error.message += _tails(consoles())
        raise
    finally:
        api.close()


def _look(api: Api, wanted: int, timeout: float) -> tuple[list[dict[str, Any]], str]:
    """The nodes, and what the cluster lacks to take pods; nothing if it does."""
    try:
        nodes = api.get("/api/v1/nodes", timeout)["items"]
        ready = sum(map(is_ready, nodes))
        if not nodes or ready < max(wanted, len(nodes)):
            return nodes, f"nodes: {ready} of {max(wanted, len(nodes))} Ready{_why_not(nodes)}"
        api.get("/api/v1/namespaces/default/serviceaccounts/default", timeout)
    except (OSError, http.client.HTTPException) as error:  # not there yet, or not yet willing
        return [], f"the API server at {api.server}: {error}"
    return nodes, ""


def _why_not(nodes: list[dict[str, Any]]) -> str:
    """What the first node that is not Ready says of itself, in kubelet's words."""
    for node in nodes:
        for condition in node["status"].get("conditions", ()):
            if condition["type"] == "Ready" and condition["status"] != "True" and condition.get("message"):
                return f", {node['metadata']['name']}: {condition['message']}"
    return ""


def is_ready(node: Mapping[str, Any]) -> bool:
    """Whether a Node object's condition Ready is True."""
    conditions = node["status"].get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def identity(node: Mapping[str, Any]) -> tuple[str, str, str]:
    """Name, address within the cluster, and role of a Node object."""
    addresses = {address["type"]: address["address"] for address in node["status"].get("addresses", ())}
    control_plane = "node-role.kubernetes.io/control-plane" in node["metadata"].get("labels", {})
    return node["metadata"]["name"], addresses.get("InternalIP", ""), "control-plane" if control_plane else "worker"


def standalone(kubeconfig: Path) -> str:
    """A KUBECONFIG's text with the files that it names taken in, so that it can lie anywhere.

    :raises StageError: class configuration: it is not a KUBECONFIG, or names a file that is not there.
    """
    add_kubeconfig(kubeconfig)
    try:
        config = yaml.safe_load(kubeconfig.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        for section, name, files in (("clusters", "cluster", _CLUSTER_FILES), ("users", "user", _USER_FILES)):
            values = _named(config[section], context[name])[name]
            for key, data_key in files.items():
                if key in values:
                    content = (kubeconfig.parent / values.pop(key)).read_bytes()
                    values[data_key] = base64.b64encode(content).decode()
    except (OSError, yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise StageError(
            f"{kubeconfig} is not a usable KUBECONFIG: {type(error).__name__}: {error}",
            remedy=f"kubectl --kubeconfig {kubeconfig} get nodes must work",
            error_class=ErrorClass.CONFIGURATION,
        ) from error
    return json.dumps(config, indent=2)


def _check_consoles(consoles: Mapping[str, str]) -> None:
    # What services of the node go on to say has nothing to do with it.
    failed = {node: _up_to_mark(text) for node, text in consoles.items() if FAILED_MARK in text}
    if failed:
        raise StageError(f"{', '.join(failed)} did not become part of the cluster{_tails(failed)}")


def _up_to_mark(text: str) -> str:
    before, mark, after = text.partition(FAILED_MARK)
    return before + mark + after.split("\n")[0]


def _tails(consoles: Mapping[str, str], lines: int = 25) -> str:
    return "".join(
        f"\n--- console of {node}:\n" + "\n".join(text.splitlines()[-lines:]) for node, text in consoles.items()
    )


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _embedded(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> tuple[ssl.SSLContext, dict[str, str]] | None:
    """TLS and headers from what the KUBECONFIG itself holds; None if that is not all it takes."""
    if "certificate-authority-data" not in cluster or not user.keys() <= _EMBEDDED:
        return None
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    # OpenSSL 3 wants an authority key identifier, which Kubernetes' own certificates may lack.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if "client-certificate-data" in user:
        # ssl reads a client's certificate from a file only.
        with tempfile.NamedTemporaryFile() as pem:
            pem.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            pem.flush()
            tls.load_cert_chain(pem.name)
    return tls, {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}


def _resolved(kubeconfig: Path) -> tuple[ssl.SSLContext, dict[str, str]]:
    """TLS and headers as the kubernetes package finds them: from files, exec plugins and providers."""
    from kubernetes import client, config

    configuration = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
    tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    token = configuration.get_api_key_with_prefix("authorization")
    return tls, {"Authorization": token} if token else {}


def answers(cluster: Cluster) -> bool:
    """Whether the cluster's API server answers, and its nodes are as many as there were, and Ready."""
    try:
        api = Api(Path(cluster.kubeconfig))
        try:
            nodes = api.get("/api/v1/nodes", _ANSWER)["items"]
        finally:
            api.close()
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, yaml.YAMLError):
        return False
    return len(nodes) >= len(cluster.nodes) and all(map(is_ready, nodes))
