output "endpoint" {
  description = "URL of the API server."
  value       = ibm_container_vpc_cluster.this.public_service_endpoint_url
}

output "nodes" {
  description = "Name, address and role of each node; the service calls its nodes by their addresses."
  value = [for node in data.ibm_container_vpc_cluster_worker.node : {
    name    = node.network_interfaces[0].ip_address
    address = node.network_interfaces[0].ip_address
    role    = "worker"
  }]
}

output "kubeconfig" {
  description = "The service's own KUBECONFIG, with the administrator's certificate."
  value = yamlencode({
    apiVersion = "v1"
    kind       = "Config"
    clusters = [{
      name = var.name
      cluster = {
        server                     = data.ibm_container_cluster_config.admin.host
        certificate-authority-data = base64encode(data.ibm_container_cluster_config.admin.ca_certificate)
      }
    }]
    users = [{
      name = "admin"
      user = {
        client-certificate-data = base64encode(data.ibm_container_cluster_config.admin.admin_certificate)
        client-key-data         = base64encode(data.ibm_container_cluster_config.admin.admin_key)
      }
    }]
    contexts        = [{ name = var.name, context = { cluster = var.name, user = "admin" } }]
    current-context = var.name
  })
  sensitive = true
}
