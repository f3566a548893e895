{{/* Labels of a part: dict "root" $ "part" "alertmanager". */}}
{{- define "prometheus.labels" -}}
{{ include "prometheus.selector" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "prometheus.selector" -}}
app.kubernetes.io/name: {{ .part }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* The release's own name is Prometheus' Service, which the e2e container looks for; the others have a suffix. */}}
{{- define "prometheus.name" -}}
{{ .root.Release.Name }}{{ if ne .part "prometheus" }}-{{ .part }}{{ end }}
{{- end }}

{{- define "prometheus.image" -}}
{{- $image := get .root.Values.images (.part | replace "-" "_") -}}
{{ $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag }}{{ end }}
{{- end }}

{{/* Nobody's user, who may write nothing but what is mounted. */}}
{{- define "prometheus.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65534
runAsGroup: 65534
fsGroup: 65534
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "prometheus.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The release's directory below /var/tmp of its node. No other has its name: a release's is unique in its namespace. */}}
{{- define "prometheus.directory" -}}
{{ .Release.Namespace }}.{{ .Release.Name }}
{{- end }}

{{/* A part's volume: dict "root" $ "part" "alertmanager". The keeper makes its directory; until then the pod waits. */}}
{{- define "prometheus.data" -}}
{{- if eq .root.Values.storage "node" -}}
hostPath:
  path: /var/tmp/{{ include "prometheus.directory" .root }}/{{ .part }}
  type: Directory
{{- else -}}
emptyDir: {}
{{- end }}
{{- end }}

{{/* Where the data is: on the keeper's node. */}}
{{- define "prometheus.besideData" -}}
{{- if eq .Values.storage "node" -}}
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "prometheus.selector" (dict "root" . "part" "keeper") | nindent 12 }}
{{- end }}
{{- end }}
