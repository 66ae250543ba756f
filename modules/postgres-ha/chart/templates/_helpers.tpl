{{- define "postgres-ha.name" -}}
{{- .Values.fullnameOverride | default .Release.Name -}}
{{- end }}

{{/* What selects the chart's pods, and never changes. */}}
{{- define "postgres-ha.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ include "postgres-ha.name" . }}
{{- end }}

{{/* The members, and what Patroni keeps of them. */}}
{{- define "postgres-ha.members" -}}
{{ include "postgres-ha.selector" . }}
cluster-name: {{ include "postgres-ha.name" . }}
{{- end }}

{{- define "postgres-ha.labels" -}}
{{ include "postgres-ha.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The domain of the members' own names. */}}
{{- define "postgres-ha.domain" -}}
{{ include "postgres-ha.name" . }}-members.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "postgres-ha.image" -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag }}{{ end -}}
{{- end }}

{{/* The Secret of one of the certificates: dict "root" $ "kind" "server". */}}
{{- define "postgres-ha.secret" -}}
{{- $certificate := index .root.Values.certificates .kind -}}
{{- if $certificate.secret -}}
{{ $certificate.secret }}
{{- else if or $certificate.issuer .root.Values.certificates.issuer.name -}}
{{ include "postgres-ha.name" .root }}-{{ .kind }}
{{- else -}}
{{ fail (printf "certificates.%s: name a Secret, or an issuer of cert-manager" .kind) }}
{{- end -}}
{{- end }}

{{/* A volume with one of the certificates: dict "root" $ "kind" "server". */}}
{{- define "postgres-ha.certificate" -}}
name: {{ .kind }}-certificate
projected:
  defaultMode: 0440
  sources:
    - secret:
        name: {{ include "postgres-ha.secret" . }}
        items:
          - { key: tls.crt, path: tls.crt }
          - { key: tls.key, path: tls.key }
    - {{ include "postgres-ha.authorities" . | nindent 6 | trim }}
{{- end }}

{{/* Who signs that kind of certificate. The REST API has an authority of its own. */}}
{{- define "postgres-ha.authorities" -}}
{{- $shared := .root.Values.certificates.authorities -}}
{{- $own := or (eq .kind "api") (not $shared.configMap) -}}
{{ $own | ternary "secret" "configMap" }}:
  name: {{ if $own }}{{ include "postgres-ha.secret" . }}{{ else }}{{ $shared.configMap }}{{ end }}
  items:
    - { key: {{ $own | ternary "ca.crt" $shared.key }}, path: ca.crt }
{{- end }}

{{/* What Pod Security "restricted" asks for, and a read-only root. */}}
{{- define "postgres-ha.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}
{{- define "postgres-ha.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* One side of a NetworkPolicy's rule. */}}
{{- define "postgres-ha.peer" -}}
{{- if .cidr }}
- ipBlock:
    cidr: {{ .cidr | quote }}
{{- else }}
- podSelector:
    matchLabels: {{ .podLabels | default dict | toJson }}
  {{- with .namespaceLabels }}
  namespaceSelector:
    matchLabels: {{ toJson . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What a schema cannot say. */}}
{{- define "postgres-ha.check" -}}
{{- $needed := add .Values.patroni.loopWait (mul 2 .Values.patroni.retryTimeout) -}}
{{- if lt (int .Values.patroni.ttl) (int $needed) -}}
{{- fail (printf "patroni.ttl must be at least loopWait + 2 × retryTimeout, which is %d" $needed) -}}
{{- end -}}
{{- if and (ne .Values.synchronous.mode "off") (ge (int .Values.synchronous.replicas) (int .Values.instances)) (or .Values.synchronous.strict (gt (int .Values.instances) 1)) -}}
{{- fail "synchronous.replicas must be less than instances: writes would wait for members that are not there" -}}
{{- end -}}
{{- if gt (len (include "postgres-ha.name" .)) 40 -}}
{{- fail "the release's name is longer than 40 characters: give a shorter one in fullnameOverride" -}}
{{- end -}}
{{- end }}
