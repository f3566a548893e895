{{- define "envoy.labels" -}}
{{ include "envoy.selector" . }}
app.kubernetes.io/version: {{ .Values.images.envoy.tag | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "envoy.selector" -}}
app.kubernetes.io/name: envoy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "envoy.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end }}

{{/* A cluster of endpoints on the pod's own address, by port. */}}
{{- define "envoy.endpoints" -}}
load_assignment:
  cluster_name: {{ .name }}
  endpoints:
    - lb_endpoints:
        {{- range .ports }}
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{ . }}}}}
        {{- end }}
{{- end }}
