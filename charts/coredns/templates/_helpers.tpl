{{/* Everything is named after the release, so that the Service's name is known to the e2e container. */}}
{{- define "coredns.labels" -}}
{{ include "coredns.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "coredns.selector" -}}
app.kubernetes.io/name: coredns
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "coredns.podsSelector" -}}
app.kubernetes.io/name: coredns-pods
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Cluster-scoped objects carry the namespace too: two cells may share a cluster. */}}
{{- define "coredns.clusterName" -}}
{{ .Release.Namespace }}-{{ .Release.Name }}
{{- end }}

{{- define "coredns.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end -}}
{{- end }}
