output "endpoint" {
  description = "URL of the API server."
  value       = "https://${local.endpoint}:6443"
}

output "nodes" {
  description = "Name, address and role of each node."
  value       = local.nodes
}

output "kubeconfig" {
  description = "The service's own KUBECONFIG; null: it is made from the bootstrap's CA."
  value       = null
  sensitive   = true
}
