{{- define "fluentd.labels" -}}
{{ include "fluentd.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "fluentd.selector" -}}
app.kubernetes.io/name: fluentd
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fluentd.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag }}{{ end }}
{{- end }}
