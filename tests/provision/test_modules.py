"""The shared Terraform modules: what modules/kubeadm renders. What root modules are held to is in tests/clouds."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_crosscloud import paths
from pytest_crosscloud.provision.bootstrap import Bootstrap
from pytest_crosscloud.testing.checks import OUTPUTS, VARIABLES
from pytest_crosscloud.toolchain.tools import tool

TERRAFORM = paths.data("terraform")


def test_the_readme_lists_the_interface() -> None:
    listed = set(re.findall(r"^\| `(\w+)`", (TERRAFORM / "README.md").read_text(), re.MULTILINE))
    assert listed == {*VARIABLES, *OUTPUTS}


def test_the_modules_are_formatted() -> None:
    done = subprocess.run([tool("terraform"), "fmt", "-check", "-recursive", TERRAFORM], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# -- modules/kubeadm ----------------------------------------------------------------------------------------

NODES = [{"name": "control-plane", "address": "192.0.2.10"}, {"name": "worker-1", "address": "192.0.2.11"}]


@pytest.fixture(scope="module")
def bootstrap() -> Bootstrap:
    return Bootstrap.create()


@pytest.fixture(scope="module")
def user_data(tmp_path_factory: pytest.TempPathFactory, bootstrap: Bootstrap) -> dict[str, str]:
    """What the module makes for one control plane and one worker."""
    return render(tmp_path_factory.mktemp("kubeadm"), bootstrap, NODES)


def render(directory: Path, bootstrap: Bootstrap, nodes: list[dict[str, str]], **others: Any) -> dict[str, str]:
    variables = {
        "name": "xc-test",
        "kubernetes_version": "v1.36.3",
        "endpoint": "203.0.113.1",
        "nodes": nodes,
        "bundle": {
            "pause_image": "registry.k8s.io/pause:3.10",
            "binary_url": "https://b.example/node",
            "binary_sha256": "12",
            "images_url": "https://b.example/i.tar",
        },
        "bootstrap": bootstrap.for_nodes(),
        "pod_cidr": "10.244.0.0/16",
        "service_cidr": "10.96.0.0/16",
        "registries": ["192.0.2.1:5000"],
        **others,
    }
    module = {"source": str(TERRAFORM / "modules" / "kubeadm"), **variables}
    root = {
        "module": {"kubeadm": module},
        "output": {"user_data": {"value": "${module.kubeadm.user_data}", "sensitive": True}},
    }
    (directory / "main.tf.json").write_text(json.dumps(root))
    for command in (["init"], ["apply", "-auto-approve"]):
        subprocess.run([tool("terraform"), *command], cwd=directory, check=True, capture_output=True)
    state = json.loads((directory / "terraform.tfstate").read_text())
    rendered: dict[str, str] = state["outputs"]["user_data"]["value"]
    return rendered


def files(text: str) -> dict[str, dict[str, str]]:
    return {file["path"]: file for file in yaml.safe_load(text)["write_files"]}


def documents(text: str, path: str) -> dict[str, Any]:
    return {document["kind"]: document for document in yaml.safe_load_all(files(text)[path]["content"])}


@pytest.mark.parametrize("node", ["control-plane", "worker-1"])
def test_user_data_is_cloud_config(user_data: dict[str, str], node: str) -> None:
    text = user_data[node]
    assert text.startswith("#cloud-config\n")
    config = yaml.safe_load(text)
    assert config.keys() == {"write_files", "runcmd"}
    assert config["runcmd"] == [["/etc/crosscloud/node.sh"]]
    for file in config["write_files"]:
        secret = "PRIVATE KEY" in file["content"] or "key-data" in file["content"] or "token" in file["content"]
        assert file["permissions"] == "0600" or not secret, f"{file['path']} can be read by all"


def test_user_data_passes_cloud_inits_own_schema(user_data: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "user-data"
    path.write_text(user_data["control-plane"])
    done = subprocess.run(["cloud-init", "schema", "--config-file", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_cloud_is_known_to_the_module() -> None:
    module = TERRAFORM / "modules" / "kubeadm"
    text = "\n".join(path.read_text() for path in module.rglob("*") if path.is_file())
    assert not re.findall(r"(?i)aws|ec2|azure|gce|google|equinix|openstack|vsphere|oci|huawei|alibaba", text)


def test_a_worker_has_no_private_key_of_the_cluster(user_data: dict[str, str], bootstrap: Bootstrap) -> None:
    contents = "".join(file["content"] for file in files(user_data["worker-1"]).values())
    assert bootstrap.ca.certificate in contents
    for pair in (bootstrap.ca, bootstrap.etcd_ca, bootstrap.front_proxy_ca, bootstrap.service_account, bootstrap.admin):
        assert pair.key not in contents


def test_the_control_plane_has_its_pki_where_kubeadm_looks(user_data: dict[str, str], bootstrap: Bootstrap) -> None:
    written = files(user_data["control-plane"])
    assert written["/etc/kubernetes/pki/ca.key"]["content"] == bootstrap.ca.key
    assert written["/etc/kubernetes/pki/etcd/ca.crt"]["content"] == bootstrap.etcd_ca.certificate
    assert written["/etc/kubernetes/pki/sa.pub"]["content"] == bootstrap.service_account.certificate


def test_kubeadm_configuration(user_data: dict[str, str], bootstrap: Bootstrap) -> None:
    init = documents(user_data["control-plane"], "/etc/crosscloud/kubeadm-init.yaml")
    assert {document["apiVersion"] for document in init.values()} == {
        "kubeadm.k8s.io/v1beta4",
        "kubelet.config.k8s.io/v1beta1",
    }
    assert init["InitConfiguration"]["bootstrapTokens"][0]["token"] == bootstrap.token
    assert "203.0.113.1" in init["ClusterConfiguration"]["apiServer"]["certSANs"]
    join = documents(user_data["worker-1"], "/etc/crosscloud/kubeadm-join.yaml")["JoinConfiguration"]
    assert join["discovery"]["tlsBootstrapToken"] == bootstrap.token


def test_with_workers_the_control_plane_takes_no_pods(
    user_data: dict[str, str], bootstrap: Bootstrap, tmp_path: Path
) -> None:
    init = documents(user_data["control-plane"], "/etc/crosscloud/kubeadm-init.yaml")
    assert init["InitConfiguration"]["nodeRegistration"]["taints"][0]["effect"] == "NoSchedule"
    alone = render(tmp_path, bootstrap, NODES[:1])["control-plane"]
    init = documents(alone, "/etc/crosscloud/kubeadm-init.yaml")
    assert init["InitConfiguration"]["nodeRegistration"]["taints"] == []


def test_each_node_routes_to_the_pods_of_the_others(user_data: dict[str, str]) -> None:
    for node, own, route in (
        ("control-plane", "10.244.0.0/24", "10.244.1.0/24=192.0.2.11"),
        ("worker-1", "10.244.1.0/24", "10.244.0.0/24=192.0.2.10"),
    ):
        written = files(user_data[node])
        assert f"ROUTES='{route}'\n" in written["/etc/crosscloud/node.env"]["content"]
        network = json.loads(written["/etc/cni/net.d/10-pods.conflist"]["content"])
        assert network["plugins"][0]["ipam"]["ranges"] == [[{"subnet": own}]]


@pytest.mark.parametrize("node", ["control-plane", "worker-1"])
def test_pods_are_kept_away_from_the_metadata_service(user_data: dict[str, str], node: str) -> None:
    """Who reads a node's user-data has the cluster's keys; all clouds serve it at this address, some also DNS."""
    script = files(user_data[node])["/etc/crosscloud/node.sh"]["content"]
    assert "\n  iptables -t mangle -A FORWARD -d 169.254.169.254 -p tcp ! --dport 53 -j DROP\n" in script
    setting_up, called = script.index("169.254.169.254"), script.rindex("\nset_up_network\n")
    assert setting_up < called < script.rindex("\nstart_containerd\n"), "before the first pod"


def test_plain_http_registries(user_data: dict[str, str]) -> None:
    hosts = files(user_data["worker-1"])["/etc/containerd/certs.d/192.0.2.1:5000/hosts.toml"]["content"]
    assert '[host."http://192.0.2.1:5000"]' in hosts


def test_user_data_fits_where_it_is_taken_gzipped(user_data: dict[str, str]) -> None:
    """AWS takes 16 KiB of user-data, which cloud-init takes gzipped too."""
    import gzip

    assert all(len(gzip.compress(text.encode())) < 12_000 for text in user_data.values())


def test_a_cloud_says_what_comes_before_and_what_its_controllers_read(bootstrap: Bootstrap, tmp_path: Path) -> None:
    told = {"before": ["ip link set eth1 up"], "cloud_conf": "[Global]\n", "cloud_provider": "external"}
    rendered = render(tmp_path, bootstrap, NODES, **told)
    control_plane, worker = (files(rendered[node]) for node in ("control-plane", "worker-1"))
    assert worker["/etc/crosscloud/before.sh"]["content"] == "set -eu\nip link set eth1 up\n"
    assert control_plane["/etc/kubernetes/cloud.conf"] == {
        "path": "/etc/kubernetes/cloud.conf",
        "content": "[Global]\n",
        "permissions": "0600",
    }
    assert "/etc/kubernetes/cloud.conf" not in worker, "it may have credentials in it"
    init = documents(rendered["control-plane"], "/etc/crosscloud/kubeadm-init.yaml")
    external = {"name": "cloud-provider", "value": "external"}
    assert external in init["InitConfiguration"]["nodeRegistration"]["kubeletExtraArgs"]
    assert external in init["ClusterConfiguration"]["controllerManager"]["extraArgs"]
    join = documents(rendered["worker-1"], "/etc/crosscloud/kubeadm-join.yaml")["JoinConfiguration"]
    assert external in join["nodeRegistration"]["kubeletExtraArgs"]


def test_the_kubernetes_projects_own_images_are_pulled(bootstrap: Bootstrap, tmp_path: Path) -> None:
    bundle = {"binary_url": "https://b.example/v1.36.3/", "images_url": "", "pause_image": "registry.k8s.io/pause:3.10"}
    rendered = render(tmp_path, bootstrap, NODES[:1], bundle=bundle)
    init = documents(rendered["control-plane"], "/etc/crosscloud/kubeadm-init.yaml")
    assert init["InitConfiguration"]["nodeRegistration"]["imagePullPolicy"] == "IfNotPresent"


def test_programs_are_fetched_from_a_directory_and_checked(user_data: dict[str, str], tmp_path: Path) -> None:
    """node.sh's own functions, with curl and the target as they are: a program that was changed is refused."""
    script = files(user_data["worker-1"])["/etc/crosscloud/node.sh"]["content"]
    functions = script[script.index("download() {") : script.index("set_up_network() {")]
    functions = functions.replace("/usr/local/bin", str(tmp_path / "bin")).replace("/var/tmp", str(tmp_path))
    (tmp_path / "bin").mkdir()
    for name in ("kubeadm", "kubelet", "kubectl", "kube-proxy"):
        (tmp_path / name).write_text(name)
        (tmp_path / f"{name}.sha256").write_text(hashlib.sha256(name.encode()).hexdigest())

    def install() -> int:
        with served(tmp_path) as address:
            program = f"set -Eeuo pipefail\nstep() {{ :; }}\nBINARY_URL={address}/\n{functions}\ninstall_binaries\n"
            return subprocess.run(["bash", "-c", program], timeout=60).returncode

    assert install() == 0
    assert (tmp_path / "bin" / "kubelet").read_text() == "kubelet"
    assert os.access(tmp_path / "bin" / "kube-proxy", os.X_OK)
    (tmp_path / "kubectl").write_text("another")
    assert install() != 0


def test_a_download_that_stalls_is_begun_anew(user_data: dict[str, str], tmp_path: Path) -> None:
    script = files(user_data["worker-1"])["/etc/crosscloud/node.sh"]["content"]
    function = script[script.index("download() {") : script.index("# fetch URL")]
    assert "--speed-time 30" in function
    ended, asked = threading.Event(), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "8")
            self.end_headers()
            self.wfile.write(b"half")
            asked.append(self.path)
            if len(asked) == 1:  # as over a connection whose other end has another address now
                ended.wait(60)
            else:
                self.wfile.write(b"half")

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/kubelet"
        program = function.replace("--speed-time 30", "--speed-time 1") + f"\ndownload {url} {tmp_path}/kubelet"
        try:
            done = subprocess.run(["bash", "-c", program], timeout=20)
        finally:
            ended.set()
            server.shutdown()
    assert done.returncode == 0
    assert (tmp_path / "kubelet").read_bytes() == b"halfhalf"


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """The directory over HTTP."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
