output "user_data" {
  description = "Cloud-init user-data by node name. Longer than some clouds take: pass it gzipped where there is a limit."
  value       = { for node in var.nodes : node.name => "#cloud-config\n${yamlencode(local.cloud_config[node.name])}" }
  sensitive   = true
}

output "pod_cidrs" {
  description = "Each node's pods, by node name: a cloud that routes by its own tables sends them to the node."
  value       = local.pod_cidrs
}
