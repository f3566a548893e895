#!/bin/bash
# Prepares the disk that machines get a clone of: prepare.sh DISK PROGRAMS IMAGES [SERVICE_CIDR]
#
# It puts the image archive into containerd's store and, with a SERVICE_CIDR, what an API server writes at its first start
# into etcd: namespaces, default roles, priority classes. None of it depends on a cluster's CA, keys, tokens, names or
# addresses: each clone has its own, and makes its nodes, accounts and configuration itself.
#
# To be run in namespaces of its own (mount, pid, net), so that whatever ends it leaves no process and no mount.
set -euo pipefail
disk=$1 programs=$2 images=$3 service_cidr=${4:-}

# until_true COMMAND...: as long as the job $! lives.
until_true() {
  until "$@" >/dev/null 2>&1; do
    kill -0 $!
    sleep 0.05
  done
}

stop() {
  kill "$1"
  wait "$1" || true
}

mount -t tmpfs tmpfs /run
mkdir -p "$disk/var/lib/containerd" /run/containerd

containerd --root "$disk/var/lib/containerd" --log-level error &
until_true ctr version
ctr --namespace k8s.io images import "$images"
stop $!

[ -n "$service_cidr" ] || exit 0
# An address for documentation (RFC 5737): both programs insist on one that is not the loopback's.
ip address add 192.0.2.1/32 dev lo
ip link set lo up
"$programs/kubeadm" init phase certs sa --config <(
  printf '%s\n' 'apiVersion: kubeadm.k8s.io/v1beta4' 'kind: InitConfiguration' \
    'localAPIEndpoint: {advertiseAddress: 192.0.2.1}' '---' \
    'apiVersion: kubeadm.k8s.io/v1beta4' 'kind: ClusterConfiguration' 'certificatesDir: /run/pki'
)
# A disk is renamed when it is whole, so no half-written one is ever used: nothing needs to be synced.
"$programs/etcd" --data-dir "$disk/var/lib/etcd" --unsafe-no-fsync --log-level error &
etcd=$!
# No authority for clients: its certificate would stay in the cluster. No endpoints: the address is no clone's.
"$programs/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --cert-dir=/run/pki --advertise-address=192.0.2.1 \
  --service-cluster-ip-range="$service_cidr" --endpoint-reconciler-type=none \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --enable-bootstrap-token-auth \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local \
  --service-account-key-file=/run/pki/sa.pub --service-account-signing-key-file=/run/pki/sa.key &
until_true curl --fail --insecure --noproxy "*" https://127.0.0.1:6443/readyz
stop $!
stop "$etcd"
