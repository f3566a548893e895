{{/* Labels of a part: dict "root" $ "part" "bpmn-infra". */}}
{{- define "so.labels" -}}
{{ include "so.selector" . }}
app.kubernetes.io/part-of: onap-so
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "so.selector" -}}
app.kubernetes.io/name: {{ .part }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* The release's own name is the API handler's Service, which the e2e container looks for; the others have a suffix. */}}
{{- define "so.name" -}}
{{ .root.Release.Name }}{{ if ne .part "api-handler-infra" }}-{{ .part }}{{ end }}
{{- end }}

{{- define "so.image" -}}
{{- $image := get .root.Values.images (.part | replace "-" "_") -}}
{{ $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag }}{{ end }}
{{- end }}

{{/* host:port of a part's Service, by the variables that Kubernetes sets: the cluster may have no DNS. */}}
{{- define "so.address" -}}
{{- $prefix := include "so.name" . | upper | replace "-" "_" | replace "." "_" -}}
$({{ $prefix }}_SERVICE_HOST):$({{ $prefix }}_SERVICE_PORT)
{{- end }}

{{/* Passwords of the database: the same for every upgrade of a release. */}}
{{- define "so.password" -}}
{{ printf "%s/%s/%s" .root.Release.Namespace .root.Release.Name .of | sha256sum | trunc 24 }}
{{- end }}
