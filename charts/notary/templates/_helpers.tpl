{{- define "notary.labels" -}}
{{ include "notary.selector" . }}
app.kubernetes.io/version: {{ .Values.images.notary_server.tag | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "notary.selector" -}}
app.kubernetes.io/name: notary
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "notary.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end }}

{{/* The database's address: Kubernetes tells it to every pod of the namespace, so no DNS is needed. */}}
{{- define "notary.databaseHost" -}}
$({{ printf "%s-database" .Release.Name | upper | replace "-" "_" }}_SERVICE_HOST)
{{- end }}

{{- define "notary.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
