#!/bin/bash
# Makes this machine a node of a Kubernetes cluster. cloud-init runs it once, after it wrote the files of
# /etc/crosscloud, /etc/containerd, /etc/cni and (on the control plane) /etc/kubernetes/pki.
set -Eeuo pipefail
. /etc/crosscloud/node.env

# Each step with the machine's uptime: what the bootstrap waited for can be read from the console.
say() {
  read -r uptime _ </proc/uptime
  echo "crosscloud $uptime $*"
}
step=starting
step() {
  step=$*
  say "$step"
}
# Whoever waits for the node looks for this line on the console.
trap 'say "FAILED while $step"' ERR

prepare() {
  if [ ! -e /etc/crosscloud/before.sh ]; then return; fi
  step "preparing the machine for its cloud"
  (. /etc/crosscloud/before.sh)
}

install_packages() {
  if command -v containerd >/dev/null && command -v iptables >/dev/null && [ -x /usr/lib/cni/ptp ]; then return; fi
  step "installing packages"
  export DEBIAN_FRONTEND=noninteractive
  # containerd's configuration is there before it; a machine that has just started may be installing updates.
  options="--option Dpkg::Options::=--force-confold --option DPkg::Lock::Timeout=300"
  for _ in 1 2 3 4 5 6; do
    if apt-get -qq update; then break; fi
    sleep 10
  done
  # shellcheck disable=SC2086 # several words
  apt-get -qq install $options --no-install-recommends --yes \
    containerd runc containernetworking-plugins iptables iproute2 curl
}

download() {
  # One that stalls is begun anew: what answers nothing for half a minute never will.
  curl --fail --silent --show-error --location --retry 5 --retry-connrefused --speed-limit 1024 --speed-time 30 \
    --output "$2" "$1"
}

# fetch URL SHA256 TARGET: a file of this machine is linked, anything else downloaded and checked.
fetch() {
  case $1 in
    file://*) ln -sf "${1#file://}" "$3" ;;
    *)
      download "$1" "$3"
      echo "$2  $3" | sha256sum --check --quiet
      chmod 0755 "$3"
      ;;
  esac
}

install_binaries() {
  step "installing the node binary"
  programs="kubeadm kubelet kubectl kube-proxy"
  case $BINARY_URL in
    */)
      for name in $programs; do
        download "$BINARY_URL$name.sha256" "/var/tmp/$name.sha256"
        fetch "$BINARY_URL$name" "$(cut -c1-64 "/var/tmp/$name.sha256")" "/usr/local/bin/$name"
      done
      ;;
    *)
      fetch "$BINARY_URL" "$BINARY_SHA256" /usr/local/bin/crosscloud-node
      for name in $programs; do ln -sf crosscloud-node "/usr/local/bin/$name"; done
      ;;
  esac
}

set_up_network() {
  step "setting up the network"
  modprobe -a overlay 2>/dev/null || true
  echo 1 >/proc/sys/net/ipv4/ip_forward
  for route in $ROUTES; do
    # Where nodes are not on one link, what stands between them routes the pods, and no gateway but it would be taken.
    case $(ip -oneline route get "${route#*=}") in
      *" via "*) ;;
      *) ip route replace "${route%=*}" via "${route#*=}" ;;
    esac
  done
  # The metadata service hands out this node's user-data, with the keys in it. What is forwarded comes from a pod; some
  # clouds' name server has the same address. mangle: a table where kube-proxy accepts nothing before.
  iptables -t mangle -A FORWARD -d 169.254.169.254 -p tcp ! --dport 53 -j DROP
  iptables -t nat -A POSTROUTING -s "$NODE_POD_CIDR" ! -d "$POD_CIDR" -j MASQUERADE
}

start_containerd() {
  step "starting containerd"
  # A machine without CAP_SYS_RESOURCE cannot lower it, and systemd would refuse to start the service.
  if ! (echo -999 >/proc/self/oom_score_adj) 2>/dev/null; then
    mkdir -p /etc/systemd/system/containerd.service.d
    printf '[Service]\nOOMScoreAdjust=0\n' >/etc/systemd/system/containerd.service.d/10-oom.conf
  fi
  systemctl daemon-reload
  systemctl enable --quiet containerd kubelet kube-proxy
  systemctl restart containerd
}

import_images() {
  if [ -z "$IMAGES_URL" ] || [ -n "$(ctr --namespace k8s.io images list --quiet "name==$PAUSE_IMAGE")" ]; then return; fi
  step "importing images"
  fetch "$IMAGES_URL" "$IMAGES_SHA256" /var/tmp/crosscloud-images.tar
  ctr --namespace k8s.io images import /var/tmp/crosscloud-images.tar
  rm /var/tmp/crosscloud-images.tar
}

start_control_plane() {
  step "running kubeadm init"
  kubeadm init --config /etc/crosscloud/kubeadm-init.yaml
}

join_cluster() {
  step "waiting for the control plane"
  # kubeadm would poll with a back-off of seconds. cluster-info is the last thing that a join needs, and public.
  until curl --silent --fail --max-time 5 --cacert /etc/crosscloud/ca.crt --output /dev/null \
    "https://$CONTROL_PLANE:6443/api/v1/namespaces/kube-public/configmaps/cluster-info"; do
    sleep 0.2
  done
  step "running kubeadm join"
  kubeadm join --config /etc/crosscloud/kubeadm-join.yaml
}

prepare
install_packages
install_binaries
set_up_network
start_containerd
import_images
if [ -e /etc/crosscloud/kubeadm-init.yaml ]; then start_control_plane; else join_cluster; fi
step "starting kube-proxy"
systemctl start --no-block kube-proxy
step "done"
