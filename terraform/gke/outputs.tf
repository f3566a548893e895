output "endpoint" {
  description = "URL of the API server."
  value       = "https://${google_container_cluster.this.endpoint}"
}

output "nodes" {
  description = "Name, address and role of each node."
  value = [for node in data.google_compute_instance.node : {
    name    = node.name
    address = node.network_interface[0].network_ip
    role    = "worker"
  }]
}

output "kubeconfig" {
  description = "The service's own KUBECONFIG."
  value = yamlencode({
    apiVersion = "v1"
    kind       = "Config"
    clusters = [{
      name = var.name
      cluster = {
        server                     = "https://${google_container_cluster.this.endpoint}"
        certificate-authority-data = google_container_cluster.this.master_auth[0].cluster_ca_certificate
      }
    }]
    users           = [{ name = "admin", user = local.user[var.authentication] }]
    contexts        = [{ name = var.name, context = { cluster = var.name, user = "admin" } }]
    current-context = var.name
  })
  sensitive = true
}
