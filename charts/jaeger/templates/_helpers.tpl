{{- define "jaeger.labels" -}}
{{ include "jaeger.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "jaeger.selector" -}}
app.kubernetes.io/name: jaeger
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "jaeger.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag }}{{ end }}
{{- end }}

{{/* Names of the ports, as the Service and the e2e container have them. */}}
{{- define "jaeger.ports" -}}
query: 16686
otlp-http: 4318
otlp-grpc: 4317
sampling: 14268
admin: 14269
{{- end }}
