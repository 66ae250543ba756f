{{/* The members, and what Patroni keeps of them. */}}
{{- define "postgres-ha.members" -}}
{{ include "brownie.selector" . }}
cluster-name: {{ include "brownie.name" . }}
{{- end }}

{{/* The names that members can have, those that are about to go included. */}}
{{- define "postgres-ha.names" -}}
{{- $names := list -}}
{{- range until 9 -}}
{{- $names = append $names (printf "%s-%d" (include "brownie.name" $) .) -}}
{{- end -}}
{{- toYaml $names -}}
{{- end }}

{{/* The domain of the members' own names. */}}
{{- define "postgres-ha.domain" -}}
{{ include "brownie.name" . }}-members.{{ .Release.Namespace }}.svc
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
{{- if and .Values.upgrade.from .Values.wal.enabled -}}
{{- fail "upgrade.from: a write-ahead log on a volume of its own cannot be upgraded yet" -}}
{{- end -}}
{{- if gt (len (include "brownie.name" .)) 40 -}}
{{- fail "the release's name is longer than 40 characters: give a shorter one in fullnameOverride" -}}
{{- end -}}
{{- end }}
